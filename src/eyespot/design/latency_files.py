"""Fitted latency models as JSON: in a file, and in the user's cache, one a setting."""

import json
import math
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from eyespot.design.files import cache_folder, write_whole
from eyespot.design.latency import MODES, LatencyModel, Setting
from eyespot.errors import unknown_name


def cached_file(setting: Setting) -> Path:
    """Return where the model of a setting is kept."""
    return cache_folder() / "latency" / f"{setting.slug}.json"


def save_latency_model(model: LatencyModel) -> Path:
    """Keep a model in the cache, in place of an older one; returns the file."""
    path = cached_file(model.setting)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(asdict(model), indent=2) + "\n")
    return path


def load_latency_model(
    device: str,
    *,
    dtype: str = "float32",
    mode: str = "infer",
    channels_last: bool = False,
    compiled: bool = False,
) -> LatencyModel:
    """Return the model that `eyespot calibrate` kept for this device and setting.

    Args:
        device: Hardware by name, as `train.timing.device_name` says it.
        dtype: As in `Setting`, like all that follow.
        mode: "infer" or "train".
        channels_last: Memory layout.
        compiled: Through torch.compile.

    Raises:
        ValueError: If nothing was calibrated for it, or the file is damaged.
    """
    if mode not in MODES:
        raise ValueError(unknown_name("mode", mode, MODES))
    setting = Setting(device, dtype, mode, channels_last, compiled)
    path = cached_file(setting)
    if not path.exists():
        raise ValueError(
            f"need a calibration of {setting.slug}, got none in {path.parent}; "
            "run `eyespot calibrate` on that device with these options"
        )
    return read_latency_model(path)


def read_latency_model(path: Path) -> LatencyModel:
    """Read a model: the cache's own file, or the calibration.json of `eyespot calibrate`.

    Raises:
        ValueError: If the file holds no model.
        OSError: If it cannot be read.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        data = data.get("model", data)
        setting = _filled(Setting, data["setting"])
        model: LatencyModel = _filled(LatencyModel, {**data, "setting": setting})
        return model
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"need a latency model that `eyespot calibrate` wrote, got {path}: {error}"
        ) from None


def _filled(cls: type[Any], data: dict[str, Any]) -> Any:
    """Fill a dataclass from plain data with exactly its fields, each of its type."""
    wanted = {field.name: field.type for field in fields(cls)}
    if set(data) != set(wanted):
        odd = sorted(set(data) ^ set(wanted))
        raise ValueError(f"missing or unknown: {', '.join(odd)}")
    for name, kind in wanted.items():
        if kind is float and isinstance(data[name], int) and not isinstance(data[name], bool):
            data = {**data, name: float(data[name])}
        if isinstance(kind, type) and type(data[name]) is not kind:
            raise ValueError(f"need {name} as {kind.__name__}, got {data[name]!r}")
        if kind is float and not math.isfinite(data[name]):
            raise ValueError(f"need a finite {name}, got {data[name]}")
    if cls is Setting and data["mode"] not in MODES:
        raise ValueError(unknown_name("mode", data["mode"], MODES))
    return cls(**data)
