"""The page of training runs: what is drawn is what was logged, and the file needs nothing else."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from eyespot.report.figures import style
from eyespot.report.run_plots import evaluation_figure, extremes, smoothed, training_figure
from eyespot.report.run_report import differing, draw, run_page, run_table, save_run_figures
from eyespot.report.verdicts import as_text
from tests.report.test_sweep_report import check

NAN = math.nan
NOW = "2031-02-03T04:05:06Z"


def run_of(name="a", *, lr=0.1, task="classify", **more):
    return {
        "name": name,
        "index": 0,
        "task": task,
        "recipe": f"{task}/<smoke>",
        "state": "unfinished",
        "step": 1200,
        "steps": 2400,
        "loss": 2.25,
        "metric": "error",
        "better": "lower",
        "best": 31.5,
        "best_step": 800,
        "last": 33.0,
        "last_step": 1200,
        "written": "2030-01-02T03:04:05Z",
        "settings": {"epochs": 3, "optimizer.lr": lr, "data": "scenes"},
        "notes": [],
        "curves": {
            "training": {
                "loss": [(400, 3.5), (800, 2.5), (1200, 2.25)],
                "lr": [(400, 0.1), (800, 0.05), (1200, 0.01)],
                "data_wait": [(400, 0.5), (800, 0.25), (1200, 0.0)],
                "images_per_second": [(400, 80.0), (800, 90.0), (1200, 85.0)],
                "seconds_per_step": [(400, 0.1), (800, 0.1), (1200, 0.1)],
            },
            "evaluation": {
                "error": [(400, 50.0), (800, 31.5), (1200, 33.0)],
                "top": [(1200, 4.0)],
            },
        },
        **more,
    }


def data_of(*runs):
    return {"runs": list(runs) or [run_of()], "notes": []}


def empty_run(name):
    nothing = dict.fromkeys(("loss", "metric", "better", "best", "best_step", "last", "last_step"))
    curves = {"training": {}, "evaluation": {}}
    return run_of(name, step=0, steps=None, curves=curves, **nothing)


def test_a_page_is_whole_and_alone():
    data = data_of(run_of("a", notes=["too <hot>"]), run_of("b", lr=0.2, state="finished"))
    data["notes"] = ["left out: a sweep"]
    page = run_page(data, "1.2.3", NOW)
    checker = check(page)
    text = " ".join(checker.text)
    for words in (
        "Training runs: a, b",
        "classify/<smoke>",
        "1,200 of 2,400",
        "31.5 at 800",
        "33 at 1,200",
        "2030-01-02 03:04 UTC",
        "a: too <hot>",
        "left out: a sweep",
        "Unfinished: stopped, killed or still running",
        "lowest error (%)",
        "1 metric is only in the table below: measured once",
        "Made by eyespot 1.2.3, 2031-02-03 04:05 UTC.",
    ):
        assert words in text, words
    assert "<td>error</td><td>33</td><td>33</td>" in page
    assert checker.seen.count("svg") == 5  # loss, error, lr, images a second, data wait
    titles = [piece for piece in checker.text if " at step " in piece]
    assert titles[1] == "a: error 31.5 at step 800"
    assert len(titles) == 6


def test_every_figure_is_of_what_was_logged():
    data = data_of(run_of("a"), run_of("b", task="ground"), run_of("c"))
    drawings = list(draw(data))
    assert [drawing.name for drawing in drawings] == [
        "loss-classify",
        "loss-ground",
        "evaluation-error",
        "training-lr",
        "speed-data_wait",
        "speed-images_per_second",
    ]
    loss = drawings[0].figure.axes[0].get_lines()
    assert_allclose(loss[0].get_xdata(), [400, 800, 1200])
    assert_allclose(loss[0].get_ydata(), [3.5, 2.5, 2.25])
    assert [line.get_label() for line in loss[1::2]] == ["a", "c"]
    assert loss[0].get_color() == loss[1].get_color() != loss[2].get_color()
    assert loss[3].get_color() == drawings[2].figure.axes[0].get_lines()[4].get_color()
    error = drawings[2].figure.axes[0].get_lines()
    assert_allclose(error[1].get_ydata(), [50, 31.5, 33])
    rate = drawings[3].figure.axes[0].get_lines()[1]
    assert_allclose(rate.get_ydata()[:3], [0.1, 0.05, 0.01])  # exactly as it was
    wait = drawings[4].figure.axes[0].get_lines()[0]
    assert_allclose(wait.get_ydata(), [50, 25, 0])


def test_a_metric_that_not_all_have_is_drawn_for_those_that_have_it():
    other = run_of(
        "b", curves={"training": {}, "evaluation": {"AP": [(1, 0.1), (2, NAN), (3, 0.3)]}}
    )
    drawings = {d.name: d for d in draw(data_of(run_of("a"), other, empty_run("c")))}
    assert [
        len(drawings[f"evaluation-{n}"].figure.axes[0].get_lines()) for n in ("error", "AP")
    ] == [2, 2]
    assert drawings["evaluation-AP"].tips["evaluation-AP-1"] == [
        "b: AP 0.1 at step 1",
        "b: AP 0.3 at step 3",
    ]


def test_only_settings_that_differ_are_listed():
    one, two = run_of("a", lr=0.1), run_of("b", lr=0.2)
    del two["settings"]["data"]
    assert differing([one, two]) == {"optimizer.lr": [0.1, 0.2], "data": ["scenes", None]}
    page = run_page(data_of(one, two, run_of("c", task="ground")), "1", NOW)
    assert "<td>optimizer.lr</td><td>0.1</td><td>0.2</td>" in page
    assert "epochs" not in page
    many = run_page(data_of(*(run_of(f"r{i}", lr=i / 10) for i in range(5))), "1", NOW)
    assert "<th>optimizer.lr</th>" in many
    assert "<tr><td>r3</td><td>0.3</td></tr>" in many
    assert "all recipes are equal" in run_page(data_of(run_of("a"), run_of("b")), "1", NOW)
    assert "recipes" not in run_page(data_of(), "1", NOW)


def test_runs_without_numbers_have_a_page():
    checker = check(run_page(data_of(empty_run("a"), empty_run("b")), "1", NOW))
    assert "svg" not in checker.seen
    table = run_table([empty_run("a")], ["3s ago"])
    assert table.rows == [
        ["a", "classify/<smoke>", "unfinished", "0", "–", "–", "–", "–", "3s ago"]
    ]


def test_the_table_on_a_terminal_is_aligned():
    lines = as_text(run_table([run_of("a"), run_of("much-longer")])).splitlines()
    assert lines[1].index("classify") == lines[2].index("classify") == lines[0].index("recipe")


def test_more_runs_than_colours_have_dashes():
    page = run_page(data_of(*(run_of(f"r{i}") for i in range(18))), "1", NOW)
    check(page)
    assert "18 training runs" in page
    loss = next(draw(data_of(*(run_of(f"r{i}") for i in range(18))))).figure.axes[0].get_lines()
    looks = {
        (line.get_color(), line._dash_pattern[1] and tuple(line._dash_pattern[1]))
        for line in loss[1::2]
    }
    assert len(looks) == 18
    assert page.count('class="dashed"') == 8 * 4
    assert page.count('class="dotted"') == 2 * 4


def test_figures_for_a_paper_say_which_run_is_which(tmp_path):
    data = data_of(
        run_of("a"),
        run_of("b", curves={"training": {}, "evaluation": {"a/b c": [(1, 1.0), (2, 2.0)]}}),
    )
    names = {path.name for path in save_run_figures(data, tmp_path / "figures")}
    assert {"loss.pdf", "evaluation-error.pdf", "evaluation-a-b-c.pdf", "training-lr.pdf"} <= names
    assert (tmp_path / "figures" / "loss.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "figures" / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert all(drawing.figure.legends for drawing in draw(data, legend=True))


def test_smoothing_weighs_both_sides_alike():
    impulse = np.zeros(81)
    impulse[40] = 1
    after = smoothed(impulse)
    decay = math.exp(-40 / 81)
    weights = decay ** np.abs(np.arange(81) - 40)
    assert_allclose(after[40], 1 / weights.sum(), rtol=1e-12)
    assert_allclose(after, after[::-1], rtol=1e-12)
    assert_allclose(smoothed(np.full(7, 3.25)), 3.25, rtol=1e-12)
    line = smoothed(np.arange(4000.0))
    assert_allclose(line[2000], 2000, rtol=1e-9)
    assert_allclose(smoothed(np.array([1.0])), [1.0])


def test_what_is_not_finite_has_no_weight():
    assert_allclose(smoothed(np.array([2.0, NAN, 2.0, math.inf])), 2.0)
    assert np.isnan(smoothed(np.full(3, NAN))).all()


def test_of_many_points_the_extremes_stay():
    values = np.random.default_rng(0).normal(size=5001)
    values[[17, 4000]] = 9, -9
    chosen = extremes(values, 100)
    assert len(chosen) <= 100
    assert {17, 4000} <= set(chosen)
    assert (np.diff(chosen) > 0).all()
    assert_allclose(extremes(values[:100], 100), range(100))


def test_a_long_run_is_drawn_with_few_points():
    steps = range(1, 20_001)
    curve = [(step, 1 / step) for step in steps]
    run = run_of(curves={"training": {"loss": curve}, "evaluation": {}})
    with style():
        (axes,) = training_figure("loss", [run]).axes
    points, line = axes.get_lines()
    assert len(points.get_xdata()) <= 400
    assert len(line.get_xdata()) <= 402
    assert line.get_xdata()[-1] == 20_000
    assert axes.get_yscale() == "log"


@pytest.mark.parametrize("value", [1.0, 0.0, NAN])
def test_one_evaluation_is_a_mark(value):
    run = run_of(curves={"training": {}, "evaluation": {"AP": [(7, value)]}})
    with style():
        figure, tips = evaluation_figure("AP", [run], "x")
    assert tips == {"x-0": [] if math.isnan(value) else [f"a: AP {value:g} at step 7"]}
    assert figure.axes[0].get_xlabel() == "step"
