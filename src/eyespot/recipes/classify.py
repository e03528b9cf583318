"""Supervised recipes that everybody can run: small sets, small networks, and the smoke test."""

from collections.abc import Callable
from dataclasses import replace

from eyespot.recipes.rows import smoke_sibling
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


def scenes() -> ClassifyRecipe:
    """A small network on rendered pictures of 64 px, taught the shape of the largest thing.

    Run:     eyespot train classify/scenes --data scenes:size=64,max_objects=1 --out DIR
    Expect:  test error 3.1 % on eight shapes, 6,000 pictures, 9 epochs, 60 megaflops (one seed)
    Cost:    414 steps of that network: 2 minutes in one thread
    """
    return replace(
        fashion_mnist(),
        model="RegNetY-200MF",
        pictures=Pictures(size_px=64, test_resize_px=64, area=(0.6, 1.0), pca_std=0.0),
    )


def smoke() -> ClassifyRecipe:
    """A few CPU steps on the built-in scenes: checks the wiring, says nothing about accuracy.

    Run:     eyespot train classify/smoke --data scenes:size=32,count=64,val_count=32 --out DIR
    Expect:  a finite loss
    Cost:    seconds on one CPU core
    """
    return replace(
        fashion_mnist(),
        epochs=2,
        batch_size=16,
        pictures=Pictures(size_px=32, test_resize_px=32),
        precise_bn=32,
    )


RECIPES: dict[str, Callable[[], ClassifyRecipe]] = {
    "fashion_mnist": fashion_mnist,
    "fashion_mnist_smoke": smoke_sibling("classify", "fashion_mnist", fashion_mnist()),
    "scenes": scenes,
    "scenes_smoke": smoke_sibling("classify", "scenes", scenes()),
    "smoke": smoke,
}
