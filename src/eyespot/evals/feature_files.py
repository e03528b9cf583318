"""Features on disk: a folder of shards that several processes fill and a killed one goes on with.

    features.json         what was extracted with what; equal for all shards
    00000.rows.jsonl      one line a sample: index, name, label, and the problem of a damaged one
    00000.TAP.npy         one row of features a sample without a problem, in the same order

A shard's list of rows is written last and under a temporary name first: a shard that has it is
whole.

Shapes: N samples that could be read, D width of a tap.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eyespot.errors import unknown_name
from eyespot.evals.extract import Row, Table

FORMAT = "eyespot-features/1"
_ABOUT = "features.json"


@dataclass(frozen=True, slots=True)
class About:
    """What a folder of features holds.

    Attributes:
        num_samples: Of the data set, damaged ones included.
        rows_per_shard: Samples a shard; the last may have fewer.
        taps: As they print.
        dtype: "float32" or "float16".
        facts: Where they come from: data, weights, view, as plain data.
    """

    num_samples: int
    rows_per_shard: int
    taps: tuple[str, ...]
    dtype: str
    facts: Mapping[str, Any]

    @property
    def num_shards(self) -> int:
        """Number of shards when all are there."""
        return -(-self.num_samples // self.rows_per_shard)

    def indices(self, shard: int) -> range:
        """Return the samples of a shard."""
        first = shard * self.rows_per_shard
        return range(first, min(first + self.rows_per_shard, self.num_samples))


def start_folder(folder: Path, about: About) -> None:
    """Make a folder for features, or go on with one that was started for the very same.

    Raises:
        ValueError: If it holds features of something else.
        OSError: If it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _ABOUT
    wanted = json.loads(json.dumps({"format": FORMAT, **asdict(about)}))
    if path.exists():
        found = _read_json(path)
        old, new = _flat(found), _flat(wanted)
        for name in {**old, **new}:
            if old.get(name) != new.get(name):
                raise ValueError(
                    f"need a new folder, or the same {name} as in {path}, got "
                    f"{_short(new.get(name))} instead of {_short(old.get(name))}"
                )
        return
    if any(folder.iterdir()):
        raise ValueError(f"need a new or empty folder to write features to, got {folder}")
    _write_whole(path, json.dumps(wanted, indent=2) + "\n")


def missing_shards(folder: Path, about: About) -> list[int]:
    """Return the shards that are not whole yet."""
    return [n for n in range(about.num_shards) if not _rows_path(folder, n).exists()]


def write_shard(
    folder: Path, about: About, shard: int, rows: Sequence[Row], features: Sequence[Tensor]
) -> None:
    """Write a shard: features first, then the list of rows that makes it count.

    Args:
        folder: From `start_folder`.
        about: Likewise.
        shard: Its number.
        rows: All samples of the shard, in order.
        features: Of each tap, for the rows without a problem.

    Raises:
        OSError: If it cannot be written.
    """
    assert [row.index for row in rows] == list(about.indices(shard))
    for tap, values in zip(about.taps, features, strict=True):
        path = _features_path(folder, shard, tap)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with temporary.open("wb") as file:
            np.save(file, values.to("cpu", getattr(torch, about.dtype)).numpy())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    lines = (json.dumps(asdict(row)) for row in rows)
    _write_whole(_rows_path(folder, shard), "".join(line + "\n" for line in lines))


def is_feature_folder(folder: Path) -> bool:
    """Say whether a folder was made by `start_folder`."""
    return (folder / _ABOUT).is_file()


def read_about(folder: Path) -> About:
    """Read what a folder holds.

    Raises:
        ValueError: If it is no folder of features.
    """
    path = folder / _ABOUT
    if not path.is_file():
        raise ValueError(f"need a folder of features with {_ABOUT}, got {folder}")
    found = _read_json(path)
    if found.pop("format", None) != FORMAT:
        raise ValueError(f"need features of the format {FORMAT!r} in {path}, got another")
    try:
        return About(**{**found, "taps": tuple(found["taps"])})
    except (KeyError, TypeError) as error:
        raise ValueError(f"need a whole {_ABOUT}, got {path} ({error})") from None


def read_features(folder: Path, tap: str | None = None) -> Table:
    """Read all features of one tap, mapped from disk where they lie in one shard.

    Args:
        folder: Whole, as `missing_shards` sees it.
        tap: Which; may be left out if there is one.

    Raises:
        ValueError: If shards are missing or damaged, or there is no such tap.
    """
    about = read_about(folder)
    if tap is None and len(about.taps) > 1:
        raise ValueError(f"need one of the taps {', '.join(about.taps)} of {folder}, got none")
    tap = about.taps[0] if tap is None else tap
    if tap not in about.taps:
        raise ValueError(unknown_name(f"tap of {folder}", tap, about.taps))
    missing = missing_shards(folder, about)
    if missing:
        raise ValueError(
            f"need all {about.num_shards} shards in {folder}, missing {len(missing)}; run the "
            "same `eyespot embed` again to go on with it"
        )
    rows: list[Row] = []
    parts: list[Tensor] = []
    for shard in range(about.num_shards):
        own, features = read_shard(folder, shard, (tap,))
        rows += own
        parts += features
    good = [row for row in rows if not row.problem]
    return Table(
        [parts[0] if len(parts) == 1 else torch.cat(parts)],
        torch.tensor([row.label for row in good], dtype=torch.int64),
        torch.tensor([row.index for row in good], dtype=torch.int64),
        [row for row in rows if row.problem],
    )


def read_shard(
    folder: Path, shard: int, taps: Sequence[str]
) -> tuple[list[Row], list[Float[Tensor, "n _"]]]:
    """Read one shard that is whole: all its rows, and features of those without a problem.

    Raises:
        ValueError: If it is damaged.
    """
    rows = _read_rows(_rows_path(folder, shard))
    count = sum(not row.problem for row in rows)
    return rows, [_read_array(_features_path(folder, shard, tap), count) for tap in taps]


def _read_rows(path: Path) -> list[Row]:
    try:
        return [Row(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (ValueError, TypeError) as error:
        raise ValueError(f"need a list of rows, got {path} ({error})") from None


def _read_array(path: Path, count: int) -> Tensor:
    try:
        array = np.load(path, mmap_mode="c", allow_pickle=False)  # writable, but never written to
    except (OSError, ValueError) as error:
        raise ValueError(
            f"need features in {path}, got {error}; delete its list of rows and run `eyespot "
            "embed` again"
        ) from None
    if array.ndim != 2 or len(array) != count:
        raise ValueError(f"need {count} rows in {path}, got shape {array.shape}")
    return torch.from_numpy(array)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"need JSON in {path}, got {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"need a JSON object in {path}, got a {type(found).__name__}")
    return found


def _flat(about: dict[str, Any]) -> dict[str, Any]:
    return {**about, **about.get("facts", {}), "facts": None}


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:200] + "..."


def _rows_path(folder: Path, shard: int) -> Path:
    return folder / f"{shard:05d}.rows.jsonl"


def _features_path(folder: Path, shard: int, tap: str) -> Path:
    return folder / f"{shard:05d}.{tap}.npy"


def _write_whole(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
