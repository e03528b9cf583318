"""Summaries of whole folders: counts, groups, what ranks with the error, and what is missing."""

import json
import math

import numpy as np
import pytest

from eyespot.design.samplers import FloatRange, Value
from eyespot.design.space import ListedPoints, Space
from eyespot.sweep.best_range import best_range
from eyespot.sweep.folder import Sweep, Target, prepare
from eyespot.sweep.records import Record, append_record
from eyespot.sweep.rows import read_rows
from eyespot.sweep.summary import summarize

SPACE = Space(
    "s",
    "an example",
    parameters={
        "lr": FloatRange(0.01, 1.0, "log_uniform", 1e-10),
        "wd": FloatRange(1e-5, 1e-3, "log_uniform", 1e-10),
        "optimizer": Value(("adamw", "sgd")),
        "epochs": Value((50,)),
    },
)


def finished(
    folder, count=12, *, name="s", error=lambda p: 100 * p["lr"], parameters=SPACE.parameters
):
    space = Space(name, SPACE.about, parameters=parameters)
    points = prepare(folder, Sweep(space, 1, count, Target("callable", "m:f")))
    for point in points:
        metrics = {"error": error(point.parameters), "seconds_taken": 2.0 + point.index}
        append_record(folder / "results.jsonl", Record(point.index, "done", metrics))
    return points


def test_one_sweep(tmp_path):
    points = finished(tmp_path)
    append_record(tmp_path / "results.jsonl", Record(0, "retry"))
    data = summarize([tmp_path])
    (sweep,), (group,) = data["sweeps"], data["groups"]
    assert (sweep["done"], sweep["failed"], sweep["missing"]) == (12, 0, 0)
    assert (sweep["name"], sweep["about"], sweep["run"]) == ("s", "an example", "m:f")
    errors = sorted(100 * point.parameters["lr"] for point in points)
    assert [run["error"] for run in group["runs"]] == pytest.approx(errors)
    assert group["edf"]["errors"] == pytest.approx(errors)
    assert group["edf"]["fractions"] == pytest.approx([(k + 1) / 12 for k in range(12)])
    assert group["edf"]["at"][0] == errors[0]
    assert group["edf"]["low"][-1] == group["edf"]["high"][-1] == 1
    assert next(iter(group["estimates"])) == "lr"
    assert group["estimates"]["lr"]["rank_correlation"] == pytest.approx(1.0)
    assert group["outcomes"] == ["seconds_taken"]
    assert "epochs" not in group["estimates"]
    lrs = [point.parameters["lr"] for point in points]
    found = best_range(lrs, [100 * lr for lr in lrs], seed=0)
    assert group["estimates"]["lr"]["median"] == found.median
    json.dumps(data, allow_nan=True)


def test_groups_by_a_label_and_by_a_number(tmp_path):
    points = finished(tmp_path)
    groups = summarize([tmp_path], by="optimizer")["groups"]
    counts = [sum(p.parameters["optimizer"] == o for p in points) for o in ("adamw", "sgd")]
    assert [group["name"] for group in groups] == ["adamw", "sgd"]
    assert [group["edf"]["runs"] for group in groups] == counts
    assert [g["name"] for g in summarize([tmp_path], by="epochs")["groups"]] == ["epochs 50"]
    with pytest.raises(ValueError, match="need runs that have 'optimiser' to group by, got "):
        summarize([tmp_path], by="optimiser")


def test_several_sweeps_are_compared(tmp_path):
    for i, name in enumerate(("a", "b", "a")):
        (tmp_path / f"{i}").mkdir()
        finished(tmp_path / f"{i}", 4, name=name)
    names = [g["name"] for g in summarize([tmp_path / str(i) for i in range(3)])["groups"]]
    assert names == ["a (0)", "b", "a (2)"]
    both = summarize([tmp_path / "0", tmp_path / "1"], by="optimizer")["groups"]
    assert {group["name"] for group in both} >= {"a sgd", "b adamw"}


def test_diverged_runs_stay_in_the_population(tmp_path):
    finished(tmp_path, error=lambda p: math.nan if p["lr"] > 0.1 else 100 * p["lr"])
    data = summarize([tmp_path])
    edf = data["groups"][0]["edf"]
    assert edf["runs"] == 12
    assert 0 < edf["diverged"] < 12
    assert edf["fractions"][-1] == pytest.approx(1 - edf["diverged"] / 12)
    (verdict,) = data["optimizability"]
    assert (verdict["model"], verdict["measured"]) == ("network", 2)
    assert 0 < verdict["lr_wd"] <= 10


def test_another_metric_can_be_the_error(tmp_path):
    finished(tmp_path)
    data = summarize([tmp_path], metric="seconds_taken")
    assert [run["index"] for run in data["groups"][0]["runs"]] == list(range(12))
    assert "seconds_taken" not in data["groups"][0]["estimates"]


def test_runs_outside_a_range_are_left_out(tmp_path):
    points = finished(tmp_path)
    lrs = [point.parameters["lr"] for point in points]
    low, high = sorted(lrs)[2], sorted(lrs)[8]
    data = summarize([tmp_path], keep={"lr": (low, high), "epochs": (0, 100)})
    kept = [run["metrics"]["lr"] for run in data["groups"][0]["runs"]]
    assert sorted(kept) == sorted(lrs)[2:9]
    assert data["sweeps"][0]["done"] == 12
    with pytest.raises(ValueError, match=r"unknown number of these runs 'lrr'. Did you mean lr"):
        summarize([tmp_path], keep={"lrr": (0, 1)})
    with pytest.raises(ValueError, match="got none"):
        summarize([tmp_path], keep={"lr": (5, 9)})


