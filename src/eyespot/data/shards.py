"""WebDataset tars as one dataset: any sample is read by its place, nothing is unpacked."""

import itertools
import re
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from eyespot.data.rows import PackedStrings
from eyespot.data.samples import Sample, checked_label
from eyespot.data.shard_index import NO_LABEL, ShardIndex, load_index
from eyespot.data.storage import is_remote, read_part

_READERS = 16
_HELD_SAMPLES = 1 << 21
"""Samples whose places a process keeps: two windows of SEER's recipes, about 100 MB."""


class Shards:
    """The samples of many tar shards, one shard after the other.

    Each shard's index is read, or built by one pass and kept beside it, when the dataset is made;
    afterwards a sample costs one read of its image's bytes. A process keeps the indexes of the last
    two million samples that it came by in memory.

    Args:
        shards: A folder of .tar files; or paths or fsspec addresses, in which {000000..000999}
            stands for a range of numbers.
        num_classes: How many classes the labels may name; None gives no labels.

    Attributes:
        label_limit: The largest label of all shards, plus one; 0 if there are none.
        num_unlabelled: Samples without a label.
        digests: A number of each shard that another one will not have (`ShardIndex.digest`).

    Raises:
        ValueError: If there is no shard, or one is missing, truncated, holds a pickle, or lacks an
            image; on access, if a label is missing or out of range.
    """

    def __init__(self, shards: str | Sequence[str], *, num_classes: int | None = None) -> None:
        names = [shards] if isinstance(shards, str) else shards
        expanded = [shard for name in names for shard in expand(name)]
        if not expanded:
            raise ValueError(f"need at least one shard, got none in {shards!r}")
        self.num_classes = num_classes
        self._shards = PackedStrings(expanded)
        with ThreadPoolExecutor(_READERS) as pool:  # a store far away answers many at once
            facts = np.array([*pool.map(_facts, expanded)], np.int64)  # [shards, 4]
        self._ends = np.cumsum(facts[:, 0])
        self.digests = facts[:, 1]
        self.label_limit = int(facts[:, 2].max())
        self.num_unlabelled = int(facts[:, 3].sum())
        self._indexes: OrderedDict[int, ShardIndex] = OrderedDict()
        self._held = 0

    @property
    def sizes(self) -> list[int]:
        """Samples of each shard."""
        return [int(size) for size in np.diff(self._ends, prepend=0)]

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Sample:
        index = range(len(self))[index]
        which = int(np.searchsorted(self._ends, index, side="right"))
        shard, shard_index = self._shards[which], self._index_of(which)
        key, start, size, number = shard_index[index - int(self._ends[which]) + len(shard_index)]
        name, label = f"{shard}/{key}", None
        if self.num_classes is not None:
            if number == NO_LABEL:
                raise ValueError(f"need a .cls or .json member with a label, got none for {name}")
            label = checked_label(number, self.num_classes, name)
        return Sample(read_part(shard, start, size), label, name)

    def listing(self) -> tuple[list[str], np.ndarray]:
        """Return names and labels, -1 where there is none."""
        names: list[str] = []
        labels = []
        for which in range(len(self._shards)):
            index = self._index_of(which)
            names += [f"{self._shards[which]}/{index.keys[i]}" for i in range(len(index))]
            labels.append(index.labels)
        return names, np.concatenate(labels)

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_indexes": OrderedDict(), "_held": 0}

    def _index_of(self, which: int) -> ShardIndex:
        if which not in self._indexes:
            index = load_index(self._shards[which])
            count = int(self._ends[which]) - int(self._ends[which - 1] if which else 0)
            if len(index) != count or index.digest() != self.digests[which]:
                raise RuntimeError(
                    f"need {self._shards[which]} to keep its {count} samples during a run, got "
                    f"{len(index)}{' others' if len(index) == count else ''}; was the shard "
                    "replaced?"
                )
            self._indexes[which] = index
            self._held += len(index)
            while self._held > _HELD_SAMPLES and len(self._indexes) > 1:
                self._held -= len(self._indexes.popitem(last=False)[1])
        self._indexes.move_to_end(which)
        return self._indexes[which]


def _facts(shard: str) -> tuple[int, int, int, int]:
    """Return a shard's samples, its digest, its largest label plus one, and those without any."""
    index = load_index(shard)
    unlabelled = int((index.labels == NO_LABEL).sum())
    return len(index), index.digest(), int(index.labels.max()) + 1, unlabelled


def expand(pattern: str) -> list[str]:
    """Return the shards that a pattern stands for.

    Examples:
        >>> expand("s3://photos/{08..11}.tar")[:2]
        ['s3://photos/08.tar', 's3://photos/09.tar']

    Raises:
        ValueError: If a brace is no range of numbers.
    """
    if not is_remote(pattern) and Path(pattern).is_dir():
        return sorted(str(path) for path in Path(pattern).glob("*.tar"))
    parts = re.split(r"\{(\d+)\.\.(\d+)\}", pattern)
    choices = [[parts[0]]]
    for first, last, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        if int(first) > int(last):
            raise ValueError(f"need a range that goes up, got {{{first}..{last}}} in {pattern!r}")
        choices.append([f"{n:0{len(first)}d}" for n in range(int(first), int(last) + 1)])
        choices.append([text])
    if any("{" in text or "}" in text for text in parts[::3]):
        raise ValueError(f"need braces like {{000..999}}, got {pattern!r}")
    return ["".join(choice) for choice in itertools.product(*choices)]
