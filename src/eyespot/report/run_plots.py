"""Curves of training runs over steps: a colour a run, in every figure the same.

All take the plain data of a summary of runs, each with `name`, `curves` and its `index` among all
runs of the report. Draw them inside `figures.style`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.signal import lfilter

from eyespot.report.figures import PAPER, SERIES, Marked, colour, new_figure

Run = Mapping[str, Any]

_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)))
_MOST_POINTS = 400
_WINDOWS = 40
_EXACT = ("lr", "lr_factor")
_LABELS = {
    "loss": "training loss",
    "lr": "learning rate",
    "data_wait": "time waiting for data (%)",
    "images_per_second": "images a second",
    "seconds_per_step": "seconds a step",
    "gradient_norm": "gradient norm",
    "error": "error (%)",
    "average_error": "averaged weights: error (%)",
    "knn_error": "error of nearest neighbours (%)",
}


def label_of(metric: str) -> str:
    """Return a metric's name with its unit, where it is known."""
    return _LABELS.get(metric, metric.replace("_", " "))


def smoothed(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return running means that weigh both neighbours alike, so that nothing is drawn too late.

    A weight falls by a factor e over a fortieth of all values; it is 0 where one is not finite.
    """
    known = np.isfinite(values)
    weights = _spread(known.astype(float))
    sums = _spread(np.where(known, values, 0.0))
    means: Float[np.ndarray, " n"] = np.full(len(values), np.nan)
    np.divide(sums, weights, out=means, where=weights > 0)
    return means


def _spread(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Sum over all values, each less by its distance."""
    feedback = [1.0, -math.exp(-_WINDOWS / len(values))]
    forth = lfilter([1.0], feedback, values)
    back = lfilter([1.0], feedback, values[::-1])[::-1]
    return np.asarray(forth + back - values)


def extremes(values: Float[np.ndarray, " n"], most: int = _MOST_POINTS) -> Int[np.ndarray, " k"]:
    """Return which values to draw, in order: all, or of many the least and greatest of each bin."""
    if len(values) <= most:
        return np.arange(len(values))
    bins = np.array_split(np.arange(len(values)), most // 2)
    chosen = {int(some[pick(values[some])]) for some in bins for pick in (np.argmin, np.argmax)}
    return np.array(sorted(chosen))


def training_figure(
    metric: str, runs: Sequence[Run], *, wide: bool = False, legend: bool = False
) -> Figure:
    """Draw a number of the training steps: smoothed, over the points as they were logged.

    Args:
        metric: Its name among the runs' training curves.
        runs: Those that have no such number are not drawn.
        wide: Whether it is one of few.
        legend: Whether to say which run is which.
    """
    figure, (axes,) = new_figure(6.4, 3.5) if wide else new_figure(4.3, 2.9)
    everything: list[float] = []
    for run in runs:
        i, curve = run["index"], run["curves"]["training"].get(metric, [])
        if not curve:
            continue
        steps, values = np.array(curve, dtype=float).T
        values = values * (100 if metric == "data_wait" else 1)
        raw = extremes(values)
        line = values if metric in _EXACT else smoothed(values)
        thin = slice(None, None, max(1, len(line) // _MOST_POINTS))
        few: dict[str, Any] = {"marker": "o", "markersize": 4} if len(line) == 1 else {}
        axes.plot(
            steps[raw], values[raw], linestyle="none", marker="o", markersize=3,
            color=colour(i), markeredgewidth=0, alpha=0.45, zorder=1,
        )  # fmt: skip
        axes.plot(
            np.append(steps[thin], steps[-1]), np.append(line[thin], line[-1]),
            linewidth=1.7, label=run["name"], zorder=2, **_look(i), **few,
        )  # fmt: skip
        everything += values[np.isfinite(values)].tolist()
    _finish(figure, axes, metric, everything, legend)
    return figure


def evaluation_figure(
    metric: str, runs: Sequence[Run], name: str, *, wide: bool = False, legend: bool = False
) -> Marked:
    """Draw a metric of the evaluations, a mark each, as `training_figure` does.

    Args:
        metric: Its name among the runs' evaluation curves.
        runs: As there, like what follows the name.
        name: Makes the ids of the marks its own.
        wide: Wider.
        legend: With names.
    """
    figure, (axes,) = new_figure(6.4, 3.5) if wide else new_figure(4.3, 2.9)
    tips: dict[str, list[str]] = {}
    for run in runs:
        i, curve = run["index"], run["curves"]["evaluation"].get(metric, [])
        if not curve:
            continue
        steps, values = zip(*curve, strict=True)
        axes.plot(steps, values, linewidth=1.7, label=run["name"], **_look(i))
        shown = [(step, value) for step, value in curve if math.isfinite(value)]
        gid = f"{name}-{i}"
        tips[gid] = [f"{run['name']}: {metric} {value:.5g} at step {step}" for step, value in shown]
        axes.plot(
            *zip(*shown, strict=True), linestyle="none", marker="o",
            markersize=6 if len(curve) < 40 else 4, markerfacecolor=colour(i),
            markeredgecolor=PAPER, markeredgewidth=0.5, gid=gid,
        )  # fmt: skip
    _finish(figure, axes, metric, [], legend)
    return Marked(figure, tips)


def _look(index: int) -> dict[str, Any]:
    """The colour of a run, and dashes where there are more runs than colours."""
    dashes = _DASHES[index // len(SERIES) % len(_DASHES)]
    return {"color": colour(index), "linestyle": dashes}


def _finish(figure: Figure, axes: Axes, metric: str, values: Sequence[float], legend: bool) -> None:
    if values and min(values) > 0 and max(values) / min(values) >= 100:
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.set_xlabel("step")
    axes.set_ylabel(label_of(metric))
    if legend:
        figure.legend(loc="outside upper left", ncols=2)
