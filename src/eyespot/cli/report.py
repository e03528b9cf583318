"""`eyespot report`: what sweeps found, as one HTML file."""

import json
import math
import textwrap
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

import eyespot
from eyespot.design.files import write_whole


def report(
    folders: Annotated[Positional[tuple[Path, ...]], arg(metavar="SWEEP...")],
    out: Path | None = None,
    metric: str = "error",
    by: str | None = None,
    keep: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=LOW:HIGH")] = (),
    match: str | None = None,
    figures: Path | None = None,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Report what sweeps found: EDFs, what decides, learning curves, networks, optimizability.

    Args:
        folders: Folders that `eyespot sweep` wrote; several are compared.
        out: The HTML file; report.html in the first folder if not given.
        metric: What to take as the error; the least is best.
        by: A parameter or label to group runs by, such as optimizer or model.
        keep: Leave out runs outside a range, such as lr=0.1:1; repeatable.
        match: Compare groups as if they spread alike over this number, such as flops.
        figures: Also write every figure as a PDF into this folder.
        as_json: Print the numbers as JSON instead of writing a page.
    """
    from eyespot.sweep.summary import summarize

    data = summarize(folders, metric=metric, by=by, keep=_ranges(keep), match=match)
    if as_json:
        print(json.dumps(_null_for_nan(data)))
        return
    from eyespot.report.sweep_report import save_figures, sweep_page

    path = out or folders[0] / "report.html"
    write_whole(path, sweep_page(data, eyespot.__version__))
    for sweep in data["sweeps"]:
        state = ", ".join(f"{sweep[word]} {word}" for word in ("done", "failed", "missing"))
        print(f"{sweep['name']}: {state}")
    for group in data["groups"]:
        edf = group["edf"]
        print(f"  {group['name']}: least {metric} {edf['least']:.4g}, mean {edf['mean']:.4g}")
    for line in verdict_lines(data):
        print(line)
    for sweep in data["sweeps"]:
        for note in sweep["notes"]:
            print(note)
    if figures is not None:
        print(f"written: {len(save_figures(data, figures))} figures in {figures}")
    print(f"written: {path}")


def verdict_lines(data: dict[str, Any]) -> list[str]:
    """Return what a summary says of optimizability; nothing if it was not measured."""
    from eyespot.report.verdicts import VERDICTS_SAY, as_text, schedule_table, verdict_table

    table = verdict_table(data["optimizability"])
    if not table.rows:
        return []
    lines = ["", as_text(table), *textwrap.wrap(VERDICTS_SAY, 100), ""]
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


def _null_for_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _null_for_nan(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_null_for_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
