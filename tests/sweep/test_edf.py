"""EDFs against hand-made ones, closed forms of the bootstrap, and properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from eyespot.sweep.edf import edf_band, error_edf, matching_weights, share_within

ERRORS = st.lists(st.floats(0, 100), min_size=1, max_size=30)


def test_an_edf_by_hand():
    edf = error_edf([30.0, 20.0, math.nan, 20.0, 25.0])
    assert_allclose(edf.errors, [20, 20, 25, 30])
    assert_allclose(edf.fractions, [0.2, 0.4, 0.6, 0.8], rtol=1e-15)
    assert (edf.runs, edf.diverged, edf.least, edf.mean) == (5, 1, 20.0, 23.75)
    assert share_within([30.0, 20.0, math.nan, 20.0, 25.0], 20.0) == pytest.approx(0.4, rel=1e-15)


def test_a_weighted_edf_by_hand():
    edf = error_edf([30.0, 20.0, 25.0], weights=[2.0, 1.0, 1.0])
    assert_allclose(edf.errors, [20, 25, 30])
    assert_allclose(edf.fractions, [0.25, 0.5, 1.0])
    assert edf.mean == 26.25
    assert share_within([30.0, 20.0, 25.0], 25.0, [2.0, 1.0, 1.0]) == 0.5


def test_all_diverged():
    edf = error_edf([math.nan, math.inf])
    assert (len(edf.errors), edf.runs, edf.diverged) == (0, 2, 2)
    assert math.isnan(edf.least)
    assert math.isnan(edf.mean)
    assert share_within([math.nan], 100.0) == 0.0


@given(errors=ERRORS, scale=st.floats(0.1, 1e3))
def test_equal_weights_are_no_weights(errors, scale):
    plain, weighted = error_edf(errors), error_edf(errors, [scale] * len(errors))
    assert_allclose(plain.errors, weighted.errors)
    assert_allclose(plain.fractions, weighted.fractions)
    assert plain.fractions.tolist() == [(k + 1) / len(errors) for k in range(len(errors))]


@given(errors=ERRORS, limit=st.floats(-1, 101))
def test_the_share_is_a_count(errors, limit):
    assert share_within(errors, limit) == pytest.approx(
        sum(error <= limit for error in errors) / len(errors)
    )


def test_the_band_is_the_binomials():
    errors = [float(e) for e in range(100)]
    at = [9.0, 49.0, 89.0, -1.0, 99.0]
    low, high = edf_band(errors, at, seed=0, draws=4000)
    for i, share in enumerate((0.1, 0.5, 0.9)):
        assert low[i] == pytest.approx(stats.binom.ppf(0.025, 100, share) / 100, abs=0.0101)
        assert high[i] == pytest.approx(stats.binom.ppf(0.975, 100, share) / 100, abs=0.0101)
    assert (low[3], high[3], low[4], high[4]) == (0, 0, 1, 1)
    narrow = edf_band(errors, at, seed=0, coverage=0.5)
    assert (narrow[0] >= low - 0.011).all()
    assert (narrow[1] <= high + 0.011).all()
    again = edf_band(errors, at, seed=0, draws=4000)
    assert_allclose(again, (low, high), rtol=0, atol=0)


def test_the_band_of_weighted_runs():
    errors, weights = [1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 0.0, 0.0]
    low, high = edf_band(errors, [1.0, 2.0], weights, seed=0, draws=4000)
    # Of four draws, two weigh anything on average; their share at or below 1 spans all of [0, 1].
    assert (low[0], high[0], high[1]) == (0, 1, 1)
    alone = edf_band([1.0, 2.0] * 50, [1.0], [1.0, 3.0] * 50, seed=0, draws=4000)
    # A share of x of the first kind weighs x / (3 - 2 x).
    for edge, quantile in zip(alone, (0.025, 0.975), strict=True):
        share = stats.binom.ppf(quantile, 100, 0.5) / 100
        assert edge[0] == pytest.approx(share / (3 - 2 * share), abs=0.012)


def test_matching_weights_by_hand():
    # Bins [0, 1), [1, 2), [2, 4]: the first holds 2 and 1 runs, the second 1 and 0, the third 1
    # and 2, so the first and the third are shared.
    first, second = matching_weights([[0.0, 0.5, 1.0, 4.0, 9.0], [0.2, 2.0, 3.0]], [0, 1, 2, 4])
    assert first == [0.25, 0.25, 0.0, 0.5, 0.0]
    assert second == [0.5, 0.25, 0.25]
    assert matching_weights([[4.0, 2.0]], [0, 2, 4]) == [[0.5, 0.5]]


@given(costs=st.lists(st.lists(st.floats(0, 10), min_size=1, max_size=20), min_size=1, max_size=4))
def test_matching_weights_make_bins_even_and_populations_alike(costs):
    edges = [0.0, 2.0, 5.0, 10.0]
    of = [[min(int(np.searchsorted(edges, c, side="right")) - 1, 2) for c in cs] for cs in costs]
    shared = [b for b in range(3) if all(b in bins for bins in of)]
    if not shared:
        with pytest.raises(ValueError, match="need a bin with runs of all"):
            matching_weights(costs, edges)
        return
    for weights, bins in zip(matching_weights(costs, edges), of, strict=True):
        sums = [
            sum(w for w, b in zip(weights, bins, strict=True) if b == each) for each in range(3)
        ]
        wanted = [1 / len(shared) if each in shared else 0 for each in range(3)]
        assert_allclose(sums, wanted, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: error_edf([]), "need the errors of at least one run"),
        (lambda: error_edf([1.0, 2.0], [1.0]), "need one weight .* for each of 2 runs"),
        (lambda: error_edf([1.0], [-1.0]), "need one weight of 0 or more"),
        (lambda: error_edf([1.0], [0.0]), "some above 0"),
        (lambda: matching_weights([[1.0]], [2.0, 1.0]), "need two or more ascending edges"),
        (lambda: matching_weights([[5.0]], [0.0, 1.0]), "runs of all 1 populations, got none"),
    ],
)
def test_what_has_no_edf_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
