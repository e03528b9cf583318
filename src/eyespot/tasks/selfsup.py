"""Self-supervised pretraining: SwAV and SEER, SimCLR, MoCo v2, BYOL and DeepCluster-v2.

Papers: arXiv 2006.09882, 2103.01988, 2002.05709, 2003.04297, 2006.07733. Each method's step is in
`tasks.methods`; here is what they share. Shapes: B samples of this rank, V views.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import ModuleType
from typing import Literal

import torch
from torch import Tensor, nn

from eyespot import dist
from eyespot.data.loader import Batch
from eyespot.data.multicrop import PRESETS, Crops
from eyespot.data.normalize import IMAGENET_MEAN, IMAGENET_STD
from eyespot.data.open import Opened
from eyespot.data.sampling import Order
from eyespot.design.by_name import to_spec
from eyespot.design.spec_files import spec_to_dict
from eyespot.design.specs import AnyNetSpec, ViTSpec
from eyespot.design.training import Groups
from eyespot.errors import RecipeError
from eyespot.models.multicrop_net import Passes
from eyespot.models.speed import SpeedSettings, to_layout
from eyespot.optim.plateau import Plateau
from eyespot.tasks.health import advice
from eyespot.tasks.methods import byol, deepcluster, moco, simclr, swav
from eyespot.tasks.methods.byol import BYOL
from eyespot.tasks.methods.deepcluster import DeepCluster
from eyespot.tasks.methods.moco import MoCo
from eyespot.tasks.methods.simclr import SimCLR
from eyespot.tasks.methods.swav import SwAV
from eyespot.tasks.methods.training import Sizes, Training
from eyespot.tasks.optimization import (
    OptimizerSettings,
    Schedule,
    base_rates,
    make_optimizer,
    rate_factor,
    set_rates_,
)
from eyespot.tasks.pretrain_networks import (
    Build,
    build_network,
    build_target,
    load_pretrained_,
    share_statistics_,
    speed_of,
)
from eyespot.tasks.recomputing import groups_here, recompute_note
from eyespot.tasks.run import Place, Prepared, Run
from eyespot.tasks.selfsup_evaluation import evaluate, too_few
from eyespot.tasks.selfsup_plan import plan_facts
from eyespot.tasks.selfsup_ranges import check_numbers, check_probe
from eyespot.tasks.unlabelled import (
    Contents,
    Pictures,
    make_examples,
    open_labelled,
    open_unlabelled,
)
from eyespot.train.job import Job
from eyespot.train.loop import Cadence
from eyespot.train.loss_scale import LossScale
from eyespot.train.sharding import wrap
from eyespot.weights.trunk import Found, find_weights

_METHODS: dict[type, ModuleType] = {
    SwAV: swav,
    SimCLR: simclr,
    MoCo: moco,
    BYOL: byol,
    DeepCluster: deepcluster,
}
_AVERAGED = (MoCo, BYOL)


@dataclass(frozen=True, slots=True)
class Probe:
    """How features are looked at while training: neighbours among labelled images.

    Attributes:
        images: How many labelled images, at most.
        resize_px: What their shorter side is resized to.
        size_px: Side of their middle, which is looked at.
        neighbours: How many vote.
        batch_size: Images at a time, each rank.
    """

    images: int = 10000
    resize_px: int = 256
    size_px: int = 224
    neighbours: int = 20
    batch_size: int = 200


@dataclass(frozen=True, slots=True)
class SelfSupRecipe:
    """All numbers of a self-supervised training.

    Attributes:
        method: Which, and its numbers.
        model: The backbone: a name (`eyespot models`) or a spec file.
        zero_init: Start the last norm of each residual branch at gain 0 (VISSL's MoCo).
        crops: Views of an image, those with codes first. `--crops NAME` takes published ones
            (`data.multicrop.PRESETS`).
        epochs: Passes over the data; 1 for data that is seen once.
        steps: Steps after which the run ends; 0 for the end of the epochs.
        batch_size: Images of a step, all ranks together.
        accumulate: Parts in which each rank works a step off, to save memory; codes and negatives
            come from a part alone.
        window: Neighbouring samples that are mixed, for slow storage; 0 mixes all.
        optimizer: Which, and its numbers.
        schedule: Of the learning rate.
        passes: How the backbone goes through the views (see `MultiCropNet`).
        sync_bn: Batch statistics over several ranks.
        sync_bn_ranks: How many neighbouring ranks share them; 0 for all.
        precision: "auto" is the default for the device; "float16" is for GPUs without
            bfloat16, and scales the loss (`train.loss_scale`).
        compile: Whether torch.compile fuses the backbone's operations.
        recompute: Activations that are computed again for the gradient instead of kept: "none";
            "blocks", those inside every block; of groups of blocks that end where this says, stage
            by stage, such as "2/7/9,17/" (SEER's 10 billion); or of as few blocks as a step that
            needs so much on a device takes by prediction, such as "30GB".
        draft: Decode large JPEGs at a part of their size where no crop needs more.
        colours: Where colours are changed and views blurred: by the "loader", picture by picture,
            or by the "device", in batches, with the same draws and up to rounding the same
            result; for machines whose GPUs wait for their loaders.
        mean: Of each channel, in 0..1.
        std: Of each channel, in 0..1.
        start_from: An earlier pretraining to begin with: a file, a run's folder or a name of
            `eyespot weights list`; "" for none.
        start_head: Whether its projector and prototypes are taken too.
        probe: How features are looked at.
        evaluate_every: Steps from one look to the next; 0 for an epoch.
        seed: Of everything random.
    """

    method: SwAV | SimCLR | MoCo | BYOL | DeepCluster = field(default_factory=SwAV)
    model: str = "ResNet-50"
    zero_init: bool = False
    crops: tuple[Crops, ...] = PRESETS["swav"]
    epochs: int = 100
    steps: int = 0
    batch_size: int = 4096
    accumulate: int = 1
    window: int = 0
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    schedule: Schedule = field(default_factory=Schedule)
    passes: Passes = "sizes"
    sync_bn: bool = True
    sync_bn_ranks: int = 0
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    compile: bool = False
    recompute: str = "none"
    draft: bool = True
    colours: Literal["loader", "device"] = "loader"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    start_from: str = ""
    start_head: bool = False
    probe: Probe = field(default_factory=Probe)
    evaluate_every: int = 0
    seed: int = 1


def prepare(recipe: SelfSupRecipe, run: Run, place: Place) -> Prepared:
    """Build what the engine needs: data, networks, optimizer, and the functions below.

    Raises:
        RecipeError: If the recipe says something that cannot be run.
        ValueError: If the data cannot be used.
    """
    data = open_unlabelled(run.data)
    sizes = sizes_of(recipe, len(data.samples), place.device)
    labelled = open_labelled(run.data, run.val)
    if labelled:
        check_probe(recipe.probe, labelled)
    pictures = _pictures(recipe, run, place, data)
    build = _build(recipe, place)
    start = find_weights(recipe.start_from) if recipe.start_from else None
    training = _training(recipe, build, sizes, place, pictures, start)
    method = _METHODS[type(recipe.method)]
    modules: dict[str, nn.Module] = {"model": training.network}
    if isinstance(recipe.method, _AVERAGED):
        modules["target"] = _target(build, training, place)
    if training.scale is not None:
        modules["loss_scale"] = training.scale
    if recipe.schedule.shape == "plateau":
        plateau = Plateau(recipe.schedule.plateau_steps, recipe.schedule.drop)
        modules["plateau"] = plateau.to(place.device)
    modules |= method.make_state(training)
    modules["contents"] = pictures.contents
    job = Job(modules, {"optimizer": training.optimizer}, place.device)
    job.about = _about(recipe, build)
    step = partial(train_step, recipe, training, pictures, base_rates(training.optimizer))
    every = recipe.evaluate_every or sizes.steps_per_epoch
    return Prepared(
        job,
        Cadence(
            total_steps=sizes.total_steps,
            log_every=run.log_every,
            evaluate_every=every,
            checkpoint_every=run.checkpoint_every or every,
            keep_last=run.keep_last,
            score="knn_error",
        ),
        batches=partial(pictures.batches, sizes.total_steps),
        train_step=step,
        evaluate=partial(evaluate, recipe, training, labelled, place) if labelled else None,
        batch_facts=lambda batch: {"step": batch.step, "indices": batch.indices.tolist()},
        best="model",
        advise=partial(_advise, recipe, sizes),
        notes=(
            *_notes(recipe, sizes, data, labelled),
            *recompute_note(recipe.recompute, build.groups),
            *(start.notes if start else ()),
        ),
    )


def train_step(
    recipe: SelfSupRecipe,
    training: Training,
    pictures: Pictures,
    rates: Mapping[int, float],
    job: Job,
    batch: Batch,
) -> dict[str, Tensor]:
    """Take one step of the recipe's method.

    Returns:
        The loss, the gradient's norm, the learning rate, and the method's measures of health.
    """
    plateau = job.modules.get("plateau")
    factor = _rate(recipe, training.sizes, job.step)
    if isinstance(plateau, Plateau):
        factor *= plateau.factor.item()
    set_rates_(training.optimizer, rates, factor)
    views = [_laid_out(of_size, training.speed) for of_size in pictures.to_views(batch, job.device)]
    values: dict[str, Tensor] = _METHODS[type(recipe.method)].step(
        training, job, views, batch.indices
    )
    if dist.world_size() > 1 and (recipe.sync_bn_ranks or not recipe.sync_bn):
        share_statistics_(training.network)
    warm = recipe.schedule.warmup_epochs * training.sizes.steps_per_epoch
    if isinstance(plateau, Plateau) and job.step >= round(warm):
        plateau.add_(dist.all_reduce_mean(values["loss"]))
    if training.scale is not None:
        values["loss_scale"] = training.scale.scale.clone()
    rate = torch.tensor(training.optimizer.param_groups[0]["lr"], device=job.device)
    return {**values, "lr": rate}


def _rate(recipe: SelfSupRecipe, sizes: Sizes, step: int) -> float:
    """The learning rate's factor at a step."""
    epochs = sizes.total_steps / sizes.steps_per_epoch
    return rate_factor(recipe.schedule, step, steps_per_epoch=sizes.steps_per_epoch, epochs=epochs)


def _laid_out(views: Tensor, speed: SpeedSettings) -> Tensor:
    """Return views [v, B, 3, h, w] in the memory layout of the settings."""
    return to_layout(views.flatten(0, 1), speed).view(views.shape)


def sizes_of(recipe: SelfSupRecipe, num_samples: int, device: torch.device) -> Sizes:
    """Return a recipe's numbers for a set of so many samples.

    Raises:
        RecipeError: If the recipe says something that cannot be run.
    """
    if (
        min(recipe.epochs, recipe.batch_size, recipe.accumulate) < 1
        or min(recipe.steps, recipe.window, recipe.evaluate_every) < 0
    ):
        raise RecipeError(
            "need epochs, batch_size and accumulate of 1 or more and steps, window and "
            f"evaluate_every of 0 or more, got {recipe.epochs}, {recipe.batch_size}, "
            f"{recipe.accumulate}, {recipe.steps}, {recipe.window}, {recipe.evaluate_every}"
        )
    check_numbers(recipe)
    if recipe.batch_size % (recipe.accumulate * dist.world_size()):
        raise RecipeError(
            f"need a batch_size that {dist.world_size()} ranks and {recipe.accumulate} parts "
            f"share evenly, got {recipe.batch_size}"
        )
    if recipe.batch_size > num_samples:
        raise RecipeError(
            f"need a batch_size of at most the {num_samples} images there are, got "
            f"{recipe.batch_size}"
        )
    per_epoch = num_samples // recipe.batch_size
    sizes = Sizes(
        num_views=sum(kind.count for kind in recipe.crops),
        num_samples=num_samples,
        batch_size=recipe.batch_size,
        accumulate=recipe.accumulate,
        steps_per_epoch=per_epoch,
        total_steps=recipe.steps or recipe.epochs * per_epoch,
        seed=recipe.seed,
        device=device,
    )
    _METHODS[type(recipe.method)].check(recipe.method, sizes)
    return sizes


def _pictures(recipe: SelfSupRecipe, run: Run, place: Place, data: Opened) -> Pictures:
    count = len(data.samples)
    return Pictures(
        make_examples(
            data,
            recipe.crops,
            seed=recipe.seed,
            draft=recipe.draft,
            late_colours=recipe.colours == "device",
        ),
        Order(count, recipe.batch_size, recipe.seed, window=recipe.window or None),
        recipe.mean,
        recipe.std,
        Contents(data, place.device),
        place.workers,
        run.out / f"quarantine{f'-{dist.rank()}' if dist.rank() else ''}.jsonl",
        run.max_bad,
    )


def _training(
    recipe: SelfSupRecipe,
    build: Build,
    sizes: Sizes,
    place: Place,
    pictures: Pictures,
    start: Found | None,
) -> Training:
    """The trained network on its device, wrapped or sharded, and its optimizer."""
    network = build_network(build, place)
    if start is not None:
        load_pretrained_(network, start.path, head=recipe.start_head)
    model = network if place.parallel == "fsdp" else wrap(network, place.parallel)
    optimizer = make_optimizer(network, recipe.optimizer, recipe.batch_size)
    return Training(
        recipe.method,
        sizes,
        network,
        model,
        optimizer,
        build.speed,
        recipe.optimizer.clip,
        partial(pictures.first_views, place.device),
        LossScale().to(place.device) if build.speed.dtype == torch.float16 else None,
    )


def _build(recipe: SelfSupRecipe, place: Place) -> Build:
    largest = max(kind.size_px for kind in recipe.crops)
    known = to_spec(recipe.model)
    if recipe.passes == "padded" and isinstance(known, ViTSpec):
        raise RecipeError('need a convolutional model for passes "padded", got a ViT')
    if recipe.zero_init:
        if not isinstance(known, AnyNetSpec):
            raise RecipeError(f"need a RegNet or ResNet for zero_init, got {recipe.model}")
        known = replace(known, zero_init_residual=True)
    spec = replace(known, num_classes=0, image_size=largest)
    speed = speed_of(recipe.precision, recipe.compile, spec, place)
    return Build(
        spec,
        partial(_METHODS[type(recipe.method)].make_head, recipe.method),
        recipe.passes,
        recipe.sync_bn,
        recipe.sync_bn_ranks,
        _groups(recipe, place, speed.dtype),
        speed,
        recipe.seed,
    )


def _groups(recipe: SelfSupRecipe, place: Place, dtype: torch.dtype) -> Groups:
    if recipe.recompute == "none":
        return ()
    part = replace(recipe, batch_size=recipe.batch_size // recipe.accumulate, accumulate=1)
    return groups_here(plan_facts(part), place.parallel, dtype)


def _target(build: Build, training: Training, place: Place) -> nn.Module:
    """The averaged network; BYOL's has no predictor."""
    if isinstance(training.method, BYOL):
        build = replace(build, make_head=partial(byol.make_target_head, training.method))
    return build_target(build, place, training.network)


def _about(recipe: SelfSupRecipe, build: Build) -> dict[str, str]:
    """What the weights say of themselves: probes then look at images as this run did."""
    probe = recipe.probe
    pictures = {
        "size_px": probe.size_px,
        "test_resize_px": max(probe.resize_px, probe.size_px),
        "mean": recipe.mean,
        "std": recipe.std,
    }
    return {
        "spec": json.dumps(spec_to_dict(build.spec)),
        "method": recipe.method.name,
        "pictures": json.dumps(pictures),
    }


def _notes(
    recipe: SelfSupRecipe, sizes: Sizes, data: Opened, labelled: Opened | None
) -> tuple[str, ...]:
    views = " + ".join(f"{kind.count}x{kind.size_px}" for kind in recipe.crops)
    looks = labelled.description if labelled else "nothing, for want of labelled images"
    few = too_few(recipe, labelled)
    return (
        f"{recipe.method.name}: {recipe.model}, {views} px, {sizes.total_steps:,} steps of "
        f"{recipe.batch_size} images",
        f"trains on {data.description}",
        f"looks at its features with {looks}",
        *((few,) if few else ()),
    )


def _advise(
    recipe: SelfSupRecipe, sizes: Sizes, step: int, means: Mapping[str, float]
) -> list[str]:
    method = recipe.method
    frozen = method.freeze_steps if isinstance(method, SwAV) else 0
    return advice(
        means,
        step=step,
        chance_loss=_METHODS[type(method)].chance_loss(method, sizes),
        settled=frozen + max(200, sizes.total_steps // 20),
        width=method.out_dim,
    )
