"""A sweep as a table: one row a point with its error, its learning curves and its metrics.

Metrics carry the short names of the papers' plots: flops in 1e9, params and acts in 1e6, lr, wd,
lr_wd = log10(lr) + log10(wd), ema_alpha as its log10, depth (blocks), resolution (px), done (share
of the epochs), of each stage depth_1, width_1, bot_mul_1, group_width_1, ..., and every number that
a point was given or a run returned.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eyespot.sweep.folder import read_point, read_sweep
from eyespot.sweep.records import Record, latest, read_journal

_UNITS = {"flops": 1e9, "params": 1e6, "acts": 1e6}
_CURVES = ("error", "ema_error")
_OUTCOMES = ("ema_gain", "done")
_STAGES = {
    "depths": "depth", "widths": "width", "bot_muls": "bot_mul", "group_widths": "group_width"
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One point and what became of it.

    Args:
        index: Number of the point.
        status: "done", "failed" or "missing".
        error: Least error over the epochs, of the averaged weights where the run has them, %, or
            least of another metric in its unit; NaN if the run diverged or measured none.
        metrics: Numbers by short name.
        outcomes: Which of them the run measured; the others were given.
        labels: Text by name: optimizer, model, ...
        curves: Numbers an epoch, by name.
        stages: (depths, widths) of the network's stages; empty where it has none.
        note: Why it failed.
    """

    index: int
    status: str
    error: float
    metrics: dict[str, float]
    outcomes: tuple[str, ...]
    labels: dict[str, str]
    curves: dict[str, list[float]]
    stages: tuple[tuple[int, ...], ...]
    note: str


def read_rows(folder: Path, metric: str = "error") -> tuple[list[Row], list[str]]:
    """Return a sweep's rows, and notes on what of its journal was dropped.

    Args:
        folder: The sweep's folder.
        metric: What to take as the error; the least is best.

    Raises:
        ValueError: If the folder holds no sweep or a damaged one.
    """
    folder = Path(folder)
    sweep = read_sweep(folder)
    journal = read_journal(folder / "results.jsonl")
    records = latest(journal.records)
    rows = [
        row_of(read_point(folder, index), records.get(index), metric)
        for index in range(sweep.count)
    ]
    return rows, journal.notes


def row_of(point: Mapping[str, Any], record: Record | None, metric: str = "error") -> Row:
    """Return the row of a point's dict and its record, if it has one."""
    measured = dict(record.metrics) if record else {}
    given = {**point["parameters"], **(point["complexity"] or {})}
    values = {**given, **measured}
    metrics = {
        name: float(value) / _UNITS.get(name, 1.0)
        for name, value in values.items()
        if isinstance(value, int | float)
    }
    curves = {
        name: [float(entry) for entry in value]
        for name, value in measured.items()
        if isinstance(value, list) and value and all(isinstance(e, int | float) for e in value)
    }
    spec = point["spec"] or {}
    metrics |= _derived(metrics, curves, spec)
    metrics = {name: value for name, value in metrics.items() if name not in _CURVES}
    status = record.status if record and record.status != "retry" else "missing"
    return Row(
        index=point["index"],
        status=status,
        error=run_error(measured, metric) / _UNITS.get(metric, 1.0)
        if status == "done"
        else math.nan,
        metrics=metrics,
        outcomes=tuple(n for n in metrics if n not in given and (n in measured or n in _OUTCOMES)),
        labels={
            name: _label(value)
            for name, value in values.items()
            if isinstance(value, str) and name not in metrics
        },
        curves=curves,
        stages=_stages(spec),
        note=record.error if record else "",
    )


def _label(text: str) -> str:
    return Path(text).stem if text.endswith(".json") else text


def run_error(metrics: Mapping[str, Any], metric: str = "error") -> float:
    """Return the error of a run: the least over epochs, of the averaged weights if there are any.

    Args:
        metrics: What the run measured; "error" and "ema_error" are numbers or lists by epoch.
        metric: Another metric to take the least of.

    Returns:
        The error; NaN if it is not there or never finite.
    """
    name = "ema_error" if metric == "error" and "ema_error" in metrics else metric
    return _least(metrics.get(name))


def _least(value: Any) -> float:
    values: Sequence[Any] = value if isinstance(value, list) else [value]
    finite = [float(v) for v in values if isinstance(v, int | float) and math.isfinite(v)]
    return min(finite, default=math.nan)


def _derived(
    metrics: Mapping[str, float], curves: Mapping[str, list[float]], spec: Mapping[str, Any]
) -> dict[str, float]:
    derived = {}
    if metrics.get("lr", 0) > 0 and metrics.get("wd", 0) > 0:
        derived["lr_wd"] = math.log10(metrics["lr"]) + math.log10(metrics["wd"])
    if "image_size" in spec:
        derived["resolution"] = float(spec["image_size"])
    if "depth" not in metrics and spec:
        derived["depth"] = float(sum(spec["depths"]) if "depths" in spec else spec["depth"])
    if "error" in curves and "ema_error" in curves:
        derived["ema_gain"] = _least(curves["error"]) - _least(curves["ema_error"])
    if "done" not in metrics and "error" in curves and metrics.get("epochs", 0) > 0:
        epochs = len(curves["error"]) * metrics.get("evaluate_every", 1.0)
        derived["done"] = min(1.0, epochs / metrics["epochs"])
    if metrics.get("ema_alpha", 0) > 0:
        derived["ema_alpha"] = math.log10(metrics["ema_alpha"])
    for plural, name in _STAGES.items():
        values = spec.get(plural)
        if isinstance(values, list | tuple):
            derived |= {f"{name}_{i}": float(value) for i, value in enumerate(values, 1)}
    return derived


def _stages(spec: Mapping[str, Any]) -> tuple[tuple[int, ...], ...]:
    if "depths" in spec:
        return tuple(spec["depths"]), tuple(spec["widths"])
    return ((spec["depth"],), (spec["hidden_dim"],)) if spec else ()
