"""A part of a data set set aside for validation, the same part on every machine.

Samples are ranked by a hash of their index, in whole numbers only. When samples are added to the
end of a set, nearly all of the old ones stay on their side.
"""

import numpy as np
from jaxtyping import Int64, UInt64

from eyespot.data.samples import Sample, Samples

_CHUNK = 1 << 20


class Part:
    """The samples of a set that are held out, or all others, each in their old order.

    Args:
        samples: The whole set.
        held: Ascending indices of the held-out samples.
        inside: Whether this part is the held-out one.
    """

    def __init__(self, samples: Samples, held: Int64[np.ndarray, " n"], *, inside: bool) -> None:
        self.samples = samples
        self.inside = inside
        self._held = held
        self._others_before = held - np.arange(len(held))

    def __len__(self) -> int:
        return len(self._held) if self.inside else len(self.samples) - len(self._held)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[self.source_index(index)]

    def source_index(self, index: int) -> int:
        """Return where a sample of this part stands in the whole set."""
        index = range(len(self))[index]
        if self.inside:
            return int(self._held[index])
        return index + int(np.searchsorted(self._others_before, index, side="right"))


def held_out(samples: Samples, part: float | int, *, seed: int = 0) -> tuple[Part, Part]:
    """Split a set; return the samples to train on and those held out.

    Args:
        samples: The whole set.
        part: A share of the samples, above 0 and below 1, of which the rounded number, but at
            least one, is held out; or their number, from 1.
        seed: Chooses another part.

    Raises:
        ValueError: If one side would be empty.
    """
    held = hold_out_indices(len(samples), part, seed=seed)
    return Part(samples, held, inside=False), Part(samples, held, inside=True)


def hold_out_indices(size: int, part: float | int, *, seed: int = 0) -> Int64[np.ndarray, " n"]:
    """Return the ascending indices of a set of some size that are held out; see `held_out`.

    Raises:
        ValueError: If one side would be empty.
    """
    count = part if isinstance(part, int) else max(1, round(part * size))
    if part <= 0 or not 1 <= count < size:
        raise ValueError(
            f"need a share above 0 and below 1 or a number of 1..{size - 1} samples to hold out of "
            f"{size}, got {part}"
        )
    return _lowest_hashes(size, count, seed)


def _lowest_hashes(size: int, count: int, seed: int) -> Int64[np.ndarray, " n"]:
    """The `count` indices of 0..size-1 with the lowest hashes, ascending; a hash occurs once."""
    kept = np.empty(0, np.int64)
    for first in range(0, size, _CHUNK):
        kept = np.concatenate([kept, np.arange(first, min(first + _CHUNK, size))])
        if len(kept) > count:
            kept = kept[np.argpartition(_hashes(kept, seed), count)[:count]]
    return np.sort(kept)


def _hashes(indices: Int64[np.ndarray, " n"], seed: int) -> UInt64[np.ndarray, " n"]:
    """SplitMix64 (Steele, Lea and Flood, 2014), one to one on 64 bits."""
    state = indices.astype(np.uint64) + np.uint64((1 + (seed << 40)) % (1 << 64))
    mixed = state * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))
