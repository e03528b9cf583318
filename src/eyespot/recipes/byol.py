"""BYOL (arXiv 2006.07733) with the paper's numbers; VISSL has weights and no training of it."""

from collections.abc import Callable
from dataclasses import replace

from eyespot.data.multicrop import PRESETS
from eyespot.recipes.small import FASHION, FASHION_TWO, SMOKE, SMOKE_TWO
from eyespot.tasks.methods.byol import BYOL
from eyespot.tasks.optimization import OptimizerSettings, Schedule
from eyespot.tasks.selfsup import SelfSupRecipe


def resnet50_1000ep() -> SelfSupRecipe:
    """ResNet-50, 2x224 px, batch 4096, 1000 epochs of ImageNet-1k.

    Norms and biases are neither decayed nor scaled. LARC stands for LARS: it adds the decay's
    length to the gradient's instead of adding the vectors.

    Run:     torchrun --nproc-per-node 8 ... -m eyespot train byol/resnet50_1000ep --data DIR
    Expect:  linear top-1 74.3 % (published; not run here)
    Cost:    not published
    """
    return SelfSupRecipe(
        method=BYOL(),
        model="ResNet-50",
        crops=PRESETS["byol"],
        epochs=1000,
        batch_size=4096,
        optimizer=OptimizerSettings(
            "larc", lr=0.2, lr_batch=256, weight_decay=1.5e-6, adapt_all=False
        ),
        schedule=Schedule("swav", warmup_epochs=10, warmup_start=0.0, per="step"),
    )


def fashion_mnist() -> SelfSupRecipe:
    """The small recipe on Fashion-MNIST with BYOL's loss and two views.

    Run:     eyespot train byol/fashion_mnist --data /usr/share/datasets/fashion-mnist --out DIR
    Expect:  not measured
    Cost:    not measured
    """
    method = BYOL(hidden_dim=256, out_dim=64, momentum=0.99)
    return replace(FASHION, method=method, crops=FASHION_TWO)


def smoke() -> SelfSupRecipe:
    """A few CPU steps: checks the wiring, says nothing about accuracy.

    Run:     eyespot train byol/smoke --data scenes:count=64,size=48,by=colour --out DIR
    Expect:  to end
    Cost:    seconds
    """
    return replace(SMOKE, method=BYOL(hidden_dim=32, out_dim=16), crops=SMOKE_TWO)


RECIPES: dict[str, Callable[[], SelfSupRecipe]] = {
    make.__name__: make for make in (resnet50_1000ep, fashion_mnist, smoke)
}
