"""How easy a model is to optimize: by schedule length, by optimizer, and by lr and weight decay.

Paper: Early Convolutions Help Transformers See Better (arXiv 2106.14881), sections 4 and 5. Errors
are top-1 in percent, differences of them points; an error of NaN means that the run diverged.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

CAP = 10.0
"""Points beyond which a loss is as bad as it gets, for `Verdict.score`."""

WITHIN = 4.0
"""Points from the best within which the paper counts runs."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One training run.

    Args:
        model: Which model.
        optimizer: "adamw" or "sgd".
        epochs: Length of its schedule.
        error: Top-1 error, %; NaN if it diverged.
        lr: Learning rate.
        wd: Weight decay.
        seed: Runs that differ in it alone are averaged.
        experiment: "length" for runs that say nothing of lr and weight decay, "lr_wd" for runs
            that say nothing else, "" for runs that count for everything.
    """

    model: str
    optimizer: str
    epochs: int
    error: float
    lr: float = math.nan
    wd: float = math.nan
    seed: int = 0
    experiment: str = ""


class Gap(NamedTuple):
    """What SGD loses to AdamW at one schedule.

    Attributes:
        points: SGD's error minus AdamW's (the paper's gap: AdamW's accuracy minus SGD's); NaN if
            either optimizer has no run that converged.
        stand_in: An optimizer diverged here and its best shorter run stands in (the paper's
            dashed lines).
    """

    points: float
    stand_in: bool


class Spread(NamedTuple):
    """How much a model's error depends on lr and weight decay.

    Attributes:
        deltas: Error minus the model's best, ascending; infinity for runs that diverged.
        runs: How many runs.
        within: Share of runs within `WITHIN` points of the best.
        loss: Mean of min(delta, `CAP`), the area above the EDF of deltas up to the cap, points.
    """

    deltas: tuple[float, ...]
    runs: int
    within: float
    loss: float


class Verdict(NamedTuple):
    """A model's optimizability, in points of error lost; less is easier.

    Attributes:
        model: Which model.
        length: Error at its shortest schedule minus at its longest, mean over optimizers.
        optimizer: |gap| between SGD and AdamW, mean over schedules.
        sgd_loses: The gap with its sign, mean over the schedules where it can be taken: above 0
            AdamW is better, below 0 SGD.
        stand_ins: Schedules where a shorter run stands in for one that diverged.
        lr_wd: `Spread.loss`, mean over optimizers.
        within: `Spread.within`, mean over optimizers.
        score: Mean of the three losses that were measured, each within 0 and `CAP`; NaN if none.
        measured: How many of the three were measured; compare only scores of equal ones.
    """

    model: str
    length: float
    optimizer: float
    sgd_loses: float
    stand_ins: int
    lr_wd: float
    within: float
    score: float
    measured: int


def length_stability(trials: Iterable[Trial]) -> dict[tuple[str, str], dict[int, float]]:
    """Return, for each (model, optimizer), error at each shorter schedule minus at the longest.

    Where a schedule has several lr and weight decays its least error counts, each the mean over
    seeds. Points, by epochs; smaller is faster
    to converge. NaN where either run diverged. One schedule alone gives an empty entry.
    """
    table: dict[tuple[str, str], dict[int, float]] = {}
    for (model, optimizer, epochs), error in _best(trials).items():
        table.setdefault((model, optimizer), {})[epochs] = error
    return {
        key: {
            epochs: errors[epochs] - errors[max(errors)]
            for epochs in sorted(errors)
            if epochs != max(errors)
        }
        for key, errors in table.items()
    }


def optimizer_stability(trials: Iterable[Trial]) -> dict[tuple[str, int], Gap]:
    """Return, for each (model, epochs) run with both optimizers, what SGD loses to AdamW.

    Where a run diverged, the least error of that model and optimizer at a shorter schedule stands
    in for it.
    """
    best = _best(trials)
    gaps = {}
    for model, optimizer, epochs in best:
        if optimizer != "sgd" or (model, "adamw", epochs) not in best:
            continue
        sgd, sgd_stands = _or_shorter(best, model, "sgd", epochs)
        adamw, adamw_stands = _or_shorter(best, model, "adamw", epochs)
        gaps[model, epochs] = Gap(sgd - adamw, sgd_stands or adamw_stands)
    return dict(sorted(gaps.items()))


def lr_wd_stability(errors: Sequence[float]) -> Spread:
    """Return how a model's error spreads over runs of random lr and weight decay.

    Args:
        errors: One error a run, all of one model, optimizer and schedule.

    Raises:
        ValueError: If no run converged, so that there is no best to compare to.
    """
    finite = [error for error in errors if math.isfinite(error)]
    if not finite:
        raise ValueError(f"need one run or more that converged, got none among {len(errors)}")
    best = min(finite)
    deltas = sorted(error - best if math.isfinite(error) else math.inf for error in errors)
    count = len(deltas)
    within = sum(delta <= WITHIN for delta in deltas) / count
    loss = sum(min(delta, CAP) for delta in deltas) / count
    return Spread(tuple(deltas), count, within, loss)


def verdicts(trials: Iterable[Trial]) -> list[Verdict]:
    """Return each model's optimizability, easiest first.

    lr and weight decay are judged where a model, optimizer and schedule have several pairs of
    them. A difference that cannot be taken because runs diverged counts as `CAP`.
    """
    known = list(trials)
    lengths, gaps, all_spreads = length_stability(known), optimizer_stability(known), spreads(known)
    found = []
    for model in dict.fromkeys(trial.model for trial in known):
        length = _mean(
            [
                _or_cap(min(loss.items())[1])
                for (m, _), loss in lengths.items()
                if m == model and loss
            ]
        )
        my_gaps = [gap for (m, _), gap in gaps.items() if m == model]
        optimizer = _mean([abs(_or_cap(gap.points)) for gap in my_gaps])
        stand_ins = sum(gap.stand_in and math.isfinite(gap.points) for gap in my_gaps)
        mine = [spread for (m, _, _), spread in all_spreads.items() if m == model]
        lr_wd = _mean([spread.loss for spread in mine])
        within = _mean([spread.within for spread in mine])
        losses = [loss for loss in (length, optimizer, lr_wd) if not math.isnan(loss)]
        score = _mean([min(max(loss, 0.0), CAP) for loss in losses])
        found.append(
            Verdict(
                model=model,
                length=length,
                optimizer=optimizer,
                sgd_loses=_mean([gap.points for gap in my_gaps]),
                stand_ins=stand_ins,
                lr_wd=lr_wd,
                within=within,
                score=score,
                measured=len(losses),
            )
        )
    return sorted(found, key=lambda v: (-v.measured, math.isnan(v.score), v.score))


def spreads(trials: Sequence[Trial]) -> dict[tuple[str, str, int], Spread]:
    """Return, for each (model, optimizer, epochs) run with several lr and wd, how errors spread.

    Runs of all seeds are one population; runs that say nothing of lr and weight decay are left out.
    """
    groups: dict[tuple[str, str, int], list[Trial]] = {}
    for trial in trials:
        if trial.experiment != "length":
            groups.setdefault((trial.model, trial.optimizer, trial.epochs), []).append(trial)
    found = {}
    for key, group in groups.items():
        errors = [trial.error for trial in group]
        if len({(trial.lr, trial.wd) for trial in group}) < 2:
            continue
        if not any(math.isfinite(error) for error in errors):
            deltas = (math.inf,) * len(errors)
            found[key] = Spread(deltas, len(errors), 0.0, CAP)
            continue
        found[key] = lr_wd_stability(errors)
    return found


def _best(trials: Iterable[Trial]) -> dict[tuple[str, str, int], float]:
    """Least error of each (model, optimizer, epochs), over seeds the mean; NaN for divergence."""
    table: dict[tuple[str, str, int], dict[tuple[float, float], dict[int, float]]] = {}
    for trial in trials:
        if trial.experiment != "lr_wd":
            pairs = table.setdefault((trial.model, trial.optimizer, trial.epochs), {})
            seeds = pairs.setdefault((trial.lr, trial.wd), {})
            before = seeds.get(trial.seed, math.nan)
            error = trial.error if math.isfinite(trial.error) else math.nan
            seeds[trial.seed] = error if math.isnan(before) else min(before, error)
    best = {}
    for key, pairs in table.items():
        errors = [sum(seeds.values()) / len(seeds) for seeds in pairs.values()]
        best[key] = min((e for e in errors if math.isfinite(e)), default=math.nan)
    return best


def _or_shorter(
    best: dict[tuple[str, str, int], float], model: str, optimizer: str, epochs: int
) -> tuple[float, bool]:
    error = best[model, optimizer, epochs]
    if not math.isnan(error):
        return error, False
    shorter = [
        other
        for (m, o, e), other in best.items()
        if m == model and o == optimizer and e < epochs and not math.isnan(other)
    ]
    return (min(shorter), True) if shorter else (math.nan, True)


def _or_cap(points: float) -> float:
    return CAP if math.isnan(points) else points


def _mean(values: Sequence[float]) -> float:
    """Mean of what is known; NaN if nothing is."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
