"""What a recipe asks of devices, for memory, time and cost to be predicted."""

from typing import Any, NamedTuple

from eyespot.design.by_name import to_spec
from eyespot.design.training import Training
from eyespot.errors import RecipeError
from eyespot.tasks.classify import ClassifyRecipe
from eyespot.tasks.classify_plan import classify_facts
from eyespot.tasks.recipe_files import task_of
from eyespot.tasks.selfsup import SelfSupRecipe
from eyespot.tasks.selfsup_plan import plan_facts


class Planned(NamedTuple):
    """A recipe as far as its speed and memory go.

    Attributes:
        training: On one device; its number format counts only if the recipe says one. Where the
            data decides how many classes there are, the network's own number stands in.
        any_dtype: Whether the recipe leaves the number format to the device.
        epochs: Passes over the data.
    """

    training: Training
    any_dtype: bool
    epochs: int


def planned(recipe: Any) -> Planned:
    """Return what a recipe asks of devices.

    Raises:
        RecipeError: If its task is not planned, or it works steps off in parts.
    """
    if isinstance(recipe, SelfSupRecipe):
        return Planned(plan_facts(recipe), recipe.precision == "auto", recipe.epochs)
    if not isinstance(recipe, ClassifyRecipe):
        raise RecipeError(
            "need a recipe of the task classify or selfsup to plan, got one of "
            f"{task_of(recipe)}; plan its network by name, with --batch, --crops and --head"
        )
    if recipe.accumulate > 1:
        raise RecipeError(
            f"need a recipe without accumulate, got {recipe.accumulate}; plan its network by name "
            f"with --batch {recipe.batch_size // recipe.accumulate}, which is one part of a step"
        )
    spec = to_spec(recipe.model)
    training = classify_facts(recipe, spec, recipe.num_classes or spec.num_classes)
    return Planned(training, recipe.precision == "auto", recipe.epochs)
