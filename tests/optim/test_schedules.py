import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from eyespot.optim.schedules import (
    byol_momentum,
    cosine,
    exponential,
    linear,
    restarts,
    steps,
    swav_rate,
    vissl_rate,
    warmup,
)
from tests.reference import read_json

VECTORS = read_json("swav_vectors.json")["lr_schedule"]


def cases(kind):
    return [case for case in VECTORS["cases"] if case["kind"] == kind]


@pytest.mark.parametrize("case", cases("swav_repo"))
def test_swavs_own_rate(case):
    for step, expected in case["values"].items():
        rate = swav_rate(
            int(step),
            case["epochs"] * case["iters_per_epoch"],
            warmup_steps=case["warmup_epochs"] * case["iters_per_epoch"],
            start=case["start_warmup"],
            peak=case["base_lr"],
            final=case["final_lr"],
        )
        assert_close(rate, expected, rtol=0, atol=VECTORS["tol"])


@pytest.mark.parametrize("case", cases("vissl_composite"))
def test_vissls_rate(case):
    assert case["interval_scaling"] == ["rescaled", "fixed"]
    assert case["linear"][1] == case["cosine"][0]
    for step, expected in case["values"].items():
        rate = vissl_rate(
            int(step),
            case["total_iters"],
            warmup=case["lengths"][0],
            start=case["linear"][0],
            peak=case["cosine"][0],
            final=case["cosine"][1],
        )
        assert_close(rate, expected, rtol=0, atol=VECTORS["tol"])


# Computed with pycls: base, epochs, warmup epochs, final factor, rate by epoch.
PYCLS_COSINE = [
    (0.8, 100, 5, 0.0, {0: 0.08, 1: 0.22394473, 4: 0.65341362, 5: 0.79507534, 50: 0.4}),
    (0.8, 100, 5, 0.0, {99: 0.00019738}),
    (0.001, 400, 5, 0.005, {0: 0.0001, 1: 0.0002799957, 5: 0.00099961645}),
    (0.001, 400, 5, 0.005, {200: 0.0005025, 399: 5.0153441e-06}),
]


@pytest.mark.parametrize(("base", "epochs", "length", "final", "rates"), PYCLS_COSINE)
def test_pycls_cosine_with_warmup(base, epochs, length, final, rates):
    for epoch, expected in rates.items():
        rate = base * cosine(epoch, epochs, final=final) * warmup(epoch, length)
        assert_close(rate, expected, rtol=3e-5 if epoch == 99 else 1e-7, atol=0)


def waves(wave, peaks, *, share=0.25, final=0.1, total=40):
    return [
        restarts(t, total, share=share, wave=wave, peaks=peaks, final=final)
        for t in range(total + 1)
    ]


def test_half_waves_fall_and_jump_to_their_peaks():
    """Four waves of ten steps, by the formula of one wave."""
    half = [(1 + math.cos(math.pi * t / 10)) / 2 for t in range(10)]
    for factor in (1.0, 0.5):
        got = waves("half", factor)
        for t in range(40):
            peak = factor ** (t // 10)
            assert_close(got[t], 0.1 + (peak - 0.1) * half[t % 10])
        assert_close(got[40], 0.1)
    on_one_cosine = waves("half", None)
    assert_close(on_one_cosine[::10], [cosine(t, 40, final=0.1) for t in (0, 10, 20, 30, 40)])


def test_full_waves_fall_and_rise():
    got = waves("full", 1.0)
    assert_close(got, [0.1 + 0.9 * (1 + math.cos(math.pi * t / 5)) / 2 for t in range(41)])
    assert got[5] == got[15] == pytest.approx(0.1)


def test_one_half_wave_is_the_plain_cosine_and_waves_may_be_cut_short():
    for peaks in (1.0, 0.3, None):
        assert_close(waves("half", peaks, share=1.0), [cosine(t, 40, final=0.1) for t in range(41)])
    cut = waves("half", 0.5, share=0.3, final=0.0)  # waves of 12: the last has four of them
    assert_close(cut[36:], [0.125 * (1 + math.cos(math.pi * t / 12)) / 2 for t in range(5)])
    with pytest.raises(ValueError, match="need waves of a share above 0 to 1 of the run, got 0"):
        waves("half", 1.0, share=0.0)


def test_pycls_exponential_with_warmup():
    expected = {0: 0.2, 5: 1.6446803, 50: 0.28284271, 99: 0.04159582}
    for epoch, rate in expected.items():
        got = 2 * exponential(epoch, 100, final=0.02) * warmup(epoch, 5)
        assert_close(got, rate, rtol=1e-7, atol=0)


def test_linear_is_a_straight_line():
    assert [linear(t, 4, final=0.2) for t in range(5)] == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])


