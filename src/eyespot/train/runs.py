"""What training runs did, read from their folders as plain data: what a report draws and prints.

Takes the folders as they are: of a run that was killed, that is being written, that only began.
"""

import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from eyespot.design.plain_data import read_plain
from eyespot.errors import unknown_name

_METRICS = "metrics.jsonl"
_DEPTH = 3
_OWN_FOLDERS = ("checkpoints", "captures", "results")
_LOWER_IS_BETTER = ("error", "loss", "miss")

Curve = list[tuple[int, float]]
"""Steps, each with a value."""


class Found(NamedTuple):
    """What lies in folders.

    Attributes:
        runs: Folders of training runs.
        sweeps: Folders of sweeps; those of their own runs are not among the runs.
    """

    runs: list[Path]
    sweeps: list[Path]


def summarize_runs(folders: Sequence[Path], *, metric: str | None = None) -> dict[str, Any]:
    """Return what training runs did.

    Args:
        folders: Folders of runs, or folders that hold some, up to three levels down.
        metric: What decides which step was best; what each recipe goes by if not given.

    Returns:
        `runs`, sorted by name: each with `name`, `folder`, `task`, `recipe` (its name), `state`
        ("finished", "not finite" or "unfinished": files do not tell a stopped run from one that
        goes on), `step` of `steps` (None if not recorded), `checkpoint` (the newest one's step),
        `loss` (of the last steps), `metric`, `better` ("lower" or "higher"), `best`, `best_step`,
        `last`, `last_step`, `written` (UTC), `settings` (the recipe's numbers by dotted name),
        `notes`, and `curves`: `training` and `evaluation`, mappings from a name to pairs of step
        and value. And `notes` on the folders.

    Raises:
        ValueError: If a folder holds no run, or no run has the metric.
    """
    paths, notes = [], []
    for folder in folders:
        found = find_runs(folder)
        paths += found.runs
        notes += [f"left out: {sweep} is a sweep; report on it alone" for sweep in found.sweeps]
    paths = list({path.resolve(): path for path in paths}.values())
    bases = [folder.resolve() for folder in folders]
    names = [_name(path.resolve(), bases) for path in paths]
    runs = [read_run(path, name, metric) for path, name in zip(paths, names, strict=True)]
    if metric is not None and all(run["metric"] is None for run in runs):
        known = {name for run in runs for kind in run["curves"].values() for name in kind}
        if not known:
            raise ValueError(f"need a run that measured {metric!r}, got none with any numbers yet")
        raise ValueError(unknown_name("metric of these runs", metric, known))
    return {"runs": sorted(runs, key=lambda run: run["name"]), "notes": notes}


def find_runs(folder: Path) -> Found:
    """Return the runs and sweeps that a folder is or holds.

    Raises:
        ValueError: If it holds no run.
    """
    if not folder.is_dir():
        kind = "a file" if folder.exists() else "not there"
        raise ValueError(
            f"need the folder of a sweep or of training runs, got {folder}: it is {kind}"
        )
    found = Found([], [])
    for path in _walk(folder, _DEPTH):
        (found.sweeps if _is_sweep(path) else found.runs).append(path)
    if not found.runs and found.sweeps:
        raise ValueError(
            f"need the folder of a sweep or of training runs, got {folder}, which holds sweeps; "
            f"take them by name, such as {found.sweeps[0]}"
        )
    if not found.runs:
        raise ValueError(
            f"need the folder of a sweep or of training runs, got {folder}: no sweep.json there, "
            f"no recipe.json with a run.json there or up to {_DEPTH} levels down; take the --out "
            "of eyespot train, probe or sweep"
        )
    return found


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the runs and sweeps of a folder; those inside a sweep are the sweep's own."""
    run = (folder / "recipe.json").is_file()
    if _is_sweep(folder) or (run and any((folder / n).is_file() for n in ("run.json", _METRICS))):
        yield folder
    if depth == 0 or _is_sweep(folder):
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name[0] != "." and not (run and path.name in _OWN_FOLDERS):
            yield from _walk(path, depth - 1)


def _is_sweep(folder: Path) -> bool:
    return (folder / "sweep.json").is_file()


def _name(path: Path, bases: Sequence[Path]) -> str:
    """The path from what was given, or from where all that was given lies."""
    base = Path(os.path.commonpath(bases))
    return path.name if path == base else str(path.relative_to(base))


