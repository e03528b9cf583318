"""`eyespot quickstart`: the whole chain on this machine, in one command and on one page."""

import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import eyespot
from eyespot.cli.quickstart_pictures import Asked, montage, write_pictures
from eyespot.cli.quickstart_steps import Command, design, ground, pretrain, use
from eyespot.design.files import write_whole
from eyespot.train.logs import duration

_LEAST_RECALL = 0.8

Record = dict[str, Any]
"""A command's `words`, what it `said` on standard output, and its `seconds`."""


def quickstart(out: Path = Path("quickstart"), fast: bool = False) -> None:
    """Design, pretrain, train and use a network on this machine; everything on one page.

    Scales a RegNetY to a budget, pretrains it without labels on rendered pictures, trains a
    grounder on top, measures it on scenes it never saw, grounds sentences, and writes
    OUT/index.html with every command that did it. Interrupted, the same command goes on.

    Args:
        out: A folder.
        fast: Two minutes in place of ten: nothing is trained, the weights that ship with the
            package are measured and used.
    """
    from eyespot.recipes.ground import quickstart as recipe
    from eyespot.recipes.ground import scenes_small
    from eyespot.report.quickstart_page import quickstart_page

    if " " in str(out):
        raise ValueError(f"need a folder whose path has no spaces, got {str(out)!r}")
    records = out / ("said-fast" if fast else "said")
    records.mkdir(parents=True, exist_ok=True)
    world = (scenes_small() if fast else recipe()).scenes.world
    asked = write_pictures(world, out / ("pictures-fast" if fast else "pictures"))
    parts = {
        "design": design(out),
        "pretrain": pretrain(out, fast=fast),
        "ground": ground(out, fast=fast),
        "use": use(out, asked, fast=fast),
    }
    said = run_all([command for part in parts.values() for command in part], records)
    page = out / "index.html"
    write_whole(page, quickstart_page(_for_page(parts, said, asked)))
    print(f"\nwritten: {page}")
    _check(said)


def run_all(commands: Sequence[Command], records: Path) -> dict[str, Record]:
    """Run commands one after the other, but for those that ran before; return their records.

    Args:
        commands: In order.
        records: A folder for one JSON file each.

    Raises:
        ValueError: If a command fails, or was interrupted.
    """
    found: dict[str, Record] = {}
    expected = took = 0.0
    for place, command in enumerate(commands):
        path = records / f"{command.name}.json"
        record = _read(path)
        if record is None or record["words"] != list(command.words):
            left = sum(later.seconds for later in commands[place:])
            left *= took / expected if expected > 20 else 1
            print(f"\n[{place + 1}/{len(commands)}, about {duration(left)} left]", flush=True)
            record = _run(command)
            write_whole(path, json.dumps(record, indent=1) + "\n")
            expected, took = expected + command.seconds, took + record["seconds"]
        found[command.name] = record
    return found


def _read(path: Path) -> Record | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _run(command: Command) -> Record:
    """Run one command; show it and what it says."""
    print(f"$ eyespot {shlex.join(command.words)}", flush=True)
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "eyespot", *command.words], stdout=subprocess.PIPE, text=True
    ) as process:
        lines = []
        assert process.stdout is not None, "it is a pipe"
        try:
            for line in process.stdout:
                lines.append(line)
                print(_short(line), end="", flush=True)
            failed = process.wait()
        except KeyboardInterrupt:  # the command got it too, and saves what it has
            process.wait()
            failed = 130
    stopped = command.leaves is not None and not command.leaves.exists()
    if failed or stopped:
        how = f"exit code {failed}" if failed else "one that was stopped"
        raise ValueError(
            f"need `eyespot {command.words[0]}` to go to its end, got {how}; what was done is "
            "kept, the same command goes on from here"
        )
    seconds = time.monotonic() - began
    return {"words": list(command.words), "said": "".join(lines), "seconds": seconds}


def _short(line: str, width: int = 160) -> str:
    """A line for people: JSON goes on the page."""
    return line if len(line) <= width else f"{line[:width].rstrip()} ...\n"


def _for_page(
    parts: Mapping[str, Sequence[Command]],
    said: Mapping[str, Record],
    asked: Sequence[Asked],
) -> dict[str, Any]:
    """What the page is made of (see `report.quickstart_page`)."""
    before, after, metrics = _measured(said)
    by_name = {command.name: command for part in parts.values() for command in part}
    runs = {"pretrained": by_name.get("pretrain"), "grounder": by_name.get("train")}
    drawn = [command.leaves for command in parts["use"]]
    return {
        "took": duration(sum(record["seconds"] for record in said.values())),
        "counts": json.loads(said["measure"]["said"]),
        "knn": {"before": before, "after": after},
        "metrics": metrics,
        "curves": {
            name: _lines(command.leaves.parent / "metrics.jsonl")
            for name, command in runs.items()
            if command is not None and command.leaves is not None
        },
        "samples": montage(by_name["render"].words[-1]),
        "grounded": [
            (path.read_bytes(), f"“{one.text}” ({one.about})")
            for path, one in zip(drawn, asked, strict=True)
            if path is not None
        ],
        "commands": {
            part: [
                (f"eyespot {shlex.join(c.words)}", duration(said[c.name]["seconds"]))
                for c in commands
            ]
            for part, commands in parts.items()
        },
        "environment": _environment(),
    }


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _environment() -> str:
    import torch

    return (
        f"eyespot {eyespot.__version__}, torch {torch.__version__}, Python "
        f"{platform.python_version()}, {platform.machine()} with {os.cpu_count()} cores, "
        f"{time.strftime('%Y-%m-%d')}"
    )


def _measured(said: Mapping[str, Record]) -> tuple[float, float, dict[str, float]]:
    """Neighbours right before and after pretraining, in percent; metrics of the grounder."""
    before, after = (
        json.loads(said[name]["said"])["metrics"]["top1_percent_k20"]
        for name in ("knn-random", "knn")
    )
    return before, after, json.loads(said["evaluate"]["said"])


def _check(said: Mapping[str, Record]) -> None:
    """Compare what was measured with what has to come out.

    Raises:
        ValueError: If it does not.
    """
    before, after, metrics = _measured(said)
    recall = metrics["average_R@1"]
    print(f"neighbours right: {before:.1f} % before pretraining, {after:.1f} % after")
    print(f"phrases of fresh scenes: the first box is right for {100 * recall:.1f} %")
    if recall < _LEAST_RECALL or after <= before:
        raise ValueError(
            f"need more neighbours right after pretraining than before, and {_LEAST_RECALL:.0%} of "
            f"phrases, got {before:.1f} and {after:.1f} %, and {100 * recall:.1f} %; the page in "
            "the folder shows where it went wrong"
        )
