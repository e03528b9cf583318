"""The baselines of pycls' model zoo: ImageNet-1k, 100 epochs of SGD, no more than crops and flips.

Paper: Designing Network Design Spaces (arXiv 2003.13678); numbers of the zoo are means of five
runs in float32 (--precision float32). Everything is decayed, norms and biases too: change
norm_decay and bias_decay along with weight_decay.
"""

from collections.abc import Callable
from typing import NamedTuple

from eyespot.recipes.rows import Published, published_pictures, recipes_of
from eyespot.tasks.classify import ClassifyRecipe
from eyespot.tasks.optimization import OptimizerSettings, Schedule

NUM_IMAGES = 1_281_167
"""Images of an epoch."""


class Row(NamedTuple):
    """A row of the zoo's table.

    Attributes:
        name: Of the network.
        batch: Images of a step, on 8 GPUs.
        test_batch: Images of an evaluation's batch, on 8 GPUs.
        lr: Highest rate at that batch.
        hours: Of 100 epochs on 8 V100.
        error: Top-1 in percent.
        error_top5: Top-5 in percent.
    """

    name: str
    batch: int
    test_batch: int
    lr: float
    hours: float
    error: float
    error_top5: float


ROWS = (
    Row("RegNetX-200MF", 1024, 800, 0.8, 3.0, 31.088, 11.342),
    Row("RegNetX-400MF", 1024, 800, 0.8, 4.2, 27.382, 9.076),
    Row("RegNetX-600MF", 1024, 800, 0.8, 4.5, 25.864, 8.198),
    Row("RegNetX-800MF", 1024, 800, 0.8, 5.9, 24.846, 7.592),
    Row("RegNetX-1.6GF", 1024, 800, 0.8, 8.9, 23.038, 6.484),
    Row("RegNetX-3.2GF", 512, 400, 0.4, 15.1, 21.736, 5.862),
    Row("RegNetX-4.0GF", 512, 400, 0.4, 17.9, 21.356, 5.736),
    Row("RegNetX-6.4GF", 512, 400, 0.4, 24.3, 20.844, 5.434),
    Row("RegNetX-8.0GF", 512, 400, 0.4, 23.7, 20.728, 5.42),
    Row("RegNetX-12GF", 512, 400, 0.4, 34.6, 20.288, 5.284),
    Row("RegNetX-16GF", 512, 400, 0.4, 41.3, 19.956, 5.022),
    Row("RegNetX-32GF", 256, 200, 0.2, 81.8, 19.498, 4.878),
    Row("RegNetY-200MF", 1024, 800, 0.8, 3.3, 29.658, 10.378),
    Row("RegNetY-400MF", 1024, 800, 0.8, 5.3, 25.898, 8.07),
    Row("RegNetY-600MF", 1024, 800, 0.8, 5.3, 24.54, 7.28),
    Row("RegNetY-800MF", 1024, 800, 0.8, 6.1, 23.684, 6.846),
    Row("RegNetY-1.6GF", 1024, 800, 0.8, 10.3, 22.066, 6.134),
    Row("RegNetY-3.2GF", 512, 400, 0.4, 17.0, 21.074, 5.454),
    Row("RegNetY-4.0GF", 512, 400, 0.4, 17.5, 20.64, 5.336),
    Row("RegNetY-6.4GF", 512, 400, 0.4, 27.2, 20.11, 5.1),
    Row("RegNetY-8.0GF", 512, 400, 0.4, 29.3, 20.052, 5.06),
    Row("RegNetY-12GF", 512, 400, 0.4, 36.9, 19.67, 4.856),
    Row("RegNetY-16GF", 256, 200, 0.2, 50.8, 19.608, 4.944),
    Row("RegNetY-32GF", 256, 200, 0.2, 79.4, 19.066, 4.568),
    Row("ResNet-50", 256, 200, 0.2, 14.8, 23.19, 6.63),
    Row("ResNet-101", 256, 200, 0.2, 24.0, 21.414, 5.792),
    Row("ResNet-152", 256, 200, 0.2, 33.7, 20.87, 5.44),
    Row("ResNeXt-50", 256, 200, 0.2, 22.1, 21.884, 6.062),
    Row("ResNeXt-101", 256, 200, 0.2, 39.9, 20.664, 5.392),
    Row("ResNeXt-152", 256, 200, 0.2, 57.6, 20.386, 5.318),
    Row("EfficientNet-B0", 256, 200, 0.4, 8.8, 24.92, 7.814),
    Row("EfficientNet-B1", 256, 200, 0.4, 13.2, 24.068, 7.228),
    Row("EfficientNet-B2", 256, 200, 0.4, 16.4, 23.518, 6.968),
    Row("EfficientNet-B3", 256, 200, 0.4, 26.4, 22.47, 6.514),
    Row("EfficientNet-B4", 128, 104, 0.2, 57.1, 21.374, 5.808),
    Row("EfficientNet-B5", 64, 48, 0.1, 122.6, 21.674, 6.238),
)

_WARMUP = (
    "The configuration has no warmup, though the zoo's page says that all runs on 8 GPUs have one "
    "(--schedule.warmup-epochs 5)."
)


def _published(row: Row) -> Published:
    decay = 1e-5 if row.name.startswith("EfficientNet") else 5e-5
    warmup = 5.0 if row.name.startswith("RegNet") else 0.0
    recipe = ClassifyRecipe(
        model=row.name,
        epochs=100,
        batch_size=row.batch,
        optimizer=OptimizerSettings(
            "sgd",
            lr=row.lr,
            lr_batch=row.batch,
            weight_decay=decay,
            norm_decay=decay,
            bias_decay=decay,
        ),
        schedule=Schedule("cosine", warmup_epochs=warmup),
        pictures=published_pictures(row.name),
        eval_batch_size=row.test_batch // 8,
    )
    return Published(
        row.name,
        f"{row.name} on ImageNet-1k, 100 epochs, as in pycls' model zoo.",
        recipe,
        expect=f"top-1 error {row.error:g} %, top-5 {row.error_top5:g} % (published); "
        "not reproduced yet",
        cost=f"{row.hours:g} hours on 8 V100-16GB (published)",
        notes="" if warmup else _WARMUP,
    )


RECIPES: dict[str, Callable[[], ClassifyRecipe]] = recipes_of("pycls", map(_published, ROWS))