def read_run(folder: Path, name: str, metric: str | None = None) -> dict[str, Any]:
    """Return what one run did, as in `summarize_runs`.

    Raises:
        ValueError: If its recipe cannot be read.
    """
    recipe = read_plain(folder / "recipe.json", "recipe")
    if not isinstance(recipe, Mapping) or not isinstance(recipe.get("recipe"), Mapping):
        raise ValueError(f'need a recipe with "task" and "recipe" in {folder / "recipe.json"}')
    lines, notes = _read_lines(folder / _METRICS)
    start = (_read_lines(folder / "environment.jsonl")[0] or [{}])[-1]
    curves = _curves(lines, recipe["recipe"].get("batch_size"))
    checkpoint = _newest(folder / "checkpoints")
    step = max([checkpoint or 0, *(line["step"] for line in lines if _is_step(line))])
    loss = curves["training"].get("loss")
    advice = [line.get("advice", []) for line in lines if "evaluation" not in line][-1:]
    written = max(_written(folder / file) for file in (_METRICS, "recipe.json"))
    return {
        "name": name,
        "folder": str(folder),
        "task": str(recipe.get("task", "")),
        "recipe": str(recipe.get("name") or recipe.get("task", "")),
        "state": _state(folder, step),
        "step": step,
        "steps": start.get("steps"),
        "checkpoint": checkpoint,
        "loss": loss[-1][1] if loss else None,
        **_decisive(curves, metric, start.get("score")),
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(written)),
        "settings": _settings(folder, recipe),
        "notes": notes + [sentence for sentences in advice for sentence in sentences],
        "curves": curves,
    }


def _read_lines(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the objects of a file with one a line, and what was wrong with other lines."""
    if not path.is_file():
        return [], []
    lines, notes = [], []
    for number, text in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        if isinstance(line, dict):
            lines.append(line)
        else:
            notes.append(f"{path.name} line {number} is torn ({len(text)} bytes) and left out")
    return lines, notes


def _is_step(line: Mapping[str, Any]) -> bool:
    return isinstance(line.get("step"), int)


def _curves(lines: Sequence[Mapping[str, Any]], batch: Any) -> dict[str, dict[str, Curve]]:
    """Return every number that was logged, by name, and images a second from the batch's size."""
    curves: dict[str, dict[str, Curve]] = {"training": {}, "evaluation": {}}
    for line in filter(_is_step, lines):
        kind = "evaluation" if "evaluation" in line else "training"
        numbers = _mapping(line.get("evaluation")) or {**line, **_mapping(line.get("time"))}
        seconds = numbers.get("seconds_per_step")
        if seconds and isinstance(batch, int):
            numbers = {**numbers, "images_per_second": batch / seconds}
        for name, value in numbers.items():
            if name != "step" and isinstance(value, int | float):
                curves[kind].setdefault(name, []).append((line["step"], value))
    return curves


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _newest(folder: Path) -> int | None:
    """The step of the newest whole checkpoint or capture in a folder."""
    names = [path.name.removeprefix("step_") for path in folder.glob("step_*")]
    return max((int(name) for name in names if name.isdecimal()), default=None)


def _state(folder: Path, step: int) -> str:
    if (folder / "weights.safetensors").is_file():
        return "finished"
    captured = _newest(folder / "captures")
    return "not finite" if captured is not None and captured >= step else "unfinished"


def _decisive(
    curves: Mapping[str, Mapping[str, Curve]], metric: str | None, score: str | None
) -> dict[str, Any]:
    """Return the best and the last value of the metric that decides."""
    evaluated = curves["evaluation"]
    name = metric or (score if score in evaluated else next(iter(evaluated), None))
    curve = evaluated.get(name or "") or curves["training"].get(name or "")
    if not curve:
        return dict.fromkeys(("metric", "better", "best", "best_step", "last", "last_step"))
    assert name is not None
    lower = lower_is_better(name)
    finite = [pair for pair in curve if math.isfinite(pair[1])] or curve
    step, value = min(finite, key=lambda pair: pair[1] if lower else -pair[1])
    return {
        "metric": name,
        "better": "lower" if lower else "higher",
        "best": value,
        "best_step": step,
        "last": curve[-1][1],
        "last_step": curve[-1][0],
    }


def lower_is_better(metric: str) -> bool:
    """Whether a metric is better when it is lower: errors, losses and misses."""
    return any(word in metric for word in _LOWER_IS_BETTER)


def _written(path: Path) -> float:
    return path.stat().st_mtime if path.is_file() else 0.0


def _settings(folder: Path, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe's numbers by dotted name, and the data it was trained on."""
    settings = _flat(recipe["recipe"])
    path = folder / "run.json"
    place = read_plain(path, "run") if path.is_file() else {}
    data = {name: place[name] for name in ("data", "val") if place.get(name)}
    return data | _flat(_mapping(recipe.get("data")), "data.") | settings


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        inner = isinstance(value, Mapping)
        found |= _flat(value, f"{prefix}{name}.") if inner else {f"{prefix}{name}": value}
    return found
