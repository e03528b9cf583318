"""What sweeps found, as plain data: what a report draws, and what `--json` prints.

A group is the runs of one sweep, or those of one sweep with one value of a label or number. NaN
stands for what is not known.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from eyespot.errors import unknown_name
from eyespot.sweep.best_range import best_range, inside
from eyespot.sweep.edf import edf_band, error_edf, matching_weights
from eyespot.sweep.folder import read_sweep
from eyespot.sweep.optimizability import Trial, spreads, verdicts
from eyespot.sweep.rows import Row, read_rows

_BAND_POINTS = 120
_BINS = 5
_SEED = 0


def summarize(
    folders: Sequence[Path],
    *,
    metric: str = "error",
    by: str | None = None,
    keep: Mapping[str, tuple[float, float]] | None = None,
    match: str | None = None,
) -> dict[str, Any]:
    """Return what sweeps found.

    Args:
        folders: Folders of sweeps.
        metric: What to take as the error; the least is best.
        by: A parameter or label to group runs by, such as "optimizer"; by sweep alone if not given.
        keep: Leave out runs outside [low, high] of a number.
        match: Weigh the runs in EDFs so that all groups spread alike over this number, such as
            "flops"; where their networks differ in cost.

    Returns:
        `metric`; `match`; `sweeps`, one dict each with counts, failures and notes; `groups`, one
        dict each with `name`, `runs`, `edf`, `estimates` and `outcomes` (the numbers that runs
        measured); `optimizability`, one dict a model, each number with `_sd`, its standard
        deviation over seeds; `schedules`, one dict a model, optimizer and number of `epochs`, of
        the runs that judge schedules; `spreads`, one dict a model, optimizer and number of
        `epochs`, of the runs that judge lr and weight decay: `deltas` (error minus the best's,
        ascending, of those that converged), `runs`, the share `within` 4 points, and the `loss`.

    Raises:
        ValueError: If a folder holds no sweep, no run has the metric, or none has the number of
            `by`, `keep` or `match`.
    """
    if not folders:
        raise ValueError("need the folder of at least one sweep, got none")
    sweeps, members = [], {}
    for folder, name in zip(folders, _names(folders), strict=True):
        rows, notes = read_rows(folder, metric)
        sweeps.append(_sweep(folder, name, rows, notes))
        kept = _kept([row for row in rows if row.status == "done"], keep or {})
        for label, some in _split(kept, by).items():
            title = label if label and len(folders) == 1 else f"{name} {label}".strip()
            if some:
                members[title] = some
    every = [row for rows in members.values() for row in rows]
    if not any(math.isfinite(row.error) for row in every):
        raise ValueError(_no_metric(metric, every))
    weights = _matched(list(members.values()), match)
    trials = _trials(every)
    return {
        "metric": metric,
        "match": match,
        "sweeps": sweeps,
        "groups": [
            _group(title, rows, weight)
            for (title, rows), weight in zip(members.items(), weights, strict=True)
        ],
        "optimizability": _verdicts(trials),
        "schedules": _schedules(trials),
        "spreads": _spreads(trials),
    }


def _kept(rows: Sequence[Row], keep: Mapping[str, tuple[float, float]]) -> list[Row]:
    """Return the runs inside every range."""
    _need_numbers(rows, keep)
    metrics = {name: [row.metrics.get(name, math.nan) for row in rows] for name in keep}
    ranges = {name: (low, low, high) for name, (low, high) in keep.items()}
    return [rows[i] for i in inside(metrics, ranges)] if keep else list(rows)


def _need_numbers(rows: Sequence[Row], names: Iterable[str]) -> None:
    known = {name for row in rows for name in row.metrics}
    for name in names:
        if rows and name not in known:
            raise ValueError(unknown_name("number of these runs", name, known))


def _matched(
    groups: Sequence[Sequence[Row]], match: str | None
) -> Sequence[Sequence[float] | None]:
    """Return weights for each group's runs; none where nothing is to be matched."""
    if match is None:
        return [None] * len(groups)
    if len(groups) < 2:
        raise ValueError(f"need two or more groups to match by {match}, got {len(groups)}")
    for rows in groups:
        _need_numbers(rows, [match])
    costs = [[row.metrics.get(match, math.nan) for row in rows] for rows in groups]
    pooled = [cost for some in costs for cost in some if math.isfinite(cost)]
    edges = np.unique(np.quantile(pooled, np.linspace(0, 1, _BINS + 1)))
    return matching_weights(costs, edges.tolist())


def _names(folders: Sequence[Path]) -> list[str]:
    """Names of the sweeps' spaces; with their folders where two are alike."""
    spaces = [read_sweep(folder).space.name for folder in folders]
    return [
        name if spaces.count(name) == 1 else f"{name} ({Path(folder).name})"
        for folder, name in zip(folders, spaces, strict=True)
    ]


def _sweep(folder: Path, name: str, rows: Sequence[Row], notes: list[str]) -> dict[str, Any]:
    sweep = read_sweep(folder)
    return {
        "name": name,
        "about": sweep.space.about,
        "folder": str(folder),
        "seed": sweep.seed,
        "count": sweep.count,
        "run": sweep.target.what,
        "done": sum(row.status == "done" for row in rows),
        "failed": sum(row.status == "failed" for row in rows),
        "missing": sum(row.status == "missing" for row in rows),
        "failures": [
            {"index": row.index, "error": row.note} for row in rows if row.status == "failed"
        ],
        "notes": notes,
    }


