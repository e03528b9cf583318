"""Linear evaluations of frozen backbones, as SwAV's authors and VISSL run them."""

from collections.abc import Callable
from dataclasses import replace

from eyespot.tasks.backbone import Backbone
from eyespot.tasks.linear import LinearRecipe
from eyespot.tasks.optimization import Schedule


def vissl() -> LinearRecipe:
    """SEER's: published taps, batch norm before the classifier, 28 epochs in steps.

    The average of the last stage has a classifier with and one without the norm, as published.

    Run:     eyespot train linear/vissl --backbone.weights WEIGHTS --data DIR --out DIR
    Expect:  ImageNet top-1: SEER RG-32 74.0, RG-128 76.0, RG-256 77.5 (published)
    Cost:    28 forward passes over the data
    """
    return LinearRecipe(taps=("published",), norm="published")


def swav() -> LinearRecipe:
    """SwAV's: pooled features, no norm, 100 epochs at a rate of 0.3 on a cosine.

    Run:     eyespot train linear/swav --backbone.weights WEIGHTS --data DIR --out DIR
    Expect:  ImageNet top-1: SwAV ResNet-50, 800 epochs, 75.3 (published)
    Cost:    100 forward passes over the data
    """
    return LinearRecipe(
        rates=(0.3,),
        norm="no",
        epochs=100,
        schedule=Schedule("cosine", warmup_epochs=0, per="epoch"),
        nesterov=False,
        weight_decay=1e-6,
    )


def frozen() -> LinearRecipe:
    """Features of the test views, taken once; heads with many rates learn on them in moments.

    Run:     eyespot train linear/frozen --backbone.weights WEIGHTS --data DIR --out DIR
    Expect:  not measured yet on ImageNet
    Cost:    one forward pass over the data
    """
    return LinearRecipe(
        rates=(0.01, 0.03, 0.1, 0.3, 1.0),
        norm="both",
        epochs=30,
        schedule=Schedule("cosine", warmup_epochs=0, per="step"),
        weight_decay=1e-6,
        augment=False,
    )


def smoke() -> LinearRecipe:
    """A few CPU steps on a random backbone: checks the wiring, says nothing about accuracy.

    Run:     eyespot train linear/smoke --data scenes:size=32,count=64,val_count=32 --out DIR
    Expect:  a finite loss
    Cost:    seconds on one CPU core
    """
    return replace(
        vissl(),
        backbone=Backbone(model="RegNetY-200MF", size_px=32, resize_px=32),
        taps=("s3@2x1", "pool"),
        rates=(0.01, 0.1),
        epochs=2,
        batch_size=16,
        schedule=Schedule("steps", warmup_epochs=0, milestones=(1,)),
    )


RECIPES: dict[str, Callable[[], LinearRecipe]] = {
    "vissl": vissl,
    "swav": swav,
    "frozen": frozen,
    "smoke": smoke,
}
