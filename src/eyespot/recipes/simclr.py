"""SimCLR (arXiv 2002.05709) as VISSL runs it, and small runs beside those of SwAV."""

from collections.abc import Callable
from dataclasses import replace

from eyespot.data.multicrop import PRESETS
from eyespot.recipes.small import FASHION, SCENES, SMOKE
from eyespot.tasks.methods.simclr import SimCLR
from eyespot.tasks.optimization import OptimizerSettings, Schedule
from eyespot.tasks.selfsup import SelfSupRecipe


def _vissl(epochs: int) -> SelfSupRecipe:
    peak = 0.3 * 4096 / 256
    return SelfSupRecipe(
        method=SimCLR(),
        model="ResNet-50",
        crops=PRESETS["simclr"],
        epochs=epochs,
        batch_size=4096,
        optimizer=OptimizerSettings(
            "larc", lr=peak, weight_decay=1e-6, norm_decay=1e-6, bias_decay=1e-6
        ),
        schedule=Schedule("vissl", warmup_epochs=10, warmup_start=0.6 / peak, per="step"),
        sync_bn_ranks=8,
        precision="float32",
    )


def resnet50_100ep() -> SelfSupRecipe:
    """ResNet-50, 2x224 px, batch 4096, 100 epochs of ImageNet-1k.

    Run:     torchrun --nproc-per-node 8 ... -m eyespot train simclr/resnet50_100ep --data DIR
    Expect:  linear top-1 64.4 % (VISSL's; not run here)
    Cost:    not published
    """
    return _vissl(100)


def resnet50_200ep() -> SelfSupRecipe:
    """ResNet-50, 2x224 px, batch 4096, 200 epochs of ImageNet-1k.

    Run:     torchrun --nproc-per-node 8 ... -m eyespot train simclr/resnet50_200ep --data DIR
    Expect:  linear top-1 66.61 % (VISSL's; not run here)
    Cost:    not published
    """
    return _vissl(200)


def resnet50_400ep() -> SelfSupRecipe:
    """ResNet-50, 2x224 px, batch 4096, 400 epochs of ImageNet-1k.

    Run:     torchrun --nproc-per-node 8 ... -m eyespot train simclr/resnet50_400ep --data DIR
    Expect:  linear top-1 67.71 % (VISSL's; not run here)
    Cost:    not published
    """
    return _vissl(400)


def resnet50_800ep() -> SelfSupRecipe:
    """ResNet-50, 2x224 px, batch 4096, 800 epochs of ImageNet-1k.

    Run:     torchrun --nproc-per-node 8 ... -m eyespot train simclr/resnet50_800ep --data DIR
    Expect:  linear top-1 69.68 % (VISSL's; not run here)
    Cost:    not published
    """
    return _vissl(800)


def resnet50_1000ep() -> SelfSupRecipe:
    """ResNet-50, 2x224 px, batch 4096, 1000 epochs of ImageNet-1k.

    Run:     torchrun --nproc-per-node 8 ... -m eyespot train simclr/resnet50_1000ep --data DIR
    Expect:  linear top-1 68.8 % (VISSL's; not run here)
    Cost:    not published
    """
    return _vissl(1000)


def fashion_mnist() -> SelfSupRecipe:
    """SwAV's small recipe on Fashion-MNIST, with SimCLR's loss: all else is equal.

    Run:     eyespot train simclr/fashion_mnist --data /usr/share/datasets/fashion-mnist --out DIR
    Expect:  after 2,500 steps kNN 84.6 % right, linear 85.8 % (random: 69.2 and 67.5); three seeds,
             docs/results/swav-fashion_mnist.md
    Cost:    2,500 steps: 5 minutes in one quiet thread; these ten epochs have 4,680
    """
    return replace(FASHION, method=SimCLR(hidden_dims=(256,), out_dim=64, head_norm=True))


def scenes() -> SelfSupRecipe:
    """SwAV's small recipe on rendered scenes, with SimCLR's loss: all else is equal.

    Run:     eyespot train simclr/scenes --data scenes:size=64,max_objects=1 --out DIR
    Expect:  after 700 steps of a network of 60 megaflops, kNN 53.6 % right of eight shapes, linear
             55.1 % (random: 30.2 and 32.8); three seeds, docs/results/swav-scenes.md
    Cost:    about that of swav/scenes
    """
    return replace(SCENES, method=SimCLR(hidden_dims=(256,), out_dim=64, head_norm=True))


def smoke() -> SelfSupRecipe:
    """A few CPU steps: checks the wiring, says nothing about accuracy.

    Run:     eyespot train simclr/smoke --data scenes:count=64,size=48,by=colour --out DIR
    Expect:  to end
    Cost:    seconds
    """
    return replace(SMOKE, method=SimCLR(hidden_dims=(32,), out_dim=16))


RECIPES: dict[str, Callable[[], SelfSupRecipe]] = {
    make.__name__: make
    for make in (
        resnet50_100ep,
        resnet50_200ep,
        resnet50_400ep,
        resnet50_800ep,
        resnet50_1000ep,
        fashion_mnist,
        scenes,
        smoke,
    )
}
