"""SwAV on curated data: the published runs of arXiv 2006.09882, and small ones for a CPU.

Linear accuracies are those that SwAV's repository prints for its own weights. Costs are the
paper's and the repository's, on V100s.
"""

from collections.abc import Callable
from dataclasses import replace

from eyespot.data.multicrop import PRESETS
from eyespot.data.normalize import IMAGENET_STD, SWAV_STD
from eyespot.recipes.small import FASHION, SCENES, SMOKE
from eyespot.tasks.methods.swav import SwAV
from eyespot.tasks.optimization import OptimizerSettings, Schedule
from eyespot.tasks.selfsup import SelfSupRecipe


def _large_batch(epochs: int) -> SelfSupRecipe:
    """A batch of 4096 on 64 GPUs, ten epochs of warmup, prototypes frozen for one epoch."""
    return SelfSupRecipe(
        method=SwAV(freeze_steps=313),
        model="ResNet-50",
        crops=PRESETS["swav"],
        epochs=epochs,
        batch_size=4096,
        optimizer=_larc(4.8),
        schedule=Schedule(
            "swav", warmup_epochs=10, warmup_start=0.3 / 4.8, final=0.001, per="step"
        ),
        sync_bn_ranks=8,
        std=SWAV_STD,
    )


def _small_batch(epochs: int) -> SelfSupRecipe:
    """A batch of 256 on 4 GPUs, no warmup, a queue from epoch 15 on."""
    return replace(
        _large_batch(epochs),
        method=SwAV(freeze_steps=5005, queue=3840, queue_epoch=15),
        batch_size=256,
        optimizer=_larc(0.6),
        schedule=Schedule("swav", warmup_epochs=0, final=0.001, per="step"),
        sync_bn_ranks=0,
    )


def _larc(lr: float) -> OptimizerSettings:
    """LARC; everything is decayed by 1e-6, norms and biases too."""
    return OptimizerSettings(
        "larc", lr=lr, weight_decay=1e-6, norm_decay=1e-6, bias_decay=1e-6, momentum=0.9
    )


def resnet50_100ep() -> SelfSupRecipe:
    """ResNet-50, 2x224 + 6x96 px, batch 4096, 100 epochs of ImageNet-1k.

    Run:     torchrun --nproc-per-node 8 ... -m eyespot train swav/resnet50_100ep --data DIR
    Expect:  linear top-1 72.1 % (published; not run here)
    Cost:    6 hours on 64 V100 (published)
    """
    return _large_batch(100)


def resnet50_200ep() -> SelfSupRecipe:
    """ResNet-50, 2x224 + 6x96 px, batch 4096, 200 epochs of ImageNet-1k.

    Run:     torchrun --nproc-per-node 8 ... -m eyespot train swav/resnet50_200ep --data DIR
    Expect:  linear top-1 73.9 % (published; not run here)
    Cost:    12 hours on 64 V100 (published)
    """
    return _large_batch(200)


def resnet50_400ep() -> SelfSupRecipe:
    """ResNet-50, 2x224 + 6x96 px, batch 4096, 400 epochs of ImageNet-1k.

    Run:     torchrun --nproc-per-node 8 ... -m eyespot train swav/resnet50_400ep --data DIR
    Expect:  linear top-1 74.6 % (published; not run here)
    Cost:    25 hours on 64 V100 (published)
    """
    return _large_batch(400)


def resnet50_800ep() -> SelfSupRecipe:
    """ResNet-50, 2x224 + 6x96 px, batch 4096, 800 epochs of ImageNet-1k.

    Run:     torchrun --nproc-per-node 8 ... -m eyespot train swav/resnet50_800ep --data DIR
    Expect:  linear top-1 75.3 % (published; not run here)
    Cost:    50 hours on 64 V100 (published)
    """
    return _large_batch(800)


def resnet50_2x224_400ep() -> SelfSupRecipe:
    """ResNet-50 without small crops: 2x224 px, batch 4096, 400 epochs of ImageNet-1k.

    Run:     torchrun --nproc-per-node 8 ... -m eyespot train swav/resnet50_2x224_400ep ...
    Expect:  linear top-1 70.1 % (published; not run here)
    Cost:    not published
    """
    return replace(_large_batch(400), crops=PRESETS["swav_2x224"])


def resnet50_bs256_200ep() -> SelfSupRecipe:
    """ResNet-50, 2x224 + 6x96 px, batch 256 with a queue, 200 epochs of ImageNet-1k.

    Run:     torchrun --nproc-per-node 4 -m eyespot train swav/resnet50_bs256_200ep --data DIR
    Expect:  linear top-1 72.7 % (published; not run here)
    Cost:    7.2 days on 4 V100 (52 minutes an epoch; published)
    """
    return _small_batch(200)


def resnet50_bs256_400ep() -> SelfSupRecipe:
    """ResNet-50, 2x224 + 6x96 px, batch 256 with a queue, 400 epochs of ImageNet-1k.

    Run:     torchrun --nproc-per-node 4 -m eyespot train swav/resnet50_bs256_400ep --data DIR
    Expect:  linear top-1 74.3 % (published; not run here)
    Cost:    14.5 days on 4 V100 (52 minutes an epoch; published)
    """
    return _small_batch(400)


def resnet50w2_400ep() -> SelfSupRecipe:
    """ResNet-50 twice as wide, 2x224 + 4x96 px, batch 4096, 400 epochs of ImageNet-1k.

    Run:     torchrun --nproc-per-node 8 ... -m eyespot train swav/resnet50w2_400ep --data DIR
    Expect:  linear top-1 77.3 % (published, on 128 GPUs; not run here)
    Cost:    not published
    """
    return replace(
        _large_batch(400),
        method=SwAV(hidden_dims=(8192,)),
        model="ResNet-50w2",
        crops=PRESETS["swav_wide"],
    )


