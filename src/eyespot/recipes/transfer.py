"""Fine-tuning of networks pretrained without labels, as `eyespot probe finetune` runs it."""

from collections.abc import Callable
from dataclasses import replace

from eyespot.tasks.classify import ClassifyRecipe
from eyespot.tasks.optimization import OptimizerSettings, Schedule
from eyespot.tasks.pictures import Pictures


def seer() -> ClassifyRecipe:
    """SEER's on ImageNet: 35 epochs at a rate of 0.0125 for a batch of 256, a tenth from 30 on.

    Without SwAV's colour distortion and blur, which the paper adds.

    Run:     eyespot train transfer/seer --model M --start-from WEIGHTS --data DIR --out DIR
    Expect:  not reproduced yet; the paper has 83.8 (RG-128) and 84.2 (RG-256) on ImageNet
    Cost:    not measured yet
    """
    return ClassifyRecipe(
        epochs=35,
        batch_size=256,
        optimizer=OptimizerSettings(
            "sgd", lr=0.0125, lr_batch=256, weight_decay=1e-4, norm_decay=1e-4, nesterov=False
        ),
        schedule=Schedule("steps", warmup_epochs=0, milestones=(30,), drop=0.1),
        pictures=Pictures(pca_std=0.0),
        precise_bn=0,
    )


def inaturalist() -> ClassifyRecipe:
    """VISSL's on iNaturalist 2018: 24 epochs at 0.1 for a batch of 256, a tenth at 7, 14 and 21.

    Run:     eyespot train transfer/inaturalist --model M --start-from WEIGHTS --data DIR --out DIR
    Expect:  not reproduced yet
    Cost:    not measured yet
    """
    return replace(
        seer(),
        epochs=24,
        optimizer=OptimizerSettings("sgd", lr=0.1, lr_batch=256, weight_decay=0.0),
        schedule=Schedule("steps", warmup_epochs=0, milestones=(7, 14, 21), drop=0.1),
    )


def smoke() -> ClassifyRecipe:
    """A few CPU steps: checks the wiring, says nothing about accuracy."""
    return replace(
        seer(),
        model="RegNetY-200MF",
        epochs=2,
        batch_size=16,
        schedule=Schedule("steps", warmup_epochs=0, milestones=(1,)),
        pictures=Pictures(size_px=32, test_resize_px=32, pca_std=0.0),
    )


RECIPES: dict[str, Callable[[], ClassifyRecipe]] = {
    "seer": seer,
    "inaturalist": inaturalist,
    "smoke": smoke,
}