def test_steps_drop_at_their_milestones():
    factors = [steps(t, [3, 5], factor=0.1) for t in range(7)]
    assert factors == pytest.approx([1, 1, 1, 0.1, 0.1, 0.01, 0.01])
    assert steps(9, [], factor=0.1) == 1


@given(total=st.integers(2, 500), final=st.floats(0.001, 1))
def test_every_shape_runs_from_one_to_its_final_factor(total, final):
    for shape in (cosine, linear, exponential):
        assert_close(shape(0, total, final=final), 1.0)
        assert_close(shape(total, total, final=final), final)
        values = [shape(t, total, final=final) for t in range(total + 1)]
        assert all(a >= b - 1e-12 for a, b in pairwise(values))


@given(total=st.integers(1, 300), share=st.floats(0, 1))
def test_swavs_warmup_includes_both_ends_and_its_cosine_starts_at_the_peak(total, share):
    length = int(total * share)

    def rate(step):
        return swav_rate(step, total, warmup_steps=length, start=0.3, peak=4.8, final=0.0048)

    if length > 1:
        assert_close(rate(0), 0.3)
        assert_close(rate(length - 1), 4.8)
    assert_close(rate(length), 4.8)
    if length < total:
        assert_close(rate(total), 0.0048)


def test_vissl_without_warmup_is_the_plain_cosine():
    for step in (0, 3, 10):
        rate = vissl_rate(step, 10, warmup=0.0, start=0.1, peak=2.0, final=0.5)
        assert_close(rate, 0.5 + 0.75 * (1 + math.cos(math.pi * step / 10)))


def test_vissl_counts_a_step_at_the_very_end_of_warmup_as_past_it():
    rate = vissl_rate(50, 1000, warmup=0.05, start=0.0, peak=1.0, final=0.0)
    assert_close(rate, (1 + math.cos(math.pi * 0.05)) / 2)


def test_byols_share_rises_from_its_base_to_one():
    assert_close(byol_momentum(0, 10), 0.996)
    assert_close(byol_momentum(5, 10), 0.998)
    assert_close(byol_momentum(10, 10), 1.0)


def test_times_and_shapes_are_refused_with_their_values():
    with pytest.raises(ValueError, match="got 11 of 10"):
        cosine(11, 10)
    with pytest.raises(ValueError, match="got -1 of 10"):
        swav_rate(-1, 10, warmup_steps=2, start=0.1, peak=1.0, final=0.0)
    with pytest.raises(ValueError, match="need a warmup of 0 to 10 steps, got 11"):
        swav_rate(1, 10, warmup_steps=11, start=0.1, peak=1.0, final=0.0)
    with pytest.raises(ValueError, match=r"of the run, got 1\.5"):
        vissl_rate(1, 10, warmup=1.5, start=0.1, peak=1.0, final=0.0)
    with pytest.raises(ValueError, match=r"got 0\.0"):
        exponential(1, 10, final=0.0)
    with pytest.raises(ValueError, match=r"got \[5, 3\]"):
        steps(1, [5, 3], factor=0.1)
