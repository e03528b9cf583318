"""Samplers against the closed forms of their laws: supports exactly, frequencies by chi-square."""

import itertools
import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from eyespot.design.samplers import FloatRange, IntRange, ListOf, Value, draw

DRAWS = 20_000


def draws(sampler, seed=0, count=DRAWS):
    rng = random.Random(seed)
    return [draw(sampler, rng) for _ in range(count)]


def uniform(low, high, q):
    values = range(low, high + q, q)
    return {value: 1 / len(values) for value in values}


def log_uniform(low, high, q):
    """Mass of (v - q, v] under a density of 1/x on (low - min(q, low/2), high]."""
    start = low - min(q, low / 2)
    edges = [start, *range(low, high + q, q)]
    whole = math.log(high / start)
    return {value: math.log(value / edge) / whole for edge, value in itertools.pairwise(edges)}


def power2_uniform(low, high):
    count = int(math.log2(high / low)) + 1
    return {low * 2**i: 1 / count for i in range(count)}


def power2_or_log(low, high, q):
    span = math.log2(high) + 1 - math.log2(low)
    small = {low * 2**i: 1 / span for i in range(20) if low * 2**i < q}
    rest = 1 - sum(small.values())
    return small | {v: rest * p for v, p in log_uniform(max(low, q), high, q).items()}


def normal(low, high, q):
    mean, sigma = (low + high) / 2, (high - low) / 6
    inside = stats.truncnorm(-3, 3, mean, sigma)
    return {
        v: inside.cdf(min(v + q / 2, high)) - inside.cdf(max(v - q / 2, low))
        for v in range(low, high + q, q)
    }


def log_normal(low, high, q):
    ends = math.log(low), math.log(high)
    inside = stats.truncnorm(-3, 3, sum(ends) / 2, (ends[1] - ends[0]) / 6)
    return {
        v: inside.cdf(math.log(min(v + q / 2, high))) - inside.cdf(math.log(max(v - q / 2, low)))
        for v in range(low, high + q, q)
    }


@pytest.mark.parametrize(
    ("law", "low", "high", "q", "expected"),
    [
        ("uniform", 12, 28, 1, uniform(12, 28, 1)),
        ("uniform", -8, 24, 8, uniform(-8, 24, 8)),
        ("log_uniform", 8, 256, 8, log_uniform(8, 256, 8)),
        ("log_uniform", 16, 64, 8, log_uniform(16, 64, 8)),
        ("log_uniform", 1, 12, 1, log_uniform(1, 12, 1)),
        ("power2_uniform", 2, 64, 1, power2_uniform(2, 64)),
        ("power2_or_log_uniform", 1, 32, 8, power2_or_log(1, 32, 8)),
        ("power2_or_log_uniform", 8, 128, 8, power2_or_log(8, 128, 8)),
        ("power2_or_log_uniform", 1, 24, 8, power2_or_log(1, 24, 8)),
        ("power2_or_log_uniform", 1, 4, 8, power2_uniform(1, 4)),
        ("normal", 0, 24, 4, normal(0, 24, 4)),
        ("log_normal", 4, 40, 4, log_normal(4, 40, 4)),
        ("uniform", 7, 7, 1, {7: 1.0}),
        ("log_uniform", 8, 8, 8, {8: 1.0}),
        ("normal", 5, 5, 1, {5: 1.0}),
        ("log_normal", 5, 5, 1, {5: 1.0}),
    ],
)
def test_an_int_law_has_its_support_and_its_frequencies(law, low, high, q, expected):
    assert math.isclose(sum(expected.values()), 1)
    drawn = Counter(draws(IntRange(low, high, law, q)))
    assert drawn.keys() == expected.keys()
    assert all(type(value) is int for value in drawn)
    if len(expected) > 1:
        observed = [drawn[value] for value in expected]
        wanted = [DRAWS * p for p in expected.values()]
        assert stats.chisquare(observed, wanted).pvalue > 1e-3


def test_the_published_example_of_powers_then_multiples():
    sampler = IntRange(1, 32, "power2_or_log_uniform", 8)
    assert set(draws(sampler)) == {1, 2, 4, 8, 16, 24, 32}


def test_a_bottleneck_multiplier_of_one_is_one():
    assert set(draws(FloatRange(1.0, 1.0, "power2_uniform", 1 / 128), count=100)) == {1.0}
    muls = FloatRange(0.25, 1.0, "power2_uniform", 1 / 128)
    assert set(draws(muls, count=100)) == {0.25, 0.5, 1.0}


