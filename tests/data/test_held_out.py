import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eyespot.data import held_out as module
from eyespot.data.held_out import held_out
from eyespot.data.samples import Sample


class Numbers:
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return Sample(b"", index, str(index))


def labels(part):
    return [part[i].label for i in range(len(part))]


def splitmix(state):
    """SplitMix64's published steps, in Python's own numbers."""
    word = (1 << 64) - 1
    z = state * 0x9E3779B97F4A7C15 & word
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & word
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & word
    return z ^ (z >> 31)


def test_the_hash_is_splitmix64():
    # The first outputs of the published generator from the seed 0.
    known = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [splitmix(i + 1) for i in range(3)] == known
    assert module._hashes(np.arange(3), 0).tolist() == known


@given(st.integers(2, 300), st.data(), st.integers(0, 5))
def test_the_lowest_hashes_are_held_and_every_sample_is_on_one_side(size, data, seed):
    count = data.draw(st.integers(1, size - 1))
    train, held = held_out(Numbers(size), count, seed=seed)
    ranked = sorted(range(size), key=lambda i: splitmix((i + 1 + (seed << 40)) % (1 << 64)))
    assert labels(held) == sorted(ranked[:count])
    assert labels(train) == sorted(ranked[count:])


def test_a_share_is_rounded_and_never_empty():
    assert len(held_out(Numbers(1000), 0.1)[1]) == 100
    assert len(held_out(Numbers(15), 0.01)[1]) == 1


def test_chunks_do_not_matter(monkeypatch):
    whole = labels(held_out(Numbers(1000), 77)[1])
    monkeypatch.setattr(module, "_CHUNK", 13)
    assert labels(held_out(Numbers(1000), 77)[1]) == whole


def test_more_samples_leave_nearly_all_on_their_side():
    before = set(labels(held_out(Numbers(10_000), 0.1)[1]))
    after = set(labels(held_out(Numbers(10_100), 0.1)[1]))
    assert len(before ^ after) < 60
    assert labels(held_out(Numbers(100), 10, seed=1)[1]) != labels(held_out(Numbers(100), 10)[1])


@pytest.mark.parametrize("part", [0, 1.0, -0.1, 10, 1.5])
def test_an_empty_side_is_refused(part):
    with pytest.raises(ValueError, match=r"number of 1\.\.9 samples to hold out of 10, got"):
        held_out(Numbers(10), part)
