"""Samples that cannot be read: counted, listed, and too many stop the run.

Training puts another sample in their place; a measurement leaves them out.
"""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import UInt8

from eyespot.data.samples import Samples

_MAX_IN_A_ROW = 100
_FREE = 10  # most that a large set may have while little of it has been seen
_BLANK = np.zeros((32, 32, 3), np.uint8)


Decode: TypeAlias = Callable[[bytes | np.ndarray, int], tuple[np.ndarray, tuple[int, int]]]


@dataclass(frozen=True)
class BadSample:
    """A sample that could not be read, and why."""

    index: int
    name: str
    reason: str


@dataclass(frozen=True)
class Fetched:
    """A sample that could be read, and those before it that could not.

    Attributes:
        pixels: Of the picture, which may have been decoded smaller than it is.
        size: Height and width of the picture.
        label: None if it has none.
        index: Of the sample.
        bad: Those that could not be read.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    size: tuple[int, int]
    label: int | None
    index: int
    bad: tuple[BadSample, ...]


def fetch(samples: Samples, index: int, decode: Decode) -> Fetched:
    """Return a sample's pixels; of one that is damaged, those of the next index that is not.

    Only `ValueError` counts as damaged. Anything else, such as a lost connection, is raised: the
    same index must give the same sample every time.

    Args:
        samples: The dataset; after its last sample comes its first.
        index: Where to start.
        decode: Turns the image of the sample of an index into RGB; returns the picture's size too.

    Raises:
        ValueError: If a hundred samples in a row are damaged, or all there are.
    """
    bad: list[BadSample] = []
    for place in range(index, index + min(len(samples), _MAX_IN_A_ROW)):
        place %= len(samples)
        name = str(place)
        try:
            image, label, name = samples[place]
            return Fetched(*decode(image, place), label, place, tuple(bad))
        except ValueError as error:
            bad.append(BadSample(place, name, str(error)))
    raise ValueError(
        f"need readable samples, got {len(bad)} damaged ones in a row from index {index}; the "
        f"last is {bad[-1].name}: {bad[-1].reason}"
    )


def fetch_or_blank(samples: Samples, index: int, decode: Decode) -> Fetched:
    """Return a sample's pixels; of one that is damaged, a black picture without a label.

    For measurements, which replace nothing: who counts passes over what has no label. Only
    `ValueError` counts as damaged, as in `fetch`.

    Args:
        samples: The dataset.
        index: Which sample.
        decode: Turns the image of the sample of an index into RGB; returns the picture's size too.
    """
    name = str(index)
    try:
        image, label, name = samples[index]
        return Fetched(*decode(image, index), label, index, ())
    except ValueError as error:
        return Fetched(_BLANK, _BLANK.shape[:2], None, index, (BadSample(index, name, str(error)),))


def too_many_damaged(num_bad: int, num_samples: int, budget: float) -> bool:
    """Whether more of a data set is damaged than the budget allows; one may be, unless it is 0."""
    return num_bad > max(budget > 0, budget * num_samples)


class Quarantine:
    """The list of bad samples of a run, one JSON object a line: step, index, name, reason.

    A sample that is damaged in every epoch has a line for each, and counts once.

    A resumed run passes the steps and samples it had done; what the list holds from later steps,
    which will be done again, is dropped.

    Args:
        path: The list, usually quarantine.jsonl; made when the first bad sample comes.
        budget: Largest share of samples that may be bad. While less than an epoch has been seen
            it counts of what has been seen, but up to ten may be bad if the whole set may have
            as many; one may, unless the budget is 0.
        start_step: Steps done before.
        num_seen: Samples taken in those steps.
    """

    def __init__(
        self, path: Path, *, budget: float = 0.01, start_step: int = 0, num_seen: int = 0
    ) -> None:
        self.path = Path(path)
        self.budget = budget
        self.num_seen = num_seen
        self._bad: set[int] = set()
        if self.path.is_file():
            kept = _keep_steps_before(self.path, start_step)
            self._bad = {line["index"] for line in kept if "measured" not in line}

    @property
    def num_bad(self) -> int:
        """Different samples that were bad."""
        return len(self._bad)

    def add(self, step: int, num_samples: int, bad: Sequence[BadSample], *, set_size: int) -> None:
        """Count a step's samples and list its bad ones.

        Args:
            step: Counted from 0.
            num_samples: That were asked for.
            bad: Those of them that could not be read.
            set_size: Samples of the whole data set.

        Raises:
            ValueError: If more samples are bad than the budget allows.
        """
        self.num_seen += num_samples
        if not bad:
            return
        self._bad |= {item.index for item in bad}
        _append(self.path, ({"step": step, **asdict(item)} for item in bad))
        seen = min(self.num_seen, set_size)
        free = min(_FREE, self.budget * set_size)
        if self.num_bad > free and too_many_damaged(self.num_bad, seen, self.budget):
            raise ValueError(
                f"need at most {self.budget:.1%} damaged samples, got {self.num_bad} of "
                f"{seen}; they are listed in {self.path}, the last is {bad[-1].name}: "
                f"{bad[-1].reason}"
            )


def list_left_out(path: Path, step: int, bad: Sequence[BadSample]) -> None:
    """List samples that a measurement left out, with `"measured": true`, each once.

    Args:
        path: The list of the run.
        step: The last that was done before the measurement, counted from 0.
        bad: What could not be read.
    """
    listed: set[tuple[int, str]] = set()
    if bad and path.is_file():
        lines = map(json.loads, path.read_text().splitlines())
        listed = {(line["index"], line["name"]) for line in lines if "measured" in line}
    new = [item for item in bad if (item.index, item.name) not in listed]
    if new:
        _append(path, ({"step": step, **asdict(item), "measured": True} for item in new))


def _append(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    try:
        with path.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    except OSError as error:
        raise OSError(f"need room and permission to write {path}, got: {error}") from error


def _keep_steps_before(path: Path, step: int) -> list[dict[str, Any]]:
    """Drop later steps, and the torn last line of a killed run; return the lines that stay."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in path.read_text().split("\n")[:-1]]
    kept = [line for line in lines if line["step"] < step]
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
    temporary.replace(path)
    return kept
