"""Samples that cannot be read: replaced, counted, listed, and too many stop the run."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from eyespot.data.samples import Samples

_MAX_IN_A_ROW = 100
_FREE = 10  # so that one bad image among the first hundred does not stop a run


@dataclass(frozen=True)
class BadSample:
    """A sample that could not be read, and why."""

    index: int
    name: str
    reason: str


@dataclass(frozen=True)
class Fetched:
    """A sample that could be read, and those before it that could not."""

    pixels: UInt8[np.ndarray, "h w 3"]
    label: int | None
    index: int
    bad: tuple[BadSample, ...]


def fetch(
    samples: Samples, index: int, decode: Callable[[bytes | np.ndarray], np.ndarray]
) -> Fetched:
    """Return a sample's pixels; of one that is damaged, those of the next index that is not.

    Only `ValueError` counts as damaged. Anything else, such as a lost connection, is raised: the
    same index must give the same sample every time.

    Args:
        samples: The dataset; after its last sample comes its first.
        index: Where to start.
        decode: Turns a sample's image into RGB.

    Raises:
        ValueError: If a hundred samples in a row are damaged, or all there are.
    """
    bad: list[BadSample] = []
    for place in range(index, index + min(len(samples), _MAX_IN_A_ROW)):
        place %= len(samples)
        name = str(place)
        try:
            image, label, name = samples[place]
            return Fetched(decode(image), label, place, tuple(bad))
        except ValueError as error:
            bad.append(BadSample(place, name, str(error)))
    raise ValueError(
        f"need readable samples, got {len(bad)} damaged ones in a row from index {index}; the "
        f"last is {bad[-1].name}: {bad[-1].reason}"
    )


class Quarantine:
    """The list of bad samples of a run, one JSON object a line: step, index, name, reason.

    A resumed run passes the steps and samples it had done; what the list holds from later steps,
    which will be done again, is dropped.

    Args:
        path: The list, usually quarantine.jsonl; made when the first bad sample comes.
        budget: Largest share of samples that may be bad; the first ten always may.
        start_step: Steps done before.
        num_seen: Samples taken in those steps.
    """

    def __init__(
        self, path: Path, *, budget: float = 0.01, start_step: int = 0, num_seen: int = 0
    ) -> None:
        self.path = Path(path)
        self.budget = budget
        self.num_seen = num_seen
        self.num_bad = 0
        if self.path.is_file():
            self.num_bad = _keep_steps_before(self.path, start_step)

    def add(self, step: int, num_samples: int, bad: Sequence[BadSample]) -> None:
        """Count a step's samples and list its bad ones.

        Raises:
            ValueError: If more samples are bad than the budget allows.
        """
        self.num_seen += num_samples
        if not bad:
            return
        self.num_bad += len(bad)
        with self.path.open("a") as file:
            file.writelines(json.dumps({"step": step, **asdict(item)}) + "\n" for item in bad)
        if self.num_bad > max(_FREE, self.budget * self.num_seen):
            raise ValueError(
                f"need at most {self.budget:.1%} damaged samples, got {self.num_bad} of "
                f"{self.num_seen}; they are listed in {self.path}, the last is {bad[-1].name}: "
                f"{bad[-1].reason}"
            )


def _keep_steps_before(path: Path, step: int) -> int:
    """Drop later steps, and the torn last line of a killed run; return how many lines stay."""
    lines = [line for line in path.read_text().split("\n")[:-1] if json.loads(line)["step"] < step]
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text("".join(line + "\n" for line in lines))
    temporary.replace(path)
    return len(lines)
