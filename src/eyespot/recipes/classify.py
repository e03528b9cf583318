"""Supervised recipes that everybody can run: small sets, small networks, and the smoke test."""

from collections.abc import Callable
from dataclasses import replace

from eyespot.tasks.classify import ClassifyRecipe
from eyespot.tasks.optimization import OptimizerSettings, Schedule
from eyespot.tasks.pictures import Pictures


def fashion_mnist() -> ClassifyRecipe:
    """A RegNetY of 10 megaflops on Fashion-MNIST at 32 px.

    Run:     eyespot train classify/fashion_mnist --data /usr/share/datasets/fashion-mnist --out DIR
    Expect:  test error 7.7 % (one seed)
    Cost:    4,680 steps; 15 minutes in one thread of a shared machine
    """
    return ClassifyRecipe(
        model="RegNetY-10MF",
        epochs=10,
        batch_size=128,
        optimizer=OptimizerSettings("adamw", lr=4e-3, weight_decay=0.1),
        schedule=Schedule("cosine", warmup_epochs=0.5, final=0.005, per="step"),
        pictures=Pictures(
            size_px=32,
            test_resize_px=32,
            area=(0.6, 1.0),
            pca_std=0.0,
            mean=(0.286, 0.286, 0.286),
            std=(0.353, 0.353, 0.353),
        ),
        label_smoothing=0.1,
        precise_bn=0,
        eval_batch_size=500,
    )


def scenes_trunk() -> ClassifyRecipe:
    """The trunk of ground/scenes_small on scenes, taught the shape of the largest object.

    Its folder is what `--network.backbone-weights` of that recipe takes.

    Run:     eyespot train classify/scenes_trunk --data scenes:size=96,max_objects=4 --out DIR
    Expect:  not measured yet
    Cost:    not measured yet
    """
    return replace(
        fashion_mnist(),
        model="RegNetX-200MF",
        batch_size=64,
        pictures=Pictures(size_px=96, test_resize_px=96, area=(0.6, 1.0), pca_std=0.0),
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
    "scenes_trunk": scenes_trunk,
    "smoke": smoke,
}
