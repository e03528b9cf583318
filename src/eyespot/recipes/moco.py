"""MoCo v2 (arXiv 2003.04297) as VISSL runs it: crops of 0.08 to 1 (its authors: of 0.2 to 1)."""

from collections.abc import Callable
from dataclasses import replace

from eyespot.data.multicrop import PRESETS
from eyespot.recipes.small import FASHION, FASHION_TWO, SMOKE, SMOKE_TWO
from eyespot.tasks.methods.moco import MoCo
from eyespot.tasks.optimization import OptimizerSettings, Schedule
from eyespot.tasks.selfsup import SelfSupRecipe


def resnet50_200ep() -> SelfSupRecipe:
    """ResNet-50, 2x224 px, batch 256, 65,536 keys, 200 epochs of ImageNet-1k.

    Run:     torchrun --nproc-per-node 8 -m eyespot train moco/resnet50_200ep --data DIR ...
    Expect:  linear top-1 66.4 % (VISSL's; not run here)
    Cost:    not published
    """
    return SelfSupRecipe(
        method=MoCo(),
        model="ResNet-50",
        zero_init=True,
        crops=PRESETS["moco_vissl"],
        epochs=200,
        batch_size=256,
        optimizer=OptimizerSettings(
            "sgd", lr=0.03, weight_decay=1e-4, norm_decay=1e-4, bias_decay=1e-4
        ),
        schedule=Schedule("steps", warmup_epochs=0, milestones=(120, 160), drop=0.1),
        sync_bn=False,
    )


def fashion_mnist() -> SelfSupRecipe:
    """The small recipe on Fashion-MNIST with MoCo's loss and two views.

    Run:     eyespot train moco/fashion_mnist --data /usr/share/datasets/fashion-mnist --out DIR
    Expect:  not measured
    Cost:    not measured
    """
    method = MoCo(hidden_dims=(256,), out_dim=64, queue=4096, momentum=0.99)
    return replace(FASHION, method=method, crops=FASHION_TWO)


def smoke() -> SelfSupRecipe:
    """A few CPU steps: checks the wiring, says nothing about accuracy.

    Run:     eyespot train moco/smoke --data scenes:count=64,size=48,by=colour --out DIR
    Expect:  to end
    Cost:    seconds
    """
    return replace(SMOKE, method=MoCo(hidden_dims=(32,), out_dim=16, queue=64), crops=SMOKE_TWO)


RECIPES: dict[str, Callable[[], SelfSupRecipe]] = {
    make.__name__: make for make in (resnet50_200ep, fashion_mnist, smoke)
}
