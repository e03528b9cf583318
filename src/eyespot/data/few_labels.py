"""The names and labels of a data set without its pictures, and published lists of a few of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from eyespot.data.held_out import Part
from eyespot.data.samples import Samples

NO_LABEL = -1
_SHOWN = 3


class Listing(NamedTuple):
    """What a data set holds.

    Attributes:
        names: Of the samples, in order.
        labels: Likewise; -1 where there is none.
    """

    names: Sequence[str]
    labels: Int64[np.ndarray, " n"]


@runtime_checkable
class Listed(Protocol):
    """Samples that know their names and labels without reading pictures."""

    def listing(self) -> tuple[Sequence[str], np.ndarray]:
        """Return names and labels."""


def listing(samples: Samples) -> Listing:
    """Return names and labels; of samples that do not keep them apart, by reading all."""
    if isinstance(samples, Part):
        whole = listing(samples.samples)
        places = [samples.source_index(i) for i in range(len(samples))]
        return Listing([whole.names[i] for i in places], whole.labels[places])
    if isinstance(samples, Listed):
        names, known = samples.listing()
        return Listing(names, known.astype(np.int64))
    rows = [samples[i] for i in range(len(samples))]
    labels = [NO_LABEL if row.label is None else row.label for row in rows]
    return Listing([row.name for row in rows], np.array(labels, np.int64))


def few_of(samples: Samples, indices: Int64[np.ndarray, " m"]) -> Part:
    """Return the samples with these ascending indices."""
    return Part(samples, indices, inside=True)


def read_name_list(path: Path, names: Sequence[str]) -> Int64[np.ndarray, " m"]:
    """Return which samples a list names, ascending.

    The lists of 1 % and 10 % of ImageNet's labels (SimCLR, arXiv 2002.05709) hold a file name a
    line; folders before a name are not compared.

    Args:
        path: Text, a name a line.
        names: Of all samples.

    Raises:
        ValueError: If the list is empty, or names what is not there or is there twice.
        OSError: If it cannot be read.
    """
    wanted = [_base(line.strip()) for line in path.read_text(encoding="utf-8").splitlines()]
    wanted = list(dict.fromkeys(filter(None, wanted)))
    if not wanted:
        raise ValueError(f"need a file name a line, got none in {path}")
    places: dict[str, list[int]] = {name: [] for name in wanted}
    for place, name in enumerate(names):
        if (base := _base(name)) in places:
            places[base].append(place)
    wrong = [name for name in wanted if len(places[name]) != 1]
    if wrong:
        shown = ", ".join(f"{name} ({len(places[name])} times)" for name in wrong[:_SHOWN])
        raise ValueError(
            f"need every name of {path} once in the data, got {len(wrong)} of {len(wanted)} "
            f"otherwise: {shown}"
        )
    return np.sort(np.array([places[name][0] for name in wanted], np.int64))


def _base(name: str) -> str:
    return name.rpartition("/")[2]
