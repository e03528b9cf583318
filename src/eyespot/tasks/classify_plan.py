"""What a classification recipe asks of devices, for memory, time and cost to be predicted."""

from dataclasses import replace
from typing import TYPE_CHECKING

from eyespot.design.specs import Spec
from eyespot.design.training import Crop, Training

if TYPE_CHECKING:
    from eyespot.tasks.classify import ClassifyRecipe


def classify_facts(recipe: "ClassifyRecipe", spec: Spec, num_classes: int) -> Training:
    """Return a recipe's step on one device as the predictions of `design` take it.

    Args:
        recipe: Its `accumulate` is ignored.
        spec: Of its network.
        num_classes: Of its data.
    """
    return Training(
        replace(spec, num_classes=num_classes),
        recipe.batch_size,
        dtype="bfloat16" if recipe.precision == "auto" else recipe.precision,
        optimizer=recipe.optimizer.name,
        ema=recipe.average.form != "none",
        recompute=recipe.recompute,
        crops=(Crop(1, recipe.pictures.size_px),),
    )
