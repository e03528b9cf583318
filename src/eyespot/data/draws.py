"""Random numbers that are a function of (seed, epoch, sample index, view) and of nothing else.

The numbers come from Philox 4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC 2011), a counter-based generator: seed and epoch are its key, sample and view its counter. No
worker, rank or earlier draw has a say, so any sample of any epoch can be made again anywhere.
"""

import math

import numpy as np

_BLOCK = 32  # numbers made at a time
_TO_UNIT = 2.0**-53
_WORD = (1 << 64) - 1


class Draws:
    """The stream of random numbers of one view of one sample in one epoch.

    Args:
        seed: Of the run; any integer, taken modulo 2^64, as are the others.
        epoch: Which pass over the data.
        index: Which sample of the dataset.
        view: Which crop of the sample.
    """

    def __init__(self, seed: int, epoch: int, index: int, view: int = 0) -> None:
        self._philox = _philox(seed, epoch, index, view)
        self._numbers: list[int] = []

    def bits(self) -> int:
        """Return 64 random bits."""
        if not self._numbers:
            self._numbers = self._philox.random_raw(_BLOCK).tolist()
            self._numbers.reverse()
        return self._numbers.pop()

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return a number of [low, high)."""
        return low + (high - low) * ((self.bits() >> 11) * _TO_UNIT)

    def coin(self, probability: float = 0.5) -> bool:
        """Return True with a probability; never at 0, always at 1."""
        return (self.bits() >> 11) * _TO_UNIT < probability

    def integer(self, count: int) -> int:
        """Return one of 0..count-1; uneven by less than count / 2^64."""
        return (self.bits() * count) >> 64

    def normal(self, std: float = 1.0) -> float:
        """Return a number of the normal distribution around 0 (Box and Muller, 1958)."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self.uniform()))
        return std * radius * math.cos(2.0 * math.pi * self.uniform())

    def order(self, count: int) -> list[int]:
        """Return 0..count-1 in a random order (Fisher and Yates)."""
        order = list(range(count))
        for last in range(count - 1, 0, -1):
            other = self.integer(last + 1)
            order[last], order[other] = order[other], order[last]
        return order


def generator(seed: int, epoch: int, index: int, view: int = 0) -> np.random.Generator:
    """Return numpy's generator at the place of `Draws(seed, epoch, index, view)`."""
    return np.random.Generator(_philox(seed, epoch, index, view))


def _philox(seed: int, epoch: int, index: int, view: int) -> np.random.Philox:
    key = ((epoch & _WORD) << 64) | (seed & _WORD)
    counter = ((index & _WORD) << 128) | ((view & _WORD) << 64)
    return np.random.Philox(key=key, counter=counter)
