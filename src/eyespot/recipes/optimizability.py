"""How easily networks train: Early Convolutions' grid of models, optimizers and schedules.

Paper: Early Convolutions Help Transformers See Better (arXiv 2106.14881), section 4 and the
appendix. Every run at 50, 100, 200 and 400 epochs (--epochs); from their errors
`eyespot.sweep.optimizability` tells each model's stability to length and to the optimizer. For
stability to rate and decay see `eyespot sweep lrwd-vit-adamw` and its siblings.
"""

from collections.abc import Callable
from typing import NamedTuple

from eyespot.recipes import early_convolutions as early
from eyespot.recipes.rows import Published, recipes_of
from eyespot.tasks.classify import ClassifyRecipe
from eyespot.tasks.optimization import OptimizerSettings

NUM_IMAGES = early.NUM_IMAGES
"""Images of an epoch."""


class Row(NamedTuple):
    """A model's rates and decays, tuned at 50 epochs and a batch of 2048.

    Attributes:
        name: As the paper prints it; a row of `early_convolutions`.
        adamw: Learning rate and weight decay of AdamW.
        sgd: Likewise of SGD.
    """

    name: str
    adamw: tuple[float, float]
    sgd: tuple[float, float]


ROWS = (
    Row("RegNetY-1GF", (3.8e-3, 0.1), (2.54, 2.4e-5)),
    Row("RegNetY-4GF", (3.8e-3, 0.1), (2.54, 2.4e-5)),
    Row("RegNetY-16GF", (3.8e-3, 0.1), (2.54, 2.4e-5)),
    Row("ViT_P-1GF", (2.0e-3, 0.20), (1.9, 1.3e-5)),
    Row("ViT_P-4GF", (2.0e-3, 0.20), (1.9, 1.3e-5)),
    Row("ViT_P-18GF", (1.0e-3, 0.24), (1.1, 1.2e-5)),
    Row("ViT_C-1GF", (2.5e-3, 0.19), (1.9, 1.3e-5)),
    Row("ViT_C-4GF", (1.0e-3, 0.24), (1.3, 2.2e-5)),
    Row("ViT_C-18GF", (1.0e-3, 0.24), (1.1, 2.7e-5)),
)

# Top-1 error in percent that the paper prints of these runs, by epochs.
_PRINTED = {
    ("ViT_P-4GF", "adamw"): {50: 27.7, 100: 23.2, 400: 20.5},
    ("ViT_P-4GF", "sgd"): {50: 33.0},
    ("ViT_C-4GF", "adamw"): {50: 24.0, 100: 20.9},
    ("ViT_C-4GF", "sgd"): {50: 24.7},
    ("ViT_P-18GF", "adamw"): {100: 19.9, 400: 17.9},
}


def _published(row: Row, optimizer: str) -> Published:
    published = next(other for other in early.ROWS if other.name == row.name)
    if optimizer == "adamw":
        lr, decay = row.adamw
        settings = OptimizerSettings("adamw", lr=lr, lr_batch=early.BATCH, weight_decay=decay)
    else:
        lr, decay = row.sgd
        settings = OptimizerSettings("sgd", lr=lr, lr_batch=early.BATCH, weight_decay=decay)
    printed = _PRINTED.get((row.name, optimizer), {})
    listed = ", ".join(f"{error:g} % after {epochs}" for epochs, error in printed.items())
    return Published(
        f"{row.name}-{optimizer}",
        f"{row.name} with {'AdamW' if optimizer == 'adamw' else 'SGD'} on ImageNet-1k, 50 epochs.",
        early.recipe_of(published.model, optimizer=settings, epochs=50, batch_size=early.BATCH),
        expect=f"top-1 error {listed} epochs (published); not reproduced yet"
        if printed
        else "shown in figures alone",
        cost=f"{published.minutes:g} minutes an epoch on 8 V100-32GB (published)",
        options="[--epochs 100]",
    )


RECIPES: dict[str, Callable[[], ClassifyRecipe]] = recipes_of(
    "optimizability", [_published(row, name) for row in ROWS for name in ("adamw", "sgd")]
)
