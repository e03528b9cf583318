"""Tables of optimizability as text."""

import math

from eyespot.report.verdicts import as_text, schedule_table, stand_ins_say, verdict_table

NAN = math.nan


def test_a_table_of_verdicts_lines_up():
    measured = {
        "model": "ViT-C", "length": 3.25, "length_sd": 0.5, "optimizer": 0.5,
        "sgd_loses": -0.5, "sgd_loses_sd": 0.25, "stand_ins": 1, "lr_wd": 2.0,
        "within": 0.6, "within_sd": NAN, "score": 1.9, "measured": 3,
    }  # fmt: skip
    half = {"model": "R", "length": 1.0, "optimizer": NAN, "sgd_loses": NAN, "stand_ins": 0,
            "lr_wd": NAN, "within": NAN, "score": 1.0, "measured": 1}  # fmt: skip
    nothing = {**half, "model": "none", "measured": 0}
    assert as_text(verdict_table([measured, half, nothing])).splitlines() == [
        "model  length     optimizer  SGD minus AdamW  lr and wd  within 4 points  score  measured",
        "ViT-C  3.2 ± 0.5  0.5        -0.5 ± 0.2*      2.0        60%              1.90   3 of 3",
        "R      1.0        –          –                –          –                1.00   1 of 3",
    ]
    (said,) = stand_ins_say([measured, half])
    assert "at 1 (ViT-C) of its schedules" in said
    assert stand_ins_say([half]) == []


def test_a_table_of_schedules_has_a_column_for_each_length():
    rows = [
        {"model": "A", "optimizer": "sgd", "epochs": 3, "error": 20.0, "error_sd": 1.0},
        {"model": "A", "optimizer": "sgd", "epochs": 12, "error": 10.04, "error_sd": NAN},
        {"model": "B", "optimizer": "adamw", "epochs": 3, "error": NAN, "error_sd": NAN},
    ]
    table = schedule_table(rows)
    assert table.columns == ["model", "optimizer", "3 epochs", "12 epochs"]
    assert table.rows == [["A", "sgd", "20.0 ± 1.0", "10.0"], ["B", "adamw", "–", "–"]]
