"""Recipes by name: `FAMILY/NAME`, or a recipe file.

A family is a module of this room with `RECIPES`: functions without arguments, by name, each of
which returns a filled recipe and says in its docstring how to run it, what to expect, and its cost.
"""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from eyespot.errors import RecipeError, unknown_name
from eyespot.tasks.recipe_files import read_recipe

FAMILIES = ("classify", "ground")


def list_recipes() -> dict[str, Callable[[], Any]]:
    """Return every recipe's function by its full name."""
    return {
        f"{family}/{name}": make for family in FAMILIES for name, make in _family(family).items()
    }


def get_recipe(name: str) -> Any:
    """Return a recipe by its name, or from a recipe file (JSON or YAML).

    Raises:
        RecipeError: If there is no such recipe, or the file is none.
    """
    path = Path(name)
    if path.suffix in (".json", ".yaml", ".yml"):
        if not path.is_file():
            raise RecipeError(f"need a recipe file, got {name}: no such file")
        return read_recipe(path)
    family, _, rest = name.partition("/")
    recipes = _family(family) if family in FAMILIES else {}
    key = rest.replace("-", "_")
    if key not in recipes:
        raise RecipeError(unknown_name("recipe", name, list_recipes()))
    return recipes[key]()


def _family(family: str) -> Mapping[str, Callable[[], Any]]:
    module = importlib.import_module(f"eyespot.recipes.{family}")
    recipes: Mapping[str, Callable[[], Any]] = module.RECIPES
    return recipes
