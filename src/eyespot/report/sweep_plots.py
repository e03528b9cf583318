"""Figures of a sweep: EDFs, errors against parameters, learning curves, drawings of networks.

All take the plain data of a sweep's summary: groups with `name`, `runs` (best first), `edf` and
`estimates`. Draw them inside `figures.style`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from eyespot.report.figures import GRID, INK, MUTED, PAPER, SERIES, Marked, colour, new_figure

Group = Mapping[str, Any]

_LABELS = {
    "error": "error (%)",
    "flops": "flops (G)",
    "params": "params (M)",
    "acts": "acts (M)",
    "lr": "learning rate",
    "wd": "weight decay",
    "lr_wd": "log10 lr + log10 weight decay",
    "depth": "depth (blocks)",
    "w_0": "w0 (channels)",
    "w_a": "wa (channels a block)",
    "w_m": "wm",
    "group_width": "group width (channels)",
    "bot_mul": "bottleneck multiplier",
    "resolution": "resolution (px)",
    "epoch_time": "seconds an epoch",
    "epoch_fw_bw": "seconds an epoch without waiting for data",
    "ema_alpha": "log10 of the average's alpha",
    "done": "share of the epochs done",
    "memory": "memory (GB)",
}
_SHOWN = 5
_WITHIN, _CAP = 4, 10  # points: where the paper counts runs, and beyond which a run is lost
_OPTIMIZERS = {"adamw": "AdamW", "sgd": "SGD", "larc": "LARC"}


def label_of(metric: str) -> str:
    """Return a metric's name with its unit."""
    return _LABELS.get(metric, metric.replace("_", " "))


def edf_figure(groups: Sequence[Group], metric: str) -> Figure:
    """Draw the EDF of each group with its bootstrap band."""
    figure, (axes,) = new_figure(6.4, 3.6 + 0.17 * len(groups))
    faint = 0.16 if len(groups) < 3 else 0.08
    for i, group in enumerate(groups):
        edf = group["edf"]
        text = f"{group['name']}: n {edf['runs']}, min {edf['least']:.4g}, mean {edf['mean']:.4g}"
        if edf["diverged"]:
            text += f", {edf['diverged']} diverged"
        axes.fill_between(
            edf["at"], edf["low"], edf["high"], color=colour(i), alpha=faint, linewidth=0
        )
        _steps(axes, edf["errors"], edf["fractions"], i, text)
    axes.set_xlabel(label_of(metric))
    axes.set_ylabel("share of runs at or below")
    axes.set_ylim(0, 1.02)
    figure.legend(loc="outside upper left")
    return figure


