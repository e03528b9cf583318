"""The spaces that come with the package, as data.

Each names the recipe that its points are trained by, and its optimizer where it draws rates.

RegNetX and RegNetY by flops regime: Designing Network Design Spaces (arXiv 2003.13678), with the
refined ranges of pycls. The lr and weight-decay spaces: Early Convolutions Help Transformers See
Better (arXiv 2106.14881). The CIFAR spaces: pycls' examples.
"""

import functools
from collections.abc import Callable

from eyespot.design.optimizability import EXPERIMENTS, optimizability
from eyespot.design.samplers import FloatRange, IntRange, Sampler, Value
from eyespot.design.space import Constraints, NamedNetworks, RegNets, Space
from eyespot.design.zoo import own_name
from eyespot.errors import unknown_name

# GF; beyond 8 the ranges of widths hold next to no network.
_REGIMES = {
    "200mf": 0.2, "400mf": 0.4, "600mf": 0.6, "800mf": 0.8,
    "1.6gf": 1.6, "3.2gf": 3.2, "4gf": 4.0, "6.4gf": 6.4, "8gf": 8.0,
}  # fmt: skip
_FINE = 1e-10


def get_space(name: str) -> Space:
    """Return a shipped space by name.

    Raises:
        ValueError: If no space has that name; the nearest are listed.
    """
    spaces = _spaces()
    if name.lower() not in spaces:
        raise ValueError(unknown_name("space", name, spaces))
    return spaces[name.lower()]()


def list_spaces() -> list[str]:
    """Return the names of the shipped spaces."""
    return list(_spaces())


def _spaces() -> dict[str, Callable[[], Space]]:
    spaces: dict[str, Callable[[], Space]] = {}
    for family, se_ratio in (("regnetx", 0.0), ("regnety", 0.25)):
        for size, gigaflops in {"": 0.4, **_REGIMES}.items():
            name = f"{family}-{size}" if size else family
            spaces[name] = functools.partial(_regnets, name, se_ratio, gigaflops)
    for make in (
        _lrwd_vit_adamw,
        _lrwd_vit_sgd,
        _lrwd_regnety_adamw,
        _lrwd_regnety_sgd,
        _cifar_lrwd,
        _cifar_regnety,
        _cifar_epochs,
    ):
        spaces[make.__name__.strip("_").replace("_", "-")] = make
    for name in EXPERIMENTS:
        spaces[f"optimizability/{name}"] = functools.partial(optimizability, name)
    return spaces


def _regnets(name: str, se_ratio: float, gigaflops: float) -> Space:
    """Four stages, 0.9 to 1 of the flops, and the paper's hint on params and activations.

    Trained as the zoo's RegNet of that size.
    """
    size = f"{1000 * gigaflops:.0f}mf" if gigaflops < 1 else f"{gigaflops:.1f}gf"
    return Space(
        name,
        f"RegNets of {gigaflops:g} GF, in the refined ranges of the paper",
        RegNets(se_ratio=se_ratio),
        {"recipe": Value((f"pycls/{name.partition('-')[0]}_{size}",))},
        constraints=Constraints(
            flops=(round(0.9e9 * gigaflops), round(1e9 * gigaflops)),
            params=(0.0, round(3e6 + 5.5e6 * gigaflops)),
            acts=(0.0, round(6.5e6 * gigaflops**0.5)),
        ),
    )


def _log(low: float, high: float) -> FloatRange:
    return FloatRange(low, high, "log_uniform", _FINE)


def _lrwd(
    name: str, model: str, optimizer: str, lr: tuple[float, float], wd: tuple[float, float]
) -> Space:
    """One model's 64 random pairs of 50 epochs at batch 2048, in the paper's intervals."""
    return Space(
        name,
        f"lr and weight decay of {model} under {optimizer}, to see how stable training is to both",
        NamedNetworks(Value((model,))),
        {
            "recipe": Value((f"optimizability/{own_name(model)}_{optimizer}",)),
            "optimizer": Value((optimizer,)),
            "lr": _log(*lr),
            "wd": _log(*wd),
            "epochs": Value((50,)),
            "batch_size": Value((2048,)),
            "resolution": Value(("own",)),
        },
    )


def _lrwd_vit_adamw() -> Space:
    return _lrwd("lrwd-vit-adamw", "ViT-C-4GF", "adamw", (2.5e-4, 8e-3), (0.02, 0.8))


def _lrwd_vit_sgd() -> Space:
    return _lrwd("lrwd-vit-sgd", "ViT-C-4GF", "sgd", (0.1, 3.2), (4e-6, 1.2e-4))


def _lrwd_regnety_adamw() -> Space:
    return _lrwd("lrwd-regnety-adamw", "RegNetY-4GF", "adamw", (1.25e-3, 4e-2), (0.0075, 0.24))


def _lrwd_regnety_sgd() -> Space:
    return _lrwd("lrwd-regnety-sgd", "RegNetY-4GF", "sgd", (0.25, 8.0), (3e-6, 8e-5))


def _cifar_settings(recipe: str, epochs: tuple[int, ...] = (50,)) -> dict[str, Sampler]:
    return {
        "recipe": Value((recipe,)),
        "optimizer": Value(("sgd",)),
        "epochs": Value(epochs),
        "batch_size": Value((1024,)),
        "label_smoothing": Value((0.1,)),
        "mixup": Value((0.5,)),
        "ema_alpha": Value((2.5e-4,)),
        "bn_wd": Value((0.0,)),
    }


def _cifar_lrwd() -> Space:
    return Space(
        "cifar-lrwd",
        "lr and weight decay of ResNet-56 on CIFAR-10",
        NamedNetworks(Value(("CIFAR-ResNet-56",))),
        {"lr": _log(0.25, 5.0), "wd": _log(5e-5, 1e-3), **_cifar_settings("cifar/resnet_56")},
    )


def _cifar_regnety() -> Space:
    return Space(
        "cifar-regnety",
        "two-stage RegNetYs of 0.12 to 0.13 GF for CIFAR-10",
        RegNets(
            depth=IntRange(6, 16),
            group_width=IntRange(1, 32, "power2_or_log_uniform", 8),
            se_ratio=0.25,
            stem="res_stem_cifar",
            stem_width=16,
            num_classes=10,
            image_size=32,
            test_size=32,
        ),
        _cifar_settings("cifar/regnety_125mf"),
        constraints=Constraints((0.12e9, 0.13e9), (0.0, 2e6), (0.0, 1e6), (2, 2)),
    )


def _cifar_epochs() -> Space:
    return Space(
        "cifar-epochs",
        "one RegNetY on CIFAR-10 at four schedules and three seeds; sample all 12 points",
        NamedNetworks(Value(("CIFAR-RegNetY-125MF",))),
        {**_cifar_settings("cifar/regnety_125mf", (50, 100, 200, 400)), "seed": Value((1, 2, 3))},
    )
