"""Supervised recipes that everybody can run: small sets, small networks, and the smoke test."""

from collections.abc import Callable
from dataclasses import replace

from eyespot.tasks.classify import ClassifyRecipe
from eyespot.tasks.optimization import OptimizerSettings, Schedule
from eyespot.tasks.pictures import Pictures


def fashion_mnist() -> ClassifyRecipe:
    """RegNetY-200MF's smallest sister on Fashion-MNIST, at its own 28 px.

    Run:     eyespot train classify/fashion_mnist --data /usr/share/datasets/fashion-mnist --out DIR
    Expect:  see docs/results
    Cost:    see docs/results
    """
    return ClassifyRecipe(
        model="RegNetY-200MF",
        epochs=5,
        batch_size=128,
        optimizer=OptimizerSettings("sgd", lr=0.1, weight_decay=5e-4),
        schedule=Schedule("cosine", warmup_epochs=0.5, per="step"),
        pictures=Pictures(
            size_px=28,
            test_resize_px=28,
            view="pad",
            pca_std=0.0,
            mean=(0.286, 0.286, 0.286),
            std=(0.353, 0.353, 0.353),
        ),
    )


def smoke() -> ClassifyRecipe:
    """A few CPU steps on the built-in scenes: checks the wiring, says nothing about accuracy."""
    return replace(
        fashion_mnist(),
        epochs=2,
        batch_size=16,
        pictures=Pictures(size_px=32, test_resize_px=32),
        precise_bn=32,
    )


RECIPES: dict[str, Callable[[], ClassifyRecipe]] = {
    "fashion_mnist": fashion_mnist,
    "smoke": smoke,
}
