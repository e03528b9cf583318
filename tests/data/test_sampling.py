import itertools
import math
import tracemalloc
from collections import Counter

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy import stats

from eyespot.data.sampling import (
    BatchSampler,
    Order,
    permute,
    permute_windows,
)

SEEDS = st.integers(0, (1 << 64) - 1)


@given(size=st.integers(1, 3000), seed=SEEDS, epoch=st.integers(0, 1000))
@settings(max_examples=25)
def test_every_sample_comes_once(size, seed, epoch):
    order = permute(np.arange(size), size, seed, epoch)
    assert sorted(order.tolist()) == list(range(size))


@given(size=st.integers(1, 500), window=st.integers(1, 600), seed=SEEDS)
@settings(max_examples=25)
def test_every_sample_comes_once_in_windows(size, window, seed):
    order = permute_windows(np.arange(size), size, seed, 0, window=window)
    assert sorted(order.tolist()) == list(range(size))


@given(size=st.integers(10**9, 10**12), seed=SEEDS, start=st.integers(0, 10**9 - 100))
@settings(max_examples=25)
def test_huge_orders_are_computed_where_they_are_needed(size, seed, start):
    tracemalloc.start()
    positions = np.arange(start, start + 100)
    some = permute(positions, size, seed, 3)
    in_windows = permute_windows(positions, size, seed, 3, window=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    for order in (some, in_windows):
        assert len(set(order.tolist())) == 100
        assert 0 <= order.min() <= order.max() < size
    backwards = permute(positions[::-1].copy(), size, seed, 3)
    np.testing.assert_array_equal(backwards[::-1], some)


@pytest.mark.parametrize("size", [3, pytest.param(5, marks=pytest.mark.slow)])
def test_every_order_of_few_samples_is_as_likely(size):
    count = 20 * math.factorial(size)
    orders = Counter(
        tuple(permute(np.arange(size), size, 11, epoch).tolist()) for epoch in range(count)
    )
    assert len(orders) == math.factorial(size)
    assert stats.chisquare(list(orders.values())).pvalue > 1e-4


@pytest.mark.parametrize("size", [37, 150])
def test_every_sample_is_as_likely_at_every_position(size):
    places = np.array([0, 1, size // 2, size - 1])
    orders = np.stack([permute(places, size, 5, epoch) for epoch in range(20 * size)])
    for column in orders.T:
        assert stats.chisquare(np.bincount(column, minlength=size)).pvalue > 1e-4
    for first, second in itertools.combinations(orders.T, 2):
        assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(20 * size) + 1 / (size - 1)


def test_an_order_looks_random():
    size = 100_000
    order = permute(np.arange(size), size, 0, 0)
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(order, np.arange(size))[0, 1]) < 0.02
    # A random permutation leaves about one sample in its place, however many there are.
    assert (order == np.arange(size)).sum() < 8
    rising = (np.diff(order) > 0).mean()
    assert abs(rising - 0.5) < 0.01
    assert not np.array_equal(order, permute(np.arange(size), size, 0, 1))
    assert not np.array_equal(order, permute(np.arange(size), size, 1, 0))


def test_windows_keep_neighbours_together():
    size, window = 1003, 50
    order = permute_windows(np.arange(size), size, 3, 4, window=window)
    starts = []
    for first in range(0, size - window + 1, window):
        block = order[first : first + window]
        start = min(block, key=lambda i: ((block - i) % size).max())
        assert ((block - start) % size).max() == window - 1  # neighbours, perhaps round the end
        assert (np.diff(block) != 1).any()
        starts.append(start)
    assert starts != sorted(starts)
    other = permute_windows(np.arange(size), size, 3, 5, window=window)
    assert set(order[1000:].tolist()) != set(
        other[1000:].tolist()
    )  # the rest is not always the end


def test_windows_are_mixed_differently():
    orders = permute_windows(np.arange(64), 64, 0, 0, window=8).reshape(8, 8)
    patterns = {tuple(np.argsort(block).tolist()) for block in orders}
    assert len(patterns) == 8


ORDERS = st.builds(
    Order,
    num_samples=st.integers(40, 200),
    batch_size=st.integers(1, 40),
    seed=SEEDS,
    shuffle=st.booleans(),
    window=st.none() | st.integers(20, 60),
    drop_last=st.booleans(),
)


@given(order=ORDERS, epoch=st.integers(0, 3))
@settings(max_examples=25)
def test_an_epoch_takes_every_sample_once(order, epoch):
    steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
    batches = [order.batch(step) for step in steps]
    assert {of_epoch for of_epoch, _ in batches} == {epoch}
    taken = np.concatenate([indices for _, indices in batches]).tolist()
    assert len(set(taken)) == len(taken)
    if order.drop_last:
        assert {len(indices) for _, indices in batches} == {order.batch_size}
        assert len(taken) > order.num_samples - order.batch_size
    else:
        assert len(taken) == order.num_samples
    if not order.shuffle:
        assert taken == list(range(len(taken)))


@given(order=ORDERS, step=st.integers(0, 100), world_size=st.integers(1, 7))
@settings(max_examples=25)
def test_ranks_share_a_batch_in_order(order, step, world_size):
    if order.drop_last and order.batch_size % world_size:
        with pytest.raises(ValueError, match=f"that {world_size} ranks share evenly"):
            order.part(step, world_size=world_size)
        return
    parts = [order.part(step, rank=rank, world_size=world_size) for rank in range(world_size)]
    epoch, whole = order.batch(step)
    assert {of_epoch for of_epoch, _ in parts} == {epoch}
    np.testing.assert_array_equal(np.concatenate([part for _, part in parts]), whole)
    lengths = [len(part) for _, part in parts]
    assert max(lengths) - min(lengths) <= (0 if order.drop_last else 1)


@given(order=ORDERS, start=st.integers(0, 19))
@settings(max_examples=25)
def test_a_sampler_goes_on_from_any_step(order, start):
    whole = list(BatchSampler(order, stop_step=20))
    assert list(BatchSampler(order, start_step=start, stop_step=20)) == whole[start:]
    assert len(BatchSampler(order, start_step=start, stop_step=20)) == 20 - start
    assert [batch[0][0] for batch in whole] == list(range(20))


def test_a_rank_without_samples_leaves_the_step_out():
    order = Order(num_samples=10, batch_size=8, drop_last=False, shuffle=False)
    batches = [list(BatchSampler(order, stop_step=2, rank=r, world_size=4)) for r in range(4)]
    assert [len(of_rank) for of_rank in batches] == [1, 2, 1, 2]
    seen = sorted(index for of_rank in batches for batch in of_rank for _, _, index in batch)
    assert seen == list(range(10))  # nobody twice, nobody left out


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"num_samples": 0, "batch_size": 1}, "sizes of at least 1"),
        ({"num_samples": 5, "batch_size": 6}, "got 5 samples for batches of 6"),
        ({"num_samples": 5, "batch_size": 5, "window": 0}, "sizes of at least 1"),
    ],
)
def test_orders_that_cannot_be_are_refused(numbers, message):
    with pytest.raises(ValueError, match=message):
        Order(**numbers)


def test_a_rank_of_another_world_is_refused():
    with pytest.raises(ValueError, match=r"a rank of 0..1, got 2"):
        Order(10, 2).part(0, rank=2, world_size=2)
