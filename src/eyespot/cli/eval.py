"""`eyespot eval`: measure a trained run, or weights under a recipe."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg


def eval(
    run: Annotated[Positional[str], arg(metavar="RUN")],
    weights: str | None = None,
    data: str | None = None,
    val: str | None = None,
    checkpoint: Path | None = None,
    workers: int | None = None,
    out: Path | None = None,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Measure a training run on its evaluation data, or on other data; or weights under a recipe.

    Args:
        run: The folder that `eyespot train` wrote; with --weights, a recipe: a name or a file.
        weights: Weights to measure as the recipe evaluates: a file, a run's folder, or a name that
            the recipe's task knows, such as scenes-small.
        data: Training data, if it is elsewhere now (statistics and splits come from it).
        val: Data to evaluate on instead.
        checkpoint: One of the folders in RUN/checkpoints; the newest if not given.
        workers: Processes that read images; the run's own number if not given, -1 for as many as
            the machine has room for.
        out: With --weights, a folder for predictions and lists, laid out as a run's own.
        as_json: Print JSON.
    """
    from eyespot import dist
    from eyespot.recipes import get_recipe
    from eyespot.tasks.recipe_files import read_recipe
    from eyespot.tasks.run import Run, evaluate, evaluate_start, stored_run

    named = {"data": data, "val": val, "workers": workers}
    given: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    if weights is None:
        if not (Path(run) / "run.json").is_file():
            raise ValueError(
                f"need the folder of a training run, got {run}, which has no run.json; weights "
                "without one are measured by `eyespot eval RECIPE --weights WEIGHTS --data DATA`"
            )
        place = stored_run(Path(run), **given)
        if out is not None:
            raise ValueError(
                f"need no --out without --weights, got {out}: a run keeps its results itself, in "
                f"{Path(run) / 'results'}"
            )
        recipe = read_recipe(Path(run) / "recipe.json")
        metrics = evaluate(recipe, place, checkpoint=checkpoint, say=_say)
    else:
        if (Path(run) / "run.json").is_file():
            raise ValueError(
                f"need a recipe with --weights, got the training run {run}; take its recipe, "
                f"{Path(run) / 'recipe.json'}, or leave --weights out"
            )
        recipe = get_recipe(run)
        if data is None:
            raise ValueError("need --data with --weights, the data to measure them on, got none")
        if checkpoint is not None or not hasattr(recipe, "start_from"):
            raise ValueError(
                "need a recipe that can start from weights, and no --checkpoint, for --weights, "
                f"got {run} and --checkpoint {checkpoint}"
            )
        heads = {"start_head": True} if hasattr(recipe, "start_head") else {}
        recipe = replace(recipe, start_from=weights, **heads)
        metrics = evaluate_start(recipe, Run(out=Path(), **given), results=out)
    if not dist.is_first():
        return
    if as_json:
        print(json.dumps(dict(metrics)))
        return
    for name, value in metrics.items():
        print(f"{name:16} {value:.6g}")


def _say(note: str) -> None:
    from eyespot import dist

    if dist.is_first():
        print(note, file=sys.stderr)
