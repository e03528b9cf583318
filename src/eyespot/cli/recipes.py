"""What the commands that take a recipe share: the list, and the first argument."""

import inspect
import json
from collections.abc import Callable
from typing import Any

from eyespot.recipes import find_recipe, get_recipe, is_recipe_file, list_recipes

_SIBLING = "_smoke"


def listing(*, as_json: bool) -> str:
    """Return all recipes with their first lines; as text, without smoke siblings."""
    about = {name: _about(make) for name, make in list_recipes().items()}
    if as_json:
        return json.dumps(about, indent=1)
    shown = {name: text for name, text in about.items() if not name.endswith(_SIBLING)}
    width = max(map(len, shown))
    lines = [f"{name:{width}}  {text.splitlines()[0]}" for name, text in shown.items()]
    return "\n".join(
        [
            *lines,
            "",
            "eyespot train RECIPE --help explains one and all its numbers. Those of published runs",
            f"have a sibling NAME{_SIBLING} that takes seconds on a CPU.",
        ]
    )


def named(command: str, args: list[str]) -> tuple[str, Any, list[str]]:
    """Return the recipe's name, the recipe, and the arguments after it.

    Raises:
        ValueError: If the first argument is no recipe.
    """
    if args[0].startswith("-") and args[0] not in ("-h", "--help"):
        raise ValueError(f"need a recipe first, as in `eyespot {command} RECIPE {args[0]} ...`")
    return args[0], get_recipe(args[0]), args[1:]


def explain(name: str) -> str:
    """Return what a recipe's function says of it; nothing for a recipe file."""
    return f"The recipe of {name}." if is_recipe_file(name) else _about(find_recipe(name))


def _about(make: Callable[[], Any]) -> str:
    return inspect.getdoc(make) or ""
