"""Runs for the tests: what a training function looks like to a sweep, without training."""

import os
import time
from pathlib import Path


def quadratic(point):
    """Errors by epoch that are best at lr 1, wd 1e-4."""
    lr, wd = point["parameters"]["lr"], point["parameters"]["wd"]
    error = 20 + 10 * abs(lr - 1) + 1e4 * abs(wd - 1e-4)
    return {"error": [error + 5, error], "lr_seen": lr}


def marked(point):
    """Leave a mark when a run begins and another when it ends; a run takes 0.05 s."""
    marks = Path(point["out"]).parents[1] / "marks"
    marks.mkdir(exist_ok=True)
    name = f"{point['index']:06d}-{os.getpid()}-{time.time_ns()}"
    (marks / f"{name}.began").touch()
    time.sleep(0.05)
    (marks / f"{name}.ended").touch()
    return {"error": float(point["index"])}


def slow(point):
    """Take long, unless the sweep's folder holds a file named fast."""
    Path(point["out"], "began").touch()
    for _ in range(600):
        if (Path(point["out"]).parents[1] / "fast").exists():
            break
        time.sleep(0.1)
    return {"error": 1.0}


def deadly(point):
    """Kill the worker at point 1, until a file named mended is in the sweep's folder."""
    if point["index"] == 1 and not (Path(point["out"]).parents[1] / "mended").exists():
        os.kill(os.getpid(), 9)
    return {"error": 1.0}


def failing(point):
    """Fail at odd points, until a file named mended is in the sweep's folder."""
    print("begun", point["index"])
    if point["index"] % 2 and not (Path(point["out"]).parents[1] / "mended").exists():
        raise RuntimeError(f"no luck\nwith point {point['index']}")
    return {"error": 3, "curve": [1, float("nan")], "note": "fine"}


def nonsense(point):
    """Return what is no metrics."""
    return {"error": {"nested": 1}}


def diverging(point):
    """Diverge at every third point."""
    error = float("nan") if point["index"] % 3 == 0 else 10.0 + point["index"]
    return {"error": [90.0 + 0 * error, error] if error == error else [error, error]}


def environment(point):
    """Say what the worker may use, once three workers are there."""
    there = Path(point["out"]).parents[1] / "there"
    there.mkdir(exist_ok=True)
    (there / str(os.getpid())).touch()
    deadline = time.monotonic() + 30
    while len(list(there.iterdir())) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    return {
        "gpu": os.environ["CUDA_VISIBLE_DEVICES"],
        "threads": os.environ["OMP_NUM_THREADS"],
    }


not_callable = 3
