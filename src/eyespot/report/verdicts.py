"""How easy models are to optimize, as rows of a table, for a page and for a terminal.

Paper: Early Convolutions Help Transformers See Better (arXiv 2106.14881), sections 4 and 5.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

VERDICTS_SAY = (
    "Points of error lost, less is easier: by the shortest schedule instead of the longest, by "
    "the other of SGD and AdamW, by a random learning rate and weight decay instead of the best "
    "(at most 10 a run). The score is the mean of those measured. SGD minus AdamW has its sign: "
    "above 0 AdamW is better, below 0 SGD."
)
STAND_INS_SAY = (
    "*: runs diverged at {} of its schedules; the best shorter run of that model and optimizer "
    "stands in for each."
)


class Table(NamedTuple):
    """Names of columns, and cells ready to be read."""

    columns: list[str]
    rows: list[list[str]]


def verdict_table(verdicts: Sequence[Mapping[str, Any]]) -> Table:
    """Return one row a model, easiest first, of those that were measured.

    Args:
        verdicts: `optimizability` of a sweep's summary.
    """
    columns = [
        "model", "length", "optimizer", "SGD minus AdamW", "lr and wd", "within 4 points", "score",
        "measured",
    ]  # fmt: skip
    rows = [
        [
            verdict["model"],
            _spread(verdict, "length", "{:.1f}"),
            _spread(verdict, "optimizer", "{:.1f}"),
            _spread(verdict, "sgd_loses", "{:+.1f}") + "*" * bool(verdict["stand_ins"]),
            _spread(verdict, "lr_wd", "{:.1f}"),
            _spread(verdict, "within", "{:.0%}"),
            _spread(verdict, "score", "{:.2f}"),
            f"{verdict['measured']} of 3",
        ]
        for verdict in verdicts
        if verdict["measured"]
    ]
    return Table(columns, rows)


def stand_ins_say(verdicts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the stars of the table mean, if it has any."""
    found = [f"{v['stand_ins']} ({v['model']})" for v in verdicts if v["stand_ins"]]
    return [STAND_INS_SAY.format(", ".join(found))] if found else []


def schedule_table(schedules: Sequence[Mapping[str, Any]]) -> Table:
    """Return the error after each schedule, one row a model and optimizer.

    Args:
        schedules: `schedules` of a sweep's summary.
    """
    lengths = sorted({row["epochs"] for row in schedules})
    errors = {(r["model"], r["optimizer"], r["epochs"]): r for r in schedules}
    rows = [
        [model, optimizer]
        + [
            _spread(found, "error", "{:.1f}") if found else "–"
            for found in (errors.get((model, optimizer, length)) for length in lengths)
        ]
        for model, optimizer in dict.fromkeys((r["model"], r["optimizer"]) for r in schedules)
    ]
    return Table(["model", "optimizer", *(f"{length} epochs" for length in lengths)], rows)


def as_text(table: Table) -> str:
    """Return a table in columns of equal width, one line a row."""
    lines = [table.columns, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    padded = [[cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in padded)


def _spread(row: Mapping[str, Any], name: str, form: str) -> str:
    """A number and its standard deviation over seeds, where there are several."""
    if math.isnan(row[name]):
        return "–"
    text, sd = form.format(row[name]), row.get(f"{name}_sd", math.nan)
    return text if math.isnan(sd) else f"{text} ± {form.replace('+', '').format(sd)}"
