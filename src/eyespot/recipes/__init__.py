"""Recipes by name: `FAMILY/NAME`, or a recipe file.

A family is a module of this room with `RECIPES`: functions without arguments, by name, each of
which returns a filled recipe and says in its docstring how to run it, what to expect, and its cost.
Names ending in `smoke` are for a few steps on a CPU. A family of one data set says in `NUM_IMAGES`
how many images its epoch has.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from eyespot.design.plain_data import read_plain
from eyespot.design.zoo import own_name
from eyespot.errors import RecipeError, unknown_name
from eyespot.tasks.recipe_files import recipe_from_dict

FAMILIES = (
    "classify",
    "cifar",
    "early_convolutions",
    "imagenet21k",
    "finetune",
    "linear",
    "optimizability",
    "fast_scaling",
    "pycls",
    "transfer",
    "swav",
    "seer",
    "simclr",
    "moco",
    "byol",
    "deepcluster",
    "ground",
    "answer",
)


def list_recipes() -> dict[str, Callable[[], Any]]:
    """Return every recipe's function by its full name."""
    return {
        f"{family}/{name}": make
        for family in FAMILIES
        for name, make in _family(family).RECIPES.items()
    }


def is_recipe_file(name: str) -> bool:
    """Whether a name is that of a file and not of a recipe."""
    return Path(name).suffix in (".json", ".yaml", ".yml")


def find_recipe(name: str) -> Callable[[], Any]:
    """Return the function of a recipe, by its name or as papers spell it (pycls/RegNetX-1.6GF).

    Raises:
        RecipeError: If there is no such recipe; the nearest names are listed.
    """
    family, _, rest = name.partition("/")
    recipes: dict[str, Callable[[], Any]] = _family(family).RECIPES if family in FAMILIES else {}
    if own_name(rest) not in recipes:
        raise RecipeError(unknown_name("recipe", name, list_recipes()))
    return recipes[own_name(rest)]


def get_recipe(name: str) -> Any:
    """Return a recipe by its name, or from a recipe file (JSON or YAML).

    Raises:
        RecipeError: If there is no such recipe, or the file is none.
    """
    return recipe_from_dict(_read(name), name) if is_recipe_file(name) else find_recipe(name)()


def epoch_images(name: str) -> int | None:
    """Return how many images an epoch of a recipe has; None if that depends on the user's data.

    A recipe file is taken for what it was made from.
    """
    origin = str(_read(name).get("name", "")) if is_recipe_file(name) else name
    family = origin.partition("/")[0]
    return getattr(_family(family), "NUM_IMAGES", None) if family in FAMILIES else None


def _read(name: str) -> Any:
    if not Path(name).is_file():
        raise RecipeError(f"need a recipe file, got {name}: no such file")
    return read_plain(Path(name), "recipe")


def _family(family: str) -> ModuleType:
    return importlib.import_module(f"eyespot.recipes.{family}")
