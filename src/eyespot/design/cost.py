"""What a whole run costs: steps, days, device-hours, and what to change when it does not fit."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from eyespot.design.complexity import complexity
from eyespot.design.devices import Device
from eyespot.design.latency import LatencyModel
from eyespot.design.memory import fits, largest_batch, memory, recomputed_groups
from eyespot.design.recompute import recomputed_share
from eyespot.design.roofline import StepTime, communication_time
from eyespot.design.training import Training
from eyespot.design.walk import walk

IMAGENET_IMAGES = 1_281_167
"""Images of an epoch of ImageNet-1k."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run costs.

    Attributes:
        steps: Optimizer steps.
        days: From start to end, nothing failing.
        device_hours: Hours times devices.
    """

    steps: int
    days: float
    device_hours: float


def run_cost(training: Training, step_seconds: float, images: float) -> Cost:
    """Return what it costs to show a number of images to a network, the last step cut short.

    Args:
        training: The run.
        step_seconds: Of one step.
        images: All images shown; an image shown twice counts twice.

    Raises:
        ValueError: If the images are no number above 0.
    """
    if not (images > 0 and math.isfinite(images)):
        raise ValueError(f"need a number of images above 0, got {images}")
    steps = math.ceil(images / training.batch)
    seconds = steps * step_seconds
    return Cost(steps, seconds / 86400, training.num_devices * seconds / 3600)


def calibrated_step(training: Training, model: LatencyModel, device: Device) -> StepTime:
    """Predict a step from a calibration of this very device, instead of assumed efficiencies.

    Every view size is one call. The forward pass is taken as a third of the measured time, and a
    recomputation as another one. The gradients' way comes from the device's table.

    Raises:
        ValueError: If the calibration is of another mode or dtype.
    """
    if model.setting.mode != "train" or model.setting.dtype != training.dtype:
        raise ValueError(
            f"need a calibration of training in {training.dtype}, got one of "
            f"{model.setting.mode} in {model.setting.dtype}; run `eyespot calibrate --train "
            f"--dtype {training.dtype}`"
        )
    total = sum(
        model.predict_ms(complexity(training.spec, crop.size), crop.count * training.device_batch)
        for crop in training.views
    )
    forward = total / 3e3
    units = walk(training.spec, head_dims=training.head_dims)
    params = sum(unit.params for unit in units)
    communication = communication_time(training, params, device)
    return StepTime(
        forward=forward,
        recompute=forward * recomputed_share(units, recomputed_groups(training)),
        backward=2 * forward,
        update=0.0,
        exposed=max(0.0, communication - 2 * forward),
        communication=communication,
    )


class Remedy(NamedTuple):
    """A change that makes a run fit.

    Attributes:
        change: What to change, as options of `eyespot plan`.
        training: The changed run.
        bytes: What it needs on a device, the device's reserve included.
    """

    change: str
    training: Training
    bytes: float


def remedies(training: Training, device: Device) -> list[Remedy]:
    """Return what would make a run fit a device, the least change first; nothing if none does."""
    changes: list[tuple[str, Training]] = []
    sharded = replace(training, sharding="fsdp")
    again = replace(training, recompute="blocks")
    if not training.mixed:
        low = replace(training, dtype=device.best_dtype)
        changes.append((f"--dtype {device.best_dtype}", low))
    if training.recompute == "none":
        changes.append(("--recompute blocks", again))
    if training.sharding == "ddp" and training.num_devices > 1:
        changes.append(("--sharding fsdp", sharded))
        if training.recompute == "none":
            changes.append(("--recompute blocks --sharding fsdp", replace(again, sharding="fsdp")))
    most = largest_batch(training, device)
    if most:
        changes.append((f"--batch {most}", replace(training, batch=most)))
    least = replace(again, sharding="fsdp")
    most = largest_batch(least, device)
    if most and most < training.batch:
        options = "--recompute blocks" + " --sharding fsdp" * (training.num_devices > 1)
        changes.append((f"{options} --batch {most}", replace(least, batch=most)))
    return [
        Remedy(change, changed, memory(changed).total + device.reserved)
        for change, changed in changes
        if fits(changed, device)
    ]
