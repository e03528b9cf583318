"""The page of training runs: a table, their curves, and where their recipes differ.

Takes the plain data of a summary of runs (see the keys in `run_page`), so that this room and the
one that trains need not know each other.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eyespot.report import html
from eyespot.report.figures import Drawing, save_drawings, style, to_svg
from eyespot.report.run_plots import evaluation_figure, label_of, training_figure
from eyespot.report.verdicts import Table

Run = Mapping[str, Any]

UNFINISHED_SAYS = (
    "Unfinished: stopped, killed or still running, which a folder does not tell. The command "
    "that began a run goes on with it."
)
_PANELS = 24
_SPEED = ("images_per_second", "data_wait")
_NOT_DRAWN = ("seconds_per_step",)


def run_page(data: Mapping[str, Any], version: str, written: str) -> str:
    """Return the report of training runs as one HTML file.

    Args:
        data: `runs`, by name: each with `name`, `task`, `recipe`, `state`, `step`, `steps`,
            `loss`, `metric`, `better`, `best`, `best_step`, `last`, `last_step`, `written`,
            `settings`, `notes`, and `curves` (`training` and `evaluation`, each pairs of step and
            value by name); and `notes` on all.
        version: Of this package, for the last line.
        written: When the page is made, for the last line.
    """
    runs = data["runs"]
    drawings = list(draw(data))
    body = [html.facts(_facts(runs)), html.table(*run_table(runs))]
    if any(run["state"] == "unfinished" for run in runs):
        body.append(html.paragraph(UNFINISHED_SAYS))
    body += [html.paragraph(note) for note in notes_of(data)]
    smooth = "Lines are smoothed over the points, which are means over a few steps."
    body += _section(drawings, runs, "loss", "Training loss", smooth)
    body += _section(drawings, runs, "evaluation", "Evaluations", _left_out(runs))
    body += _section(drawings, runs, "training", "While training", "")
    body += _section(drawings, runs, "speed", "Speed", "")
    body += _differences(runs) + _last_evaluations(runs)
    count = len(runs)
    names = ", ".join(run["name"] for run in runs) if count < 4 else f"{count} training runs"
    title = f"Training run{'s' * (count > 1)}: {names}" if count < 4 else names
    return html.page(title, body, f"Made by eyespot {version}, {_readable(written)}.")


def save_run_figures(data: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write every figure of the page with a legend as PDF and PNG; returns the PDFs' paths."""
    return save_drawings(draw(data, legend=True), folder)


def run_table(runs: Sequence[Run], written: Sequence[str] | None = None) -> Table:
    """Return one row a run: how far it is, and how good.

    Args:
        runs: As in `run_page`.
        written: When each was written last, in words; the date and time in UTC if not given.
    """
    times = written or [_readable(run["written"]) for run in runs]
    columns = ["run", "recipe", "state", "step", "loss", "metric", "best", "last", "written"]
    rows = [
        [
            run["name"],
            run["recipe"],
            run["state"],
            f"{run['step']:,}" + (f" of {run['steps']:,}" if run["steps"] else ""),
            html.cell(run["loss"]),
            html.cell(run["metric"]),
            _at(run["best"], run["best_step"]),
            _at(run["last"], run["last_step"]),
            when,
        ]
        for run, when in zip(runs, times, strict=True)
    ]
    return Table(columns, rows)


def notes_of(data: Mapping[str, Any]) -> list[str]:
    """Return what else is to be said of the runs, by name, and of their folders."""
    return [f"{run['name']}: {note}" for run in data["runs"] for note in run["notes"]] + list(
        data["notes"]
    )


def draw(data: Mapping[str, Any], *, legend: bool = False) -> Iterator[Drawing]:
    """Yield the figures; sections are "loss", "evaluation", "training" and "speed".

    Args:
        data: As in `run_page`.
        legend: Whether each figure says which run is which, as one that stands alone has to.
    """
    runs = [{**run, "index": index} for index, run in enumerate(data["runs"])]
    tasks = dict.fromkeys(run["task"] for run in runs if "loss" in run["curves"]["training"])
    with style():
        for task in tasks:
            alike = [run for run in runs if run["task"] == task]
            name, caption = (f"loss-{task}", task) if len(tasks) > 1 else ("loss", "")
            figure = training_figure("loss", alike, wide=True, legend=legend)
            yield Drawing("loss", name, caption, figure, {})
        for metric in _curved(runs)[:_PANELS]:
            name = f"evaluation-{_plain(metric)}"
            curves = evaluation_figure(metric, runs, name, legend=legend)
            yield Drawing("evaluation", name, "", *curves)
        for metric in _trained(runs):
            section = "speed" if metric in _SPEED else "training"
            figure = training_figure(metric, runs, legend=legend)
            yield Drawing(section, f"{section}-{_plain(metric)}", "", figure, {})


