"""The fitted line against SciPy and NumPy, the papers' claim, and its files."""

import json
from dataclasses import asdict, replace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.optimize import nnls

from eyespot.design import zoo
from eyespot.design.complexity import Complexity, complexity
from eyespot.design.latency import (
    LatencyModel,
    Sample,
    Setting,
    fit_latency,
    left_out_errors,
    nonnegative_least_squares,
    pearson,
)
from eyespot.design.latency_files import (
    cached_file,
    load_latency_model,
    read_latency_model,
    save_latency_model,
)
from tests.reference import read_json

SETTING = Setting("Some GPU (80 GB)", "bfloat16", "train", channels_last=True)


def samples(a=3e-6, b=2e-9, c=1.5, noise=0.0, count=12, seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        acts, flops = int(rng.uniform(1e6, 3e7)), int(rng.uniform(1e8, 1e10))
        batch = int(rng.integers(1, 64))
        ms = (batch * (a * acts + b * flops) + c) * (1 + noise * rng.standard_normal())
        made.append(Sample(f"net-{i}", 224, batch, int(rng.uniform(1e6, 1e8)), flops, acts, ms))
    return made


@pytest.mark.parametrize("weighting", ["relative", "absolute"])
def test_an_exact_line_is_found(weighting):
    model = fit_latency(SETTING, samples(), weighting)
    assert model.ms_per_act == pytest.approx(3e-6, rel=1e-6)
    assert model.ms_per_flop == pytest.approx(2e-9, rel=1e-6)
    assert model.ms_overhead == pytest.approx(1.5, rel=1e-5)
    assert model.r_squared == pytest.approx(1)
    assert model.left_out_error < 1e-6
    cost = Complexity(0, 10**9, 10**7)
    assert model.predict_ms(cost, 4) == pytest.approx(4 * (30 + 2) + 1.5, rel=1e-5)


@given(st.integers(0, 10**6), st.integers(4, 20), st.integers(1, 3), st.sampled_from([1, 1e6]))
@settings(max_examples=60)
def test_least_squares_is_scipys(seed, height, width, scale):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((height, width)) + 0.3
    rows[:, 0] *= scale
    targets = rng.standard_normal(height) + 0.5
    expected, _ = nnls(rows, targets)
    got = nonnegative_least_squares(rows.tolist(), targets.tolist())
    np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())


def test_a_dead_column_gets_nothing():
    assert nonnegative_least_squares([[0.0, 1.0], [0.0, 2.0]], [2.0, 4.0]) == pytest.approx([0, 2])
    assert nonnegative_least_squares([[1.0], [2.0]], [-1.0, -3.0]) == [0.0]


def test_errors_of_left_out_networks_are_those_of_refits():
    made = samples(noise=0.2)
    errors = left_out_errors(made)
    for i, sample in enumerate(made):
        rest = [s for k, s in enumerate(made) if k != i]
        rows = np.array([[s.batch * s.acts, s.batch * s.flops, 1] for s in rest])
        ms = np.array([s.ms for s in rest])
        scale = np.array([1e7, 1e9, 1])
        line, _ = nnls(rows / ms[:, None] / scale, np.ones(len(rest)))
        predicted = np.array([sample.batch * sample.acts, sample.batch * sample.flops, 1]) @ (
            line / scale
        )
        assert errors[i] == pytest.approx(predicted / sample.ms - 1, abs=1e-7)
    assert fit_latency(SETTING, made).left_out_error == pytest.approx(np.median(np.abs(errors)))


def test_pearson_is_numpys_and_the_papers():
    rows = read_json("published_speed.json")["early"]
    minutes = [row["minutes"] for row in rows]
    for count, printed in (("acts", 0.93), ("flops", None), ("params", None)):
        xs = [row[count] for row in rows]
        got = pearson(xs, minutes)
        assert got == pytest.approx(np.corrcoef(xs, minutes)[0, 1])
        if printed:
            assert round(got, 2) == printed
    assert pearson([1, 1, 1], [1, 2, 3]) == 0


@pytest.mark.parametrize("mode", ["infer", "train"])
def test_activations_predict_the_model_zoo_best(mode):
    made = []
    for row in read_json("published_speed.json")["zoo"]:
        cost = complexity(zoo.spec(row["model"]))
        ms = row["infer_ms"] / 64 if mode == "infer" else row["train_hours"]
        made.append(Sample(row["model"], 224, 1, *cost, ms))
    model = fit_latency(SETTING, made)
    assert model.r_acts > model.r_flops > model.r_params
    assert model.r_squared > 0.95
    assert model.left_out_error < 0.1


def test_kept_and_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = fit_latency(SETTING, samples(noise=0.1))
    path = save_latency_model(model)
    assert path == tmp_path / "eyespot/latency/some-gpu-80-gb-bfloat16-train-channels-last.json"
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    wanted = {"dtype": "bfloat16", "mode": "train", "channels_last": True}
    assert load_latency_model("Some GPU (80 GB)", **wanted) == model
    with pytest.raises(ValueError, match="run `eyespot calibrate`"):
        load_latency_model("Some GPU (80 GB)", **{**wanted, "channels_last": False})
    with pytest.raises(ValueError, match="unknown mode 'trian'"):
        load_latency_model("Some GPU (80 GB)", mode="trian")


def test_every_setting_has_its_own_file(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings = [
        SETTING,
        replace(SETTING, mode="infer"),
        replace(SETTING, dtype="float32"),
        replace(SETTING, channels_last=False),
        replace(SETTING, compiled=True),
        replace(SETTING, device="Other GPU"),
    ]
    assert len({cached_file(setting) for setting in settings}) == len(settings)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("ms_per_act"),
        lambda data: data.update(ms_per_act="fast"),
        lambda data: data.update(ms_overhead=float("nan")),
        lambda data: data["setting"].update(mode="sleep"),
        lambda data: data.update(setting=None),
        lambda data: data.update(more=1),
    ],
)
def test_a_damaged_file_is_named(tmp_path, change):
    data = asdict(fit_latency(SETTING, samples()))
    change(data)
    path = tmp_path / "model.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"latency model that `eyespot calibrate` wrote.*json"):
        read_latency_model(path)


def test_a_calibration_file_is_read_too(tmp_path):
    model = fit_latency(SETTING, samples())
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps({"model": asdict(model), "rows": []}))
    assert read_latency_model(path) == model
    path.write_text("{")
    with pytest.raises(ValueError, match="calibrate"):
        read_latency_model(path)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="at least 5 measured networks to fit a line, got 4"):
        fit_latency(SETTING, samples(count=4))
    with pytest.raises(ValueError, match=r"got 0.0 for net-3"):
        fit_latency(SETTING, [replace(s, ms=0.0) if s.name == "net-3" else s for s in samples()])
    model = LatencyModel(SETTING, 1, 1, 1, 1, 1, 1, 1, 1, 5)
    with pytest.raises(ValueError, match="got 0"):
        model.predict_ms(Complexity(1, 1, 1), 0)