def test_groups_are_matched_by_a_number(tmp_path):
    """The error is 100 lr; one group has higher rates, and matching undoes the difference."""
    folders = [tmp_path / "wide", tmp_path / "high"]
    for folder, low in zip(folders, (0.01, 0.1), strict=True):
        folder.mkdir()
        rates = FloatRange(low, 1.0, "log_uniform", 1e-10)
        finished(folder, 150, name=folder.name, parameters=SPACE.parameters | {"lr": rates})
    plain, matched = (
        [group["edf"] for group in summarize(folders, match=match)["groups"]]
        for match in (None, "lr")
    )
    assert plain[1]["mean"] - plain[0]["mean"] > 12
    assert abs(matched[1]["mean"] - matched[0]["mean"]) < 2
    for edf in matched:
        assert edf["fractions"][-1] == pytest.approx(1.0)
        assert all(low <= high for low, high in zip(edf["low"], edf["high"], strict=True))
    middle = [np.interp(30.0, edf["at"], edf["high"]) for edf in matched]
    unweighed = [np.interp(30.0, edf["at"], edf["high"]) for edf in plain]
    assert abs(middle[0] - middle[1]) < 0.1 < abs(unweighed[0] - unweighed[1])
    with pytest.raises(ValueError, match="need two or more groups to match by lr, got 1"):
        summarize(folders[:1], match="lr")
    with pytest.raises(ValueError, match="unknown number of these runs 'flops'"):
        summarize(folders, match="flops")


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        ("top1", r"finite 'top1', got none among 2; pass --metric with one of: .*seconds_taken"),
        ("error", "finite 'error', got none among 2"),
    ],
)
def test_without_the_metric_it_says_which_there_are(tmp_path, metric, sentence):
    finished(tmp_path, 2, error=lambda p: math.nan)
    with pytest.raises(ValueError, match=sentence):
        summarize([tmp_path], metric=metric)


def test_nothing_done_is_refused(tmp_path):
    prepare(tmp_path, Sweep(SPACE, 1, 2, Target("callable", "m:f")))
    with pytest.raises(ValueError, match="need at least one run that is done, got none"):
        summarize([tmp_path])
    with pytest.raises(ValueError, match="need the folder of at least one sweep"):
        summarize([])
    assert [row.status for row in read_rows(tmp_path)[0]] == ["missing", "missing"]


def test_schedules_are_means_over_seeds(tmp_path):
    values = [
        (3, 1, "length", 20.0),
        (3, 2, "length", 22.0),
        (6, 1, "length", 10.0),
        (3, 1, "lr_wd", 90.0),
    ]
    names = ("epochs", "seed", "experiment", "value")
    same = {"model": "RegNetY-10MF", "optimizer": "sgd"}
    rows = [{**same, **dict(zip(names, row, strict=True))} for row in values]
    space = Space("s", "an example", network=ListedPoints(tuple(rows)))
    for point in prepare(tmp_path, Sweep(space, 1, len(rows), Target("callable", "m:f"))):
        metrics = {"error": point.parameters["value"]}
        append_record(tmp_path / "results.jsonl", Record(point.index, "done", metrics))
    three, six = summarize([tmp_path])["schedules"]
    assert (three["epochs"], three["error"], three["error_sd"]) == (3, 21.0, math.sqrt(2))
    assert (six["epochs"], six["error"]) == (6, 10.0)
    assert math.isnan(six["error_sd"])


def test_spreads_are_the_random_runs_alone_and_their_shares_the_verdicts(tmp_path):
    """By hand: deltas of each optimizer's four random runs; the length runs are in neither."""
    errors = {"adamw": (20.0, 21.0, 25.0, math.nan), "sgd": (30.0, 31.5, 33.0, 34.5)}
    shared = {"model": "ResNet-50", "epochs": 50, "seed": 1}
    rows = [
        {**shared, "optimizer": optimizer, "lr": 0.1, "wd": 0.1, "experiment": "length", "at": 5.0}
        for optimizer in errors
    ] + [
        {**shared, "optimizer": optimizer, "lr": 0.1 + k, "wd": 0.1, "experiment": "lr_wd", "at": e}
        for optimizer, some in errors.items()
        for k, e in enumerate(some)
    ]
    points = prepare(
        tmp_path,
        Sweep(Space("s", network=ListedPoints(tuple(rows))), 0, 10, Target("callable", "m:f")),
    )
    for point in points:
        record = Record(point.index, "done", {"error": point.parameters["at"]})
        append_record(tmp_path / "results.jsonl", record)
    data = summarize([tmp_path])
    adamw, sgd = data["spreads"]
    assert (adamw["deltas"], adamw["runs"], adamw["within"]) == ([0.0, 1.0, 5.0], 4, 0.5)
    assert (sgd["deltas"], sgd["runs"], sgd["within"]) == ([0.0, 1.5, 3.0, 4.5], 4, 0.75)
    assert (adamw["loss"], sgd["loss"]) == (4.0, 2.25)
    (verdict,) = data["optimizability"]
    assert (verdict["within"], verdict["lr_wd"]) == (0.625, 3.125)
