"""The optimizer and schedule part that every recipe has, and what it makes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import SGD, AdamW, Optimizer

from eyespot.errors import RecipeError
from eyespot.optim import schedules
from eyespot.optim.groups import groups_by_module
from eyespot.optim.larc import LARC


@dataclass(frozen=True, slots=True)
class OptimizerSettings:
    """Which optimizer, and what it decays.

    Attributes:
        name: SGD with Nesterov momentum, AdamW, or SGD behind LARC.
        lr: Highest learning rate.
        lr_batch: The batch size it is meant for; the rate grows with the batch. 0: for any.
        weight_decay: Of weights (for AdamW decoupled, times the rate).
        norm_decay: Of gains and biases of norms.
        layer_norm_decay: Of those of layer norms, if it is another.
        bias_decay: Of all other biases.
        momentum: Of SGD and LARC.
        nesterov: Nesterov's form of it (SGD alone).
        betas: Of AdamW.
        clip: Greatest norm of the gradient; 0 for no clipping.
        adapt_all: LARC alone: norms and biases are scaled as all others are (SwAV, SEER); BYOL
            leaves them to plain SGD.
    """

    name: Literal["sgd", "adamw", "larc"] = "sgd"
    lr: float = 0.1
    lr_batch: int = 0
    weight_decay: float = 5e-5
    norm_decay: float = 0.0
    layer_norm_decay: float | None = None
    bias_decay: float = 0.0
    momentum: float = 0.9
    nesterov: bool = True
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = 0.0
    adapt_all: bool = True


@dataclass(frozen=True, slots=True)
class Schedule:
    """How the learning rate moves.

    Attributes:
        shape: Of the decay. "swav" warms up and then runs a cosine
            of its own (`swav_rate`); "vissl" lets the cosine count from step 0 (`vissl_rate`); both
            per step. "restarts" is a cosine in waves. "plateau", in pretraining and per step, stays
            at the highest rate and drops when the loss stops improving.
        warmup_epochs: Of a straight line up to the highest rate.
        warmup_start: Its first factor.
        final: Last factor of the decay (for an exponential its base).
        milestones: Epochs at which "steps" drops.
        drop: By what "steps" and "plateau" drop.
        plateau_steps: Steps whose mean loss "plateau" compares with the lowest before.
        wave: Of "restarts": "half" falls and jumps up again, "full" falls and rises.
        wave_share: Of the run that a wave lasts.
        wave_peaks: Factor from each peak to the next; 0 for peaks on one cosine over all the run.
        per: How often the rate changes: every step, or at the start of every epoch (pycls).
    """

    shape: Literal[
        "cosine", "linear", "exponential", "steps", "swav", "vissl", "restarts", "plateau"
    ] = "cosine"
    warmup_epochs: float = 5.0
    warmup_start: float = 0.1
    final: float = 0.0
    milestones: tuple[float, ...] = ()
    drop: float = 0.1
    plateau_steps: int = 5000
    wave: Literal["half", "full"] = "half"
    wave_share: float = 0.25
    wave_peaks: float = 1.0
    per: Literal["step", "epoch"] = "epoch"


def make_optimizer(model: nn.Module, settings: OptimizerSettings, batch_size: int) -> Optimizer:
    """Return the optimizer of a model's parameters; call it after sharding.

    Args:
        model: The network, not wrapped in DDP.
        settings: Of the recipe.
        batch_size: Samples of a step, all ranks together.

    Raises:
        RecipeError: If a number is out of its range.
    """
    if settings.lr <= 0 or settings.weight_decay < 0 or settings.clip < 0:
        raise RecipeError(
            "need lr above 0 and weight_decay and clip of 0 or more, got "
            f"lr={settings.lr}, weight_decay={settings.weight_decay}, clip={settings.clip}"
        )
    lr = settings.lr * (batch_size / settings.lr_batch if settings.lr_batch else 1)
    groups: list[dict[str, Any]] = groups_by_module(
        model,
        weight_decay=settings.weight_decay,
        norm_decay=settings.norm_decay,
        layer_norm_decay=settings.layer_norm_decay,
        bias_decay=settings.bias_decay,
    )
    if settings.name == "larc":
        for group in groups:
            group["adapt"] = settings.adapt_all or group["name"] == "main"
    match settings.name:
        case "sgd":
            nesterov = settings.nesterov and settings.momentum > 0
            # Torch's fused AdamW takes sharded tensors, its fused SGD does not.
            fused = not any(isinstance(p, DTensor) for p in model.parameters())
            return SGD(groups, lr, momentum=settings.momentum, nesterov=nesterov, fused=fused)
        case "adamw":
            return AdamW(groups, lr, betas=settings.betas, fused=True)
        case "larc":
            return LARC(groups, lr, momentum=settings.momentum)


def scale_head_rate_(optimizer: Optimizer, head: nn.Module, factor: float) -> None:
    """Give a head's parameters groups of their own, with rates times a factor.

    Args:
        optimizer: From `make_optimizer`, before its first step.
        head: A part of its model.
        factor: 1 changes nothing.
    """
    if factor == 1:
        return
    own = {id(parameter) for parameter in head.parameters()}
    for group in list(optimizer.param_groups):
        mine = [p for p in group["params"] if id(p) in own]
        if mine:
            group["params"] = [p for p in group["params"] if id(p) not in own]
            changes = {"params": mine, "lr": group["lr"] * factor, "name": f"head {group['name']}"}
            optimizer.add_param_group(group | changes)
    optimizer.param_groups = [group for group in optimizer.param_groups if group["params"]]


def rate_factor(schedule: Schedule, step: int, *, steps_per_epoch: int, epochs: float) -> float:
    """Return the learning rate's factor at a step, counted from 0.

    Per epoch it is pycls' rule: the decay counts from epoch 0, and the warmup multiplies it. A run
    may end inside an epoch: `epochs` is then no whole number.

    Raises:
        RecipeError: If the schedule needs what it does not have.
    """
    unit = steps_per_epoch if schedule.per == "step" else 1
    time = step if schedule.per == "step" else step // steps_per_epoch
    total = math.ceil(epochs * unit - 1e-6)
    up = schedules.warmup(time, round(schedule.warmup_epochs * unit), start=schedule.warmup_start)
    match schedule.shape:
        case "cosine":
            return up * schedules.cosine(time, total, final=schedule.final)
        case "linear":
            return up * schedules.linear(time, total, final=schedule.final)
        case "exponential":
            return up * schedules.exponential(time, total, final=schedule.final)
        case "steps":
            if not schedule.milestones:
                raise RecipeError('need milestones for the schedule "steps", got none')
            drops = [round(milestone * unit) for milestone in schedule.milestones]
            return up * schedules.steps(time, drops, factor=schedule.drop)
        case "restarts":
            return up * schedules.restarts(
                time,
                total,
                share=schedule.wave_share,
                wave=schedule.wave,
                peaks=schedule.wave_peaks or None,
                final=schedule.final,
            )
        case "plateau":
            return up  # times `optim.plateau`'s, which depends on the losses
        case "swav" | "vissl":
            return _self_supervised_factor(schedule, step, steps_per_epoch, total)


def _self_supervised_factor(schedule: Schedule, step: int, per_epoch: int, total: int) -> float:
    if schedule.per != "step":
        raise RecipeError(f'need per "step" for the schedule "{schedule.shape}", got "epoch"')
    ends: dict[str, float] = {"start": schedule.warmup_start, "peak": 1.0, "final": schedule.final}
    steps = min(round(schedule.warmup_epochs * per_epoch), total)
    if schedule.shape == "swav":
        return schedules.swav_rate(step, total, warmup_steps=steps, **ends)
    return schedules.vissl_rate(step, total, warmup=steps / total, **ends)


def set_rates_(optimizer: Optimizer, base: Mapping[int, float], factor: float) -> None:
    """Set every group's rate to its base rate times a factor."""
    for i, group in enumerate(optimizer.param_groups):
        group["lr"] = base[i] * factor


def base_rates(optimizer: Optimizer) -> dict[int, float]:
    """Return every group's rate as it was made."""
    return {i: float(group["lr"]) for i, group in enumerate(optimizer.param_groups)}
