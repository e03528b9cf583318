"""Random numbers as a function of what they are for: no state to save, none to share.

Philox is a counter-based generator: the seed and the index are its key; the split, the purpose and
the variant are words of its counter. Different names therefore never meet in one stream.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import UInt64

_Item = TypeVar("_Item")

SPLITS = ("train", "val", "test")
_PURPOSES = ("layout", "backdrop", "noise", "label", "caption", "referring", "question")
_CHUNK = 64


class Stream:
    """Uniform draws, the same on every machine and with every numpy.

    Raises:
        ValueError: If the seed, the index or the variant is negative or too large.
    """

    def __init__(self, purpose: str, split: str, seed: int, index: int, variant: int = 0) -> None:
        if not all(0 <= number < 2**63 for number in (seed, index, variant)):
            raise ValueError(
                f"need seed, index and draw from 0 to 2**63 - 1, got {seed}, {index} and {variant}"
            )
        place = _PURPOSES.index(purpose) * len(SPLITS) + SPLITS.index(split)
        self._bits = np.random.Philox(key=[seed, index], counter=[0, 0, place, variant])
        self._units: list[float] = []

    def unit(self) -> float:
        """Return a number in [0, 1)."""
        if not self._units:
            words = self._bits.random_raw(_CHUNK)
            self._units = ((words >> np.uint64(11)) * 2.0**-53).tolist()
        return self._units.pop()

    def words(self, count: int) -> UInt64[np.ndarray, " count"]:
        """Return whole numbers of 64 random bits; not to be mixed with other draws."""
        return np.asarray(self._bits.random_raw(count))

    def between(self, low: float | int, high: float | int) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * self.unit()

    def below(self, count: int) -> int:
        """Return a whole number from 0 to count - 1."""
        return int(self.unit() * count)

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self.unit() < probability

    def pick(self, items: Sequence[_Item]) -> _Item:
        """Return one of the items."""
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[_Item]) -> list[_Item]:
        """Return the items in random order."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(len(left))]
