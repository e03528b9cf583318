"""`eyespot train`: run a recipe of any task, and go on with it after any interruption."""

import dataclasses
from typing import Annotated, Any

from eyespot.cli.recipes import explain, listing, named

USAGE = """usage: eyespot train RECIPE --data DATA --out DIR [--NAME VALUE ...]

Train a recipe; the same command goes on with a run that was interrupted. Under torchrun it
trains on all processes: torchrun --nproc-per-node 8 -m eyespot train RECIPE ...

eyespot train                 lists the recipes
eyespot train RECIPE --help   explains a recipe and all its numbers; --no-X turns X off
RECIPE may also be a recipe file, such as the recipe.json of an earlier run.
--crops NAME gives a pretraining the published crops of that name, whose numbers --crops.0.size-px
and the like then change; a wrong name lists them all."""


def main(args: list[str]) -> None:
    """Train a recipe; without one, the recipes are listed."""
    if args and args[0] in ("-h", "--help"):
        print(USAGE)
        return
    if not args or args == ["--json"]:
        print(listing(as_json=bool(args)))
        return
    name, recipe, rest = named("train", args)
    recipe, rest = _with_crops(recipe, rest)
    import tyro

    from eyespot import dist
    from eyespot.cli.arguments import call
    from eyespot.tasks.run import Run
    from eyespot.tasks.run import train as run_training

    plain = tyro.conf.arg(name="")
    options = dataclasses.make_dataclass(
        "Options",
        [
            ("run", Annotated[Run, plain]),
            ("recipe", Annotated[type(recipe), plain], dataclasses.field(default=recipe)),
        ],
    )
    given = call(
        options,
        f"eyespot train {name}",
        rest,
        description=explain(name),
        config=(tyro.conf.AvoidSubcommands,),
    )
    outcome = run_training(given.recipe, given.run, name=name)
    if not (outcome.finished and dist.is_first()):
        return
    print(f"finished: {given.run.out / 'weights.safetensors'}")
    for metric, value in outcome.metrics.items():
        print(f"  {metric} {value:.4g}")


def _with_crops(recipe: Any, args: list[str]) -> tuple[Any, list[str]]:
    """Give a pretraining the crops that `--crops NAME` names; return the other arguments.

    Raises:
        ValueError: If there is no such name.
    """
    from eyespot.tasks.selfsup import SelfSupRecipe

    if not isinstance(recipe, SelfSupRecipe):
        return recipe, args
    from eyespot.data.multicrop import PRESETS

    rest: list[str] = []
    words = iter(args)
    for word in words:
        option, equals, value = word.partition("=")
        if option != "--crops":
            rest.append(word)
            continue
        name = value if equals else next(words, "")
        if name not in PRESETS:
            raise ValueError(f"need crops of {', '.join(PRESETS)}, got {name!r}")
        recipe = dataclasses.replace(recipe, crops=PRESETS[name])
    return recipe, rest
