"""A study that chooses the points: it learns, it keeps to the space, it goes on after a break."""

import sys
from itertools import pairwise

import pytest

from eyespot.design.complexity import complexity
from eyespot.design.samplers import FloatRange, IntRange, ListOf, Value
from eyespot.design.space import Constraints, NamedNetworks, Space
from eyespot.design.space_files import point_from_dict
from eyespot.sweep.folder import Sweep, Target, prepare, read_point, read_sweep
from eyespot.sweep.optuna_points import distributions, run_study
from tests.sweep.test_run import SPACE, journal

optuna = pytest.importorskip("optuna")
optuna.logging.set_verbosity(optuna.logging.WARNING)


def study_of(count, name="quadratic", space=SPACE, seed=1):
    return Sweep(space, seed, count, Target("callable", f"tests.sweep.runs:{name}"), "study")


def test_a_study_chooses_and_is_told(tmp_path):
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    records = list(run_study(tmp_path, study_of(9), study, workers=2))
    assert sorted(r.point for r in records) == list(range(9))
    assert len(study.trials) == 9
    for record, trial in zip(sorted(records, key=lambda r: r.point), study.trials, strict=True):
        point = point_from_dict(read_point(tmp_path, record.point))
        assert trial.value == min(record.metrics["error"])
        assert point.parameters["lr"] == pytest.approx(trial.params["lr"], abs=1e-9)
        assert 0.25 <= point.parameters["lr"] <= 5
    assert study.best_value == min(min(r.metrics["error"]) for r in records)


def test_a_new_study_goes_on_where_the_old_one_was(tmp_path):
    first = list(run_study(tmp_path, study_of(4)))
    assert read_sweep(tmp_path).count == 4
    study = optuna.create_study()
    second = list(run_study(tmp_path, study_of(6), study))
    assert [r.point for r in second] == [4, 5]
    assert [t.value for t in study.trials] == [
        min(r.metrics["error"]) for r in sorted(first + second, key=lambda r: r.point)
    ]
    with pytest.raises(ValueError, match="another chooser"):
        prepare(tmp_path, Sweep(SPACE, 1, 6, study_of(6).target))


def test_failed_runs_and_diverged_ones_are_failed_trials(tmp_path):
    study = optuna.create_study()
    list(run_study(tmp_path, study_of(4, "diverging"), study))
    states = [trial.state.name for trial in study.trials]
    assert states == ["FAIL", "COMPLETE", "COMPLETE", "FAIL"]
    assert len(journal(tmp_path)) == 4


def test_suggestions_keep_to_the_constraints_and_are_all_different(tmp_path):
    space = Space(
        "widths",
        network=NamedNetworks(Value(("RegNetX-400MF",)), {"depths": ListOf(4, IntRange(1, 3))}),
        parameters={"lr": Value((1.0,)), "wd": Value((1e-4,))},
        constraints=Constraints(flops=(0, 2e8)),
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    list(run_study(tmp_path, study_of(6, space=space), study))
    points = [point_from_dict(read_point(tmp_path, i)) for i in range(6)]
    assert all(complexity(point.spec).flops <= 2e8 for point in points)
    assert len({point.parameters["depths"] for point in points}) == 6
    pruned = sum(trial.state.name == "PRUNED" for trial in study.trials)
    assert len(study.trials) == 6 + pruned
    assert pruned > 0
    again = optuna.create_study()
    list(run_study(tmp_path, study_of(7, space=space), again))
    assert [t.params["depths.2"] for t in again.trials[:6]] == [
        point.parameters["depths"][2] for point in points
    ]


def test_distributions_have_the_support_of_the_samplers():
    def of(sampler):
        (found,) = distributions("x", sampler).values()
        return found

    assert of(Value(("a", 2))).choices == ("a", 2)
    depth = of(IntRange(12, 28))
    assert (depth.low, depth.high, depth.step, depth.log) == (12, 28, 1, False)
    width = of(IntRange(8, 256, "log_uniform", 8))
    assert (width.low, width.high, width.step, width.log) == (8, 256, 8, False)
    assert of(IntRange(1, 64, "log_uniform")).log
    lr = of(FloatRange(0.25, 5.0, "log_uniform", 1e-10))
    assert (lr.low, lr.high, lr.log) == (0.25, 5.0, True)
    groups = of(IntRange(1, 32, "power2_or_log_uniform", 8)).choices
    assert groups == (1, 2, 4, 8, 16, 24, 32)
    assert of(IntRange(2, 16, "power2_uniform")).choices == (2, 4, 8, 16)
    assert of(FloatRange(0.25, 1.0, "power2_uniform", 0.25)).choices == (0.25, 0.5, 1.0)
    assert all(
        b - a == 8 for a, b in pairwise(of(IntRange(8, 40, "power2_or_log_uniform", 8)).choices)
    )


def test_without_optuna_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ValueError, match=r"pip install 'eyespot\[sweep\]'"):
        next(run_study(tmp_path, study_of(1)))