def _evaluated(runs: Sequence[Run]) -> list[str]:
    """Metrics of evaluations: what decides first, those of one part of many last."""
    names = dict.fromkeys(name for run in runs for name in run["curves"]["evaluation"])
    deciding = {run["metric"] for run in runs}
    return sorted(names, key=lambda name: (name not in deciding, " of " in name))


def _curved(runs: Sequence[Run]) -> list[str]:
    """Those that some run measured more than once; others are only in the table."""
    curves = [run["curves"]["evaluation"] for run in runs]
    return [name for name in _evaluated(runs) if any(len(c.get(name, [])) > 1 for c in curves)]


def _trained(runs: Sequence[Run]) -> list[str]:
    """Numbers of training steps beside the loss, the learning rate first."""
    names = dict.fromkeys(name for run in runs for name in run["curves"]["training"])
    drawn = [name for name in names if name != "loss" and name not in _NOT_DRAWN]
    return sorted(drawn, key=lambda name: name != "lr")


def _plain(name: str) -> str:
    return re.sub(r"[^\w.@-]+", "-", name)


def _facts(runs: Sequence[Run]) -> list[tuple[str, str]]:
    facts = [(f"{len(runs):,}", "runs" if len(runs) > 1 else "run")]
    facts.append((f"{sum(run['state'] == 'finished' for run in runs):,}", "finished"))
    for metric in dict.fromkeys(run["metric"] for run in runs if run["metric"]):
        some = [run for run in runs if run["metric"] == metric]
        lower = some[0]["better"] == "lower"
        best = (min if lower else max)(run["best"] for run in some)
        facts.append((html.cell(best), f"{'lowest' if lower else 'highest'} {label_of(metric)}"))
    return facts


def _at(value: float | None, step: int | None) -> str:
    return html.cell(None) if value is None else f"{html.cell(value)} at {step:,}"


def _readable(time: str) -> str:
    """A time in UTC, as people read it."""
    return f"{time[:10]} {time[11:16]} UTC"


def _section(
    drawings: Sequence[Drawing], runs: Sequence[Run], section: str, title: str, text: str
) -> list[str]:
    figures = [
        html.figure(to_svg(drawing.figure, drawing.name, drawing.tips), drawing.caption)
        for drawing in drawings
        if drawing.section == section
    ]
    if not figures:
        return []
    legend = [html.legend([run["name"] for run in runs], dashes=True)]
    about = [html.paragraph(text)] if text else []
    return [html.heading(title), *about, *legend, html.grid(figures, wide=section == "loss")]


def _left_out(runs: Sequence[Run]) -> str:
    more = len(_evaluated(runs)) - len(_curved(runs)[:_PANELS])
    what = f"{more} metric{'s are' if more > 1 else ' is'} only in the table below"
    return f"{what}: measured once, or past the first {_PANELS}." if more else ""


def _differences(runs: Sequence[Run]) -> list[str]:
    """Tables of the settings in which runs of one task differ."""
    parts = []
    tasks = dict.fromkeys(run["task"] for run in runs)
    for task in tasks:
        alike = [run for run in runs if run["task"] == task]
        values = differing(alike)
        if len(alike) < 2:
            continue
        if len(tasks) > 1 or not values:
            parts.append(html.paragraph(f"{task}: {'' if values else 'all recipes are equal.'}"))
        if values:
            parts.append(_by_run(alike, values))
    return [html.heading("Where the recipes differ"), *parts] if parts else []


def differing(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Return the settings in which runs differ: one value a run, None where a run has no such."""
    names = dict.fromkeys(name for run in runs for name in run["settings"])
    values = {name: [run["settings"].get(name) for run in runs] for name in names}
    return {name: some for name, some in values.items() if any(v != some[0] for v in some)}


def _last_evaluations(runs: Sequence[Run]) -> list[str]:
    """A table of every metric's last value."""
    values = {
        metric: [(run["curves"]["evaluation"].get(metric) or [(0, None)])[-1][1] for run in runs]
        for metric in _evaluated(runs)
    }
    return [html.heading("Last evaluations"), _by_run(runs, values)] if values else []


def _by_run(runs: Sequence[Run], values: Mapping[str, Sequence[Any]]) -> str:
    """A table of values, one a run: a run a column, or a row where there are more runs."""
    names = [run["name"] for run in runs]
    if len(names) <= len(values):
        return html.table(["", *names], [[name, *some] for name, some in values.items()])
    rows = zip(names, *values.values(), strict=True)
    return html.table(["", *values], [list(row) for row in rows])
