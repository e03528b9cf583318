"""A sweep's page: who is best, how the population is spread, and which parameters decide.

Takes the plain data of a sweep's summary (see the keys in `sweep_page`), so that this room and the
one that runs sweeps need not know each other.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eyespot.report import html
from eyespot.report.figures import Drawing, save_drawings, style, to_svg
from eyespot.report.sweep_plots import (
    curves_figure,
    delta_figure,
    edf_figure,
    label_figure,
    label_of,
    networks_figure,
    scatter_figure,
    stability_figure,
)
from eyespot.report.verdicts import VERDICTS_SAY, schedule_table, stand_ins_say, verdict_table

_BEST = 16
_PANELS = 18
_COLUMNS = 12
_VALUES = 9
_FAILURES = 20
_STABILITY_SAYS = (
    "Runs at random learning rates and weight decays alone: steeper is more stable. A curve that "
    "ends below 1 has runs that diverged or are off by more. The area above a curve up to 10 "
    "points is the loss by random lr and wd in the table, which is the mean over optimizers."
)
_UNITS = {"flops": "G", "params": "M", "acts": "M"}


def sweep_page(data: Mapping[str, Any], version: str) -> str:
    """Return the report of sweeps as one HTML file.

    Args:
        data: `metric`; `match`; `sweeps` with `name`, `about`, `folder`, `seed`, `count`, `run`,
            `done`, `failed`, `missing`, `failures`, `notes`; `groups` with `name`, `runs` (best
            first: `index`, `error`, `metrics`, `labels`, `curves`, `stages`), `edf`, `estimates`,
            `outcomes`; `optimizability`, one mapping a model; `schedules` and `spreads`, one a
            model, optimizer and length.
        version: Of this package, for the last line.
    """
    sweeps, groups, metric = data["sweeps"], data["groups"], data["metric"]
    drawings = list(draw(data))
    title = ", ".join(sweep["name"] for sweep in sweeps)
    body = [*_head(sweeps, groups, metric), *_edf_section(drawings, metric)]
    body += _optimizability_section(data["optimizability"], data["schedules"], drawings)
    body += _scatter_section(drawings, groups, metric)
    body += _figures_section(
        drawings, "curves", "Learning curves",
        "The three best and the three worst runs; dashed lines are averaged weights, grey lines "
        "are all other runs.",
    )  # fmt: skip
    body += _figures_section(
        drawings, "networks", "Best and worst networks",
        "A bar is a block, as high as it is wide; colours are stages.",
    )  # fmt: skip
    body += _tables(groups, sweeps, metric)
    return html.page(f"Sweep: {title}", body, f"Made by eyespot {version}.")


def save_figures(data: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write every figure of the page as PDF and PNG; returns the paths of the PDFs."""
    return save_drawings(draw(data), folder)


def draw(data: Mapping[str, Any]) -> Iterator[Drawing]:
    """Yield the figures; sections are "edf", "stability", "scatter", "curves", "networks"."""
    groups, metric = data["groups"], data["metric"]
    usable = [group for group in groups if group["edf"]["errors"]]
    with style():
        caption = "Bands are 95% bootstrap."
        if data["match"]:
            caption += f" Runs are weighed so that all groups spread alike over {data['match']}."
        yield Drawing("edf", "edf", caption, edf_figure(usable, metric), {})
        if metric == "error" and data["spreads"]:
            figure = stability_figure(data["spreads"])
            yield Drawing("stability", "lr-wd-stability", _STABILITY_SAYS, figure, {})
        elif metric == "error" and len(usable) > 1:
            yield Drawing("edf", "edf-delta", "", delta_figure(usable), {})
        for name in _panels(usable):
            figure, tips = scatter_figure(name, usable, metric, f"scatter-{name}")
            caption = _caption(name, usable)
            yield Drawing("scatter", f"scatter-{name}", caption, figure, tips)
        for name in _labels(usable):
            figure, tips = label_figure(name, usable, metric, f"label-{name}")
            yield Drawing("scatter", f"label-{name}", "Bars are medians.", figure, tips)
        for i, group in enumerate(usable):
            curves = curves_figure(group)
            if curves is not None:
                yield Drawing("curves", f"curves-{i}", group["name"], curves, {})
        for i, group in enumerate(usable):
            yield from _networks(group, i, metric)


