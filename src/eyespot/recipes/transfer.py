"""Fine-tuning of networks pretrained without labels, as `eyespot probe finetune` runs it."""

from collections.abc import Callable
from dataclasses import replace

from eyespot.data.normalize import SWAV_STD
from eyespot.tasks.classify import ClassifyRecipe
from eyespot.tasks.labelled import FewLabels
from eyespot.tasks.optimization import OptimizerSettings, Schedule
from eyespot.tasks.pictures import Pictures


def seer() -> ClassifyRecipe:
    """SEER's on ImageNet: 35 epochs at a rate of 0.0125 for a batch of 256, a tenth from 30 on.

    Views are SwAV's: random crops, mirrored, colours distorted, blurred half the time.

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
        pictures=Pictures(colours=1.0, blur=0.5, pca_std=0.0),
        precise_bn=0,
    )


def seer_384() -> ClassifyRecipe:
    """SEER's on ImageNet at 384 px: bicubic crops, test images resized to 384 px and not cut.

    The released weights were trained so; their schedule was not published (their names suggest 40
    epochs up to RG-128, 20 for RG-256, 15 for 10 billion), so rates are those at 224 px. The batch
    of 10 billion was 8 a GPU, with batch norm shared by all and without LARC.

    Run:     eyespot train transfer/seer_384 --model M --start-from WEIGHTS --data DIR --out DIR
    Expect:  not reproduced yet; published 83.4 (RG-32), 84.0 (RG-64), 84.5 (RG-128), 85.2 (RG-256)
             and 85.8 (10 billion) on ImageNet
    Cost:    about three times that of transfer/seer
    """
    recipe = seer()
    larger = replace(recipe.pictures, size_px=384, test_resize_px=384, filter="bicubic")
    return replace(recipe, pictures=larger, sync_bn=True)


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
        pictures=Pictures(pca_std=0.0),
    )


def seer_1percent() -> ClassifyRecipe:
    """SEER's with 1 % of ImageNet's labels: 70 epochs at 0.05 for a batch of 256, a tenth from 30.

    The first layer of the pretraining's projector stays, before the classifier. For the published
    images add --labels.names 1percent.txt --labels.share 0, with SimCLR's list.

    Run:     eyespot train transfer/seer_1percent --model M --start-from WEIGHTS --data DIR ...
    Expect:  not reproduced yet; the paper has 57.5 (RG-128) and 60.5 (RG-256) on ImageNet
    Cost:    70 passes over 1 % of the training images, and 14 over the test images
    """
    return replace(
        seer(),
        labels=FewLabels(0.01),
        keep_projection=True,
        epochs=70,
        optimizer=OptimizerSettings("sgd", lr=0.05, lr_batch=256, weight_decay=0.0),
        schedule=Schedule("steps", warmup_epochs=0, milestones=(30,), drop=0.1),
        pictures=Pictures(pca_std=0.0),
        evaluate_every=5,
    )


def seer_10percent() -> ClassifyRecipe:
    """SEER's with 10 % of ImageNet's labels, otherwise as with 1 %.

    Run:     eyespot train transfer/seer_10percent --model M --start-from WEIGHTS --data DIR ...
    Expect:  not reproduced yet; the paper has 76.7 (RG-128) and 77.9 (RG-256) on ImageNet
    Cost:    70 passes over 10 % of the training images, and 14 over the test images
    """
    return replace(seer_1percent(), labels=FewLabels(0.1))


def swav_1percent() -> ClassifyRecipe:
    """SwAV's with 1 % of ImageNet's labels: 20 epochs, rates 0.02 (backbone) and 5 (classifier).

    Run:     eyespot train transfer/swav_1percent --model M --start-from WEIGHTS --data DIR ...
    Expect:  not reproduced yet; 53.9 (top-5 78.5) with ResNet-50 of 800 epochs on ImageNet
    Cost:    20 passes over 1 % of the training images, and 4 over the test images
    """
    return replace(
        seer_1percent(),
        keep_projection=False,
        epochs=20,
        optimizer=OptimizerSettings("sgd", lr=0.02, weight_decay=0.0, nesterov=False),
        head_rate=250.0,
        schedule=Schedule("steps", warmup_epochs=0, milestones=(12, 16), drop=0.2),
        pictures=Pictures(pca_std=0.0, std=SWAV_STD),
        sync_bn=True,
    )


def swav_10percent() -> ClassifyRecipe:
    """SwAV's with 10 % of ImageNet's labels: rates 0.01 (backbone) and 0.2 (classifier).

    Run:     eyespot train transfer/swav_10percent --model M --start-from WEIGHTS --data DIR ...
    Expect:  not reproduced yet; 70.2 (top-5 89.9) with ResNet-50 of 800 epochs on ImageNet
    Cost:    20 passes over 10 % of the training images, and 4 over the test images
    """
    recipe = swav_1percent()
    return replace(
        recipe,
        labels=FewLabels(0.1),
        optimizer=replace(recipe.optimizer, lr=0.01),
        head_rate=20.0,
    )


def smoke() -> ClassifyRecipe:
    """A few CPU steps: checks the wiring, says nothing about accuracy.

    Run:     eyespot train transfer/smoke --data scenes:size=32,count=64,val_count=32 --out DIR
    Expect:  a finite loss
    Cost:    seconds on one CPU core
    """
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
    "seer_384": seer_384,
    "inaturalist": inaturalist,
    "seer_1percent": seer_1percent,
    "seer_10percent": seer_10percent,
    "swav_1percent": swav_1percent,
    "swav_10percent": swav_10percent,
    "smoke": smoke,
}
