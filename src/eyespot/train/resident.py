"""The memory a network takes on a CPU: how far the resident set of a fresh process grows.

`python -m eyespot.train.resident` is that process. It reads the job as JSON from standard input
and prints the bytes.
"""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from eyespot.design.spec_files import spec_from_dict, spec_to_dict
from eyespot.design.specs import Spec
from eyespot.train.steps import Settings, make_step

_RESET = Path("/proc/self/clear_refs")


def resident_growth(spec: Spec, settings: Settings, *, batch: int, image_size: int) -> int:
    """Return the bytes by which a process grows that builds a network and runs it twice.

    What torch itself takes is not in it; what its allocator keeps between layers is.

    Raises:
        RuntimeError: If the process fails.
    """
    job = {
        "spec": spec_to_dict(spec),
        "mode": settings.mode,
        "dtype": settings.dtype,
        "channels_last": settings.channels_last,
        "batch": batch,
        "image_size": image_size,
        "threads": torch.get_num_threads(),
    }
    done = subprocess.run(
        [sys.executable, "-m", "eyespot.train.resident"],
        input=json.dumps(job),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the memory measurement failed: {done.stderr.strip()[-500:]}")
    return int(done.stdout)


def _resident(what: str) -> int:
    """Bytes now ("VmRSS") or at the fullest moment ("VmHWM")."""
    status = Path("/proc/self/status")
    if not status.exists():
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    for line in status.read_text().splitlines():
        if line.startswith(what + ":"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"need {what} in {status}")


def _grown(job: dict[str, Any]) -> int:
    torch.set_num_threads(job["threads"])
    spec = spec_from_dict(job["spec"])
    settings = Settings(torch.device("cpu"), job["mode"], job["dtype"], job["channels_last"])
    _load_libraries()
    before = _resident("VmRSS")
    if _RESET.exists():
        _RESET.write_text("5")  # the fullest moment starts anew
    step = make_step(spec, settings, batch=job["batch"], image_size=job["image_size"])
    step()
    step()
    return _resident("VmHWM") - before


def _load_libraries() -> None:
    """Train a little, so that the code of layers, backward pass and optimizer is in memory."""
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.SiLU(), nn.Flatten(), nn.Linear(288, 4)
    )
    optimizer = torch.optim.SGD(layers.parameters(), lr=0.1, momentum=0.9)
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = layers(torch.zeros(2, 3, 8, 8)).float().sum()
        torch.autograd.backward(loss)
        optimizer.step()


if __name__ == "__main__":
    print(_grown(json.load(sys.stdin)))  # noqa: T201
