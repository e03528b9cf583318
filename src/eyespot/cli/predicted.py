"""Times and memory for the design commands: predicted from a calibration, or measured."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from eyespot.design.budget import Budget
from eyespot.design.complexity import complexity
from eyespot.design.files import cache_folder
from eyespot.design.latency import LatencyModel
from eyespot.design.latency_files import read_latency_model
from eyespot.design.memory import memory
from eyespot.design.specs import Spec
from eyespot.design.training import Training

if TYPE_CHECKING:
    from eyespot.train.timing import Measured

BUDGET_S = 10.0  # of timing, for inference and for training each; 30 iterations where they fit


def latency_budget(limit_ms: float, calibration: Path | None, batch: int) -> Budget:
    """Return a budget of milliseconds a batch, by a calibration file or this device's own."""
    if batch < 1:
        raise ValueError(f"need a batch of 1 or more, got {batch}")
    model = read_latency_model(calibration) if calibration else _this_devices_model()
    return Budget("latency_ms", limit_ms, lambda spec: model.predict_ms(complexity(spec), batch))


def _this_devices_model() -> LatencyModel:
    """Return the latest calibration of inference on this device, whatever its setting."""
    from eyespot.train.timing import device_name, pick_device

    name = device_name(pick_device("auto"))
    paths = sorted((cache_folder() / "latency").glob("*.json"), key=lambda p: p.stat().st_mtime)
    models = [read_latency_model(path) for path in reversed(paths)]
    fitting = [m for m in models if m.setting.device == name and m.setting.mode == "infer"]
    if not fitting:
        raise ValueError(
            f"need a calibration of {name}, got none; run `eyespot calibrate` first, or pass "
            "another device's with --calibration FILE"
        )
    return fitting[0]


def memory_budget(limit_gb: float, batch: int) -> Budget:
    """Return a budget of gigabytes for training on one device."""
    return Budget("memory_gb", limit_gb, lambda spec: memory(Training(spec, batch)).total / 1e9)


def cached_models() -> list[LatencyModel]:
    """Return every calibration of this user's cache."""
    return [
        read_latency_model(path) for path in sorted((cache_folder() / "latency").glob("*.json"))
    ]


def measured(
    spec: Spec,
    image_size: int,
    *,
    batch: int | None,
    device: str,
    dtype: str,
    channels_last: bool,
    compiled: bool,
) -> Iterator["Measured"]:
    """Run a network: inference, then training steps, each with its memory."""
    from eyespot.train.batch_search import search_batch
    from eyespot.train.timing import measure, pick_device

    where = pick_device(device)
    if dtype == "auto":
        dtype = "float32" if where.type == "cpu" else "bfloat16"
    for mode in ("infer", "train"):
        count = batch
        if count is None:
            count = search_batch(
                spec, device=where, mode=mode, dtype=dtype, channels_last=channels_last,
                compiled=compiled, image_size=image_size,
            ).best.batch  # fmt: skip
        yield measure(
            spec, device=where, batch=count, mode=mode, dtype=dtype, channels_last=channels_last,
            compiled=compiled, image_size=image_size, budget_s=BUDGET_S, with_memory=True,
        )  # fmt: skip


def describe(run: "Measured") -> str:
    """Say what a measurement found in one line."""
    doing = "inference" if run.mode == "infer" else "training step"
    extras = ", channels-last" * run.channels_last + ", compiled" * run.compiled
    peak = f", {run.peak_bytes / 1e9:.2f} GB" if run.peak_bytes else ""
    return (
        f"{doing}: {run.ms:.4g} ms for a batch of {run.batch} (quartiles {run.ms_low:.4g} to "
        f"{run.ms_high:.4g}), {run.images_per_second:,.1f} images/s{peak}; "
        f"{run.device}, {run.dtype}{extras}"
    )
