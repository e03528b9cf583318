"""The page of a sweep: what is drawn is what was found, and the file needs nothing else."""

import copy
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image, ImageColor

from eyespot.report import html
from eyespot.report.figures import PAPER, new_figure, style, to_svg
from eyespot.report.sweep_plots import (
    curves_figure,
    delta_figure,
    edf_figure,
    label_figure,
    networks_figure,
    scatter_figure,
    stability_figure,
)
from eyespot.report.sweep_report import draw, save_figures, sweep_page

NAN = math.nan


def run_of(index, error, lr, **more):
    return {
        "index": index,
        "error": error,
        "metrics": {"lr": lr, "flops": 0.4 + index / 100, "params": 5.2, "acts": 3.1},
        "labels": {"optimizer": "sgd"},
        "curves": {"error": [90.0, error + 1, error], "ema_error": [95.0, error + 2, error]},
        "stages": ((1, 2), (24, 56 + 8 * index)),
        **more,
    }


def group_of(name="space", errors=(20.0, 22.0, 25.0, 31.0)):
    runs = [run_of(i, error, 0.01 * 4**i) for i, error in enumerate(errors)]
    estimate = {"low": 0.01, "median": 0.04, "high": 0.16, "rank_correlation": 0.5}
    return {
        "name": name,
        "runs": runs,
        "edf": {
            "errors": list(errors),
            "fractions": [(k + 1) / len(errors) for k in range(len(errors))],
            "at": [errors[0], errors[-1]],
            "low": [0.0, 1.0],
            "high": [0.5, 1.0],
            "runs": len(errors),
            "diverged": 0,
            "least": errors[0],
            "mean": float(np.mean(errors)),
        },
        "estimates": {"lr": estimate, "flops": {**estimate, "rank_correlation": NAN}},
        "outcomes": ["flops"],
    }


def data_of(*groups, **sweep):
    return {
        "metric": "error",
        "match": None,
        "sweeps": [
            {
                "name": "space",
                "about": "An example with <tags> & more",
                "folder": "/tmp/x",
                "seed": 1,
                "count": 6,
                "run": "m:f",
                "done": 4,
                "failed": 1,
                "missing": 1,
                "failures": [{"index": 5, "error": "ValueError: <b>no</b>"}],
                "notes": ["results.jsonl: 7 bytes were dropped"],
                **sweep,
            }
        ],
        "groups": list(groups) or [group_of()],
        "optimizability": [],
        "schedules": [],
        "spreads": [],
    }


VERDICT = {
    "model": "ViT",
    "length": 3.5,
    "optimizer": NAN,
    "sgd_loses": NAN,
    "stand_ins": 0,
    "lr_wd": 2.0,
    "within": 0.6,
    "score": 2.75,
    "measured": 2,
}


class Checker(HTMLParser):
    """Every element closed, in order, and nothing fetched."""

    void = ("meta", "br", "img")

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        for name, value in attrs:
            assert name not in ("src", "onload", "onclick"), (tag, name)
            if name in ("href", "xlink:href"):
                assert value.startswith("#")
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def check(page):
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert "script" not in checker.seen
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    return checker


def test_a_page_is_whole_and_alone():
    data = data_of()
    data["optimizability"] = [VERDICT]
    data["schedules"] = [
        {"model": "ViT", "optimizer": "sgd", "epochs": 50, "error": 33.0, "error_sd": 0.5}
    ]
    checker = check(sweep_page(data, "1.2.3"))
    text = " ".join(checker.text)
    for words in (
        "Sweep: space",
        "An example with <tags> & more.",
        "4 of 6",
        "ValueError: <b>no</b>",
        "results.jsonl: 7 bytes were dropped",
        "best around 0.04 (0.01 to 0.16), rank correlation +0.50",
        "Made by eyespot 1.2.3.",
        "2 of 3",
        "60%",
        "33.0 ± 0.5",
    ):
        assert words in text
    assert checker.seen.count("svg") == 1 + 2 + 1 + 1
    titles = [t for t in checker.text if t.startswith("point ")]
    assert sum("lr" in title for title in titles) == 4
    assert "point 3: error 31, lr 0.64" in titles


def test_both_themes_have_every_colour():
    page = sweep_page(data_of(group_of("a"), group_of("b")), "1")
    used = set(re.findall(r"var\(--(\w+)\)", page))
    light, dark = page.split("prefers-color-scheme: dark")
    assert {"ink", "muted", "grid", "c0", "c1"} <= used
    for name in used:
        assert f"--{name}:" in light
        assert f"--{name}:" in dark
    drawn = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert drawn
    assert not [svg for svg in drawn if re.search(r"#[0-9a-f]{6}\b", svg.replace("#m", ""))]


