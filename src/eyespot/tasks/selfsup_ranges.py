"""Numbers of a self-supervised recipe that no run can use, refused before anything is written."""

from typing import TYPE_CHECKING

from eyespot.data.multicrop import Crops
from eyespot.data.open import Opened
from eyespot.errors import RecipeError
from eyespot.tasks.ranges import Within, check_optimizer, check_ranges, check_schedule

if TYPE_CHECKING:
    from eyespot.tasks.selfsup import Probe, SelfSupRecipe


def check_numbers(recipe: "SelfSupRecipe") -> None:
    """Raise RecipeError for what is out of range whatever the method and the data."""
    probe = recipe.probe
    check_ranges(
        {
            "sync_bn_ranks": Within(recipe.sync_bn_ranks, 0),
            "seed": Within(recipe.seed, 0),
            "probe.images": Within(probe.images, 2),
            "probe.resize_px": Within(probe.resize_px, 0),
            "probe.size_px": Within(probe.size_px, 1),
            "probe.neighbours": Within(probe.neighbours, 1),
            "probe.batch_size": Within(probe.batch_size, 1),
        }
    )
    check_optimizer(recipe.optimizer)
    check_schedule(recipe.schedule, recipe.epochs, watches_loss=True)
    for place, kind in enumerate(recipe.crops):
        _check_crops(f"crops[{place}]", kind)
    if not min(recipe.std) > 0:
        raise RecipeError(f"need three numbers above 0 for std, got {recipe.std}")


def check_probe(probe: "Probe", labelled: Opened) -> None:
    """Raise RecipeError unless every labelled image will have its neighbours."""
    count = min(probe.images, len(labelled.samples))
    if count <= probe.neighbours:
        raise RecipeError(
            f"need more labelled images than the {probe.neighbours} neighbours that vote, got "
            f"{count}; take fewer probe.neighbours, or name more as --val"
        )


def _check_crops(name: str, kind: Crops) -> None:
    changes = kind.distortion
    check_ranges(
        {
            f"{name}.distortion.{each}": Within(getattr(changes, each), 0, most)
            for each, most in (
                ("brightness", 10),
                ("contrast", 10),
                ("saturation", 10),
                ("hue", 0.5),
                ("jitter_probability", 1),
                ("grey_probability", 1),
                ("blur_probability", 1),
                ("solarize_probability", 1),
            )
        }
    )
    low, high = changes.blur_sigma
    if not 0 < low <= high < 100:
        raise RecipeError(
            f"need {name}.distortion.blur_sigma above 0, rising and below 100, got {low:g} and "
            f"{high:g}"
        )
