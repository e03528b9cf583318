"""Linear evaluation: classifiers on a frozen backbone, for several taps and rates in one pass.

Papers: SwAV (arXiv 2006.09882), appendix B; SEER (arXiv 2103.01988), section 4.3, as VISSL runs it.
Shapes: B samples, D width of a tap, K classes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from eyespot import dist
from eyespot.data.loader import Batch, Examples, Loader
from eyespot.data.open import Opened, find_splits, open_samples, open_train_and_val
from eyespot.data.quarantine import BadSample, Quarantine
from eyespot.data.sampling import Order
from eyespot.data.views import TrainView
from eyespot.errors import RecipeError
from eyespot.evals.accuracy import TopK
from eyespot.evals.extract import Part, Row, Table, collect, extract, rank_part
from eyespot.evals.linear import (
    ProbeHeads,
    head_choices,
    head_groups,
    leave_diverged_,
    sum_of_losses,
)
from eyespot.models.taps import POOL
from eyespot.tasks.backbone import Backbone, Frozen, freeze
from eyespot.tasks.labelled import leave_out, quarantine_of
from eyespot.tasks.optimization import Schedule, base_rates, rate_factor, set_rates_
from eyespot.tasks.ranges import Within, check_ranges, check_schedule
from eyespot.tasks.run import Place, Prepared, Run
from eyespot.train.job import Job
from eyespot.train.loop import Cadence
from eyespot.train.sharding import wrap
from eyespot.train.update import step_


@dataclass(frozen=True, slots=True)
class LinearRecipe:
    """All numbers of a linear evaluation.

    Attributes:
        backbone: What is measured.
        taps: Where features are taken, such as "pool" or "s4@2x1"; "published" for those of the
            network's published evaluation.
        rates: Learning rates for a batch of 256, each with heads of its own.
        norm: Whether a batch norm comes before a classifier; "both" trains one of each,
            "published" (VISSL) one of each for "pool", and with it for all other taps.
        epochs: Passes over the training data.
        batch_size: Images of a step, all ranks together.
        schedule: Of the learning rates.
        momentum: Of SGD.
        nesterov: Nesterov's form of it.
        weight_decay: Of the classifiers.
        augment: Random crops, mirrored half the time. Without, every image is seen once in its
            test view, its features are kept in memory, and an epoch takes moments.
        area: Range of a random crop's share of the image.
        evaluate_every: Epochs from one evaluation to the next.
        eval_batch_size: Images of an evaluation's batch, each rank.
        seed: Of everything random.
    """

    backbone: Backbone = field(default_factory=Backbone)
    taps: tuple[str, ...] = ("pool",)
    rates: tuple[float, ...] = (0.01,)
    norm: Literal["yes", "no", "both", "published"] = "yes"
    epochs: int = 28
    batch_size: int = 256
    schedule: Schedule = field(
        default_factory=lambda: Schedule("steps", warmup_epochs=0, milestones=(8, 16, 24))
    )
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    augment: bool = True
    area: tuple[float, float] = (0.08, 1.0)
    evaluate_every: int = 1
    eval_batch_size: int = 200
    seed: int = 1


class Rows(NamedTuple):
    """Samples of a step: pixels to run the backbone on, or features it gave before."""

    pixels: Tensor | None
    features: list[Tensor]
    labels: Tensor
    indices: Tensor
    step: int


class _Probing(NamedTuple):
    """What a step needs beside the job's state, and never changes."""

    recipe: LinearRecipe
    frozen: Frozen
    model: nn.Module
    optimizer: torch.optim.Optimizer
    rates: Mapping[int, float]
    order: Order
    val: Opened
    kept: Table | None
    workers: int
    num_classes: int
    max_bad: float
    listing: Path | None


def prepare(recipe: LinearRecipe, run: Run, place: Place) -> Prepared:
    """Build what the engine needs: data, frozen backbone, heads, optimizer.

    Raises:
        RecipeError: If the recipe says something that cannot be run.
        ValueError: If data or weights cannot be used.
    """
    train, val, num_classes = open_labelled(run)
    order = Order(len(train.samples), _checked(recipe).batch_size, recipe.seed)
    order.part(0, rank=dist.rank(), world_size=dist.world_size())
    frozen = freeze(recipe.backbone, recipe.taps, place.device)
    norms = {"no": (False,), "both": (True, False)}.get(recipe.norm, (True,))
    choices = head_choices(
        [str(tap) for tap in frozen.taps],
        recipe.rates,
        norms,
        without_norm=(POOL,) if recipe.norm == "published" else (),
    )
    heads = ProbeHeads(choices, frozen.channels, frozen.places, num_classes).to(place.device)
    model = wrap(heads, "none" if place.parallel == "none" else "ddp")
    optimizer = torch.optim.SGD(
        head_groups(heads, weight_decay=recipe.weight_decay, scale=recipe.batch_size / 256),
        lr=recipe.rates[0],
        momentum=recipe.momentum,
        nesterov=recipe.nesterov and recipe.momentum > 0,
    )
    job = Job({"heads": heads}, {"optimizer": optimizer}, place.device)
    job.about = _about(recipe, frozen, train)
    batches = partial(_read_batches, recipe, run, place, train, order, frozen)
    kept = None
    if not recipe.augment:
        train_table = _kept(recipe, frozen, train, place)
        kept = _kept(recipe, frozen, val, place)
        order = Order(len(train_table.labels), recipe.batch_size, recipe.seed)
        batches = partial(_kept_batches, recipe, run, train, train_table, order)
    probing = _Probing(
        recipe, frozen, model, optimizer, base_rates(optimizer), order, val, kept,
        place.workers, num_classes, run.max_bad, quarantine_of(run) if place.lists else None,
    )  # fmt: skip
    every = order.steps_per_epoch * recipe.evaluate_every
    return Prepared(
        job,
        Cadence(
            total_steps=order.steps_per_epoch * recipe.epochs,
            log_every=run.log_every,
            evaluate_every=every,
            checkpoint_every=run.checkpoint_every or every,
            keep_last=run.keep_last,
            score="error",
        ),
        batches=batches,
        train_step=partial(train_step, probing),
        evaluate=partial(evaluate, probing),
        batch_facts=lambda rows: {"step": rows.step, "indices": rows.indices.tolist()},
        best="heads",
        notes=frozen.trunk.notes,
    )


