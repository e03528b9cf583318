"""What all benchmarks share: fair timing, the description of a machine, and rows.

A benchmark times its contestants in turns (A B, B A, A B, ...), so that whatever else the machine
does slows all of them alike; ratios are taken turn by turn. Every benchmark appends its rows to
results/NAME.json, one JSON object a line; `tables.py` writes RESULTS.md from them.
"""

import datetime
import gc
import importlib.metadata
import json
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from tables import RESULTS, Row, cells

PACKAGES = ("torch", "torchvision", "timm", "transformers", "lightly", "numpy")

Contestants = Mapping[str, Callable[[], object]]


def wait(device: str) -> None:
    """Wait until the device has done what it was asked to."""
    if device == "cuda":
        torch.cuda.synchronize()


def take_turns(
    contestants: Contestants, *, turns: int, turn_s: float, device: str = "cpu"
) -> dict[str, list[float]]:
    """Time callables in interleaved turns.

    Args:
        contestants: What to call, by name.
        turns: Turns of each; the order is reversed every time.
        turn_s: About how long one turn calls one contestant, seconds.
        device: "cuda" waits for the GPU before reading the clock.

    Returns:
        Seconds a call, one entry a turn, by name.
    """
    repeats = {}
    for name, call in contestants.items():
        call()  # warm up: compile, autotune, allocate
        repeats[name] = max(1, round(turn_s / _seconds(call, 1, device)))
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    order = list(contestants)
    gc.collect()
    for _ in range(turns):
        for name in order:
            seconds[name].append(_seconds(contestants[name], repeats[name], device))
        order.reverse()
    return seconds


def _seconds(call: Callable[[], object], repeats: int, device: str) -> float:
    wait(device)
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    wait(device)
    return (time.perf_counter() - start) / repeats


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, statistics.median(values), high


def rates(
    case: str,
    seconds: Mapping[str, list[float]],
    *,
    per_call: float,
    unit: str,
    against: Mapping[str, tuple[str, ...]],
) -> list[Row]:
    """Turn seconds into rows: a median rate with its quartiles, and ratios to rivals.

    Args:
        case: What was done, for the table.
        seconds: As `take_turns` returns them.
        per_call: How much of `unit` one call does.
        unit: Such as "images/s".
        against: For a contestant, the rivals it is compared with. A ratio above 1 means that the
            contestant is faster.
    """
    rows = []
    for name, times in seconds.items():
        low, middle, high = _quartiles([per_call / t for t in times])
        row: Row = {"case": case, "who": name, "unit": unit, "median": middle}
        row |= {"low": low, "high": high, "turns": len(times), "ratios": {}}
        for rival in against.get(name, ()):
            if rival in seconds:
                per_turn = [b / a for a, b in zip(times, seconds[rival], strict=True)]
                row["ratios"][rival] = _quartiles(per_turn)
        rows.append(row)
    return rows


def figure(case: str, who: str, value: float, unit: str, *, of: Mapping[str, float] = {}) -> Row:
    """Return the row of something that is counted or computed once, and so has no quartiles.

    Args:
        case: What was done, for the table.
        who: Whose figure it is.
        value: The figure.
        unit: Such as "MB".
        of: Other figures by name, of which the ratio to this one is shown.
    """
    row: Row = {"case": case, "who": who, "unit": unit, "median": value, "low": value}
    ratios = {f"of {name}": [value / other] * 3 for name, other in of.items()}
    return row | {"high": value, "turns": 1, "ratios": ratios}


def environment(device: str) -> Row:
    """Describe where and when a run was made."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    name = torch.cuda.get_device_name() if device == "cuda" else _cpu_name()
    return {
        "run": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": name,
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "versions": versions,
        "command": shlex.join(["python", *sys.argv]),
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return (
                    f"{line.partition(':')[2].strip()}, {torch.backends.cpu.get_cpu_capability()}"
                )
    return platform.processor() or platform.machine()


class Record:
    """The rows of one run of one benchmark: printed as they come and appended to its file.

    Args:
        name: Name of the file in results/.
        device: "cpu" or "cuda".
    """

    def __init__(self, name: str, device: str = "cpu") -> None:
        self.path = RESULTS / f"{name}.json"
        self.environment = environment(device)
        print(json.dumps(self.environment), flush=True)

    def add(self, rows: list[Row]) -> None:
        """Print rows and append them to the file."""
        RESULTS.mkdir(exist_ok=True)
        with self.path.open("a") as file:
            for row in rows:
                file.write(json.dumps({**self.environment, **row}) + "\n")
        for row in rows:
            print("  ".join(cells(row)), flush=True)
