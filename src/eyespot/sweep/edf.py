"""The error EDF of a population of runs: how large a share of it is how good.

Paper: On Network Design Spaces for Visual Recognition (arXiv 1905.13214), section 3; Designing
Network Design Spaces (arXiv 2003.13678), eq. 1. A run without an error (it diverged) counts as
infinitely bad: the curve then ends below 1.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Edf(NamedTuple):
    """An error EDF.

    Attributes:
        errors: Errors of the runs that have one, ascending.
        fractions: Share of all runs with an error of at most that: k/n at the k-th of n.
        runs: Runs in all.
        diverged: Runs without an error.
        least: Least error; NaN if there is none.
        mean: Mean error of the runs that have one, weighted; NaN if there is none.
    """

    errors: Float[np.ndarray, " n"]
    fractions: Float[np.ndarray, " n"]
    runs: int
    diverged: int
    least: float
    mean: float


def error_edf(errors: Sequence[float], weights: Sequence[float] | None = None) -> Edf:
    """Return the share of runs with an error of at most e, for every e among them.

    Args:
        errors: One number a run; NaN or infinity for a run that diverged.
        weights: How much each run counts, for populations of unequal make-up (see
            `matching_weights`); equal when not given.

    Raises:
        ValueError: If there are no runs, or weights that are none.
    """
    values, weigh = _checked(errors, weights)
    order = np.argsort(values, kind="stable")
    order = order[np.isfinite(values[order])]
    kept, weight = values[order], weigh[order]
    return Edf(
        errors=kept,
        fractions=np.minimum(np.cumsum(weight) / weigh.sum(), 1.0),
        runs=len(values),
        diverged=len(values) - len(kept),
        least=float(kept[0]) if len(kept) else math.nan,
        mean=float(np.average(kept, weights=weight)) if weight.sum() > 0 else math.nan,
    )


def share_within(
    errors: Sequence[float], limit: float, weights: Sequence[float] | None = None
) -> float:
    """Return F(limit), the share of runs with an error of at most a limit.

    Raises:
        ValueError: As `error_edf`.
    """
    values, weigh = _checked(errors, weights)
    return float(weigh[values <= limit].sum() / weigh.sum())


def edf_band(
    errors: Sequence[float],
    at: Sequence[float],
    weights: Sequence[float] | None = None,
    *,
    seed: int,
    coverage: float = 0.95,
    draws: int = 1000,
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Return a bootstrap band of the EDF: its percentiles over redrawn populations.

    Args:
        errors: One number a run; NaN or infinity for a run that diverged.
        at: The errors to give it at.
        weights: As `error_edf`; runs are redrawn alike and bring their weights along.
        seed: Of the redraws.
        coverage: Share of redraws inside the band, pointwise.
        draws: How many populations of as many runs are drawn with replacement.

    Returns:
        The band's lower and upper edge at each of `at`.

    Raises:
        ValueError: If there are no runs.
    """
    values, weigh = _checked(errors, weights)
    below = values[:, None] <= np.asarray(at, dtype=np.float64)[None, :]  # [N, P]
    times = np.random.default_rng(seed).multinomial(
        len(values), np.full(len(values), 1 / len(values)), size=draws
    )  # [draws, N]
    weighed = times * weigh
    total = np.maximum(weighed.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    redrawn = np.minimum(weighed @ below.astype(np.float64) / total, 1.0)  # [draws, P]
    tail = (1 - coverage) / 2
    low, high = np.quantile(redrawn, [tail, 1 - tail], axis=0)
    return low, high


def matching_weights(
    populations: Sequence[Sequence[float]], edges: Sequence[float]
) -> list[list[float]]:
    """Return weights under which populations spread alike, and evenly, over bins of a cost.

    With m bins that hold runs of every population, each of the n runs that a population has in one
    of them weighs 1 / (m n); all others weigh 0. Populations weighed so can be compared though one
    has more costly networks. Paper: On Network Design Spaces for Visual Recognition (arXiv
    1905.13214), section 3.3.

    Args:
        populations: Cost of each run, for example its flops, a list a population.
        edges: Ascending edges of the bins, one more than bins; the last bin is closed.

    Raises:
        ValueError: If the edges do not ascend, or no bin holds runs of every population.
    """
    borders = np.asarray(edges, dtype=np.float64)
    if len(borders) < 2 or not (np.diff(borders) > 0).all():
        raise ValueError(f"need two or more ascending edges, got {list(edges)}")
    counts = np.stack([np.histogram(costs, borders)[0] for costs in populations])  # [K, M]
    shared = (counts > 0).all(axis=0)
    if not shared.any():
        raise ValueError(f"need a bin with runs of all {len(populations)} populations, got none")
    each = np.where(shared, 1 / (shared.sum() * np.maximum(counts, 1)), 0.0)  # [K, M]
    weights = []
    for costs, of_bin in zip(populations, each, strict=True):
        values = np.asarray(costs, dtype=np.float64)
        bins = np.searchsorted(borders, values, side="right") - 1
        bins[values == borders[-1]] = len(borders) - 2
        inside = (bins >= 0) & (bins < len(borders) - 1)
        weights.append(np.where(inside, of_bin[np.where(inside, bins, 0)], 0.0).tolist())
    return weights


def _checked(
    errors: Sequence[float], weights: Sequence[float] | None
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    values = np.asarray(errors, dtype=np.float64)
    values = np.where(np.isfinite(values), values, np.inf)
    if not len(values):
        raise ValueError("need the errors of at least one run, got none")
    if weights is None:
        return values, np.ones(len(values))
    weigh = np.asarray(weights, dtype=np.float64)
    if weigh.shape != values.shape or (weigh < 0).any() or not weigh.sum() > 0:
        raise ValueError(
            f"need one weight of 0 or more for each of {len(values)} runs, some above 0, got "
            f"{len(weigh)} that sum to {weigh.sum():g}"
        )
    return values, weigh / weigh.max()
