"""Baselines and scaled networks under the recipe of Fast and Accurate Model Scaling.

Paper: Fast and Accurate Model Scaling (arXiv 2103.06877), appendix. Its tables of errors could not
be read; what is known of them stands with the recipe, else what the authors' next paper, Early
Convolutions, got from the same network in 100 epochs with more augmentation. Errors are of the
averaged weights (`average_error`). Any other scaled network: --model scaled:BASE:STRATEGY:FACTORx,
with its size as --pictures.size-px and --pictures.test-resize-px.
"""

from collections.abc import Callable
from typing import NamedTuple

from eyespot.recipes.early_convolutions import ROWS as EARLY_ROWS
from eyespot.recipes.rows import Published, published_pictures, recipes_of
from eyespot.tasks.classify import Average, ClassifyRecipe
from eyespot.tasks.optimization import OptimizerSettings, Schedule

NUM_IMAGES = 1_281_167
"""Images of an epoch."""

BATCH = 1024


class Row(NamedTuple):
    """A network of the paper.

    Attributes:
        name: Of the recipe.
        model: In our zoo.
        about: How the paper comes to it.
    """

    name: str
    model: str
    about: str


ROWS = (
    Row("EfficientNet-B0", "EfficientNet-B0", "a baseline"),
    Row("RegNetY-500MF", "RegNetY-500MF", "a baseline"),
    Row("RegNetY-4GF", "RegNetY-dWr-4.0GF", "a baseline"),
    Row("RegNetZ-500MF", "RegNetZ-500MF", "a baseline"),
    Row("RegNetZ-4GF", "RegNetZ-4GF", "a baseline"),
    *(
        Row(f"EfficientNet-B{n}", f"EfficientNet-B{n}", "scaled as EfficientNet's authors do")
        for n in range(1, 6)
    ),
    *(
        Row(f"EfficientNet-B0-{word}-{factor}x", f"scaled:EfficientNet-B0:{strategy}:{factor}x",
            f"B0 with {factor} times the flops by {word} scaling")
        for word, strategy in (("uniform", "dwr"), ("fast", "dWr"))
        for factor in (2, 4, 8, 16)
    ),
    Row("RegNetY-1GF", "RegNetY-dWr-1.0GF", "RegNetY-500MF by fast scaling"),
    Row("RegNetY-16GF", "RegNetY-dWr-16GF", "RegNetY-4GF by fast scaling"),
    Row("RegNetY-32GF", "RegNetY-dWr-32GF", "RegNetY-4GF by fast scaling"),
    Row("RegNetZ-1GF", "RegNetZ-1GF", "RegNetZ-500MF by fast scaling"),
    Row("RegNetZ-16GF", "RegNetZ-16GF", "RegNetZ-4GF by fast scaling"),
    Row("RegNetZ-32GF", "RegNetZ-32GF", "RegNetZ-4GF by fast scaling"),
)  # fmt: skip

_PRINTED = {
    "EfficientNet-B1": "top-1 error about 21.7 % (published); not reproduced yet",
    "RegNetZ-4GF": "top-1 error 16.9 % in print, schedule unknown; not reproduced yet",
    "RegNetZ-16GF": "top-1 error 15.9 % in print, schedule unknown; not reproduced yet",
}
_SMALLER_BATCH = (
    "Batch and rate are lowered together when memory is short; this is the largest batch that "
    "Early Convolutions had room for on 8 V100-32GB."
)


def _published(row: Row) -> Published:
    early = next((other for other in EARLY_ROWS if other.model == row.model), None)
    decay = 1e-5 if "EfficientNet" in row.name else 2e-5
    batch = min(BATCH, early.server_batch) if early else BATCH
    stronger = f"with more augmentation {early.errors[0]:g} % (published)" if early else ""
    known = _PRINTED.get(row.name, stronger and f"{stronger}; not reproduced yet")
    recipe = ClassifyRecipe(
        model=row.model,
        epochs=100,
        batch_size=batch,
        optimizer=OptimizerSettings(
            "sgd", lr=2.0, lr_batch=BATCH, weight_decay=decay, norm_decay=0.0, bias_decay=decay
        ),
        schedule=Schedule("exponential", warmup_epochs=5, warmup_start=0.1, final=0.02),
        pictures=published_pictures(row.model, policy="AutoAugment"),
        label_smoothing=0.1,
        mixup=0.2,
        average=Average("pycls", alpha=1e-5, period=32),
    )
    return Published(
        row.name,
        f"{row.name}, {row.about}, on ImageNet-1k, 100 epochs.",
        recipe,
        expect=known or "not known",
        cost=f"{early.minutes:g} minutes an epoch on 8 V100-32GB (published)"
        if early
        else "not known; see eyespot plan",
        options="[--epochs 200]",
        notes=_SMALLER_BATCH if batch < BATCH else "",
    )


RECIPES: dict[str, Callable[[], ClassifyRecipe]] = recipes_of("fast_scaling", map(_published, ROWS))