def train_step(probing: _Probing, job: Job, rows: Rows) -> dict[str, Tensor]:
    """Take one step of every head that has not diverged.

    Returns:
        The mean of their losses in nats, the lowest of them, how many heads diverged, the
        gradient's norm and the factor of the learning rates.

    Raises:
        NonFiniteError: If all heads diverged.
    """
    recipe, optimizer = probing.recipe, probing.optimizer
    steps = probing.order.steps_per_epoch
    factor = rate_factor(recipe.schedule, job.step, steps_per_epoch=steps, epochs=recipe.epochs)
    set_rates_(optimizer, probing.rates, factor)
    features = rows.features
    if rows.pixels is not None:
        features = probing.frozen.features(rows.pixels)
    on_device = [each.to(job.device).float() for each in features]
    total, each = sum_of_losses(probing.model(on_device), rows.labels.to(job.device))
    total.backward()  # type: ignore[no-untyped-call]
    heads = job.modules["heads"]
    assert isinstance(heads, ProbeHeads)
    alive = torch.tensor(leave_diverged_(heads), device=job.device) & each.isfinite()
    finite = each[alive] if bool(alive.any()) else each
    norm = step_(optimizer, finite.sum())
    return {
        "loss": finite.mean(),
        "lowest_loss": finite.min(),
        "diverged": (~alive).sum().float(),
        "gradient_norm": norm,
        "lr_factor": torch.tensor(factor, device=norm.device),
    }


@torch.no_grad()
def evaluate(probing: _Probing, job: Job) -> dict[str, float]:
    """Return each head's error in percent on the test images, and the best head's as "error".

    The best is chosen by these very errors, as the published numbers are. A head that diverged is
    wrong about everything. Damaged images are left out, and their number said as "damaged".
    """
    heads = job.modules["heads"]
    assert isinstance(heads, ProbeHeads)
    heads.eval()
    ks = (1, 5) if probing.num_classes > 5 else (1,)
    counts = [TopK(ks) for _ in heads.choices]
    spoilt = torch.zeros(len(counts), dtype=torch.int64, device=job.device)
    damaged: list[BadSample] = []
    for features, labels in _test_features(probing, damaged):
        labels = labels.to(job.device)
        logits = heads([each.to(job.device).float() for each in features])
        for place, (count, scores) in enumerate(zip(counts, logits, strict=True)):
            count.add(scores.nan_to_num(nan=-torch.inf), labels)
            spoilt[place] += scores.isnan().any().long()
    heads.train()
    left_out = leave_out(
        damaged, len(probing.val.samples), probing.max_bad, probing.listing, job.step
    )
    nothing = dict.fromkeys((f"top{k}" for k in ks), 0.0)
    results = [
        nothing if bad else count.result()
        for count, bad in zip(counts, dist.all_reduce_sum(spoilt).tolist(), strict=True)
    ]
    best = max(range(len(results)), key=lambda i: results[i]["top1"])
    found = {"error": 100 * (1 - results[best]["top1"])}
    if len(ks) > 1:
        found["error_top5"] = 100 * (1 - results[best]["top5"])
    for choice, result in zip(heads.choices, results, strict=True):
        found[f"error of {choice}"] = 100 * (1 - result["top1"])
    return found | ({"damaged": left_out} if left_out else {})


def open_labelled(run: Run) -> tuple[Opened, Opened, int]:
    """Open what to learn from and what to test on, and return the number of classes.

    Raises:
        ValueError: If there are no labels, fewer than two classes, or fewer images than ranks.
    """
    if run.val:
        train = open_samples(run.data, split="train", labelled=True)
        val = open_samples(run.val, split="val" if find_splits(run.val) else None, labelled=True)
    else:
        train, val = open_train_and_val(run.data, labelled=True)
    classes = train.num_classes or 0
    if classes < 2:
        raise ValueError(f"need images of at least two classes, got {classes}: {run.data}")
    if (val.num_classes or 0) > classes:
        raise ValueError(
            f"need test images of the {classes} classes of {run.data}, got labels up to "
            f"{(val.num_classes or 0) - 1}"
        )
    if len(val.samples) < dist.world_size():
        raise ValueError(
            f"need a test image for each of {dist.world_size()} ranks, got {len(val.samples)}"
        )
    return train, val, classes


