"""`eyespot train`: run a recipe of any task, and go on with it after any interruption."""

from typing import Annotated, Any

from eyespot.cli.recipes import explain, listing, named

USAGE = """usage: eyespot train RECIPE --data DATA --out DIR [--NAME VALUE ...]

Train a recipe; the same command goes on with a run that was interrupted. Under torchrun it
trains on all processes: torchrun --nproc-per-node 8 -m eyespot.cli train RECIPE ...

eyespot train                 lists the recipes
eyespot train RECIPE --help   explains a recipe and all its numbers
RECIPE may also be a recipe file, such as the recipe.json of an earlier run."""


def main(args: list[str]) -> None:
    """Train a recipe; without one, the recipes are listed."""
    if args and args[0] in ("-h", "--help"):
        print(USAGE)
        return
    if not args or args == ["--json"]:
        print(listing(as_json=bool(args)))
        return
    name, recipe, rest = named("train", args)
    import tyro

    from eyespot.tasks.run import Run
    from eyespot.tasks.run import train as run_training

    def train(run: Any, recipe: Any) -> None:
        outcome = run_training(recipe, run, name=name)
        if not outcome.finished:
            return
        print(f"finished: {run.out / 'weights.safetensors'}")
        for metric, value in outcome.metrics.items():
            print(f"  {metric} {value:.4g}")

    plain = tyro.conf.arg(name="")
    train.__annotations__ = {
        "run": Annotated[Run, plain],
        "recipe": Annotated[type(recipe), plain],
    }
    train.__defaults__ = (recipe,)
    tyro.cli(
        train,
        prog=f"eyespot train {name}",
        description=explain(name),
        args=rest,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
