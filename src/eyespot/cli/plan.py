"""`eyespot plan`: memory, speed and cost of a training run, before anything is rented."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from tyro.conf import Positional, arg

from eyespot.design.by_name import to_spec
from eyespot.design.cost import IMAGENET_IMAGES, Cost, calibrated_step, remedies, run_cost
from eyespot.design.devices import Device
from eyespot.design.devices import device as find_device
from eyespot.design.latency_files import read_latency_model
from eyespot.design.memory import Memory, fits, largest_batch, memory, recomputed_groups
from eyespot.design.plain_data import read_plain
from eyespot.design.quantities import parse_count
from eyespot.design.roofline import StepTime, step_time
from eyespot.design.training import Crop, Training
from eyespot.train.logs import duration


def plan(
    model: Annotated[Positional[str], arg(metavar="NETWORK_OR_RECIPE")],
    batch: int | None = None,
    gpus: int = 1,
    gpu: str = "h100",
    optimizer: Literal["sgd", "larc", "adamw"] | None = None,
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    ema: bool = False,
    recompute: str | None = None,
    sharding: Literal["ddp", "fsdp"] = "ddp",
    images: str | None = None,
    epochs: float | None = None,
    crops: str | None = None,
    image_size: int | None = None,
    head: str | None = None,
    calibration: Path | None = None,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Predict memory, speed and cost of a training run.

    Memory comes from what PyTorch keeps of this very architecture. Time is the larger of
    arithmetic and memory traffic, layer by layer, at rates that PyTorch's eager mode was seen to
    reach; loading of images is not in it, nor is evaluation.

    Args:
        model: A name (`eyespot models`), the path of a spec.json, or a recipe (`eyespot train`),
            by name or file, which says what the options leave open.
        batch: Images a step, over all devices; needed for anything but a recipe.
        gpus: Devices.
        gpu: v100-16gb, v100-32gb, a100-40gb, a100-80gb, h100, h200, rtx-4090 or cpu-core.
        optimizer: larc is SGD with LARC; sgd for anything but a recipe.
        dtype: auto is bfloat16, or float16 where a device has no bfloat16.
        ema: Hold an averaged copy of the weights.
        recompute: What is computed again in the backward pass instead of kept: none, blocks
            (every one), ends of groups stage by stage such as 2/7/9,17/, or what a step may need
            such as 30GB.
        sharding: ddp holds everything everywhere, fsdp a part on each device.
        images: Images shown in the run, such as 1B; for days and device-hours.
        epochs: The same in epochs of the recipe's data, or of ImageNet-1k.
        crops: Views of an image, such as 2x224,6x96.
        image_size: Side of the images, px; the network's own when not given.
        head: Widths of linear layers that replace the classifier, such as 8192,8192,256,16000.
        calibration: A calibration.json of this device (`eyespot calibrate --train`) to take the
            time from.
        as_json: One JSON object instead of text.
    """
    if images is not None and epochs is not None:
        raise ValueError("need --images or --epochs, got both")
    if crops is not None and image_size is not None:
        raise ValueError("need --crops or --image-size, got both")
    if epochs is not None and epochs <= 0:
        raise ValueError(f"need epochs above 0, got {epochs:g}")
    if image_size is not None and image_size < 1:
        raise ValueError(f"need an image size of 1 px or more, got {image_size}")
    where = find_device(gpu)
    known = _known(model, batch)
    given: dict[str, Any] = {
        "batch": batch,
        "dtype": dtype if dtype != "auto" else where.best_dtype if known.any_dtype else None,
        "optimizer": optimizer,
        "ema": ema or None,
        "recompute": recompute,
        "crops": read_crops(crops) if crops else image_size and (Crop(1, image_size),),
        "head_dims": head and _widths(head),
    }
    changes = {name: value for name, value in given.items() if value is not None}
    training = replace(known.training, num_devices=gpus, sharding=sharding, **changes)
    if calibration is None:
        step = step_time(training, where)
    else:
        step = calibrated_step(training, read_latency_model(calibration), where)
    shown = parse_count(images, "images") if images else known.images(epochs, training.batch)
    cost = run_cost(training, step.total, shown) if shown else None
    need = memory(training)
    if as_json:
        print(json.dumps(_as_data(training, where, need, step, cost)))
    else:
        _print(model, training, where, need, step, cost)


class _Known(NamedTuple):
    """What a recipe says, or a network's name leaves open.

    Attributes:
        training: On one device.
        any_dtype: Whether the number format is the device's best.
        epochs: Of the recipe; 0 for a network.
        epoch_images: Of the recipe's data; None where the user's data decides.
    """

    training: Training
    any_dtype: bool = True
    epochs: int = 0
    epoch_images: int | None = IMAGENET_IMAGES

    def images(self, epochs: float | None, batch: int) -> float:
        """Return the images of a run; a recipe's epochs go without their last partial batch."""
        if self.epoch_images is None:
            if epochs is not None:
                raise ValueError("need --images for a recipe of no one data set, got --epochs")
            return 0
        whole = self.epoch_images // batch * batch if self.epochs else self.epoch_images
        return (epochs or self.epochs) * whole


