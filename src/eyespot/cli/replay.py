"""`eyespot replay`: take the step again at which a run met a loss that was not finite."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


def replay(
    capture: Annotated[Positional[Path], arg(metavar="CAPTURE")],
    data: str | None = None,
    device: str | None = None,
) -> None:
    """Take a captured step again and say which module first gave numbers that are not finite.

    Args:
        capture: The folder in RUN/captures that the stopped run named; or RUN, for its newest.
        data: Training data, if it is elsewhere now.
        device: Another device, such as cpu.
    """
    from eyespot.tasks.recipe_files import read_recipe
    from eyespot.tasks.run import replay as take_again
    from eyespot.tasks.run import stored_run
    from eyespot.train.checkpoint import read_facts

    if (capture / "run.json").is_file():
        captures = sorted((capture / "captures").glob("step_*"))
        if not captures:
            raise ValueError(
                f"need a run with a capture, got {capture}: its loss was always finite"
            )
        capture = captures[-1]
    folder = capture.resolve().parent.parent
    facts = read_facts(capture).facts if (capture / "facts.json").is_file() else {}
    if "error" not in facts:
        raise ValueError(
            f"need a captured step, a folder RUN/captures/step_..., got {capture}, which is none; "
            "a run whose loss is not finite names its own when it stops"
        )
    given = {"data": data, "device": device}
    run = stored_run(folder, **{name: value for name, value in given.items() if value is not None})
    print(f"captured: {facts['error']}")
    print(f"batch:    {facts.get('batch', '')}")
    again = take_again(read_recipe(folder / "recipe.json"), run, capture)
    print(f"again:    {again.error or 'finite this time'}")
    if again.first:
        print(f"first:    the output of {again.first}")
