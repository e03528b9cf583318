"""The journal of a sweep: one JSON line a finished run, appended so that a crash tears one at most.

Writers on any number of machines may share the file: a record is one write under a lock, forced to
disk. A line torn by a killed writer is dropped when read, and said so. A number that is not finite
is written as null and read as NaN.
"""

import fcntl
import json
import math
import numbers
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from eyespot.design.plain_data import fill, short

Status = Literal["done", "failed", "retry"]


@dataclass(frozen=True, slots=True)
class Record:
    """What became of one run.

    Args:
        point: Number of the point.
        status: "done", "failed", or "retry" (a person asked to run a failed point again).
        metrics: What the run measured: numbers, lists with one number an epoch, text.
        error: Why it failed, the last line of the traceback.
        seconds: How long it ran.
        attempt: Which attempt at the point, from 1.
        worker: Who ran it, host and process.
        finished: When, in seconds since 1970.
    """

    point: int
    status: Status
    metrics: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    seconds: float = 0.0
    attempt: int = 1
    worker: str = ""
    finished: float = 0.0


class Journal(NamedTuple):
    """What a journal holds.

    Attributes:
        records: Its records, oldest first.
        notes: One sentence for each piece that is no record and was dropped.
        end: Bytes read; where to read on.
    """

    records: list[Record]
    notes: list[str]
    end: int


def append_record(path: Path, record: Record) -> None:
    """Append one record: one write, on disk when this returns.

    Raises:
        ValueError: If a metric is neither number, text, nor a list of numbers.
        OSError: If it could not be written whole, for example on a full disk.
    """
    plain = {**asdict(record), "metrics": plain_metrics(record.metrics)}
    line = json.dumps(plain, allow_nan=False).encode() + b"\n"
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        with suppress(OSError):  # no locks on this file system: appending is all it has
            fcntl.lockf(handle, fcntl.LOCK_EX)
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            line = b"\n" + line  # leave the line of a killed writer alone
        if os.write(handle, line) != len(line):
            raise OSError(f"need room for a record in {path}, got only part of it written")
        os.fsync(handle)
    finally:
        os.close(handle)


def read_journal(path: Path, start: int = 0) -> Journal:
    """Read a journal, or what was appended since the last look.

    Args:
        path: The file; one that does not exist is an empty journal.
        start: Where to begin, the `end` of an earlier reading.

    Raises:
        ValueError: If a whole line holds JSON that is no record.
        OSError: If it cannot be read.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read()
    except FileNotFoundError:
        return Journal([], [], start)
    records, notes, end = [], [], start
    for line in data.splitlines(keepends=True):
        whole = line.endswith(b"\n")
        try:
            parsed = json.loads(line) if line.strip() else None
        except ValueError:
            where = f"{path.name}: {len(line)} bytes at byte {end}"
            notes.append(f"{where} are no record (torn by a killed writer) and were dropped")
            parsed = None
            if not whole:
                break  # perhaps only half written yet: read it again next time
        if parsed is not None:
            records.append(_record(parsed, path, end))
        end += len(line)
    return Journal(records, notes, end)


def _record(data: object, path: Path, at: int) -> Record:
    if not isinstance(data, Mapping) or not isinstance(data.get("metrics"), Mapping):
        raise ValueError(f"need records in {path}, got {short(data)} at byte {at}")
    metrics = {name: _nan_for_none(value) for name, value in data["metrics"].items()}
    try:
        record: Record = fill(Record, {**data, "metrics": metrics}, "record")
    except ValueError as error:
        raise ValueError(f"{path} at byte {at}: {error}") from None
    return record


def _nan_for_none(value: Any) -> Any:
    if isinstance(value, list):
        return [_nan_for_none(entry) for entry in value]
    return math.nan if value is None else value


def plain_metrics(metrics: object) -> dict[str, Any]:
    """Return metrics as JSON can hold them; numbers that are not finite become None.

    Raises:
        ValueError: If they are no mapping of names to numbers, text and lists of numbers.
    """
    if not isinstance(metrics, Mapping):
        raise ValueError(f"need metrics as a mapping of names to numbers, got {short(metrics)}")
    return {str(name): _plain(str(name), value) for name, value in metrics.items()}


def _plain(name: str, value: object) -> Any:
    match value:
        case None | bool() | str():
            return value
        case numbers.Integral():
            return int(value)
        case numbers.Real():
            return float(value) if math.isfinite(value) else None
        case list() | tuple() if not any(isinstance(entry, list | tuple) for entry in value):
            return [_plain(name, entry) for entry in value]
    raise ValueError(
        f"need metric {name!r} as a number, text, or a list of numbers, got {short(value)}"
    )


def latest(records: Iterable[Record]) -> dict[int, Record]:
    """Return the record that counts for each point: the first done one, else the last."""
    found: dict[int, Record] = {}
    for record in records:
        if record.point not in found or found[record.point].status != "done":
            found[record.point] = record
    return found