def delta_figure(groups: Sequence[Group]) -> Figure:
    """Draw the EDF of each group's error minus its own best: steeper is easier to tune."""
    figure, (axes,) = new_figure(6.4, 3.6 + 0.17 * len(groups))
    reach = 0.0
    for i, group in enumerate(groups):
        edf = group["edf"]
        deltas = [error - edf["least"] for error in edf["errors"]]
        within = sum(delta <= 4 for delta in deltas) / edf["runs"]
        text = f"{group['name']}: {within:.0%} within 4 points"
        _steps(axes, deltas, edf["fractions"], i, text)
        reach = max(reach, float(np.quantile(deltas, 0.9)) if deltas else 0.0)
    axes.axvline(4, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
    axes.set_xlim(0, max(reach, 5.0))
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("error minus the group's best (points)")
    axes.set_ylabel("share of runs at or below")
    figure.legend(loc="outside upper left")
    return figure


def stability_figure(spreads: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the EDF of each model's error minus its best over lr and weight decay.

    One panel an optimizer, a colour a model. Paper: Early Convolutions Help Transformers See Better
    (arXiv 2106.14881), section 5.3.

    Args:
        spreads: `spreads` of a sweep's summary.
    """
    optimizers = list(dict.fromkeys(spread["optimizer"] for spread in spreads))
    models = list(dict.fromkeys(spread["model"] for spread in spreads))
    several = len({spread["epochs"] for spread in spreads}) > 1
    height = 3.4 + 0.17 * len(models) * len({spread["epochs"] for spread in spreads})
    figure, panels = new_figure(max(5.6, 4.6 * len(optimizers)), height, len(optimizers))
    for axes, optimizer in zip(panels, optimizers, strict=True):
        for spread in spreads:
            if spread["optimizer"] != optimizer:
                continue
            text = f"{spread['model']}: {spread['within']:.0%} within {_WITHIN} points"
            if several:
                text += f" ({spread['epochs']} epochs)"
            deltas, runs = spread["deltas"], spread["runs"]
            shares = [(k + 1) / runs for k in range(len(deltas))]
            if deltas:  # to the right edge at the height it ends with
                deltas, shares = [*deltas, max(_CAP, deltas[-1])], [*shares, shares[-1]]
            _steps(axes, deltas, shares, models.index(spread["model"]), text)
        axes.axvline(_WITHIN, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
        axes.set_xlim(0, _CAP)
        axes.set_ylim(0, 1.02)
        axes.set_title(_OPTIMIZERS.get(optimizer, optimizer), pad=8)
        axes.set_xlabel("error minus the model's best (points)")
        axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.16))
    panels[0].set_ylabel("share of runs at or below")
    return figure


def _steps(
    axes: Axes, values: Sequence[float], shares: Sequence[float], index: int, text: str
) -> None:
    if values:
        axes.step(
            [values[0], *values],
            [0, *shares],
            where="post",
            color=colour(index),
            lw=1.8,
            linestyle="-" if index < len(SERIES) else "--",
            label=text,
        )


def scatter_figure(metric: str, groups: Sequence[Group], error: str, name: str) -> Marked:
    """Draw error against one metric, and where the best runs are.

    For one group their range is shaded and its median a line; for several each has a bar with a
    dot along the lower edge.

    Args:
        metric: On the horizontal axis.
        groups: What to draw, a colour each.
        error: The metric on the vertical axis.
        name: Makes the ids of the marks its own.
    """
    figure, (axes,) = new_figure(4.3, 3.1 + 0.09 * (len(groups) - 1))
    top = _top([run["error"] for group in groups for run in group["runs"]])
    tips: dict[str, list[str]] = {}
    for i, group in enumerate(groups):
        runs = [run for run in group["runs"] if _known(run, metric)]
        gid = f"{name}-{i}"
        tips[gid] = [
            f"point {run['index']}: {error} {run['error']:.4g}, "
            f"{metric} {run['metrics'][metric]:.4g}"
            for run in runs
        ]
        if metric in group["estimates"]:
            _mark_range(axes, group["estimates"][metric], i, len(groups))
        axes.plot(
            [run["metrics"][metric] for run in runs],
            [min(run["error"], top) for run in runs],
            linestyle="none",
            marker="o",
            markersize=6,
            markerfacecolor=colour(i),
            markeredgecolor=PAPER,
            markeredgewidth=0.5,
            alpha=0.85,
            gid=gid,
        )
    best = min(
        (run for group in groups for run in group["runs"] if _known(run, metric)),
        key=lambda run: run["error"],
    )
    axes.plot(
        best["metrics"][metric], best["error"], marker="*", markersize=15, color=INK,
        markeredgecolor=PAPER, markeredgewidth=0.7,
    )  # fmt: skip
    values = [r["metrics"][metric] for g in groups for r in g["runs"] if _known(r, metric)]
    _scale_x(axes, values)
    if len(groups) > 1:
        axes.tick_params(axis="x", which="both", pad=6 + 6.5 * len(groups), length=0)
    axes.set_xlabel(label_of(metric))
    axes.set_ylabel(label_of(error))
    return Marked(figure, tips)


def _mark_range(axes: Axes, estimate: Mapping[str, float], index: int, groups: int) -> None:
    low, median, high = (estimate[name] for name in ("low", "median", "high"))
    shade = colour(index)
    if groups == 1:
        axes.axvspan(low, high, color=shade, alpha=0.13, linewidth=0, zorder=0)
        axes.axvline(median, color=shade, linewidth=1.3, linestyle=(0, (5, 3)), zorder=1)
        return
    height = -0.03 - 0.035 * index  # below the axis, as a share of its height
    transform = axes.get_xaxis_transform()
    line: dict[str, Any] = {
        "color": shade,
        "transform": transform,
        "clip_on": False,
        "solid_capstyle": "round",
    }
    axes.plot([low, high], [height, height], linewidth=2.6, alpha=0.55, **line)
    axes.plot([median], [height], marker="o", markersize=4.5, **line)


def label_figure(label: str, groups: Sequence[Group], error: str, name: str) -> Marked:
    """Draw the errors of each value of a label side by side, with their medians.

    Args:
        label: Such as "optimizer".
        groups: What to draw, a colour each.
        error: The metric on the vertical axis.
        name: Makes the ids of the marks its own.
    """
    figure, (axes,) = new_figure(4.3, 3.1)
    every = [run for group in groups for run in group["runs"] if label in run["labels"]]
    values = sorted({run["labels"][label] for run in every})
    top = _top([run["error"] for run in every])
    tips: dict[str, list[str]] = {}
    step = 0.8 / len(groups)
    for i, group in enumerate(groups):
        xs, ys, texts = [], [], []
        for place, value in enumerate(values):
            centre = place + (i - (len(groups) - 1) / 2) * step
            mine = [r for r in group["runs"] if r["labels"].get(label) == value]
            errors = [run["error"] for run in mine if math.isfinite(run["error"])]
            if not errors:
                continue
            middle = min(float(np.median(errors)), top)
            axes.hlines(middle, centre - step / 2.5, centre + step / 2.5, color=colour(i), lw=2.2)
            xs += [centre + step * (k % 5 - 2) / 10 for k in range(len(errors))]
            ys += [min(value, top) for value in errors]
            texts += [
                f"point {run['index']}: {error} {run['error']:.4g}, {label} {value}"
                for run in mine
                if math.isfinite(run["error"])
            ]
        tips[f"{name}-{i}"] = texts
        axes.plot(
            xs, ys, linestyle="none", marker="o", markersize=5, markerfacecolor=colour(i),
            markeredgecolor=PAPER, markeredgewidth=0.5, alpha=0.7, gid=f"{name}-{i}",
        )  # fmt: skip
    lost = [sum(r["labels"][label] == v and math.isnan(r["error"]) for r in every) for v in values]
    ticks = [f"{v}\n{n} diverged" if n else v for v, n in zip(values, lost, strict=True)]
    axes.set_xticks(range(len(values)), ticks, rotation=20 if len(values) > 3 else 0)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel(label_of(label))
    axes.set_ylabel(label_of(error))
    return Marked(figure, tips)


def _known(run: Mapping[str, Any], metric: str) -> bool:
    return math.isfinite(run["error"]) and math.isfinite(run["metrics"].get(metric, math.nan))


def _top(errors: Sequence[float]) -> float:
    """Return where to cut the axis of errors: runs that all but diverged are drawn at the edge."""
    known = np.array([error for error in errors if math.isfinite(error)])
    upper = float(np.quantile(known, 0.8))
    return min(float(known.max()), upper + 3 * (upper - float(known.min())))


def _scale_x(axes: Axes, values: Sequence[float]) -> None:
    if min(values) > 0 and max(values) / min(values) >= 10:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if _decades(values) < 2 else (1,)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        whole = all(float(value).is_integer() for value in values)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=whole))


def _decades(values: Sequence[float]) -> float:
    return math.log10(max(values) / min(values))


def curves_figure(group: Group) -> Figure | None:
    """Draw learning curves: the best three, the worst three, and all others faintly.

    Curves of averaged weights are dashed. Returns None for runs without curves.
    """
    runs = [run for run in group["runs"] if len(run["curves"].get("error", ())) > 1]
    if not runs:
        return None
    figure, (axes,) = new_figure(5.6, 3.5)
    best, worst = runs[:3], [run for run in runs[3:] if math.isfinite(run["error"])][-3:]
    for run in runs:
        axes.plot(*_epochs(run, "error"), color=GRID, linewidth=0.9, zorder=1)
    for shade, some, word in ((colour(0), best, "best"), (colour(1), worst, "worst")):
        for k, run in enumerate(some):
            text = f"{word}: " + ", ".join(f"#{r['index']}" for r in some) if k == 0 else None
            axes.plot(*_epochs(run, "error"), color=shade, linewidth=1.7, label=text, zorder=3)
            if "ema_error" in run["curves"]:
                line = _epochs(run, "ema_error")
                axes.plot(*line, color=shade, linewidth=1.2, linestyle=(0, (4, 2)), zorder=2)
    axes.set_xlabel("epoch")
    axes.set_ylabel("error (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def _epochs(run: Mapping[str, Any], name: str) -> tuple[list[int], list[float]]:
    """A curve over the epochs that it was measured after."""
    curve, metrics = run["curves"][name], run["metrics"]
    every = int(metrics.get("evaluate_every", 1))
    last = metrics.get("epochs", math.inf)
    return [int(min(every * k, last)) for k in range(1, len(curve) + 1)], list(curve)


def networks_figure(runs: Sequence[Mapping[str, Any]], error: str, widest: int) -> Figure:
    """Draw networks side by side: a bar a block, as high as it is wide, a colour a stage.

    Args:
        runs: Up to five runs with stages.
        error: What their error is called.
        widest: Width at the upper edge, so that several figures can be compared.
    """
    shown = [run for run in runs if run["stages"]][:_SHOWN]
    figure, row = new_figure(11.2, 2.2, _SHOWN)
    for axes, run in zip(row, shown, strict=False):
        depths, widths = run["stages"]
        start = 0
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            axes.bar(
                range(start, start + depth), [width] * depth, width=0.82, color=colour(stage), lw=0
            )
            start += depth
        axes.set_title(f"#{run['index']}: {error} {run['error']:.4g}", fontsize=9)
        axes.set_xlabel(_costs(run["metrics"]), fontsize=8)
        axes.grid(visible=False, axis="x")
        axes.set_xticks([])
        axes.set_ylim(0, 1.04 * widest)
    for axes in row[len(shown) :]:
        axes.set_visible(False)
    row[0].set_ylabel("width")
    return figure


def _costs(metrics: Mapping[str, float]) -> str:
    units = {"flops": 1e9, "params": 1e6, "acts": 1e6}
    parts = [f"{_short(metrics[n] * unit)} {n}" for n, unit in units.items() if n in metrics]
    return "  ".join(parts)


def _short(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
