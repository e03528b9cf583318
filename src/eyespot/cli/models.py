"""`eyespot models`: list the named networks."""

import json
from typing import Annotated

from tyro.conf import Positional, arg

from eyespot.design import zoo
from eyespot.design.complexity import complexity
from eyespot.design.quantities import short
from eyespot.errors import unknown_name


def models(
    pattern: Annotated[Positional[str], arg(metavar="[PATTERN]")] = "*",
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """List the named networks with their costs.

    Args:
        pattern: Wildcard pattern or part of a name, in either spelling.
        as_json: One JSON object a line instead of a table.
    """
    found = zoo.entries(pattern)
    if not found:
        raise ValueError(unknown_name("model", pattern, zoo.list_models()))
    if not as_json:
        header = f"{'params':>8} {'flops':>8} {'acts':>8}  source"
        print(f"{'name':26} {'own spelling':26} {'px':>4} {header}")
    for entry in found:
        spec = entry.make()
        cost = complexity(spec)
        own = zoo.own_name(entry.name)
        if as_json:
            row = {"name": entry.name, "own_name": own, "source": entry.source}
            print(json.dumps({**row, "image_size": spec.image_size, **cost._asdict()}))
        else:
            counts = " ".join(f"{short(value):>8}" for value in cost)
            print(f"{entry.name:26} {own:26} {spec.image_size:4} {counts}  {entry.source}")