@pytest.mark.parametrize(
    ("sampler", "cdf"),
    [
        (
            FloatRange(0.25, 5.0, "log_uniform", 1e-10),
            lambda x: stats.loguniform(0.25, 5).cdf(x),
        ),
        (FloatRange(-1.0, 3.0, "uniform", 1e-10), lambda x: stats.uniform(-1, 4).cdf(x)),
        (
            FloatRange(1.0, 7.0, "normal", 1e-10),
            lambda x: stats.truncnorm(-3, 3, 4, 1).cdf(x),
        ),
        (
            FloatRange(1e-5, 1e-3, "log_normal", 1e-10),
            lambda x: stats.truncnorm(-3, 3, math.log(1e-4), math.log(100) / 6).cdf(
                [math.log(v) for v in x]
            ),
        ),
    ],
)
def test_a_continuous_law_has_its_distribution(sampler, cdf):
    drawn = draws(sampler, seed=3)
    assert all(sampler.low <= value <= sampler.high for value in drawn)
    assert stats.kstest(drawn, cdf).pvalue > 1e-3


def test_floats_are_short_multiples():
    drawn = draws(FloatRange(8.0, 256.0, "log_uniform", 0.1), count=2000)
    assert all(value == round(value, 1) for value in drawn)
    drawn = draws(FloatRange(2.0, 3.0, "log_uniform", 0.001), count=2000)
    assert all(value == round(value, 3) for value in drawn)


def test_values_and_lists():
    observed = Counter(draws(Value(("sgd", "adamw", 3)), count=6000))
    assert stats.chisquare(list(observed.values())).pvalue > 1e-3
    assert observed.keys() == {"sgd", "adamw", 3}
    pairs = draws(ListOf(2, IntRange(0, 1)), count=8000)
    table = [[pairs.count((a, b)) for b in (0, 1)] for a in (0, 1)]
    assert stats.chi2_contingency(table).pvalue > 1e-3
    assert stats.chisquare([*table[0], *table[1]]).pvalue > 1e-3


@settings(max_examples=200)
@given(
    law=st.sampled_from(["uniform", "log_uniform", "normal", "log_normal"]),
    steps=st.tuples(st.integers(1, 40), st.integers(0, 40)),
    quantum=st.sampled_from([1e-10, 0.001, 0.1, 1.0, 8.0, 1 / 128]),
    seed=st.integers(0, 2**32),
)
def test_every_draw_is_a_multiple_inside_the_closed_range(law, steps, quantum, seed):
    low, high = steps[0] * quantum, (steps[0] + steps[1]) * quantum
    rng = random.Random(seed)
    for _ in range(20):
        value = draw(FloatRange(low, high, law, quantum), rng)
        assert low * (1 - 1e-12) <= value <= high * (1 + 1e-12)
        assert math.isclose(value / quantum, round(value / quantum), rel_tol=1e-9)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: IntRange(9, 8), "need low <= high, both finite, got low 9 and high 8"),
        (lambda: FloatRange(0.0, math.inf, "uniform", 1.0), "both finite"),
        (lambda: IntRange(0, 8, "uniform", 0), "need a quantum above 0, got 0"),
        (lambda: IntRange(0, 8, "log_uniform"), "need low above 0 for log_uniform, got 0"),
        (lambda: IntRange(4, 16, "uniform", 8), "multiples of 8, got 4"),
        (lambda: FloatRange(0.25, 5.0, "log_uniform", 1.0), r"multiples of 1, got 0\.25"),
        (lambda: IntRange(3, 8, "power2_uniform"), "power of two at the ends of .*, got 3"),
        (lambda: IntRange(2, 24, "power2_uniform"), "power of two at the ends of .*, got 24"),
        (lambda: IntRange(1, 20, "power2_or_log_uniform", 8), "multiples of 8, got 20"),
        (lambda: IntRange(1, 6, "power2_or_log_uniform", 8), "power of two .*, got 6"),
        (lambda: Value(()), "need at least one value"),
        (lambda: ListOf(0, IntRange(0, 1)), "need a length of 1 or more, got 0"),
    ],
)
def test_what_is_no_sampler_is_refused_with_its_numbers(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
