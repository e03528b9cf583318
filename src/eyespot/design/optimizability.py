"""The experiments of Early Convolutions, as lists of points: what has to be trained, and how.

Paper: Early Convolutions Help Transformers See Better (arXiv 2106.14881), sections 4 and 5 and
appendix: every model at several schedule lengths under AdamW and SGD with its tuned learning rate
and weight decay, and at the shortest under random pairs of them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eyespot.design.by_name import to_spec
from eyespot.design.space import ListedPoints, Space, point_random
from eyespot.design.specs import ViTSpec
from eyespot.errors import unknown_name

Pair = tuple[float, float]
OPTIMIZERS = ("adamw", "sgd")


@dataclass(frozen=True, slots=True)
class Family:
    """What is known of a family's learning rates and weight decays.

    Args:
        intervals: For each optimizer, the interval of lr and that of weight decay that pairs are
            drawn from, both log-uniform.
        tuned: For each optimizer, lr and weight decay of a model whose own are not known.
        like: The model whose recipe such a model takes, at image sizes of its own; "" where all
            models have one recipe.
    """

    intervals: Mapping[str, tuple[Pair, Pair]]
    tuned: Mapping[str, Pair]
    like: str = ""


@dataclass(frozen=True, slots=True)
class Experiment:
    """Optimizability of a set of models.

    Args:
        about: One sentence about it.
        recipe: What a run starts from; {model} and {optimizer} stand for the run's own.
        models: Names, or paths of spec files.
        lengths: Epochs of the schedules.
        pairs: Random pairs of lr and weight decay for each model, optimizer and seed.
        seeds: Everything is done once for each.
        vit: Of ViTs.
        cnn: Of all other networks.
        tuned: lr and weight decay of single models, by model and optimizer.
        settings: Further numbers of the runs.
        evaluations: Of a run that judges schedules, spread over it; a run at a random pair is then
            evaluated at its end alone. 0: every run after every epoch, as the paper's were.
    """

    about: str
    recipe: str
    models: tuple[str, ...]
    lengths: tuple[int, ...]
    pairs: int
    seeds: tuple[int, ...]
    vit: Family
    cnn: Family
    tuned: Mapping[tuple[str, str], Pair]
    settings: Mapping[str, Any]
    evaluations: int = 0


def optimizability(name: str, models: Sequence[str] = ()) -> Space:
    """Return an experiment as a space of listed points.

    Args:
        name: One of `EXPERIMENTS`.
        models: Instead of the experiment's own.

    Raises:
        ValueError: If the experiment or a model is not known.
    """
    if name not in EXPERIMENTS:
        raise ValueError(unknown_name("experiment", name, EXPERIMENTS))
    experiment = EXPERIMENTS[name]
    chosen = tuple(models) or experiment.models
    rows = [
        row for seed in experiment.seeds for model in chosen for row in _rows(name, model, seed)
    ]
    order = sorted(range(len(rows)), key=lambda i: (rows[i]["seed"], rows[i]["experiment"], i))
    listed = ListedPoints(tuple(rows[i] for i in order))
    return Space(f"optimizability/{name}", experiment.about, listed)


def tuned_pair(name: str, model: str, optimizer: str) -> Pair:
    """Return the learning rate and weight decay of a model in an experiment's length runs."""
    experiment = EXPERIMENTS[name]
    family = experiment.vit if isinstance(to_spec(model), ViTSpec) else experiment.cnn
    return experiment.tuned.get((model, optimizer), family.tuned[optimizer])