def _known(model: str, batch: int | None) -> _Known:
    """Read a recipe by its name or file, or a network likewise."""
    path = Path(model)
    if path.suffix == ".json" and path.is_file():
        data = read_plain(path, "recipe or spec")
        is_recipe = isinstance(data, dict) and "task" in data
    else:
        is_recipe = path.suffix in (".yaml", ".yml") or ("/" in model and path.suffix != ".json")
    if is_recipe:
        from eyespot.recipes import epoch_images, get_recipe
        from eyespot.tasks.planning import planned

        return _Known(*planned(get_recipe(model)), epoch_images(model))
    spec = to_spec(model)
    if batch is None:
        raise ValueError(f"need --batch for the network {model}, got none; only recipes have one")
    return _Known(Training(spec, batch))


def read_crops(text: str) -> tuple[Crop, ...]:
    """Read views such as "2x224,6x96".

    Raises:
        ValueError: If it is not of that form.
    """
    found = [re.fullmatch(r"(\d+)x(\d+)", item.strip()) for item in text.split(",")]
    if not all(found):
        raise ValueError(f'need crops as COUNTxSIZE by commas, such as "2x224,6x96", got {text!r}')
    return tuple(Crop(int(item[1]), int(item[2])) for item in found if item)


def _widths(text: str) -> tuple[int, ...]:
    items = [item.strip() for item in text.split(",")]
    if not all(item.isdecimal() and int(item) for item in items):
        raise ValueError(f'need widths by commas, such as "2048,128,3000", got {text!r}')
    return tuple(int(item) for item in items)


def _as_data(
    training: Training, device: Device, need: Memory, step: StepTime, cost: Cost | None
) -> dict[str, Any]:
    return {
        "device": device.name,
        "devices": training.num_devices,
        "batch": training.batch,
        "dtype": training.dtype,
        "crops": [[crop.count, crop.size] for crop in training.views],
        "memory_bytes": {**need.items(), "reserved": device.reserved},
        "memory_total_bytes": need.total + device.reserved,
        "memory_device_bytes": device.memory,
        "fits": fits(training, device),
        "largest_batch": largest_batch(training, device),
        "step_seconds": {**asdict(step), "total": step.total},
        "images_per_second": training.batch / step.total,
        "cost": asdict(cost) if cost else None,
        "remedies": [remedy.change for remedy in _needed(training, device)],
    }


def _needed(training: Training, device: Device) -> list[Any]:
    return [] if fits(training, device) else remedies(training, device)


def _print(
    model: str,
    training: Training,
    device: Device,
    need: Memory,
    step: StepTime,
    cost: Cost | None,
) -> None:
    views = " + ".join(f"{crop.count}x{crop.size} px" for crop in training.views)
    count = sum(end - first for first, end in recomputed_groups(training))
    extras = f", {count} blocks recomputed" if count else ""
    shared = f", {training.sharding}" if training.num_devices > 1 else ""
    print(f"{model}, {views} an image, {training.dtype}, {training.optimizer}{extras}{shared}")
    print(
        f"batch {training.batch:,} on {training.num_devices} x {device.name}: "
        f"{training.device_batch:,} images a device"
    )
    _print_memory(training, device, need)
    print("\nTime of a step, ms (images are taken as ready)")
    for name, seconds in asdict(step).items():
        if name != "communication" and seconds:
            print(f"  {name:12} {1e3 * seconds:10.1f}")
    print(f"  {'total':12} {1e3 * step.total:10.1f}")
    if step.communication:
        print(
            f"  ({1e3 * step.communication:.1f} ms of communication runs beside the backward pass)"
        )
    print(f"\n{training.batch / step.total:,.0f} images/s")
    if cost:
        took = f"{cost.days:.3g} days" if cost.days >= 1 else duration(cost.days * 86400)
        print(f"{cost.steps:,} steps: {took}, {cost.device_hours:,.1f} device-hours")


def _print_memory(training: Training, device: Device, need: Memory) -> None:
    print("\nMemory of a device at the fullest moment, GB")
    for name, size in {**need.items(), "reserved": device.reserved}.items():
        if size:
            print(f"  {name:12} {size / 1e9:10.2f}")
    total, most = (need.total + device.reserved) / 1e9, device.memory / 1e9
    print(f"  {'total':12} {total:10.2f} of {most:.2f}")
    if fits(training, device):
        print(f"  fits; the largest batch that does is {largest_batch(training, device):,}")
        return
    found = remedies(training, device)
    print("  DOES NOT FIT" + (". What would fit:" if found else ", nor does one image a device"))
    for remedy in found:
        print(f"    {remedy.change:44} {remedy.bytes / 1e9:8.2f} GB")
