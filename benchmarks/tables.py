"""Writes RESULTS.md from the rows in results/: the latest run of each file on each device.

A run with --quick counts only where there is no other, and is called quick.

Run:  python benchmarks/tables.py
"""

import json
import shlex
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"

Row = dict[str, Any]


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


def cells(row: Row) -> list[str]:
    """Return a row as the cells of RESULTS.md: case, who, median, quartiles, ratios."""
    several = row["turns"] > 1
    ratios = [
        f"{middle:.2f}x {rival}" + (f" ({low:.2f}-{high:.2f})" if several else "")
        for rival, (low, middle, high) in row["ratios"].items()
    ]
    rate = f"{row['median']:.4g} {row['unit']}"
    spread = f"{row['low']:.4g}-{row['high']:.4g}" if several else ""
    return [row["case"], row["who"], rate, spread, ", ".join(ratios)]


def results() -> str:
    """Return what RESULTS.md says."""
    parts = [
        "# Results\n",
        "Made by `make bench`; the rows behind it are in results/. Rates are medians over "
        "interleaved turns, with quartiles; a ratio above 1 means faster than the rival named, "
        "but for ratios of a figure to another's. Quick runs have fewer and shorter turns, or "
        "fewer cases.\n",
    ]
    for path in sorted(RESULTS.glob("*.json")):
        parts += [_section(path.stem, rows) for rows in latest_runs(path)]
    return "\n".join(parts)


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
        *("| " + " | ".join(cells(row)) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (HERE / "RESULTS.md").write_text(results())
