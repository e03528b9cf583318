"""What a self-supervised recipe asks of devices, for memory, time and cost to be predicted."""

from dataclasses import replace
from typing import TYPE_CHECKING

from eyespot.design.by_name import to_spec
from eyespot.design.training import Crop, Training
from eyespot.errors import RecipeError
from eyespot.tasks.methods.byol import BYOL
from eyespot.tasks.methods.deepcluster import DeepCluster
from eyespot.tasks.methods.moco import MoCo
from eyespot.tasks.methods.simclr import SimCLR
from eyespot.tasks.methods.swav import SwAV

if TYPE_CHECKING:
    from eyespot.tasks.selfsup import SelfSupRecipe


def plan_facts(recipe: "SelfSupRecipe") -> Training:
    """Return a recipe's run on one device as the predictions of `design` take it.

    A second network counts as an average of the first; its forward pass, which MoCo and BYOL take
    without gradients, does not count. Views are counted in passes of their own sizes, but for
    padded ones in one of the largest.

    Raises:
        RecipeError: If it works steps off in parts.
    """
    if recipe.accumulate > 1:
        raise RecipeError(
            f"need a recipe without accumulate, got {recipe.accumulate}; plan its network by name "
            f"with --batch {recipe.batch_size // recipe.accumulate}, which is one part of a step"
        )
    crops = tuple(Crop(kind.count, kind.size_px) for kind in recipe.crops)
    if recipe.passes == "padded":
        crops = (Crop(sum(kind.count for kind in crops), max(kind.size for kind in crops)),)
    return Training(
        replace(to_spec(recipe.model), num_classes=0),
        recipe.batch_size,
        dtype="bfloat16" if recipe.precision == "auto" else recipe.precision,
        optimizer=recipe.optimizer.name,
        ema=isinstance(recipe.method, MoCo | BYOL),
        recompute=recipe.recompute,
        crops=crops,
        head_dims=_head_dims(recipe.method),
    )


def _head_dims(method: SwAV | SimCLR | MoCo | BYOL | DeepCluster) -> tuple[int, ...]:
    """Widths of the linear layers after the backbone; all sets of prototypes as one."""
    match method:
        case SwAV() | DeepCluster():
            return (*method.hidden_dims, method.out_dim, sum(method.prototypes))
        case SimCLR() | MoCo():
            return (*method.hidden_dims, method.out_dim)
        case BYOL():
            return (method.hidden_dim, method.out_dim) * 2
