"""What all benchmarks share: fair timing, the description of a machine, rows, and RESULTS.md.

A benchmark times its contestants in turns (A B, B A, A B, ...), so that whatever else the machine
does slows all of them alike; ratios are taken turn by turn. Every benchmark appends its rows to
results/NAME.json, one JSON object a line; `python benchmarks/common.py` writes RESULTS.md from the
latest run of each file on each device. A run with --quick only counts where there is no other, and
is called quick there.
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
from typing import Any

import torch

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PACKAGES = ("torch", "torchvision", "timm", "transformers", "lightly", "numpy")

Contestants = Mapping[str, Callable[[], object]]
Row = dict[str, Any]


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
            print("  ".join(_cells(row)), flush=True)


def _cells(row: Row) -> list[str]:
    ratios = [
        f"{middle:.2f}x {rival}" + (f" ({low:.2f}-{high:.2f})" if row["turns"] > 1 else "")
        for rival, (low, middle, high) in row["ratios"].items()
    ]
    rate = f"{row['median']:.4g} {row['unit']}"
    spread = f"{row['low']:.4g}-{row['high']:.4g}" if row["turns"] > 1 else ""
    return [row["case"], row["who"], rate, spread, ", ".join(ratios)]


def is_quick(row: Row) -> bool:
    """Say whether a row is from a run with --quick."""
    return "--quick" in shlex.split(row["command"])


def latest_runs(path: Path) -> list[list[Row]]:
    """Return the rows of a file's latest run on each device, of quick ones only if all are."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    latest = {}
    for row in sorted(rows, key=lambda row: (not is_quick(row), row["run"])):
        latest[row["device"]] = row["run"]
    return [
        [row for row in rows if (row["device"], row["run"]) == (device, run)]
        for device, run in latest.items()
    ]


def write_results() -> None:
    """Write RESULTS.md from the latest run of each file on each device."""
    parts = [
        "# Results\n",
        "Made by `make bench`; the rows behind it are in results/. Rates are medians over "
        "interleaved turns, with quartiles; a ratio above 1 means faster than the rival named. "
        "Quick runs have fewer and shorter turns, or fewer cases.\n",
    ]
    for path in sorted(RESULTS.glob("*.json")):
        parts += [_section(path.stem, rows) for rows in latest_runs(path)]
    (HERE / "RESULTS.md").write_text("\n".join(parts))


def _section(name: str, rows: list[Row]) -> str:
    first = rows[0]
    versions = ", ".join(f"{package} {version}" for package, version in first["versions"].items())
    quick = ", quick" if is_quick(first) else ""
    lines = [
        f"## {name}: {first['device']}, {first['threads']} threads{quick}\n",
        f"{first['run']}, load {first['load']} at the start; {versions}\n",
        f"`{first['command']}`\n",
        "| case | who | median | quartiles | ratios |",
        "|---|---|---|---|---|",
        *("| " + " | ".join(_cells(row)) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    write_results()
