"""Recipes as files: every run writes its own, and a saved one can be run again.

A recipe file is JSON (or YAML): the task, the name it was made from, and every field.
"""

import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

from eyespot.design.plain_data import fill, read_plain
from eyespot.errors import RecipeError, unknown_name

TASKS = {
    "classify": "ClassifyRecipe",
    "ground": "GroundRecipe",
    "linear": "LinearRecipe",
    "selfsup": "SelfSupRecipe",
}
"""Each task's module in this room, and its recipe's class."""


def task_of(recipe: Any) -> str:
    """Return the task of a recipe: the module that owns its class."""
    return type(recipe).__module__.rpartition(".")[2]


def recipe_class(task: str) -> Any:
    """Return a task's recipe class.

    Raises:
        RecipeError: If there is no such task.
    """
    if task not in TASKS:
        raise RecipeError(unknown_name("task", task, TASKS))
    return getattr(importlib.import_module(f"eyespot.tasks.{task}"), TASKS[task])


def recipe_to_dict(recipe: Any, name: str = "") -> dict[str, Any]:
    """Return a recipe as plain data."""
    plain = json.loads(json.dumps(dataclasses.asdict(recipe)))
    return {"task": task_of(recipe), "name": name, "recipe": plain}


def recipe_from_dict(data: Any, where: str) -> Any:
    """Return the recipe of plain data.

    Args:
        data: As `recipe_to_dict` gives it; fields that are left out keep their defaults.
        where: Where it came from, for messages.

    Raises:
        RecipeError: If it is no recipe, or a field is unknown or of another type.
    """
    if not isinstance(data, dict) or "task" not in data or not isinstance(data.get("recipe"), dict):
        raise RecipeError(f'need a recipe with "task" and "recipe" in {where}')
    cls = recipe_class(str(data["task"]))
    try:
        return fill(cls, data["recipe"], cls.__name__)
    except RecipeError:
        raise
    except ValueError as error:
        raise RecipeError(f"{error} ({where})") from None


def read_recipe(path: Path) -> Any:
    """Read a recipe file.

    Raises:
        RecipeError: If it is no recipe.
        OSError: If it cannot be read.
    """
    return recipe_from_dict(read_plain(path, "recipe"), str(path))


def differences(ours: dict[str, Any], theirs: dict[str, Any], prefix: str = "") -> list[str]:
    """Return where two recipes' plain data differ, as "optimizer.lr is 0.1 and was 0.2"."""
    found = []
    for key in {**ours, **theirs}:
        new, old = ours.get(key), theirs.get(key)
        if isinstance(new, dict) and isinstance(old, dict):
            found += differences(new, old, f"{prefix}{key}.")
        elif new != old:
            found.append(f"{prefix}{key} is {new!r} and was {old!r}")
    return found
