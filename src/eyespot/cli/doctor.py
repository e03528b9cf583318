"""`eyespot doctor`: what this machine has, what is fastest on it, and what is missing."""

import importlib.metadata
import json
import os
import platform
import shutil
from typing import Annotated, Any

from tyro.conf import arg

import eyespot

_CORE = ("torch", "numpy", "scipy", "opencv-python-headless", "pillow", "simplejpeg", "safetensors")

_OPTIONAL = {
    "fsspec": ("data", "shards and lists on object storage"),
    "pyarrow": ("data", "features as Parquet"),
    "uvicorn": ("demo", "the web page of eyespot demo"),
    "onnxruntime": ("export", "exported networks, checked by running them"),
    "timm": ("interop", "comparing networks with timm's"),
    "torchvision": ("interop", "comparing networks with torchvision's"),
    "transformers": ("interop", "comparing networks with transformers'"),
    "optuna": ("sweep", "sweeps driven by an Optuna study"),
    "submitit": ("sweep", "sweeps on Slurm"),
}

_FEW_BYTES = 1 << 30


def doctor(as_json: Annotated[bool, arg(name="json")] = False) -> None:
    """Say what this machine has, which settings are fastest on it, and what could be installed.

    Args:
        as_json: Print JSON.
    """
    found = examine()
    if as_json:
        print(json.dumps(found, indent=1))
        return
    print(f"eyespot {found['eyespot']}, Python {found['python']}, {found['system']}")
    print("  " + ", ".join(f"{name} {version}" for name, version in found["core"].items()))
    for device in found["devices"]:
        print(f"{device['name']}: {device['about']}")
        for family, settings in device["training"].items():
            print(f"  {family:7} train in {settings}, infer in {device['inference'][family]}")
    for name, entry in found["optional"].items():
        state = entry["version"] or f"not installed (pip install 'eyespot[{entry['extra']}]')"
        print(f"{name:13} {state}: {entry['enables']}")
    for note in found["notes"]:
        print(f"note: {note}")


def examine() -> dict[str, Any]:
    """Return what `eyespot doctor` says, as plain data."""
    import torch

    devices = [_device("cpu", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads")]
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        about = f"{facts.total_memory / 2**30:.0f} GiB, compute {facts.major}.{facts.minor}"
        devices.append(_device("cuda", about, facts.name))
    return {
        "eyespot": eyespot.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "core": {name: _version(name) or "missing" for name in _CORE},
        "devices": devices,
        "optional": {
            name: {"version": _version(name), "extra": extra, "enables": enables}
            for name, (extra, enables) in _OPTIONAL.items()
        },
        "notes": _notes(),
    }


def _device(kind: str, about: str, name: str = "cpu") -> dict[str, Any]:
    from eyespot.design.by_name import to_spec
    from eyespot.models.speed import describe, speed_defaults

    examples = {
        "RegNets": "RegNetY-400MF",
        "EffNets": "EfficientNet-B0",
        "ViTs": "ViT-C-1.0GF",
    }
    return {"name": name, "about": about} | {
        use: {
            family: describe(speed_defaults(kind, to_spec(model), use))
            for family, model in examples.items()
        }
        for use in ("training", "inference")
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _notes() -> list[str]:
    notes = []
    if os.path.isdir("/dev/shm"):  # noqa: S108 - asked for its size alone
        size = shutil.disk_usage("/dev/shm").total  # noqa: S108
        if size < _FEW_BYTES:
            notes.append(
                f"shared memory is {size / 2**20:.0f} MiB, little for loader workers; start the "
                "container with --shm-size 8g, or train with --workers 0"
            )
    if _version("opencv-python") and _version("opencv-python-headless"):
        notes.append(
            "opencv-python and opencv-python-headless are both installed and overwrite each "
            "other; keep one"
        )
    return notes
