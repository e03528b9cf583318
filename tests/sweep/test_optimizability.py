"""Verdicts against the paper's printed gaps and examples worked by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eyespot.sweep.optimizability import (
    CAP,
    Gap,
    Trial,
    length_stability,
    lr_wd_stability,
    optimizer_stability,
    verdicts,
)

NAN = math.nan
# Early Convolutions (arXiv 2106.14881), stem ablation at 50 epochs: AdamW, SGD, printed gap.
STEMS = {
    "P": (27.7, 33.0, 5.3),
    "C": (24.0, 24.7, 0.7),
    "S1": (24.3, 25.1, 0.8),
    "S2": (24.3, 25.3, 1.0),
    "S3": (25.1, 26.2, 1.1),
    "S4": (26.2, 27.9, 1.7),  # printed 1.3, which is not the difference of the printed errors
}
# Same paper, peak performance at 100, 200, 400 epochs.
PEAK = {
    "ViT_P-1GF": (33.2, 29.7, 27.7),
    "ViT_C-1GF": (28.6, 26.1, 24.7),
    "ViT_P-18GF": (19.9, 18.4, 17.9),
    "RegNetY-4GF": (19.4, 18.3, 17.9),
}


def test_length_stability_of_the_papers_table():
    trials = [
        Trial(model, "adamw", epochs, error)
        for model, errors in PEAK.items()
        for epochs, error in zip((100, 200, 400), errors, strict=True)
    ]
    found = length_stability(trials)
    assert found["ViT_P-1GF", "adamw"] == pytest.approx({100: 5.5, 200: 2.0})
    assert found["ViT_C-1GF", "adamw"] == pytest.approx({100: 3.9, 200: 1.4})
    assert found["RegNetY-4GF", "adamw"] == pytest.approx({100: 1.5, 200: 0.4})


def test_the_least_error_of_a_schedule_counts():
    trials = [
        Trial("m", "sgd", 50, 30.0),
        Trial("m", "sgd", 50, 28.0),
        Trial("m", "sgd", 50, NAN),
        Trial("m", "sgd", 100, 25.0),
    ]
    assert length_stability(trials) == {("m", "sgd"): {50: 3.0}}
    assert length_stability(trials[:1]) == {("m", "sgd"): {}}
    assert math.isnan(length_stability([*trials, Trial("m", "sgd", 200, NAN)])["m", "sgd"][50])


def test_optimizer_stability_of_the_papers_table():
    trials = [
        Trial(stem, optimizer, 50, errors[i])
        for stem, errors in STEMS.items()
        for i, optimizer in enumerate(("adamw", "sgd"))
    ]
    found = optimizer_stability(trials)
    for stem, (_, _, gap) in STEMS.items():
        assert found[stem, 50].points == pytest.approx(gap)
        assert not found[stem, 50].stand_in


def test_a_diverged_run_is_stood_in_for_by_the_best_shorter_one():
    trials = [
        Trial("m", "adamw", 100, 22.0),
        Trial("m", "adamw", 400, 20.0),
        Trial("m", "sgd", 50, 31.0),
        Trial("m", "sgd", 100, 27.0),
        Trial("m", "sgd", 200, NAN),
        Trial("m", "sgd", 400, NAN),
        Trial("only", "sgd", 400, 10.0),
        Trial("never", "adamw", 400, 18.0),
        Trial("never", "sgd", 400, NAN),
    ]
    found = optimizer_stability(trials)
    assert found["m", 100] == Gap(5.0, stand_in=False)
    assert found["m", 400] == Gap(7.0, stand_in=True)
    assert ("m", 200) not in found
    assert ("only", 400) not in found
    assert math.isnan(found["never", 400].points)
    assert found["never", 400].stand_in
    longer = [*trials, Trial("m", "adamw", 200, 21.0), Trial("m", "sgd", 800, 15.0)]
    assert optimizer_stability(longer)["m", 200] == Gap(6.0, stand_in=True)


def test_a_verdict_says_which_optimizer_is_better_and_what_stands_in():
    """SGD loses 5 points, gains 3, and where it diverged its best shorter run gains 1."""
    trials = [
        Trial("m", optimizer, epochs, error)
        for optimizer, errors in (("adamw", (25.0, 23.0, 21.0)), ("sgd", (30.0, 20.0, NAN)))
        for epochs, error in zip((100, 200, 400), errors, strict=True)
    ]
    (verdict,) = verdicts(trials)
    assert verdict.optimizer == pytest.approx((5 + 3 + 1) / 3)
    assert verdict.sgd_loses == pytest.approx((5 - 3 - 1) / 3)
    assert verdict.stand_ins == 1
    (dead,) = verdicts([Trial("m", "adamw", 50, 20.0), Trial("m", "sgd", 50, NAN)])
    assert (dead.optimizer, dead.stand_ins) == (CAP, 0)
    assert math.isnan(dead.sgd_loses)


def test_lr_wd_stability_by_hand():
    spread = lr_wd_stability([29.7, 27.7, NAN, 31.7, 60.0])
    assert spread.deltas == pytest.approx((0.0, 2.0, 4.0, 32.3, math.inf))
    assert (spread.runs, spread.within) == (5, 0.6)
    assert spread.loss == pytest.approx((0 + 2 + 4 + 10 + 10) / 5)
    with pytest.raises(ValueError, match="need one run or more that converged, got none among 2"):
        lr_wd_stability([NAN, math.inf])


@given(errors=st.lists(st.floats(0, 100), min_size=1), shift=st.floats(-50, 50))
def test_lr_wd_stability_knows_no_offset(errors, shift):
    first = lr_wd_stability(errors)
    second = lr_wd_stability([error + shift for error in errors])
    assert first.deltas == pytest.approx(second.deltas, abs=1e-9)
    assert first.deltas[0] == 0
    assert 0 <= first.loss <= CAP
    area = sum(1 - sum(d <= t / 100 for d in first.deltas) / first.runs for t in range(1000)) / 100
    assert first.loss == pytest.approx(area, abs=0.02)


def _spread(model, optimizer, errors):
    return [
        Trial(model, optimizer, 50, error, lr=1e-3 * (i + 1), wd=0.1)
        for i, error in enumerate(errors)
    ]


def test_verdicts_by_hand():
    trials = [
        *_spread("P", "adamw", [27.7, 29.7, 31.7, NAN]),
        Trial("P", "adamw", 400, 19.6),
        Trial("P", "sgd", 50, 33.0),
        *_spread("C", "adamw", [24.0, 24.4, 25.6, 26.0]),
        Trial("C", "adamw", 400, 18.6),
        Trial("C", "sgd", 50, 24.7),
        Trial("R", "adamw", 50, 20.0),
    ]
    c, p, r = verdicts(trials)
    assert [v.model for v in (c, p, r)] == ["C", "P", "R"]
    assert (c.length, c.optimizer, c.lr_wd, c.within) == pytest.approx((5.4, 0.7, 1.0, 1.0))
    assert c.score == pytest.approx((5.4 + 0.7 + 1.0) / 3)
    assert (p.length, p.optimizer, p.lr_wd, p.within) == pytest.approx((8.1, 5.3, 4.0, 0.75))
    assert p.score == pytest.approx((8.1 + 5.3 + 4.0) / 3)
    assert (c.measured, p.measured, r.measured) == (3, 3, 0)
    assert math.isnan(r.score)


def test_what_diverges_loses_the_cap():
    trials = [
        *_spread("dead", "sgd", [NAN, NAN, NAN]),
        Trial("dead", "sgd", 100, NAN),
        Trial("dead", "adamw", 50, 20.0),
    ]
    (verdict,) = verdicts(trials)
    assert (verdict.length, verdict.optimizer, verdict.lr_wd) == (CAP, CAP, CAP)
    assert (verdict.score, verdict.within, verdict.measured) == (CAP, 0.0, 3)


def test_a_loss_is_no_more_than_the_cap_and_no_less_than_nothing():
    trials = [
        Trial("m", "adamw", 50, 90.0),
        Trial("m", "adamw", 400, 20.0),
        Trial("n", "adamw", 50, 19.0),
        Trial("n", "adamw", 100, 19.5),
        Trial("n", "adamw", 400, 20.0),
    ]
    n, m = verdicts(trials)
    assert (n.model, n.length, n.score) == ("n", -1.0, 0.0)
    assert (m.model, m.length, m.score) == ("m", 70.0, CAP)


def test_a_gap_of_either_sign_is_a_loss():
    trials = [Trial("m", "adamw", 50, 21.0), Trial("m", "sgd", 50, 20.5)]
    (verdict,) = verdicts(trials)
    assert verdict.optimizer == 0.5


def test_seeds_are_averaged_before_the_best_pair_counts():
    trials = [
        Trial("m", "adamw", 1, 10.0, 0.1, 0.1, seed=1, experiment="length"),
        Trial("m", "adamw", 1, 14.0, 0.1, 0.1, seed=2, experiment="length"),
        Trial("m", "adamw", 2, 7.0, 0.1, 0.1, seed=1, experiment="length"),
        Trial("m", "adamw", 2, 9.0, 0.1, 0.1, seed=2, experiment="length"),
        Trial("m", "adamw", 1, 1.0, 0.3, 0.3, seed=1, experiment="lr_wd"),
        Trial("m", "adamw", 1, 5.0, 0.4, 0.3, seed=1, experiment="lr_wd"),
    ]
    assert length_stability(trials) == {("m", "adamw"): {1: 4.0}}
    (verdict,) = verdicts(trials)
    assert verdict.length == 4.0
    assert verdict.lr_wd == 2.0  # (0 + 4) / 2: the runs of the length experiment stay out