def test_an_edf_is_drawn_as_it_is():
    group = group_of()
    with style():
        (axes,) = edf_figure([group], "error").axes
    (line,) = axes.get_lines()
    assert_allclose(line.get_xdata(), [20, 20, 22, 25, 31])
    assert_allclose(line.get_ydata(), [0, 0.25, 0.5, 0.75, 1.0])
    assert line.get_drawstyle() == "steps-post"
    assert line.get_label() == "space: n 4, min 20, mean 24.5"
    with style():
        (axes,) = delta_figure([group]).axes
    assert_allclose(axes.get_lines()[0].get_xdata(), [0, 0, 2, 5, 11])
    assert axes.get_lines()[0].get_label() == "space: 50% within 4 points"


def spread_of(model, optimizer, deltas, runs, within):
    known = {"model": model, "optimizer": optimizer, "epochs": 50, "loss": 1.0}
    return {**known, "deltas": deltas, "runs": runs, "within": within}


def test_stability_has_a_panel_for_each_optimizer_and_a_curve_for_each_model():
    spreads = [
        spread_of("ViT_P", "adamw", [0.0, 1.0, 6.0], 4, 0.5),
        spread_of("ViT_C", "adamw", [0.0, 0.5, 1.0, 4.0], 4, 1.0),
        spread_of("ViT_C", "sgd", [0.0, 11.0], 2, 0.5),
        spread_of("ViT_P", "sgd", [], 2, 0.0),
    ]
    with style():
        adamw, sgd = stability_figure(spreads).axes
    patchify, conv, _ = adamw.get_lines()
    assert_allclose(patchify.get_xdata(), [0, 0, 1, 6, 10])
    assert_allclose(patchify.get_ydata(), [0, 0.25, 0.5, 0.75, 0.75])  # one of four diverged
    assert_allclose(conv.get_ydata(), [0, 0.25, 0.5, 0.75, 1.0, 1.0])
    assert patchify.get_label() == "ViT_P: 50% within 4 points"
    assert [axes.get_title(loc="left") for axes in (adamw, sgd)] == ["AdamW", "SGD"]
    assert sgd.get_lines()[0].get_color() == conv.get_color()
    assert adamw.get_xlim() == (0, 10)
    names = [drawing.name for drawing in draw({**data_of(), "spreads": spreads})]
    assert "lr-wd-stability" in names
    page = sweep_page({**data_of(), "spreads": spreads, "optimizability": [VERDICT]}, "1")
    check(page)
    assert "steeper is more stable" in page


def test_a_scatter_shows_every_run_and_the_best_and_the_range():
    group = group_of()
    group["runs"].append(run_of(9, NAN, 0.5))
    with style():
        figure, tips = scatter_figure("lr", [group], "error", "x")
    (axes,) = figure.axes
    median, points, star = axes.get_lines()
    assert_allclose(points.get_xdata(), [0.01, 0.04, 0.16, 0.64])
    assert_allclose(points.get_ydata(), [20, 22, 25, 31])
    assert_allclose((*star.get_xdata(), *star.get_ydata()), [0.01, 20])
    assert_allclose(median.get_xdata(), [0.04, 0.04])
    assert axes.get_xscale() == "log"
    (span,) = axes.patches
    assert_allclose((span.get_x(), span.get_x() + span.get_width()), [0.01, 0.16])
    assert tips["x-0"][2] == "point 2: error 25, lr 0.16"
    assert len(tips["x-0"]) == 4


def test_labels_have_a_strip_for_each_value_with_its_median():
    group = group_of(errors=(20.0, 22.0, 25.0, 31.0, 32.0))
    for k, run in enumerate(group["runs"]):
        run["labels"] = {"optimizer": ("adamw", "sgd")[k % 2], "recipe": "one"}
    group["runs"].append(run_of(9, NAN, 0.5))
    with style():
        figure, tips = label_figure("optimizer", [group], "error", "x")
    (axes,) = figure.axes
    (points,) = axes.get_lines()
    assert_allclose(np.round(points.get_xdata()), [0, 0, 0, 1, 1])
    assert_allclose(points.get_ydata(), [20, 25, 32, 22, 31])
    assert_allclose([bar.get_segments()[0][0][1] for bar in axes.collections], [25, 26.5])
    shown = [text.get_text() for text in axes.get_xticklabels()]
    assert shown == ["adamw", "sgd\n1 diverged"]
    assert tips["x-0"][3] == "point 1: error 22, optimizer sgd"
    names = [drawing.name for drawing in draw(data_of(group))]
    assert "label-optimizer" in names
    assert "label-recipe" not in names
    check(sweep_page(data_of(group), "1"))


def test_runs_far_worse_are_drawn_at_the_edge():
    errors = (20.0, 20.5, 21.0, 21.5, 22.0, 22.5, 23.0, 90.0)
    with style():
        figure, _ = scatter_figure("lr", [group_of(errors=errors)], "error", "x")
    drawn = figure.axes[0].get_lines()[1].get_ydata()
    assert_allclose(drawn[:-1], errors[:-1])
    assert 23 < drawn[-1] < 40