def resnet50w4_400ep() -> SelfSupRecipe:
    """ResNet-50 four times as wide, 2x224 + 4x96 px, batch 2560 with a queue, 400 epochs.

    Run:     torchrun --nproc-per-node 8 ... -m eyespot train swav/resnet50w4_400ep --data DIR
    Expect:  linear top-1 77.9 % (published, on 64 GPUs; not run here)
    Cost:    not published
    """
    return replace(
        _large_batch(400),
        method=SwAV(hidden_dims=(8192,), queue=2560),
        model="ResNet-50w4",
        crops=PRESETS["swav_wide_w4"],
        batch_size=2560,
    )


def resnet50w5_400ep() -> SelfSupRecipe:
    """ResNet-50 five times as wide, 2x224 + 4x96 px, batch 1536 with a queue, 400 epochs.

    The head is the one of VISSL's model, without batch norm; SwAV's repository has no script.

    Run:     torchrun --nproc-per-node 8 ... -m eyespot train swav/resnet50w5_400ep --data DIR
    Expect:  linear top-1 78.5 % (published, on 128 GPUs; not run here)
    Cost:    not published
    """
    return replace(
        _large_batch(400),
        method=SwAV(hidden_dims=(10240,), head_norm=False, queue=1536),
        model="ResNet-50w5",
        crops=PRESETS["swav_wide"],
        batch_size=1536,
    )


def _regnet(model: str, width: int, epochs: int) -> SelfSupRecipe:
    """VISSL's RegNets on ImageNet-1k: heads of two layers without batch norm.

    Head, prototypes and epochs are published; the rest is VISSL's for ResNet-50.
    """
    return replace(
        _large_batch(epochs),
        method=SwAV(hidden_dims=(width,), head_norm=False, normalize="after"),
        model=model,
        schedule=Schedule(
            "vissl", warmup_epochs=10, warmup_start=0.6 / 4.8, final=0.001, per="step"
        ),
        std=IMAGENET_STD,
    )


def rg_16gf_800ep() -> SelfSupRecipe:
    """RegNetY-16GF, 800 epochs of ImageNet-1k; batch and rates are those of ResNet-50.

    Run:     torchrun --nproc-per-node 8 ... -m eyespot train swav/rg_16gf_800ep --data DIR
    Expect:  linear top-1 76.15 % (VISSL's; not run here)
    Cost:    not published
    """
    return _regnet("rg_16gf", 3024, 800)


def rg_128gf_400ep() -> SelfSupRecipe:
    """RegNetY-128GF, 400 epochs of ImageNet-1k; batch and rates are those of ResNet-50.

    Run:     torchrun --nproc-per-node 8 ... -m eyespot train swav/rg_128gf_400ep --data DIR
    Expect:  linear top-1 78.36 % (VISSL's; not run here)
    Cost:    not published
    """
    return _regnet("rg_128gf", 7392, 400)


def fashion_mnist() -> SelfSupRecipe:
    """A small RegNet on Fashion-MNIST without its labels: 2x28 + 2x16 px.

    The codes are sharper than the published epsilon of 0.05 makes them, and there is no queue: what
    so small a network embedded a few steps ago is stale.

    Run:     eyespot train swav/fashion_mnist --data /usr/share/datasets/fashion-mnist --out DIR
    Expect:  after 2,500 steps kNN 84.0 % right, linear 85.8 % (random: 69.2 and 67.5); three seeds,
             docs/results/swav-fashion_mnist.md
    Cost:    2,500 steps: 6 minutes in one quiet thread; these ten epochs have 4,680
    """
    return replace(
        FASHION,
        method=SwAV(
            hidden_dims=(256,), out_dim=64, prototypes=(256,), epsilon=0.02, freeze_steps=20
        ),
    )  # fmt: skip


def scenes() -> SelfSupRecipe:
    """A small network on rendered pictures of 64 px: 2x48 + 2x24 px, minutes on a laptop.

    One thing a picture is easiest to learn from; render them once with `eyespot data shard`.

    Run:     eyespot train swav/scenes --data scenes:size=64,max_objects=1,materials=matte --out DIR
    Expect:  after 700 steps of a network of 60 megaflops, kNN 47.5 % right of eight shapes, linear
             45.6 % (random: 30.2 and 32.8); three seeds, docs/results/swav-scenes.md
    Cost:    700 steps of that network: 2 minutes in one thread
    """
    return replace(
        SCENES,
        method=SwAV(
            hidden_dims=(256,), out_dim=64, prototypes=(64,), epsilon=0.02, freeze_steps=60
        ),
    )  # fmt: skip


def smoke() -> SelfSupRecipe:
    """A few CPU steps: checks the wiring, says nothing about accuracy.

    Run:     eyespot train swav/smoke --data scenes:count=64,size=48,by=colour --out DIR
    Expect:  to end
    Cost:    seconds
    """
    return replace(
        SMOKE,
        method=SwAV(
            hidden_dims=(32,), out_dim=16, prototypes=(24,), freeze_steps=2, queue=32,
            queue_epoch=1,
        ),
    )  # fmt: skip


RECIPES: dict[str, Callable[[], SelfSupRecipe]] = {
    make.__name__: make
    for make in (
        resnet50_100ep,
        resnet50_200ep,
        resnet50_400ep,
        resnet50_800ep,
        resnet50_2x224_400ep,
        resnet50_bs256_200ep,
        resnet50_bs256_400ep,
        resnet50w2_400ep,
        resnet50w4_400ep,
        resnet50w5_400ep,
        rg_16gf_800ep,
        rg_128gf_400ep,
        fashion_mnist,
        scenes,
        smoke,
    )
}
