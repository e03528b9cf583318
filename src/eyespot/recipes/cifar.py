"""The examples of pycls' sweeps, on CIFAR-10: 50 epochs in minutes on one GPU.

Their rates are what a sweep looks for (`eyespot sweep cifar-lrwd`); here the middle, on a
logarithmic scale, of the range that it looks in. No warmup is named: here 5 epochs, as elsewhere.
"""

from collections.abc import Callable

from eyespot.recipes.rows import Published, recipes_of
from eyespot.tasks.classify import Average, ClassifyRecipe
from eyespot.tasks.optimization import OptimizerSettings, Schedule
from eyespot.tasks.pictures import Pictures

NUM_IMAGES = 50_000
"""Images of an epoch."""

_CIFAR = Pictures(
    size_px=32,
    test_resize_px=32,
    view="pad",
    pca_std=0.0,
    mean=(125.3 / 255, 123.0 / 255, 113.9 / 255),
    std=(63.0 / 255, 62.1 / 255, 66.7 / 255),
)


def _published(name: str, about: str) -> Published:
    recipe = ClassifyRecipe(
        model=name,
        epochs=50,
        batch_size=1024,
        optimizer=OptimizerSettings(
            "sgd", lr=1.1, lr_batch=1024, weight_decay=2.2e-4, norm_decay=0.0, bias_decay=2.2e-4
        ),
        schedule=Schedule("cosine", warmup_epochs=5),
        pictures=_CIFAR,
        label_smoothing=0.1,
        mixup=0.5,
        average=Average("pycls", alpha=2.5e-4, period=32),
        precise_bn=1024,
    )
    return Published(
        name.removeprefix("CIFAR-"),
        f"{about} on CIFAR-10, 50 epochs.",
        recipe,
        expect="not published as a number",
        cost="not measured yet",
        options="[--epochs 200]",
    )


RECIPES: dict[str, Callable[[], ClassifyRecipe]] = recipes_of(
    "cifar",
    [
        _published("CIFAR-ResNet-56", "ResNet-56"),
        _published("CIFAR-RegNetY-125MF", "The best two-stage RegNetY of pycls' sweep"),
    ],
)
