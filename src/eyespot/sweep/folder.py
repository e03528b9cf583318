"""The folder of a sweep: what is to run is on disk, whole, before anything runs.

sweep.json     the space, the seed, the count, what a run is; written last: it vouches for the rest
points/        000000.json, ...: the parameters, the network and its cost, one file a point
results.jsonl  the journal of finished runs (see `records`)
claims/        who runs what (see `claims`)
runs/          000000/, ...: a folder for each run's own files, stdout.txt and stderr.txt
"""

import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import eyespot
from eyespot.design.files import write_whole
from eyespot.design.plain_data import fill, read_plain
from eyespot.design.space import Point, Space, sample_space
from eyespot.design.space_files import (
    point_from_dict,
    point_to_dict,
    space_from_dict,
    space_to_dict,
)


@dataclass(frozen=True, slots=True)
class Target:
    """What a run is.

    Args:
        kind: "callable" for a Python function, "command" for a command line.
        what: "module:function", or the command with {placeholders} (see `execute`).
    """

    kind: Literal["callable", "command"]
    what: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep runs.

    Args:
        space: Where its points come from.
        seed: Of the sample.
        count: How many points.
        target: What a run is.
        chooser: Whether the space's sampler chooses the points or an Optuna study does.
    """

    space: Space
    seed: int
    count: int
    target: Target
    chooser: Literal["space", "study"] = "space"


def prepare(folder: Path, sweep: Sweep) -> list[Point]:
    """Write a sweep to its folder, or check that the folder holds this one; return its points.

    A folder that holds a smaller count of the same sweep grows.

    Raises:
        ValueError: If the folder holds another sweep, or the space has too few points.
        OSError: If it cannot be written.
    """
    folder = Path(folder)
    old = begin(folder, sweep)
    if old == sweep and (there := _stored(folder, sweep.count)) is not None:
        return there
    points = sample_space(sweep.space, sweep.seed, sweep.count)
    for point in points:
        if old is None or not _holds(folder, point):
            write_point(folder, point)
    write_sweep(folder, sweep)
    return points


def begin(folder: Path, sweep: Sweep) -> Sweep | None:
    """Make a sweep's folders; return the smaller or equal sweep that is there already, if any.

    Raises:
        ValueError: If the folder holds another sweep.
        OSError: If it cannot be written.
    """
    old = read_sweep(folder) if (folder / "sweep.json").exists() else None
    if old is not None:
        _need_same(folder, old, sweep)
    for name in ("points", "claims", "runs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return old


def write_sweep(folder: Path, sweep: Sweep) -> None:
    """Write sweep.json; every point it counts has to be there before."""
    data = {
        "eyespot": eyespot.__version__,
        "space": space_to_dict(sweep.space),
        "seed": sweep.seed,
        "count": sweep.count,
        "target": asdict(sweep.target),
        "chooser": sweep.chooser,
    }
    write_whole(folder / "sweep.json", json.dumps(data, indent=2) + "\n")


def write_point(folder: Path, point: Point) -> None:
    """Write a point to its file, without waiting for the disk: it can be drawn again."""
    path = point_path(folder, point.index)
    temporary = path.with_suffix(f".{socket.gethostname()}-{os.getpid()}")
    temporary.write_text(json.dumps(point_to_dict(point), indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def _need_same(folder: Path, old: Sweep, new: Sweep) -> None:
    for name in ("space", "seed", "target", "chooser"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            shown = (before.name, after.name) if name == "space" else (before, after)
            raise ValueError(
                f"need the sweep that {folder} was begun with, got another {name} "
                f"({shown[1]} after {shown[0]}); take another folder"
            )
    if new.count < old.count:
        raise ValueError(
            f"need --count of {old.count} or more, as {folder} has points already, got {new.count}"
        )


def _stored(folder: Path, count: int) -> list[Point] | None:
    """Return the points on disk, or None if a crash left one missing or torn."""
    try:
        return [point_from_dict(read_point(folder, index)) for index in range(count)]
    except (ValueError, FileNotFoundError):
        return None


def _holds(folder: Path, point: Point) -> bool:
    """Return whether a point is on disk; a file that a crash left torn does not count."""
    try:
        there = point_from_dict(read_point(folder, point.index))
    except (ValueError, FileNotFoundError):
        return False
    if there != point:
        raise ValueError(
            f"need the version of eyespot that began {folder}: this one draws another point "
            f"{point.index} from the same space and seed; take another folder"
        )
    return True


def point_path(folder: Path, index: int) -> Path:
    """Return where a point is written."""
    return Path(folder) / "points" / f"{index:06d}.json"


def read_sweep(folder: Path) -> Sweep:
    """Read what a folder's sweep runs.

    Raises:
        ValueError: If the folder holds no sweep, or a damaged one.
    """
    path = Path(folder) / "sweep.json"
    if not path.exists():
        raise ValueError(f"need the folder of a sweep, got {folder}, which has no sweep.json")
    data = read_plain(path, "sweep")
    try:
        parts = {name: value for name, value in data.items() if name != "eyespot"}
        parts["space"] = space_from_dict(parts["space"])
        parts["target"] = fill(Target, parts["target"], "target")
        sweep: Sweep = fill(Sweep, parts, "sweep")
    except KeyError as error:
        raise ValueError(f"need a whole sweep in {path}, got no {error}") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"need a whole sweep in {path}: {error}") from None
    return sweep


def read_point(folder: Path, index: int) -> dict[str, Any]:
    """Return a point's file: index, parameters, spec and complexity.

    Raises:
        ValueError: If the file is damaged.
        OSError: If it cannot be read.
    """
    data: dict[str, Any] = read_plain(point_path(folder, index), "point")
    return data