def _split(rows: Sequence[Row], by: str | None) -> dict[str, list[Row]]:
    if by is None:
        return {"": list(rows)}
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if by not in row.labels and by not in row.metrics:
            known = sorted({*row.labels, *row.metrics})
            raise ValueError(f"need runs that have {by!r} to group by, got {', '.join(known)}")
        value = row.labels.get(by) or f"{by} {row.metrics[by]:g}"
        groups.setdefault(value, []).append(row)
    return dict(sorted(groups.items()))


def _group(name: str, rows: Sequence[Row], weights: Sequence[float] | None) -> dict[str, Any]:
    errors = [row.error for row in rows]
    edf = error_edf(errors, weights)
    ends = edf.errors if len(edf.errors) else np.zeros(1)
    at = np.linspace(ends[0], ends[-1], _BAND_POINTS).tolist()
    low, high = edf_band(errors, at, weights, seed=_SEED)
    return {
        "name": name,
        "runs": [
            {
                key: value
                for key, value in asdict(row).items()
                if key not in ("status", "note", "outcomes")
            }
            for row in sorted(rows, key=lambda row: (math.isnan(row.error), row.error))
        ],
        "edf": {
            "errors": edf.errors.tolist(),
            "fractions": edf.fractions.tolist(),
            "at": at,
            "low": low.tolist(),
            "high": high.tolist(),
            "runs": edf.runs,
            "diverged": edf.diverged,
            "least": edf.least,
            "mean": edf.mean,
        },
        "estimates": estimates(rows),
        "outcomes": sorted({name for row in rows for name in row.outcomes}),
    }


def estimates(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Return, for each number that varies among runs, where the best are and how much it matters.

    `low`, `median` and `high` are `best_range`'s; `rank_correlation` is Spearman's with the error.
    What ranks most with the error comes first.
    """
    usable = [row for row in rows if math.isfinite(row.error)]
    found = {}
    for name in dict.fromkeys(name for row in usable for name in row.metrics):
        having = [row for row in usable if math.isfinite(row.metrics.get(name, math.nan))]
        values = [row.metrics[name] for row in having]
        errors = [row.error for row in having]
        if name == "evaluate_every" or len(set(values)) < 2 or values == errors:
            continue
        rank = stats.spearmanr(values, errors).statistic if len(set(errors)) > 1 else math.nan
        found[name] = {
            **best_range(values, errors, seed=_SEED)._asdict(),
            "rank_correlation": float(rank),
        }
    return dict(
        sorted(found.items(), key=lambda entry: -abs(np.nan_to_num(entry[1]["rank_correlation"])))
    )


def _verdicts(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Each model's verdict, and the standard deviation of every number between seeds."""
    seeds = sorted({trial.seed for trial in trials})
    alone = [
        {v.model: v for v in verdicts([t for t in trials if t.seed == seed])} for seed in seeds
    ]
    found = []
    for verdict in verdicts(trials):
        data: dict[str, Any] = {**verdict._asdict(), "seeds": len(seeds)}
        for name in ("length", "optimizer", "sgd_loses", "lr_wd", "within", "score"):
            values = [getattr(some[verdict.model], name) for some in alone if verdict.model in some]
            many = len(values) > 1 and all(map(math.isfinite, values))
            data[f"{name}_sd"] = statistics.stdev(values) if many else math.nan
        found.append(data)
    return found


def _schedules(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """The error after each schedule: the mean and standard deviation between seeds."""
    groups: dict[tuple[str, str, int], list[float]] = {}
    for trial in trials:
        if trial.experiment == "length":
            groups.setdefault((trial.model, trial.optimizer, trial.epochs), []).append(trial.error)
    return [
        {
            "model": model,
            "optimizer": optimizer,
            "epochs": epochs,
            "error": statistics.mean(errors),
            "error_sd": statistics.stdev(errors) if len(errors) > 1 else math.nan,
        }
        for (model, optimizer, epochs), errors in sorted(groups.items())
    ]


def _spreads(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """How far runs at random rates and decays are from the best."""
    return [
        {
            "model": model,
            "optimizer": optimizer,
            "epochs": epochs,
            **spread._asdict(),
            "deltas": [delta for delta in spread.deltas if math.isfinite(delta)],
        }
        for (model, optimizer, epochs), spread in spreads(trials).items()
    ]


def _trials(rows: Sequence[Row]) -> list[Trial]:
    """Runs that say their optimizer and epochs; others say nothing about optimizability."""
    return [
        Trial(
            model=row.labels.get("model", "network"),
            optimizer=row.labels["optimizer"],
            epochs=int(row.metrics["epochs"]),
            error=row.error,
            lr=row.metrics.get("lr", math.nan),
            wd=row.metrics.get("wd", math.nan),
            seed=int(row.metrics.get("seed", 0)),
            experiment=row.labels.get("experiment", ""),
        )
        for row in rows
        if "optimizer" in row.labels and "epochs" in row.metrics
    ]


def _no_metric(metric: str, rows: Sequence[Row]) -> str:
    if not rows:
        return "need at least one run that is done, got none; run the sweep first"
    known: Mapping[str, Any] = {**rows[0].metrics, **rows[0].curves}
    return (
        f"need a run with a finite {metric!r}, got none among {len(rows)}; pass --metric with one "
        f"of: {', '.join(sorted(known)) or 'nothing was measured'}"
    )
