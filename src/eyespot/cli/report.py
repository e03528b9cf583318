"""`eyespot report`: what sweeps found, or how training runs went, as one HTML file."""

import calendar
import json
import math
import textwrap
import time
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

import eyespot
from eyespot.design.files import write_whole


def report(
    folders: Annotated[Positional[tuple[Path, ...]], arg(metavar="SWEEP...")],
    out: Path | None = None,
    metric: str | None = None,
    by: str | None = None,
    keep: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=LOW:HIGH")] = (),
    match: str | None = None,
    figures: Path | None = None,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Report what sweeps found, or how training runs went.

    Of sweeps: EDFs, what decides, learning curves, networks, optimizability. Of runs: how far each
    is, how good, its curves, and where the recipes differ.

    Args:
        folders: Folders that `eyespot sweep` wrote; or that `eyespot train` or `eyespot probe`
            wrote, or that hold such; several are compared.
        out: The HTML file; report.html in the first folder if not given.
        metric: Of sweeps, what to take as the error (default: error); of runs, what decides which
            step was best (default: what the recipe goes by).
        by: Of sweeps: a parameter or label to group runs by, such as optimizer or model.
        keep: Of sweeps: leave out runs outside a range, such as lr=0.1:1; repeatable.
        match: Of sweeps: compare groups as if they spread alike over this number, such as flops.
        figures: Also write every figure as a PDF and a PNG into this folder.
        as_json: Print the numbers as JSON instead of writing a page.
    """
    ranges = _ranges(keep)
    sweeps = [folder for folder in folders if (folder / "sweep.json").is_file()]
    if not folders:
        raise ValueError("need the folder of at least one sweep or training run, got none")
    if len(sweeps) == len(folders):
        from eyespot.sweep.summary import summarize

        chosen = "error" if metric is None else metric
        data = summarize(folders, metric=chosen, by=by, keep=ranges, match=match)
        show = _sweeps
    else:
        _need_runs(folders, sweeps, {"by": by, "keep": keep, "match": match})
        from eyespot.train.runs import summarize_runs

        data = summarize_runs(folders, metric=metric)
        show = _runs
    if as_json:
        print(json.dumps(null_for_nan(data)))
        return
    path = out or folders[0] / "report.html"
    show(data, path, figures)
    print(f"written: {path}")


def _need_runs(folders: tuple[Path, ...], sweeps: list[Path], options: dict[str, Any]) -> None:
    """Refuse runs beside sweeps, and options that only sweeps have."""
    if sweeps:
        other = next(folder for folder in folders if folder not in sweeps)
        raise ValueError(
            f"need folders of sweeps or folders of runs, got the sweep {sweeps[0]} and {other}, "
            "which is none; report on them one after the other"
        )
    given = [f"--{name}" for name, value in options.items() if value]
    if given:
        raise ValueError(
            f"need a sweep for {' and '.join(given)}, got {folders[0]}, which is none; "
            "for training runs leave it out"
        )


def _sweeps(data: dict[str, Any], path: Path, figures: Path | None) -> None:
    """Write the page of sweeps and print what matters."""
    from eyespot.report.sweep_report import save_figures, sweep_page

    write_whole(path, sweep_page(data, eyespot.__version__))
    for sweep in data["sweeps"]:
        state = ", ".join(f"{sweep[word]} {word}" for word in ("done", "failed", "missing"))
        print(f"{sweep['name']}: {state}")
    for group in data["groups"]:
        edf = group["edf"]
        least = f"least {data['metric']} {edf['least']:.4g}"
        print(f"  {group['name']}: {least}, mean {edf['mean']:.4g}")
    for line in verdict_lines(data):
        print(line)
    for sweep in data["sweeps"]:
        for note in sweep["notes"]:
            print(note)
    if figures is not None:
        print(f"written: {len(save_figures(data, figures))} figures in {figures}")


def _runs(data: dict[str, Any], path: Path, figures: Path | None) -> None:
    """Write the page of training runs and print their table."""
    from eyespot.report import run_report
    from eyespot.report.verdicts import as_text
    from eyespot.train.logs import duration

    now = time.time()
    form = "%Y-%m-%dT%H:%M:%SZ"
    page = run_report.run_page(data, eyespot.__version__, time.strftime(form, time.gmtime(now)))
    write_whole(path, page)
    ages = [now - calendar.timegm(time.strptime(run["written"], form)) for run in data["runs"]]
    words = [f"{duration(max(0.0, age))} ago" for age in ages]
    print(as_text(run_report.run_table(data["runs"], words)))
    if any(run["state"] == "unfinished" for run in data["runs"]):
        print(run_report.UNFINISHED_SAYS)
    for note in run_report.notes_of(data):
        print(note)
    if figures is not None:
        count = len(run_report.save_run_figures(data, figures))
        print(f"written: {count} figures in {figures}")


def verdict_lines(data: dict[str, Any]) -> list[str]:
    """Return what a summary says of optimizability; nothing if it was not measured."""
    from eyespot.report.verdicts import (
        VERDICTS_SAY,
        as_text,
        schedule_table,
        stand_ins_say,
        verdict_table,
    )

    table = verdict_table(data["optimizability"])
    if not table.rows:
        return []
    said = [VERDICTS_SAY, *stand_ins_say(data["optimizability"])]
    lines = ["", as_text(table), *(line for text in said for line in textwrap.wrap(text, 100)), ""]
    schedules = data["schedules"]
    return [*lines, as_text(schedule_table(schedules)), ""] if schedules else lines


def _ranges(texts: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    ranges = {}
    for text in texts:
        name, _, ends = text.partition("=")
        low, _, high = ends.partition(":")
        try:
            ranges[name] = (float(low), float(high))
        except ValueError:
            raise ValueError(
                f"need --keep as NAME=LOW:HIGH, such as lr=0.1:1, got {text!r}"
            ) from None
    return ranges


def null_for_nan(value: Any) -> Any:
    """Return plain data as JSON has it: null for what is not known."""
    if isinstance(value, dict):
        return {name: null_for_nan(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [null_for_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
