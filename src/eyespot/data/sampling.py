"""Which samples each step takes: a function of the step, computed without any list.

The samples of an epoch are put in an order by a keyed permutation of 0..N-1 that needs no memory
and no time before the first sample. Global batch b of an epoch is positions b*B to (b+1)*B of
that order; a rank takes its part of the batch. So the order depends on neither ranks nor workers,
and a run goes on from any step without replaying what came before.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from eyespot.data.draws import Draws

_ROUNDS = 8
_MIN_BITS = 6  # fewer make orders of a handful of samples uneven
_NO_SAMPLE = -1  # the index whose draws belong to the order itself


@dataclass(frozen=True)
class Order:
    """The order of samples over all epochs.

    Args:
        num_samples: N, of the dataset.
        batch_size: B, over all ranks.
        seed: Of the run.
        shuffle: Whether epochs are permuted, each differently.
        window: If given, epochs are cut into windows of this many neighbouring samples; windows
            come in random order, and samples are mixed only inside a window. Slow storage is then
            read nearly in sequence.
        drop_last: Whether the last batch of an epoch is left out when it is not whole. Training
            must; evaluation must not.

    Raises:
        ValueError: If a number is below 1, or there is not one whole batch.
    """

    num_samples: int
    batch_size: int
    seed: int = 0
    shuffle: bool = True
    window: int | None = None
    drop_last: bool = True

    def __post_init__(self) -> None:
        window = 1 if self.window is None else self.window
        if min(self.num_samples, self.batch_size, window) < 1:
            raise ValueError(f"need sizes of at least 1, got {self}")
        if self.drop_last and self.batch_size > self.num_samples:
            raise ValueError(
                f"need at least one whole batch, got {self.num_samples} samples for batches of "
                f"{self.batch_size}; take a smaller batch size, or more samples"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Number of global batches of an epoch."""
        if self.drop_last:
            return self.num_samples // self.batch_size
        return -(-self.num_samples // self.batch_size)

    def batch(self, step: int) -> tuple[int, Int64[np.ndarray, " b"]]:
        """Return the epoch of a step, counted from 0 over all epochs, and its samples."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        first = batch * self.batch_size
        positions = np.arange(first, min(first + self.batch_size, self.num_samples))
        if not self.shuffle:
            return epoch, positions
        if self.window is None:
            return epoch, permute(positions, self.num_samples, self.seed, epoch)
        return epoch, permute_windows(
            positions, self.num_samples, self.seed, epoch, window=self.window
        )

    def part(
        self, step: int, *, rank: int = 0, world_size: int = 1
    ) -> tuple[int, Int64[np.ndarray, " b"]]:
        """Return one rank's neighbouring part of `batch`.

        Parts differ in length by at most one; with `drop_last` they are equal.

        Raises:
            ValueError: If the rank is not of this world, or equal parts are not possible.
        """
        if not 0 <= rank < world_size:
            raise ValueError(f"need a rank of 0..{world_size - 1}, got {rank}")
        if self.drop_last and self.batch_size % world_size:
            raise ValueError(
                f"need a batch size that {world_size} ranks share evenly, got {self.batch_size}"
            )
        epoch, indices = self.batch(step)
        first, last = (len(indices) * r // world_size for r in (rank, rank + 1))
        return epoch, indices[first:last]


class BatchSampler:
    """The batches of one rank from one step to another, for a `torch.utils.data.DataLoader`.

    Each element of a batch is (step, epoch, index). Steps in which the rank has no sample are left
    out; that happens only without `drop_last`.

    Args:
        order: Of all ranks.
        start_step: First step; a resumed run passes the number of steps it has done.
        stop_step: The step after the last.
        rank: Whose part.
        world_size: Number of ranks.
    """

    def __init__(
        self,
        order: Order,
        *,
        start_step: int = 0,
        stop_step: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.order = order
        self.start_step = start_step
        self.stop_step = stop_step
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return max(0, self.stop_step - self.start_step)

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        for step in range(self.start_step, self.stop_step):
            epoch, indices = self.order.part(step, rank=self.rank, world_size=self.world_size)
            if len(indices):
                yield [(step, epoch, index) for index in indices.tolist()]


def permute(
    positions: Int64[np.ndarray, " b"], size: int, seed: int, epoch: int, *, stream: int = 0
) -> Int64[np.ndarray, " b"]:
    """Return which samples stand at these positions of an epoch's order.

    A permutation of 0..size-1 by a Feistel network (Luby and Rackoff, 1988) on the next power of
    two, applied again to what falls outside (Black and Rogaway, "Ciphers with arbitrary finite
    domains", 2002).

    Args:
        positions: Places in 0..size-1.
        size: Number of samples.
        seed: Of the run.
        epoch: Which pass over the data.
        stream: Tells several permutations of one epoch apart.
    """
    return _permute(positions, size, _round_keys(seed, epoch, stream), np.uint64(0))


def permute_windows(
    positions: Int64[np.ndarray, " b"], size: int, seed: int, epoch: int, *, window: int
) -> Int64[np.ndarray, " b"]:
    """Return which samples stand at these positions when only neighbours are mixed.

    The samples, turned round by a random number of places, are cut into windows. Whole windows
    come in random order, then the rest; each is permuted inside.
    """
    num_whole = size // window
    blocks, within = np.divmod(positions, window)
    whole = blocks < num_whole
    keys = _round_keys(seed, epoch, 1)
    inner = np.empty_like(positions)
    for part, length in ((whole, window), (~whole, size - num_whole * window)):
        if part.any():
            inner[part] = _permute(within[part], length, keys, blocks[part].astype(np.uint64) + 1)
    if whole.any():
        blocks[whole] = permute(blocks[whole], num_whole, seed, epoch, stream=2)
    turn = Draws(seed, epoch, _NO_SAMPLE, 3).integer(size)
    return np.asarray((blocks * window + inner + turn) % size)


def _round_keys(seed: int, epoch: int, stream: int) -> np.ndarray:
    draws = Draws(seed, epoch, _NO_SAMPLE, stream)
    return np.array([draws.bits() for _ in range(_ROUNDS)], np.uint64)


def _permute(
    positions: np.ndarray, size: int, keys: np.ndarray, tweak: np.ndarray | np.uint64
) -> np.ndarray:
    bits = max(_MIN_BITS, (size - 1).bit_length())
    values = positions.astype(np.uint64)
    outside = np.ones(values.shape, bool)
    tweaks = np.broadcast_to(tweak, values.shape)
    while outside.any():
        values[outside] = _feistel(values[outside], bits, keys, tweaks[outside])
        outside = values >= size
    return values.astype(np.int64)


def _feistel(values: np.ndarray, bits: int, keys: np.ndarray, tweaks: np.ndarray) -> np.ndarray:
    low_bits = np.uint64(bits // 2)
    low_mask = np.uint64((1 << (bits // 2)) - 1)
    high_mask = np.uint64((1 << (bits - bits // 2)) - 1)
    low, high = values & low_mask, values >> low_bits
    for place, key in enumerate(keys):
        if place % 2:
            low = low ^ (_mix(high, key, tweaks) & low_mask)
        else:
            high = high ^ (_mix(low, key, tweaks) & high_mask)
    return high << low_bits | low


def _mix(values: np.ndarray, key: np.uint64, tweaks: np.ndarray) -> np.ndarray:
    """Hash 64 bits (Steele, Lea and Flood, "Fast splittable pseudorandom number generators")."""
    mixed = values ^ key ^ tweaks * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
