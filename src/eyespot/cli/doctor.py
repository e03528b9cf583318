"""`eyespot doctor`: what this machine has, what is fastest on it, and what is missing."""

import importlib.metadata
import json
import os
import platform
import shutil
from typing import Annotated, Any

from tyro.conf import arg

import eyespot

_CORE = (
    "torch", "numpy", "scipy", "simplejpeg", "opencv-python-headless", "pillow", "safetensors",
    "tokenizers", "jaxtyping", "tyro", "rich", "pyyaml", "matplotlib",
)  # fmt: skip

_OPTIONAL = {  # as in pyproject.toml: package, extra, what it enables
    "fsspec": ("data", "shards and lists on object storage, with the driver of its scheme"),
    "pyarrow": ("data", "features as Parquet: eyespot embed --out X.parquet"),
    "starlette": ("demo", "the web page of eyespot demo"),
    "uvicorn": ("demo", "the web page of eyespot demo"),
    "onnx": ("export", "grounders as ONNX: eyespot weights export"),
    "onnxscript": ("export", "grounders as ONNX: eyespot weights export"),
    "onnxruntime": ("export", "exported networks, checked by running them"),
    "supervision": ("interop", "what was found as supervision's detections"),
    "timm": ("interop", "our networks by timm.create_model: eyespot.register_with_timm"),
    "torchvision": ("interop", "comparing networks with torchvision's"),
    "transformers": ("interop", "comparing networks with transformers'"),
    "optuna": ("sweep", "sweeps driven by an Optuna study: eyespot sweep --optuna"),
    "submitit": ("sweep", "sweeps on Slurm: eyespot sweep --slurm"),
}

_SOURCE = (
    "the fastest that benchmarks/defaults.py measured on CPUs with AVX-512 and on an H100; "
    "float32 where bfloat16 is not computed natively, and on devices that nobody measured"
)

_FEW_BYTES = 1 << 30
_SHARED = "/dev/shm"  # noqa: S108 - asked for its size alone


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
            print(f"  {family:13} train in {settings}, infer in {device['inference'][family]}")
    print(f"settings: {found['settings_from']}")
    print("space: " + ", ".join(_sized(found["bytes"])))
    for name, entry in found["optional"].items():
        state = entry["version"] or f"not installed (pip install 'eyespot[{entry['extra']}]')"
        print(f"{name:13} {state}: {entry['enables']}")
    for note in found["notes"]:
        print(f"note: {note}")


def examine() -> dict[str, Any]:
    """Return what `eyespot doctor` says, as plain data."""
    import torch

    devices = [_device("cpu", _cpu(torch.get_num_threads()))]
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
        "settings_from": _SOURCE,
        "bytes": _space(),
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
        "large RegNets": "RegNetY-4.0GF",
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


def _cpu(threads: int) -> str:
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    words = [f"{usable} of {cores} cores" if usable < cores else f"{cores} cores"]
    words.append(f"{threads} thread" + "s" * (threads != 1))
    if "OMP_NUM_THREADS" in os.environ:
        words[-1] += f" (OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']})"
    return ", ".join(words)


def _space() -> dict[str, int]:
    """Return bytes that are free: on the disks we write to, in memory, in shared memory."""
    from eyespot.design.files import cache_folder

    cache = cache_folder()
    there = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    found = {
        "free in this folder": shutil.disk_usage(".").free,
        "free for downloads": shutil.disk_usage(there).free,
    }
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found["memory"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if os.path.isdir(_SHARED):
        found["shared memory"] = shutil.disk_usage(_SHARED).total
    return found


def _sized(sizes: dict[str, int]) -> list[str]:
    return [f"{size / 2**30:.1f} GiB {name}" for name, size in sizes.items()]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _notes() -> list[str]:
    notes = []
    if os.path.isdir(_SHARED):
        size = shutil.disk_usage(_SHARED).total
        if size < _FEW_BYTES:
            notes.append(
                f"shared memory is {size / 2**20:.0f} MiB, little for loader workers; start the "
                "container with --shm-size 8g, or train with --workers 0"
            )
    if shutil.disk_usage(".").free < _FEW_BYTES:
        notes.append("this folder's disk is almost full; checkpoints need room: name another --out")
    if not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        notes.append("there is no C++ compiler, so torch.compile does not work here")
    if _version("opencv-python") and _version("opencv-python-headless"):
        notes.append(
            "opencv-python and opencv-python-headless are both installed and overwrite each "
            "other; keep one"
        )
    return notes
