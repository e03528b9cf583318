import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from eyespot.data.draws import Draws

WORDS = st.integers(0, (1 << 64) - 1)


def philox4x64(counter: list[int], key: list[int], rounds: int = 10) -> list[int]:
    """Philox as the paper's section 3.3 writes it, on Python integers."""
    mask = (1 << 64) - 1
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        first, second = 0xD2E7470EE14C6C93 * c0, 0xCA5A826395121157 * c2
        c0, c1, c2, c3 = (
            (second >> 64) ^ c1 ^ k0,
            second & mask,
            (first >> 64) ^ c3 ^ k1,
            first & mask,
        )
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & mask, (k1 + 0xBB67AE8584CAA73B) & mask
    return [c0, c1, c2, c3]


def test_the_oracle_knows_the_published_answers():
    # The authors' known-answer test of philox4x64-10 (Random123, kat_vectors).
    pi = [0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89]
    assert philox4x64(pi, [0x452821E638D01377, 0xBE5466CF34E90C6C]) == [
        0xA528F45403E61D95,
        0x38C72DBD566E9788,
        0xA5A1610E72FD18B5,
        0x57BD43B5E52B7FE6,
    ]
    assert philox4x64([0] * 4, [0] * 2)[0] == 0x16554D9ECA36314C


@given(seed=WORDS, epoch=WORDS, index=WORDS, view=WORDS)
def test_the_stream_is_philox_of_seed_epoch_index_view(seed, epoch, index, view):
    draws = Draws(seed, epoch, index, view)
    for block in range(1, 11):  # past the first 32 numbers
        expected = philox4x64([block, view, index, 0], [seed, epoch])
        assert [draws.bits() for _ in range(4)] == expected


def test_every_coordinate_counts():
    streams = [Draws(*where).bits() for where in itertools.product(range(3), repeat=4)]
    assert len(set(streams)) == 81


def test_draws_are_those_of_their_distribution():
    draws = Draws(7, 0, 0)
    uniforms = [draws.uniform(-2.0, 3.0) for _ in range(20_000)]
    assert stats.kstest(uniforms, stats.uniform(-2, 5).cdf).pvalue > 1e-3
    normals = [draws.normal(0.1) for _ in range(20_000)]
    assert stats.kstest(normals, stats.norm(0, 0.1).cdf).pvalue > 1e-3
    integers = np.bincount([draws.integer(7) for _ in range(20_000)])
    assert len(integers) == 7
    assert stats.chisquare(integers).pvalue > 1e-3
    assert stats.binomtest(sum(draws.coin(0.2) for _ in range(20_000)), 20_000, 0.2).pvalue > 1e-3


def test_every_order_is_as_likely():
    counts: dict[tuple[int, ...], int] = {}
    for index in range(12_000):
        order = tuple(Draws(1, 2, index).order(4))
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == math.factorial(4)
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_neighbouring_samples_are_independent():
    first = np.array([[Draws(0, 0, i, v).uniform() for v in range(2)] for i in range(4000)])
    for a, b in ((first[:-1, 0], first[1:, 0]), (first[:, 0], first[:, 1])):
        assert abs(stats.pearsonr(a, b).statistic) < 0.06


@pytest.mark.parametrize(("probability", "share"), [(0.0, 0), (1.0, 100)])
def test_sure_coins_are_sure(probability, share):
    draws = Draws(3, 1, 4)
    assert sum(draws.coin(probability) for _ in range(100)) == share
