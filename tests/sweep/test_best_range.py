"""The bootstrap of good ranges against the closed form of its winners."""

import math

import numpy as np
import pytest

from eyespot.sweep.best_range import best_range, inside


def winners_rank(runs, drawn, share):
    """Least rank r with P(best of `drawn` of `runs`, with replacement, ranks <= r) >= share."""
    return next(r for r in range(1, runs + 1) if 1 - (1 - r / runs) ** drawn >= share)


@pytest.mark.parametrize("runs", [40, 101, 400])
def test_winners_follow_their_closed_form(runs):
    ranks = (np.random.default_rng(runs).permutation(runs) + 1.0).tolist()
    found = [best_range(ranks, ranks, seed=seed) for seed in range(5)]
    drawn = runs // 4
    for name, share in (("low", 0.025), ("median", 0.5), ("high", 0.975)):
        wanted = winners_rank(runs, drawn, share)
        mean = sum(getattr(one, name) for one in found) / len(found)
        assert abs(mean - wanted) <= 0.8, name


def test_fewer_than_four_runs_draw_one_each():
    # One of three runs wins each time, all alike: the percentiles are the extremes.
    assert best_range([1.0, 2.0, 3.0], [9.0, 8.0, 7.0], seed=0) == (1.0, 2.0, 3.0)
    assert best_range([5.0], [1.0], seed=0) == (5.0, 5.0, 5.0)


def test_a_parameter_that_decides_is_found_and_one_that_does_not_is_wide():
    rng = np.random.default_rng(0)
    lr = rng.uniform(-3, 1, 300)
    other = rng.uniform(0, 1, 300)
    errors = (lr + 1) ** 2 + rng.normal(0, 0.01, 300)
    found = best_range(list(lr), list(errors), seed=1)
    assert found.low > -1.25
    assert found.high < -0.75
    assert abs(found.median + 1) < 0.1
    wide = best_range(list(other), list(errors), seed=1)
    assert wide.high - wide.low > 0.3


def test_runs_that_diverged_do_not_take_part():
    values = [1.0, 2.0, 3.0, math.nan]
    errors = [math.nan, 5.0, math.inf, 0.0]
    assert best_range(values, errors, seed=0) == (2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="need runs with a value and an error, got none among 1"):
        best_range([1.0], [math.nan], seed=0)


def test_the_seed_decides():
    rng = np.random.default_rng(0)
    values, errors = list(rng.normal(size=60)), list(rng.normal(size=60))
    assert best_range(values, errors, seed=3) == best_range(values, errors, seed=3)


def test_filters_keep_runs_inside_every_range():
    metrics = {"lr": [0.1, 0.2, 0.3], "depth": [10.0, 20.0, 30.0]}
    assert inside(metrics, {"lr": (0.15, 99.0, 0.3)}) == [1, 2]
    assert inside(metrics, {"lr": (0.15, 0.2, 0.3), "depth": (0.0, 0.0, 20.0)}) == [1]
    assert inside(metrics, {}) == [0, 1, 2]
    with pytest.raises(ValueError, match="need ranges of lr, depth, got one of wd"):
        inside(metrics, {"wd": (0.0, 0.0, 0.0)})
