"""How easily networks train: Early Convolutions' grid of models, optimizers and schedules.

Paper: Early Convolutions Help Transformers See Better (arXiv 2106.14881), section 4 and the
appendix. Every run at 50, 100, 200 and 400 epochs (--epochs). `eyespot sweep optimizability/paper`
runs them all, and random rates and decays; `eyespot report` tells each model's stability.
"""

from collections.abc import Callable
from typing import Literal

from eyespot.design.optimizability import tuned_pair
from eyespot.recipes import early_convolutions as early
from eyespot.recipes.rows import Published, recipes_of
from eyespot.tasks.classify import ClassifyRecipe
from eyespot.tasks.optimization import OptimizerSettings

NUM_IMAGES = early.NUM_IMAGES
"""Images of an epoch."""


MODELS = (
    *("RegNetY-1GF", "RegNetY-4GF", "RegNetY-16GF"),
    *("ViT_P-1GF", "ViT_P-4GF", "ViT_P-18GF"),
    *("ViT_C-1GF", "ViT_C-4GF", "ViT_C-18GF"),
)
"""As the paper prints them; rows of `early_convolutions`."""

# Top-1 error in percent that the paper prints of these runs, by epochs.
_PRINTED = {
    ("ViT_P-4GF", "adamw"): {50: 27.7, 100: 23.2, 400: 20.5},
    ("ViT_P-4GF", "sgd"): {50: 33.0},
    ("ViT_C-4GF", "adamw"): {50: 24.0, 100: 20.9},
    ("ViT_C-4GF", "sgd"): {50: 24.7},
    ("ViT_P-18GF", "adamw"): {100: 19.9, 400: 17.9},
}


def _published(name: str, optimizer: Literal["adamw", "sgd"]) -> Published:
    published = next(row for row in early.ROWS if row.name == name)
    lr, decay = tuned_pair("paper", published.model, optimizer)
    settings = OptimizerSettings(optimizer, lr=lr, lr_batch=early.BATCH, weight_decay=decay)
    printed = _PRINTED.get((name, optimizer), {})
    listed = ", ".join(f"{error:g} % after {epochs}" for epochs, error in printed.items())
    return Published(
        f"{name}-{optimizer}",
        f"{name} with {'AdamW' if optimizer == 'adamw' else 'SGD'} on ImageNet-1k, 50 epochs.",
        early.recipe_of(published.model, optimizer=settings, epochs=50, batch_size=early.BATCH),
        expect=f"top-1 error {listed} epochs (published); not reproduced yet"
        if printed
        else "shown in figures alone",
        cost=f"{published.minutes:g} minutes an epoch on 8 V100-32GB (published)",
        options="[--epochs 100]",
    )


RECIPES: dict[str, Callable[[], ClassifyRecipe]] = recipes_of(
    "optimizability", [_published(name, kind) for name in MODELS for kind in ("adamw", "sgd")]
)