def test_several_groups_have_a_bar_each_instead_of_a_span():
    with style():
        figure, tips = scatter_figure("lr", [group_of("a"), group_of("b")], "error", "x")
    (axes,) = figure.axes
    assert not axes.patches
    bars = [line for line in axes.get_lines() if list(line.get_xdata()) == [0.01, 0.16]]
    assert len(bars) == 2
    assert set(tips) == {"x-0", "x-1"}
    page = sweep_page(data_of(group_of("a"), group_of("b")), "1")
    check(page)
    assert "0.04 (0.01 to 0.16)" in page
    assert "spread alike over" not in page
    matched = {**data_of(group_of("a"), group_of("b")), "match": "flops"}
    assert "spread alike over flops" in sweep_page(matched, "1")
    assert page.count('class="legend"') == 2


def test_learning_curves_are_the_best_and_the_worst():
    group = group_of(errors=(20.0, 21.0, 22.0, 23.0, 24.0, 25.0, 26.0))
    with style():
        (axes,) = curves_figure(group).axes
    labels = [line.get_label() for line in axes.get_lines() if line.get_label()[0] != "_"]
    assert labels == ["best: #0, #1, #2", "worst: #4, #5, #6"]
    solid = [line for line in axes.get_lines() if line.get_linewidth() == 1.7]
    assert [line.get_ydata()[-1] for line in solid] == [20, 21, 22, 24, 25, 26]
    assert list(solid[0].get_xdata()) == [1, 2, 3]
    group["runs"][0]["metrics"] |= {"evaluate_every": 4, "epochs": 10}
    with style():
        (axes,) = curves_figure(group).axes
    assert list(axes.get_lines()[0].get_xdata()) == [4, 8, 10]
    for run in group["runs"]:
        run["curves"] = {"error": [1.0]}
    with style():
        assert curves_figure(group) is None


def test_networks_are_drawn_block_by_block():
    runs = [run_of(0, 20.0, 0.1), run_of(1, 21.0, 0.1)]
    with style():
        figure = networks_figure(runs, "error", 80)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == 2
    assert [bar.get_height() for bar in shown[1].patches] == [24, 64, 64]
    assert shown[0].get_title(loc="left") == "#0: error 20"
    assert shown[0].get_xlabel() == "400M flops  5.2M params  3.1M acts"


def test_equal_networks_are_not_drawn():
    group = group_of()
    for run in group["runs"]:
        run["stages"] = ((3,), (64,))
    assert not [d for d in draw(data_of(group)) if d.section == "networks"]


@pytest.mark.parametrize(
    "errors", [(20.0,), (20.0, 20.0), (20.0, 21.0, 500.0)], ids=["one", "equal", "far"]
)
def test_small_populations_have_a_page(errors):
    group = group_of(errors=errors)
    check(sweep_page(data_of(group), "1"))
    bare = copy.deepcopy(group)
    bare["estimates"], bare["outcomes"] = {}, []
    for run in bare["runs"]:
        run["curves"], run["stages"], run["labels"] = {}, (), {}
    page = check(sweep_page(data_of(bare, failures=[], failed=0), "1"))
    assert page.seen.count("svg") == 1


def test_a_group_of_diverged_runs_alone_does_not_hinder():
    dead = group_of("dead", (20.0,))
    dead["runs"][0]["error"] = NAN
    dead["edf"] |= {"errors": [], "fractions": [], "diverged": 1, "least": NAN, "mean": NAN}
    dead["estimates"] = {}
    text = " ".join(check(sweep_page(data_of(group_of(), dead), "1")).text)
    assert "diverged" in text


def test_figures_for_a_paper(tmp_path):
    paths = save_figures(data_of(), tmp_path / "figures")
    assert {path.name for path in paths} >= {"edf.pdf", "scatter-lr.pdf", "networks-best-0.pdf"}
    assert all(path.read_bytes().startswith(b"%PDF") for path in paths)
    for path in paths:
        with Image.open(path.with_suffix(".png")) as image:
            assert image.width > 600
            assert image.convert("RGB").getpixel((2, 2)) == ImageColor.getrgb(PAPER)


def test_a_tip_is_escaped_and_belongs_to_its_mark():
    with style():
        figure, (axes,) = new_figure(2, 2)
        axes.plot([1, 2, 3], [1, 2, 3], "o", gid="a")
        axes.plot([1, 2], [3, 1], "s", gid="b")
    svg = to_svg(figure, "two", {"a": ["x < 1", "y", "z"], "none": ["?"]})
    assert re.findall(r"<title>(.*?)</title>", svg) == ["x &lt; 1", "y", "z"]
    assert svg.startswith('<svg role="img" aria-label="two"')
    assert svg == to_svg(figure, "two", {"a": ["x < 1", "y", "z"]})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (NAN, "–"),
        (1234567, "1,234,567"),
        (0.123456, "0.1235"),
        ("a", "a"),
        ((1, 2.5), "1, 2.5"),
        (True, "True"),
    ],
)
def test_cells(value, text):
    assert html.cell(value) == text