def _checked(recipe: LinearRecipe) -> LinearRecipe:
    if min(recipe.epochs, recipe.batch_size, recipe.evaluate_every, recipe.eval_batch_size) < 1:
        raise RecipeError(
            "need epochs, batch_size, evaluate_every and eval_batch_size of 1 or more, got "
            f"{recipe.epochs}, {recipe.batch_size}, {recipe.evaluate_every}, "
            f"{recipe.eval_batch_size}"
        )
    check_ranges(
        {
            **{f"rates[{i}]": Within(rate, 0) for i, rate in enumerate(recipe.rates)},
            "momentum": Within(recipe.momentum, 0, below=1),
            "weight_decay": Within(recipe.weight_decay, 0),
            "seed": Within(recipe.seed, 0),
        }
    )
    if recipe.augment and not 0 < recipe.area[0] <= recipe.area[1] <= 1:
        raise RecipeError(f"need an area that rises within 0..1, got {recipe.area}")
    check_schedule(recipe.schedule, recipe.epochs)
    return recipe


def _about(recipe: LinearRecipe, frozen: Frozen, train: Opened) -> dict[str, str]:
    """What the heads' file says of itself; a network cannot be built from it."""
    return {
        "probe": json.dumps([str(tap) for tap in frozen.taps]),
        "backbone": recipe.backbone.weights,
        "classes": json.dumps(train.classes),
    }


def _read_batches(
    recipe: LinearRecipe,
    run: Run,
    place: Place,
    train: Opened,
    order: Order,
    frozen: Frozen,
    start: int,
) -> Iterator[Rows]:
    """Augmented images, to run the backbone on."""
    view = TrainView(frozen.view.size_px, recipe.area)
    seen = start * recipe.batch_size // dist.world_size()
    loader = Loader(
        Examples(train.samples, view, seed=recipe.seed),
        order,
        start_step=start,
        stop_step=order.steps_per_epoch * recipe.epochs,
        rank=dist.rank(),
        world_size=dist.world_size(),
        num_workers=place.workers,
        quarantine=Quarantine(
            quarantine_of(run), budget=run.max_bad, start_step=start, num_seen=seen
        ),
    )
    batch: Batch
    for batch in loader:
        yield Rows(batch.images[0][0], [], batch.labels, batch.indices, batch.step)


def _kept_batches(
    recipe: LinearRecipe, run: Run, train: Opened, table: Table, order: Order, start: int
) -> Iterator[Rows]:
    """Rows of features that were taken before, of the images that could be read."""
    images = len(train.samples)
    leave_out(bad_samples(table.problems), images, run.max_bad, quarantine_of(run), step=0)
    for step in range(start, order.steps_per_epoch * recipe.epochs):
        _, places = order.part(step, rank=dist.rank(), world_size=dist.world_size())
        rows = torch.from_numpy(places)
        features = [each[rows] for each in table.features]
        yield Rows(None, features, table.labels[rows], table.indices[rows], step)


def _kept(recipe: LinearRecipe, frozen: Frozen, data: Opened, place: Place) -> Table:
    """Features of all images, on every rank: each takes its share, and all share them."""
    table = collect(_features_of(frozen, data, recipe.eval_batch_size, place.workers))
    return Table(
        [dist.all_gather_rows(each) for each in table.features],
        dist.all_gather_rows(table.labels),
        dist.all_gather_rows(table.indices),
        table.problems,
    )


def _features_of(frozen: Frozen, data: Opened, batch_size: int, workers: int) -> Iterator[Part]:
    return extract(
        frozen.network,
        data.samples,
        frozen.view,
        rank_part(len(data.samples)),
        device=frozen.device,
        batch_size=batch_size,
        num_workers=workers,
        mean=frozen.mean,
        std=frozen.std,
    )


def _test_features(
    probing: _Probing, damaged: list[BadSample]
) -> Iterator[tuple[list[Tensor], Tensor]]:
    """Features and labels of this rank's test images, batch by batch; adds the damaged ones."""
    size, kept = probing.recipe.eval_batch_size, probing.kept
    if kept is not None:
        damaged += bad_samples(kept.problems)
        mine = rank_part(len(kept.labels))
        for first in range(mine.start, mine.stop, size):
            rows = slice(first, min(first + size, mine.stop))
            yield [each[rows] for each in kept.features], kept.labels[rows]
        return
    for part in _features_of(probing.frozen, probing.val, size, probing.workers):
        damaged += bad_samples(part.rows)
        labels = torch.tensor([row.label for row in part.rows if not row.problem])
        if len(labels):
            yield part.features, labels


def bad_samples(rows: Sequence[Row]) -> list[BadSample]:
    """Return those of some samples that could not be read."""
    return [BadSample(row.index, row.name, row.problem) for row in rows if row.problem]