def _networks(group: Mapping[str, Any], number: int, metric: str) -> Iterator[Drawing]:
    """Draw the best and the worst networks of a group whose networks differ."""
    finite = [run for run in group["runs"] if math.isfinite(run["error"]) and run["stages"]]
    if len({str(run["stages"]) for run in finite}) < 2:
        return
    best, worst = finite[:5], finite[5:][-5:]
    widest = max(max(run["stages"][1]) for run in best + worst)
    for word, runs in (("best", best), ("worst", worst)):
        if runs:
            figure = networks_figure(runs, metric, widest)
            name, caption = f"networks-{word}-{number}", f"{group['name']}: {word}"
            yield Drawing("networks", name, caption, figure, {})


def _labels(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """Labels of a few values that vary inside a group, so that the groups are not told by them."""
    found = []
    runs = [run for group in groups for run in group["runs"]]
    for name in sorted({name for run in runs for name in run["labels"]}):
        values = [{run["labels"].get(name) for run in group["runs"]} - {None} for group in groups]
        if max(map(len, values)) > 1 and len(set().union(*values)) <= _VALUES:
            found.append(name)
    return found


def _panels(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """Metrics that vary, those that rank most with the error first."""
    strength: dict[str, float] = {}
    for group in groups:
        for name, estimate in group["estimates"].items():
            rank = abs(estimate["rank_correlation"])
            strength[name] = max(strength.get(name, 0.0), 0.0 if math.isnan(rank) else rank)
    return sorted(strength, key=lambda name: -strength[name])[:_PANELS]


def _caption(name: str, groups: Sequence[Mapping[str, Any]]) -> str:
    """Say where one group's best are; for several there is a table."""
    if len(groups) > 1 or name not in groups[0]["estimates"]:
        return ""
    estimate = groups[0]["estimates"][name]
    rank = estimate["rank_correlation"]
    ranked = "" if math.isnan(rank) else f", rank correlation {rank:+.2f}"
    return f"best around {_range(estimate)}{ranked}"


def _range(estimate: Mapping[str, float]) -> str:
    return f"{estimate['median']:.3g} ({estimate['low']:.3g} to {estimate['high']:.3g})"


def _head(
    sweeps: Sequence[Mapping[str, Any]], groups: Sequence[Mapping[str, Any]], metric: str
) -> list[str]:
    abouts = [sweep["about"] for sweep in sweeps if sweep["about"]]
    done = sum(sweep["done"] for sweep in sweeps)
    count = sum(sweep["count"] for sweep in sweeps)
    failed = sum(sweep["failed"] for sweep in sweeps)
    diverged = sum(group["edf"]["diverged"] for group in groups)
    least = min(group["edf"]["least"] for group in groups if group["edf"]["errors"])
    pairs = [(f"{least:.4g}", f"least {label_of(metric)}"), (f"{done:,} of {count:,}", "runs done")]
    if diverged:
        pairs.append((f"{diverged:,}", "diverged"))
    if failed:
        pairs.append((f"{failed:,}", "failed"))
    return [*(html.paragraph(f"{about}.") for about in dict.fromkeys(abouts)), html.facts(pairs)]


def _spoken(metric: str) -> str:
    return metric.replace("_", " ").capitalize()


def _svg(drawing: Drawing) -> str:
    return html.figure(to_svg(drawing.figure, drawing.name, drawing.tips), drawing.caption)


def _edf_section(drawings: Sequence[Drawing], metric: str) -> list[str]:
    figures = [_svg(drawing) for drawing in drawings if drawing.section == "edf"]
    return [
        html.heading(f"{_spoken(metric)} distribution"),
        html.paragraph(
            f"Which share of the runs has which {metric}: further left and up is better."
        ),
        html.grid(figures, wide=True),
    ]


def _scatter_section(
    drawings: Sequence[Drawing], groups: Sequence[Mapping[str, Any]], metric: str
) -> list[str]:
    outcomes = {name for group in groups for name in group["outcomes"]}
    scatters = [drawing for drawing in drawings if drawing.section == "scatter"]
    given = [_svg(d) for d in scatters if d.name.removeprefix("scatter-") not in outcomes]
    came = [_svg(d) for d in scatters if d.name.removeprefix("scatter-") in outcomes]
    parts = []
    if given:
        text = (
            f"{_spoken(metric)} against everything that varied, strongest first. "
            + ("Shaded is" if len(groups) == 1 else "The bars below the axes are")
            + " where the best runs lie (95% of an empirical bootstrap), with the median; the star "
            "is the best run. Runs far worse than the rest are drawn at the upper edge."
        )
        parts += [html.heading("What decides"), html.paragraph(text), *_legend(groups)]
        parts += [html.grid(given), *_ranges(groups)]
    if came:
        text = f"Results, not settings: what went with a low {metric}."
        parts += [
            html.heading(f"Measured beside the {metric}"),
            html.paragraph(text),
            *_legend(groups),
        ]
        parts += [html.grid(came)]
    return parts


def _legend(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [group["name"] for group in groups if group["edf"]["errors"]]
    return [html.legend(names)] if len(names) > 1 else []


def _ranges(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return where the best of each group are, if there are several."""
    if len(groups) < 2:
        return []
    names = dict.fromkeys(name for group in groups for name in group["estimates"])
    rows = [
        [
            name,
            *(
                _range(group["estimates"][name]) if name in group["estimates"] else None
                for group in groups
            ),
        ]
        for name in names
    ]
    text = "Where the best runs lie: the median, and 95% of the bootstrap."
    return [html.paragraph(text), html.table(["", *(group["name"] for group in groups)], rows)]


def _figures_section(drawings: Sequence[Drawing], section: str, title: str, text: str) -> list[str]:
    figures = [_svg(drawing) for drawing in drawings if drawing.section == section]
    if not figures:
        return []
    together = html.grid(figures, wide=True) if section == "curves" else "".join(figures)
    return [html.heading(title), html.paragraph(text), together]


def _optimizability_section(
    verdicts: Sequence[Mapping[str, Any]],
    schedules: Sequence[Mapping[str, Any]],
    drawings: Sequence[Drawing],
) -> list[str]:
    table = verdict_table(verdicts)
    if not table.rows:
        return []
    parts = [html.heading("How easy to optimize"), html.paragraph(VERDICTS_SAY), html.table(*table)]
    parts += map(html.paragraph, stand_ins_say(verdicts))
    if schedules:
        parts.append(html.paragraph("Error after each schedule, mean over seeds."))
        parts.append(html.table(*schedule_table(schedules)))
    figures = [_svg(drawing) for drawing in drawings if drawing.section == "stability"]
    return [*parts, html.grid(figures, wide=True)] if figures else parts


def _tables(
    groups: Sequence[Mapping[str, Any]], sweeps: Sequence[Mapping[str, Any]], metric: str
) -> list[str]:
    parts = [html.heading("Best runs")]
    for group in groups:
        runs = [run for run in group["runs"] if math.isfinite(run["error"])][
            : _BEST if len(groups) == 1 else _BEST // 2
        ]
        names = [n for n in group["estimates"] if any(n in run["metrics"] for run in runs)]
        names = names[:_COLUMNS]
        labels = sorted({name for run in runs for name in run["labels"]})
        rows = [
            [
                f"#{run['index']}",
                float(run["error"]),
                *(run["metrics"].get(name) for name in names),
                *(run["labels"].get(name) for name in labels),
            ]
            for run in runs
        ]
        if len(groups) > 1:
            parts.append(html.paragraph(group["name"]))
        heads = [f"{name} ({_UNITS[name]})" if name in _UNITS else name for name in names]
        parts.append(html.table(["point", metric, *heads, *labels], rows))
    failures = [
        [sweep["name"], f"#{failure['index']}", failure["error"]]
        for sweep in sweeps
        for failure in sweep["failures"]
    ]
    if failures:
        parts += [
            html.heading(f"Failed runs ({len(failures)})"),
            html.table(["sweep", "point", "last line of the traceback"], failures[:_FAILURES]),
        ]
    parts += [html.heading("The sweeps")]
    columns = ["sweep", "points", "done", "failed", "missing", "seed", "run", "folder"]
    rows = [
        [
            sweep["name"], sweep["count"], sweep["done"], sweep["failed"], sweep["missing"],
            str(sweep["seed"]), sweep["run"], sweep["folder"],
        ]
        for sweep in sweeps
    ]  # fmt: skip
    parts.append(html.table(columns, rows))
    parts += [html.paragraph(note) for sweep in sweeps for note in sweep["notes"]]
    return parts
