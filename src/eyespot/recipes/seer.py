"""SEER: SwAV on a billion images that nobody chose, one pass (arXiv 2103.01988, 2202.08360).

What is published: RG-256GF by the paper, RG-10B by its released configuration. Of the others the
sizes, heads and batches follow file names of the released weights, and rates the rule of both:
0.3 for a batch of 256, a thousandth of it at the end. Here batches are shuffled inside windows of
neighbouring samples, so that shards are read nearly in sequence.
"""

from collections.abc import Callable
from dataclasses import replace

from eyespot.data.multicrop import PRESETS
from eyespot.recipes.small import SMOKE
from eyespot.tasks.methods.swav import SwAV
from eyespot.tasks.optimization import OptimizerSettings, Schedule
from eyespot.tasks.selfsup import SelfSupRecipe

NUM_IMAGES = 1_000_000_000


def _method(hidden: int) -> SwAV:
    """Heads up to 32 GF are 4096 wide, those above 8192 and without batch norm."""
    return SwAV(
        hidden_dims=(hidden, hidden),
        out_dim=256,
        head_norm=hidden == 4096,
        prototypes=(16000,),
        iters=10,
        normalize="after",
        freeze_steps=313,
    )


def _seer(model: str, hidden: int, *, batch_size: int, warmup_steps: int) -> SelfSupRecipe:
    """One pass over a billion images."""
    peak = 0.3 * batch_size / 256
    steps = NUM_IMAGES // batch_size
    return SelfSupRecipe(
        method=_method(hidden),
        model=model,
        crops=PRESETS["seer"],
        epochs=1,
        batch_size=batch_size,
        window=1 << 20,
        optimizer=OptimizerSettings(
            "larc", lr=peak, weight_decay=1e-5, norm_decay=1e-5, bias_decay=1e-5, momentum=0.9
        ),
        schedule=Schedule(
            "vissl",
            warmup_epochs=warmup_steps / steps,
            warmup_start=0.15 / peak,
            final=0.001,
            per="step",
        ),
        sync_bn_ranks=64,
        recompute="blocks",
        evaluate_every=5000,
    )


def rg_8gf() -> SelfSupRecipe:
    """RegNetY-8GF; its SEER weights were never released.

    Run:     torchrun ... -m eyespot train seer/rg_8gf --data 's3://BUCKET/{000000..099999}.tar'
    Expect:  not published
    Cost:    not published; eyespot plan seer/rg_8gf --gpus 128 --gpu h100
    """
    return replace(_seer("rg_8gf", 4096, batch_size=4096, warmup_steps=8000), sync_bn_ranks=32)


def rg_16gf() -> SelfSupRecipe:
    """RegNetY-16GF on 128 GPUs, 32 images each; twice the usual warmup.

    Run:     torchrun ... -m eyespot train seer/rg_16gf --data 's3://BUCKET/{000000..099999}.tar'
    Expect:  not published
    Cost:    not published
    """
    return replace(_seer("rg_16gf", 4096, batch_size=4096, warmup_steps=16000), sync_bn_ranks=32)


def rg_32gf() -> SelfSupRecipe:
    """RegNetY-32GF, released after 244,000 steps.

    Run:     torchrun ... -m eyespot train seer/rg_32gf --data 's3://BUCKET/{000000..099999}.tar'
    Expect:  ImageNet-1k linear 74.03 %, fine-tuned at 384 px 83.4 % (published; not run here)
    Cost:    not published
    """
    return _seer("rg_32gf", 4096, batch_size=4096, warmup_steps=8000)


def rg_64gf() -> SelfSupRecipe:
    """RegNetY-64GF.

    Run:     torchrun ... -m eyespot train seer/rg_64gf --data 's3://BUCKET/{000000..099999}.tar'
    Expect:  ImageNet-1k linear 75.25 %, fine-tuned at 384 px 84.0 % (published; not run here)
    Cost:    not published
    """
    return _seer("rg_64gf", 8192, batch_size=4096, warmup_steps=8000)


def rg_128gf() -> SelfSupRecipe:
    """RegNetY-128GF on 128 GPUs, 32 images each; the rate stays at its peak.

    Run:     torchrun ... -m eyespot train seer/rg_128gf --data 's3://BUCKET/{000000..099999}.tar'
    Expect:  ImageNet-1k linear 75.96 %, fine-tuned at 384 px 84.5 % (published; not run here)
    Cost:    not published
    """
    recipe = _seer("rg_128gf", 8192, batch_size=4096, warmup_steps=8000)
    return replace(recipe, schedule=replace(recipe.schedule, shape="swav", final=1.0))


def rg_128gf_stream() -> SelfSupRecipe:
    """RegNetY-128GF on a stream without end: the rate is halved when the loss stops improving.

    The paper names the rule and not how long the loss is watched: here windows of 5,000 steps are
    compared (schedule.plateau_steps). How long it trains is for --epochs or --steps to say.

    Run:     torchrun ... -m eyespot train seer/rg_128gf_stream --data 's3://BUCKET/...' --steps N
    Expect:  not published
    Cost:    not published
    """
    recipe = rg_128gf()
    return replace(recipe, schedule=replace(recipe.schedule, shape="plateau", drop=0.5))


def rg_256gf() -> SelfSupRecipe:
    """RegNetY-256GF, 1.3 billion parameters, on 512 GPUs, 16 images each.

    Run:     torchrun ... -m eyespot train seer/rg_256gf --data 's3://BUCKET/{000000..099999}.tar'
             --parallel fsdp
    Expect:  ImageNet-1k linear 77.51 %, fine-tuned at 384 px 85.2 % (published; not run here)
    Cost:    8 days on 512 V100 of 32 GB (published)
    """
    return _seer("rg_256gf", 8192, batch_size=8192, warmup_steps=8000)


def rg_10b() -> SelfSupRecipe:
    """RegNetY of 10 billion parameters on 496 GPUs, 16 images each; one padded pass a step.

    Run:     torchrun ... -m eyespot train seer/rg_10b --data 's3://BUCKET/{000000..099999}.tar'
             --parallel fsdp
    Expect:  ImageNet-1k linear 79.8 %, fine-tuned at 384 px 85.8 % (published; not run here)
    Cost:    not published; 496 A100 of 40 GB
    """
    batch_size = 7936
    steps = NUM_IMAGES // batch_size
    recipe = _seer("rg_10b", 8192, batch_size=batch_size, warmup_steps=round(0.043648 * steps))
    return replace(
        recipe,
        method=replace(_method(8192), epsilon=0.03),
        crops=PRESETS["seer_10b"],
        passes="padded",
        recompute="2/7/9,17/",
        sync_bn_ranks=8,
    )


def smoke() -> SelfSupRecipe:
    """A few CPU steps of the billion-image recipe's parts: one pass, windows, a deep head.

    Run:     eyespot train seer/smoke --data scenes:count=64,size=48,by=colour --out DIR
    Expect:  to end
    Cost:    seconds
    """
    return replace(
        SMOKE,
        method=replace(
            _method(8192), hidden_dims=(32, 32), out_dim=16, prototypes=(24,), freeze_steps=1
        ),
        epochs=1,
        window=32,
        schedule=Schedule("vissl", warmup_epochs=0.5, per="step"),
        passes="padded",
        recompute="blocks",
    )


RECIPES: dict[str, Callable[[], SelfSupRecipe]] = {
    make.__name__: make
    for make in (
        rg_8gf,
        rg_16gf,
        rg_32gf,
        rg_64gf,
        rg_128gf,
        rg_128gf_stream,
        rg_256gf,
        rg_10b,
        smoke,
    )
}