def _rows(name: str, model: str, seed: int) -> list[dict[str, Any]]:
    experiment = EXPERIMENTS[name]
    family = experiment.vit if isinstance(to_spec(model), ViTSpec) else experiment.cnn
    rows = []
    for optimizer in OPTIMIZERS:
        named = model if model in experiment.models else family.like or model
        recipe = experiment.recipe.format(model=_in_recipes(named), optimizer=optimizer)
        shared = {"model": model, "recipe": recipe, "seed": seed, **experiment.settings}
        if named != model:
            shared["resolution"] = "own"
        lr, wd = tuned_pair(name, model, optimizer)
        for epochs in experiment.lengths:
            run = {"optimizer": optimizer, "lr": lr, "wd": wd, "epochs": epochs}
            every = max(1, epochs // experiment.evaluations) if experiment.evaluations else 1
            rows.append({**shared, **run, "evaluate_every": every, "experiment": "length"})
        shortest = min(experiment.lengths)
        lrs, wds = family.intervals[optimizer]
        for index in range(experiment.pairs):
            random = point_random(seed, index)  # the same quantiles for every model
            run = {
                "optimizer": optimizer,
                "lr": _log_uniform(random.random(), lrs),
                "wd": _log_uniform(random.random(), wds),
                "epochs": shortest,
            }
            every = shortest if experiment.evaluations else 1
            rows.append({**shared, **run, "evaluate_every": every, "experiment": "lr_wd"})
    return rows


def _in_recipes(model: str) -> str:
    """A model's name as the recipes of the paper's runs have it."""
    return model.lower().replace("-dwr", "").replace(".0gf", "gf").replace("-", "_")


def _log_uniform(share: float, interval: Pair) -> float:
    low, high = interval
    return float(f"{math.exp(math.log(low) + share * math.log(high / low)):.4g}")


_PAPER_VIT = Family(
    {"adamw": ((2.5e-4, 8e-3), (0.02, 0.8)), "sgd": ((0.1, 3.2), (4e-6, 1.2e-4))},
    {"adamw": (1e-3, 0.24), "sgd": (1.1, 1.2e-5)},
    like="ViT-C-4.0GF",
)
_PAPER_CNN = Family(
    {"adamw": ((1.25e-3, 4e-2), (0.0075, 0.24)), "sgd": ((0.25, 8.0), (3e-6, 8e-5))},
    {"adamw": (3.8e-3, 0.1), "sgd": (2.54, 2.4e-5)},
    like="RegNetY-dWr-4.0GF",
)
_PAPER_TUNED = {
    ("ViT-P-1.0GF", "adamw"): (2e-3, 0.20),
    ("ViT-P-1.0GF", "sgd"): (1.9, 1.3e-5),
    ("ViT-P-4.0GF", "adamw"): (2e-3, 0.20),
    ("ViT-P-4.0GF", "sgd"): (1.9, 1.3e-5),
    ("ViT-C-1.0GF", "adamw"): (2.5e-3, 0.19),
    ("ViT-C-1.0GF", "sgd"): (1.9, 1.3e-5),
    ("ViT-C-4.0GF", "adamw"): (1e-3, 0.24),
    ("ViT-C-4.0GF", "sgd"): (1.3, 2.2e-5),
    ("ViT-C-18GF", "adamw"): (1e-3, 0.24),
    ("ViT-C-18GF", "sgd"): (1.1, 2.7e-5),
}
_SMALL_VIT = Family(
    {"adamw": ((3.75e-4, 1.2e-2), (0.0125, 0.4)), "sgd": ((0.019, 0.6), (3.75e-5, 1.2e-3))},
    {"adamw": (3e-3, 0.1), "sgd": (0.15, 3e-4)},
)
_SMALL_CNN = Family(
    {"adamw": ((5e-4, 1.6e-2), (0.0125, 0.4)), "sgd": ((0.019, 0.6), (3.75e-5, 1.2e-3))},
    {"adamw": (4e-3, 0.1), "sgd": (0.15, 3e-4)},
)
_SMALL_TUNED = {
    ("ViT-P-10MF", "adamw"): (4e-3, 0.1),
    ("ViT-P-10MF", "sgd"): (0.2, 3e-4),
    ("ViT-C-10MF", "adamw"): (2e-3, 0.1),
    ("ViT-C-10MF", "sgd"): (0.1, 3e-4),
}
_SMALL = ("ViT-P-10MF", "ViT-C-10MF", "RegNetY-10MF")

EXPERIMENTS = {
    "paper": Experiment(
        "the paper's whole grid: six ViTs and three RegNetYs on ImageNet-1k, for a cluster",
        recipe="optimizability/{model}_{optimizer}",
        models=(
            *("ViT-P-1.0GF", "ViT-P-4.0GF", "ViT-P-18GF"),
            *("ViT-C-1.0GF", "ViT-C-4.0GF", "ViT-C-18GF"),
            *("RegNetY-dWr-1.0GF", "RegNetY-dWr-4.0GF", "RegNetY-dWr-16GF"),
        ),
        lengths=(50, 100, 200, 400),
        pairs=64,
        seeds=(1,),
        vit=_PAPER_VIT,
        cnn=_PAPER_CNN,
        tuned=_PAPER_TUNED,
        settings={"batch_size": 2048},
    ),
    "small": Experiment(
        "small ViTs with and without a conv stem against a RegNetY, 45 minutes on two cores",
        recipe="classify/fashion_mnist",
        models=_SMALL,
        lengths=(3, 6, 12),
        pairs=6,
        seeds=(1, 2, 3),
        vit=_SMALL_VIT,
        cnn=_SMALL_CNN,
        tuned=_SMALL_TUNED,
        settings={"batch_size": 128, "train_images": 6000},
        evaluations=3,  # 10,000 test images take half as long as an epoch of 6,000
    ),
    "smoke": Experiment(
        "a few steps of everything: checks the wiring, says nothing about the networks",
        recipe="classify/smoke",
        models=_SMALL,
        lengths=(1, 2),
        pairs=2,
        seeds=(1,),
        vit=_SMALL_VIT,
        cnn=_SMALL_CNN,
        tuned={},
        settings={"batch_size": 16, "data": "scenes:size=32,count=64,val_count=64"},
    ),
}
