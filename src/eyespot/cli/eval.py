"""`eyespot eval`: measure a trained run, or published weights under a recipe."""

import json
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


def eval(
    run: Positional[Path],
    data: str | None = None,
    val: str | None = None,
    checkpoint: Path | None = None,
    workers: int | None = None,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Measure a training run on its evaluation data, or on other data.

    Args:
        run: The folder that `eyespot train` wrote.
        data: Training data, if it is elsewhere now (statistics and splits come from it).
        val: Data to evaluate on instead.
        checkpoint: One of the folders in RUN/checkpoints; the newest if not given.
        workers: Loader processes.
        as_json: Print JSON.
    """
    from eyespot.tasks.recipe_files import read_recipe
    from eyespot.tasks.run import evaluate, stored_run

    given = {"data": data, "val": val, "workers": workers}
    place = stored_run(run, **{name: value for name, value in given.items() if value is not None})
    metrics = evaluate(read_recipe(run / "recipe.json"), place, checkpoint=checkpoint)
    if as_json:
        print(json.dumps(dict(metrics)))
        return
    for name, value in metrics.items():
        print(f"{name:16} {value:.6g}")
