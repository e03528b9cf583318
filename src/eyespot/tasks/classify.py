"""Supervised classification: the recipes of pycls, of *Early Convolutions* and of FAMS.

Papers: arXiv 2106.14881, section 4 and appendix; 2103.06877, appendix; 2003.13678, section 4.
Shapes: B samples, h, w of a view.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from eyespot import dist
from eyespot.data.loader import NO_LABEL, Batch
from eyespot.data.open import Opened
from eyespot.data.quarantine import BadSample
from eyespot.design.spec_files import spec_to_dict
from eyespot.design.specs import Spec
from eyespot.errors import RecipeError
from eyespot.losses.classify import block_partners, mix, smooth_one_hot, soft_cross_entropy
from eyespot.models.speed import SpeedSettings, autocast, describe, to_layout
from eyespot.optim.ema import pycls_alpha, update_ema_
from eyespot.tasks.classify_networks import (
    but_for_shards,
    find_start,
    networks_of,
    recomputed_groups,
    speed_of,
)
from eyespot.tasks.kept_spec import spec_of
from eyespot.tasks.labelled import FewLabels, LabelledData, open_labelled
from eyespot.tasks.optimization import (
    OptimizerSettings,
    Schedule,
    base_rates,
    make_optimizer,
    rate_factor,
    scale_head_rate_,
    set_rates_,
)
from eyespot.tasks.pictures import Pictures, to_network
from eyespot.tasks.ranges import (
    Within,
    check_optimizer,
    check_pictures,
    check_ranges,
    check_schedule,
)
from eyespot.tasks.recomputing import recompute_note
from eyespot.tasks.run import Place, Prepared, Run
from eyespot.train.job import Job
from eyespot.train.loop import Cadence
from eyespot.train.precise_bn import update_precise_bn_
from eyespot.train.sharding import wrap
from eyespot.train.update import backward_all, step_

_MIXING = 0x6D6978  # sets the mixing draws apart from all others of a seed


@dataclass(frozen=True, slots=True)
class Average:
    """An average of the weights over training, which is evaluated too.

    Attributes:
        form: "pycls" is the reference's (see `pycls_alpha`), "plain" keeps `decay` of itself
            every step, less at the start; "none" for no average.
        alpha: Of "pycls".
        period: Steps from one update to the next, of "pycls".
        decay: Of "plain".
    """

    form: Literal["none", "pycls", "plain"] = "none"
    alpha: float = 1e-5
    period: int = 32
    decay: float = 0.9999


@dataclass(frozen=True, slots=True)
class ClassifyRecipe:
    """All numbers of a supervised training.

    Attributes:
        model: A name (`eyespot models`) or a spec file.
        num_classes: Outputs; 0 for as many as the data has.
        train_images: Train on so many only, the same ones on every machine; 0 for all.
        labels: Which of them keep their labels; the others are left out.
        epochs: Passes over the training data.
        batch_size: Images of a step, all ranks together.
        accumulate: Parts in which each rank works a step off, to save memory.
        optimizer: Which, and its numbers.
        schedule: Of the learning rate.
        pictures: What happens to an image.
        label_smoothing: In 0..1.
        mixup: Alpha of mixup; 0 for none. With CutMix, a coin picks one for each batch.
        cutmix: Alpha of CutMix; 0 for none.
        average: Of the weights.
        precise_bn: Images whose batch statistics replace the running ones before each
            evaluation; 0 for none.
        sync_bn: Batch statistics over all ranks.
        precision: "auto" is the default for the device, and said.
        compile: Whether torch.compile fuses operations; "auto" as the device's default.
        recompute: Activations that are computed again for the gradient instead of kept: "none";
            "blocks", those inside every block; of groups of blocks that end where this says, stage
            by stage, such as "2/7/9,17/" (SEER's 10 billion); or of as few blocks as a step that
            needs so much on a device takes by prediction, such as "30GB".
        start_from: Weights to begin with (fine-tuning): a file, a run's folder or a name of
            `eyespot weights list`; "" for new ones.
        start_head: Whether its classifier is taken too.
        keep_projection: Put the first layer of its pretraining head before the
            classifier (SimCLRv2 and SEER do, for few labels).
        head_rate: Learning rate of what follows the backbone, times that of the others.
        evaluate_every: Epochs from one evaluation to the next.
        eval_batch_size: Images of an evaluation's batch, each rank.
        seed: Of everything random.
    """

    model: str = "RegNetY-400MF"
    num_classes: int = 0
    train_images: int = 0
    labels: FewLabels = field(default_factory=FewLabels)
    epochs: int = 100
    batch_size: int = 1024
    accumulate: int = 1
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    schedule: Schedule = field(default_factory=Schedule)
    pictures: Pictures = field(default_factory=Pictures)
    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    average: Average = field(default_factory=Average)
    precise_bn: int = 8192
    sync_bn: bool = False
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    recompute: str = "none"
    start_from: str = ""
    start_head: bool = False
    keep_projection: bool = False
    head_rate: float = 1.0
    evaluate_every: int = 1
    eval_batch_size: int = 200
    seed: int = 1


def prepare(recipe: ClassifyRecipe, run: Run, place: Place) -> Prepared:
    """Build what the engine needs: data, network, optimizer, and the three functions below.

    Raises:
        RecipeError: If the recipe says something that cannot be run.
        ValueError: If the data cannot be used.
    """
    _check(recipe)
    train, val = open_labelled(run, recipe.train_images, recipe.labels)
    num_classes = recipe.num_classes or train.num_classes or 0
    if num_classes < max(train.num_classes or 0, val.num_classes or 0, 1):
        raise RecipeError(
            f"need num_classes of {max(train.num_classes or 0, val.num_classes or 0)} or more "
            f"for {train.description} and {val.description}, got {num_classes}"
        )
    spec = spec_of(recipe.model, run.out)
    speed = speed_of(recipe, spec, place)
    groups = recomputed_groups(recipe, spec, num_classes, place, speed.dtype)
    start = find_start(recipe, run.out)
    network, average = networks_of(recipe, spec, num_classes, speed, groups, run.out, place, start)
    model = wrap(network, place.parallel, compute_dtype=speed.dtype)
    optimizer = make_optimizer(network, recipe.optimizer, recipe.batch_size)
    scale_head_rate_(optimizer, network.get_classifier(), recipe.head_rate)  # type: ignore[operator]
    data = LabelledData.of(
        train,
        val,
        recipe.pictures,
        run,
        place,
        batch_size=recipe.batch_size,
        eval_batch_size=recipe.eval_batch_size,
        seed=recipe.seed,
    )
    modules = {"model": network} if average is None else {"model": network, "average": average}
    job = Job(modules, {"optimizer": optimizer}, place.device)
    job.about = _about(spec, num_classes, recipe, train)
    training = _Training(recipe, model, optimizer, base_rates(optimizer), data, speed, num_classes)
    steps = data.order.steps_per_epoch * recipe.epochs
    every = data.order.steps_per_epoch * recipe.evaluate_every
    return Prepared(
        job,
        Cadence(
            total_steps=steps,
            log_every=run.log_every,
            evaluate_every=every,
            checkpoint_every=run.checkpoint_every or every,
            keep_last=run.keep_last,
            score="error" if average is None else "average_error",
        ),
        batches=lambda step: data.batches(step, steps),
        train_step=partial(train_step, training),
        evaluate=partial(evaluate, training),
        batch_facts=lambda batch: {"step": batch.step, "indices": batch.indices.tolist()},
        best="model" if average is None else "average",
        notes=(
            f"train on {train.description}; evaluate on {val.description}",
            f"{recipe.model}, {num_classes} classes, on {place.device} in {describe(speed)}"
            + (" (default here)" if recipe.precision == recipe.compile == "auto" else "")
            + but_for_shards(speed, place),
            *recompute_note(recipe.recompute, groups),
            *(start.notes if start else ()),
        ),
        data={"images": len(train.samples), "classes": train.num_classes or 0},
    )


class _Training(NamedTuple):
    """What a step needs beside the job's state, and never changes."""

    recipe: ClassifyRecipe
    model: nn.Module
    optimizer: torch.optim.Optimizer
    rates: Mapping[int, float]
    data: LabelledData
    speed: SpeedSettings
    num_classes: int


def train_step(training: _Training, job: Job, batch: Batch) -> dict[str, Tensor]:
    """Take one step: augment, mix, predict, descend, average.

    Returns:
        The loss in nats, the share of wrong answers in percent (against the strongest class of a
        mixed target), the gradient's norm, and the learning rate.
    """
    recipe, optimizer, data = training.recipe, training.optimizer, training.data
    factor = rate_factor(
        recipe.schedule,
        job.step,
        steps_per_epoch=data.order.steps_per_epoch,
        epochs=recipe.epochs,
    )
    set_rates_(optimizer, training.rates, factor)
    wrong: list[Tensor] = []

    def loss_of(part: tuple[Tensor, Tensor]) -> Tensor:
        images, targets = _mixed(training, job.step, *part)
        with autocast(job.device, training.speed):
            logits = training.model(to_layout(images, training.speed))
            loss = soft_cross_entropy(logits, targets)
        wrong.append((logits.argmax(1) != targets.argmax(1)).float().mean())
        return loss

    images = to_network(batch, recipe.pictures, job.device)
    labels = batch.labels.to(job.device)
    parts = list(zip(images.chunk(recipe.accumulate), labels.chunk(recipe.accumulate), strict=True))
    loss = backward_all(parts, loss_of, model=training.model)
    norm = step_(optimizer, loss, clip=recipe.optimizer.clip)
    _update_average_(training, job)
    rate = torch.tensor(optimizer.param_groups[0]["lr"], device=loss.device)
    error = 100 * torch.stack(wrong).mean()
    return {"loss": loss, "error": error, "gradient_norm": norm, "lr": rate}


def _mixed(training: _Training, step: int, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Smoothed and mixed; chances depend on the seed and the step alone."""
    recipe = training.recipe
    targets = smooth_one_hot(labels, training.num_classes, smoothing=recipe.label_smoothing)
    if not (recipe.mixup or recipe.cutmix):
        return images, targets
    generator = np.random.default_rng((recipe.seed, step, _MIXING))
    partners = block_partners(len(images), generator, batch_size=recipe.batch_size)
    mixed = mix(
        images,
        targets,
        mixup_alpha=recipe.mixup,
        cutmix_alpha=recipe.cutmix,
        generator=generator,
        partners=partners.to(images.device),
    )
    return mixed.images, mixed.targets


def _update_average_(training: _Training, job: Job) -> None:
    """Move the average, after step job.step (counted from 0)."""
    recipe, steps = training.recipe, training.data.order.steps_per_epoch
    rule = recipe.average
    if rule.form == "none":
        return
    epoch, place = divmod(job.step, steps)
    if rule.form == "plain":
        share = 1 - min(rule.decay, (1 + job.step) / (10 + job.step))
    elif place % rule.period:
        return
    elif epoch < recipe.schedule.warmup_epochs:
        share = 1.0
    else:
        share = pycls_alpha(
            rule.alpha, batch_size=recipe.batch_size, epochs=recipe.epochs, period=rule.period
        )
    update_ema_(job.modules["average"], job.modules["model"], share)


def evaluate(training: _Training, job: Job) -> dict[str, float]:
    """Return errors in percent and the loss on the test images, of the model and its average."""
    found: dict[str, float] = {}
    for name, network in job.modules.items():
        prefix = "" if name == "model" else f"{name}_"
        if training.recipe.precise_bn:
            update_precise_bn_(network, _statistics_batches(training, job))
        for key, value in _test(training, network, job).items():
            found[prefix + key] = value
    return found


def _statistics_batches(training: _Training, job: Job) -> Iterator[Tensor]:
    """Training images of the epoch just done, for precise batch norm."""
    recipe, order = training.recipe, training.data.order
    count = min(max(1, recipe.precise_bn // recipe.batch_size), order.steps_per_epoch)
    first = max(0, job.step - 1) // order.steps_per_epoch * order.steps_per_epoch
    for batch in training.data.train_loader(first, first + count):
        images = to_network(batch, recipe.pictures, job.device)
        for part in images.chunk(recipe.accumulate):
            with autocast(job.device, training.speed):
                yield to_layout(part, training.speed)


@torch.no_grad()
def _test(training: _Training, network: nn.Module, job: Job) -> dict[str, float]:
    """The network's errors on the test images, each counted once whatever the number of ranks.

    Damaged ones are left out, and their number said as "damaged".
    """
    network.eval()
    device = job.device
    sums = torch.zeros(4, dtype=torch.float64, device=device)  # images, wrong, wrong of 5, loss
    damaged: list[BadSample] = []
    for batch in training.data.test_loader():
        damaged += batch.bad
        images = to_network(batch, training.data.test_pictures, device)
        labels = batch.labels.to(device)
        with autocast(device, training.speed):
            logits = network(to_layout(images, training.speed)).float()
        counted = labels != NO_LABEL
        top = logits.topk(min(5, training.num_classes)).indices == labels[:, None]  # [B, 5]
        top |= ~counted[:, None]
        loss = nn.functional.cross_entropy(logits, labels, reduction="sum", ignore_index=NO_LABEL)
        wrong = (~top[:, 0]).sum(), (~top.any(1)).sum()
        sums += torch.stack([counted.sum(), *wrong, loss]).double()
    network.train()
    left_out = training.data.leave_out(damaged, job.step)
    images_seen, wrong_1, wrong_5, loss = dist.all_reduce_sum(sums).tolist()
    found = {"error": 100 * wrong_1 / images_seen, "test_loss": loss / images_seen}
    found |= {"error_top5": 100 * wrong_5 / images_seen} if training.num_classes > 5 else {}
    return found | ({"damaged": left_out} if left_out else {})


def _about(spec: Spec, num_classes: int, recipe: ClassifyRecipe, data: Opened) -> dict[str, str]:
    pictures = recipe.pictures
    return {
        "spec": json.dumps(spec_to_dict(replace(spec, num_classes=num_classes))),
        "classes": json.dumps(data.classes),
        "pictures": json.dumps(asdict(pictures)),
    }


def _check(recipe: ClassifyRecipe) -> None:
    if recipe.keep_projection and (not recipe.start_from or recipe.start_head):
        raise RecipeError(
            "need the weights of a pretraining (start_from) and a new classifier to keep its "
            f"projection, got start_from={recipe.start_from!r} and start_head={recipe.start_head}"
        )
    if min(recipe.epochs, recipe.batch_size, recipe.accumulate, recipe.evaluate_every) < 1:
        raise RecipeError(
            "need epochs, batch_size, accumulate and evaluate_every of 1 or more, got "
            f"{recipe.epochs}, {recipe.batch_size}, {recipe.accumulate}, {recipe.evaluate_every}"
        )
    if recipe.batch_size % (recipe.accumulate * dist.world_size()):
        raise RecipeError(
            f"need a batch_size that {dist.world_size()} ranks and {recipe.accumulate} parts "
            f"share evenly, got {recipe.batch_size}"
        )
    check_ranges(
        {
            "label_smoothing": Within(recipe.label_smoothing, 0, below=1),
            "mixup": Within(recipe.mixup, 0),
            "cutmix": Within(recipe.cutmix, 0),
            "average.alpha": Within(recipe.average.alpha, 0, 1),
            "average.period": Within(recipe.average.period, 1),
            "average.decay": Within(recipe.average.decay, 0, 1),
            "precise_bn": Within(recipe.precise_bn, 0),
            "eval_batch_size": Within(recipe.eval_batch_size, 1),
            "labels.share": Within(recipe.labels.share, 0, 1),
            "labels.seed": Within(recipe.labels.seed, 0),
            "head_rate": Within(recipe.head_rate, 0),
            "num_classes": Within(recipe.num_classes, 0),
            "train_images": Within(recipe.train_images, 0),
            "seed": Within(recipe.seed, 0),
        }
    )
    check_optimizer(recipe.optimizer)
    check_schedule(recipe.schedule, recipe.epochs)
    check_pictures(recipe.pictures)
