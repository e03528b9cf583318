"""DeepCluster-v2 (arXiv 2006.09882) as SwAV's repository runs it: SwAV's numbers, k-means codes."""

from collections.abc import Callable
from dataclasses import replace

from eyespot.data.multicrop import PRESETS
from eyespot.recipes import swav
from eyespot.recipes.small import FASHION, SMOKE
from eyespot.tasks.methods.deepcluster import DeepCluster
from eyespot.tasks.selfsup import SelfSupRecipe


def resnet50_800ep() -> SelfSupRecipe:
    """ResNet-50, 2x224 + 6x96 px, batch 4096, 800 epochs of ImageNet-1k.

    Run:     torchrun --nproc-per-node 8 ... -m eyespot train deepcluster/resnet50_800ep ...
    Expect:  linear top-1 75.2 % (published; not run here)
    Cost:    not published
    """
    return replace(swav.resnet50_800ep(), method=DeepCluster())


def resnet50_400ep() -> SelfSupRecipe:
    """ResNet-50, 2x160 + 4x96 px, batch 4096, 400 epochs of ImageNet-1k.

    Run:     torchrun --nproc-per-node 8 ... -m eyespot train deepcluster/resnet50_400ep ...
    Expect:  not verified
    Cost:    21 hours on 64 V100 (3 min 13 s an epoch; published)
    """
    return replace(swav.resnet50_400ep(), method=DeepCluster(), crops=PRESETS["swav_160"])


def resnet50_2x224_400ep() -> SelfSupRecipe:
    """ResNet-50 without small crops: 2x224 px, batch 4096, 400 epochs of ImageNet-1k.

    Run:     torchrun --nproc-per-node 8 ... -m eyespot train deepcluster/resnet50_2x224_400ep
    Expect:  not verified
    Cost:    not published
    """
    return replace(swav.resnet50_2x224_400ep(), method=DeepCluster())


def fashion_mnist() -> SelfSupRecipe:
    """The small recipe on Fashion-MNIST with k-means codes.

    Run:     eyespot train deepcluster/fashion_mnist --data /usr/share/datasets/fashion-mnist ...
    Expect:  not measured
    Cost:    not measured
    """
    return replace(
        FASHION, method=DeepCluster(hidden_dims=(256,), out_dim=64, prototypes=(64, 64, 64))
    )


def smoke() -> SelfSupRecipe:
    """A few CPU steps: checks the wiring, says nothing about accuracy.

    Run:     eyespot train deepcluster/smoke --data scenes:count=64,size=48,by=colour --out DIR
    Expect:  to end
    Cost:    seconds
    """
    return replace(SMOKE, method=DeepCluster(hidden_dims=(32,), out_dim=16, prototypes=(12, 12)))


RECIPES: dict[str, Callable[[], SelfSupRecipe]] = {
    make.__name__: make
    for make in (
        resnet50_800ep,
        resnet50_400ep,
        resnet50_2x224_400ep,
        fashion_mnist,
        smoke,
    )
}
