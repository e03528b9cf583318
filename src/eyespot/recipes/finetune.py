"""Fine-tuning on ImageNet-1k after ImageNet-21k, as in Early Convolutions.

Paper: Early Convolutions Help Transformers See Better (arXiv 2106.14881): 20 epochs, no
weight decay, resolution unchanged (72GF: also at 384 px), the rate from a small grid that is not
printed. Here it begins at a tenth of the rate for training anew; try a third of that and three
times as much.
"""

from collections.abc import Callable
from dataclasses import replace

from eyespot.recipes import early_convolutions as early
from eyespot.recipes.rows import Published, recipes_of
from eyespot.tasks.classify import ClassifyRecipe
from eyespot.tasks.optimization import OptimizerSettings

NUM_IMAGES = early.NUM_IMAGES
"""Images of an epoch."""

WEIGHTS = "imagenet21k-weights.safetensors"
"""What these recipes begin with, if --start-from does not say."""

_NOTES = (
    "The paper takes the rate from a small grid and does not print it; try also {low:.2g} and "
    "{high:.2g} (--optimizer.lr). Its batch is not printed either."
)
# Top-1 error at the network's own size, and of ViT_C at 384 px.
_LARGE = (("ViT_P-72GF", 224, 14.2), ("ViT_C-72GF", 224, 13.6), ("ViT_C-72GF", 384, 12.6))


def _published(row: early.Row) -> Published:
    minutes = f"{20 * row.minutes / 60:.2g} hours on 8 V100-32GB, from the published minutes"
    assert row.after_21k is not None
    return _run(row.name, row.model, early.settings_of(row), row.after_21k, minutes)


def _large(name: str, size_px: int, error: float) -> Published:
    settings = OptimizerSettings("adamw", lr=6e-4, lr_batch=early.BATCH)
    run = _run(name, name, settings, error, "not published")
    if size_px == 224:
        return run
    return replace(
        run,
        name=f"{name}-{size_px}px",
        about=run.about.replace(" on ", f" at {size_px} px on "),
        recipe=replace(
            run.recipe,
            pictures=replace(run.recipe.pictures, size_px=size_px, test_resize_px=size_px),
        ),
        notes=f"{run.notes} Nor is the size that test images are resized to: here the crop's.",
    )


def _run(name: str, model: str, settings: OptimizerSettings, error: float, cost: str) -> Published:
    low = replace(settings, lr=settings.lr / 10, weight_decay=0.0)
    recipe = early.recipe_of(model, optimizer=low, epochs=20, batch_size=early.BATCH)
    return Published(
        name,
        f"{name} on ImageNet-1k, 20 epochs from weights of ImageNet-21k.",
        replace(recipe, start_from=WEIGHTS),
        expect=f"top-1 error {error:.1f} % (published); not reproduced yet",
        cost=cost,
        options="--start-from RUN/weights.safetensors",
        notes=_NOTES.format(low=low.lr / 3, high=low.lr * 3),
    )


RECIPES: dict[str, Callable[[], ClassifyRecipe]] = recipes_of(
    "finetune",
    [
        *(_published(row) for row in early.ROWS if row.after_21k is not None),
        *(_large(*numbers) for numbers in _LARGE),
    ],
)
