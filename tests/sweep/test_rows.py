"""A sweep as a table: names, units, and what the error of a run is."""

import math

import pytest

from eyespot.design.spaces import get_space
from eyespot.sweep.folder import Sweep, Target, prepare
from eyespot.sweep.records import Record, append_record
from eyespot.sweep.rows import read_rows, row_of, run_error

POINT = {
    "index": 4,
    "parameters": {"lr": 0.01, "wd": 1e-4, "optimizer": "sgd", "epochs": 4},
    "spec": {"family": "anynet", "depths": [1, 2], "widths": [8, 16], "image_size": 32},
    "complexity": {"params": 2_500_000, "flops": 400_000_000, "acts": 1_500_000},
}


def test_a_row_by_hand():
    metrics = {"error": [50.0, 40.0, 45.0], "ema_error": [60.0, 39.0, 38.5], "epoch_time": 2.5}
    row = row_of(POINT, Record(4, "done", {**metrics, "host": "a"}))
    assert (row.index, row.status, row.error) == (4, "done", 38.5)
    assert row.metrics == pytest.approx(
        {
            "lr": 0.01,
            "wd": 1e-4,
            "lr_wd": -6.0,
            "epochs": 4.0,
            "params": 2.5,
            "flops": 0.4,
            "acts": 1.5,
            "epoch_time": 2.5,
            "resolution": 32.0,
            "depth": 3.0,
            "ema_gain": 1.5,
            "done": 0.75,
            "depth_1": 1.0,
            "depth_2": 2.0,
            "width_1": 8.0,
            "width_2": 16.0,
        }
    )
    assert row.labels == {"optimizer": "sgd", "host": "a"}
    assert row.curves == {"error": [50.0, 40.0, 45.0], "ema_error": [60.0, 39.0, 38.5]}
    assert row.stages == ((1, 2), (8, 16))


@pytest.mark.parametrize(
    ("every", "curve", "measured", "done"),
    [
        (1, [50.0, 40.0], {}, 0.5),
        (4, [40.0], {}, 1.0),
        (3, [50.0, 40.0], {}, 1.0),  # after 3 epochs, and at the end after 4
        (1, [50.0], {"done": 0.3}, 0.3),
    ],
)
def test_done_is_the_share_of_epochs_and_not_of_evaluations(every, curve, measured, done):
    point = {**POINT, "parameters": {"epochs": 4, "evaluate_every": every}}
    metrics = row_of(point, Record(4, "done", {"error": curve, **measured})).metrics
    assert metrics["done"] == pytest.approx(done)


def test_the_average_is_plotted_by_its_logarithm():
    point = {**POINT, "parameters": {"ema_alpha": 1e-5}}
    assert row_of(point, None).metrics["ema_alpha"] == pytest.approx(-5)


@pytest.mark.parametrize(
    ("metrics", "metric", "error"),
    [
        ({"error": 12}, "error", 12.0),
        ({"error": [30.0, 20.0, 25.0]}, "error", 20.0),
        ({"error": [30.0, math.nan]}, "error", 30.0),
        ({"error": [10.0], "ema_error": [12.0]}, "error", 12.0),
        ({"error": [math.nan]}, "error", math.nan),
        ({"error": "text"}, "error", math.nan),
        ({}, "error", math.nan),
        ({"acts": 3, "ema_error": 1.0}, "acts", 3.0),
    ],
)
def test_the_error_of_a_run(metrics, metric, error):
    assert run_error(metrics, metric) == pytest.approx(error, nan_ok=True)


def test_another_metric_has_its_unit():
    row = row_of(POINT, Record(4, "done", {"acts": 1_500_000, "seconds": 3.0}), "acts")
    assert row.error == row.metrics["acts"] == 1.5
    assert row_of(POINT, Record(4, "done", {"seconds": 3.0}), "seconds").error == 3.0


def test_what_did_not_end_has_no_error():
    failed = row_of(POINT, Record(4, "failed", error="ValueError: x"))
    assert (failed.status, failed.note) == ("failed", "ValueError: x")
    assert math.isnan(failed.error)
    assert row_of(POINT, None).status == "missing"
    assert row_of(POINT, Record(4, "retry")).status == "missing"


def test_rows_of_a_folder(tmp_path):
    target = Target("callable", "eyespot.sweep.builtin:complexity")
    prepare(tmp_path, Sweep(get_space("lrwd-vit-adamw"), 1, 3, target))
    append_record(tmp_path / "results.jsonl", Record(1, "done", {"error": 30.0}))
    (tmp_path / "results.jsonl").open("a").write('{"point": 2, "sta')
    rows, notes = read_rows(tmp_path)
    assert [row.status for row in rows] == ["missing", "done", "missing"]
    assert rows[1].error == 30.0
    assert rows[1].metrics["depth"] == 11
    assert rows[1].stages == ((11,), (384,))
    assert rows[1].labels == {
        "model": "ViT-C-4GF",
        "optimizer": "adamw",
        "recipe": "optimizability/vit_c_4gf_adamw",
    }
    assert rows[1].metrics["resolution"] == 224
    assert "17 bytes" in notes[0]
