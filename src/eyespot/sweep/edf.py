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
    values, shares = _checked(errors, weights)
    order = np.argsort(values, kind="stable")
    order = order[np.isfinite(values[order])]
    kept, weight = values[order], shares[order]
    return Edf(
        errors=kept,
        fractions=np.minimum(np.cumsum(weight), 1.0),
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
    values, shares = _checked(errors, weights)
    return float(shares[values <= limit].sum())


def edf_band(
    errors: Sequence[float],
    at: Sequence[float],
    *,
    seed: int,
    coverage: float = 0.95,
    draws: int = 1000,
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Return a bootstrap band of the EDF: its percentiles over redrawn populations.

    Args:
        errors: One number a run; NaN or infinity for a run that diverged.
        at: The errors to give it at.
        seed: Of the redraws.
        coverage: Share of redraws inside the band, pointwise.
        draws: How many populations of as many runs are drawn with replacement.

    Returns:
        The band's lower and upper edge at each of `at`.

    Raises:
        ValueError: If there are no runs.
    """
    values, _ = _checked(errors, None)
    below = values[:, None] <= np.asarray(at, dtype=np.float64)[None, :]  # [N, P]
    times = np.random.default_rng(seed).multinomial(
        len(values), np.full(len(values), 1 / len(values)), size=draws
    )  # [draws, N]
    redrawn = times @ below.astype(np.float64) / len(values)  # [draws, P]
    tail = (1 - coverage) / 2
    low, high = np.quantile(redrawn, [tail, 1 - tail], axis=0)
    return low, high


def matching_weights(costs: Sequence[float], edges: Sequence[float]) -> list[float]:
    """Return weights under which runs are spread evenly over bins of cost.

    With m bins that hold runs, each run of a bin of n runs weighs 1 / (m n); runs outside weigh 0.
    Two populations weighted so over the same bins can be compared though one has larger networks.
    Paper: On Network Design Spaces for Visual Recognition (arXiv 1905.13214), section 3.3.

    Args:
        costs: Cost of each run, for example its flops.
        edges: Ascending edges of the bins, one more than bins; the last bin is closed.

    Raises:
        ValueError: If the edges do not ascend or no run is inside them.
    """
    borders = np.asarray(edges, dtype=np.float64)
    if len(borders) < 2 or not (np.diff(borders) > 0).all():
        raise ValueError(f"need two or more ascending edges, got {list(edges)}")
    values = np.asarray(costs, dtype=np.float64)
    bins = np.searchsorted(borders, values, side="right") - 1
    bins[values == borders[-1]] = len(borders) - 2
    inside = (bins >= 0) & (bins < len(borders) - 1)
    if not inside.any():
        raise ValueError(f"need runs between {edges[0]} and {edges[-1]}, got none")
    counts = np.bincount(bins[inside], minlength=len(borders) - 1)
    used = (counts > 0).sum()
    weights = np.zeros(len(values))
    weights[inside] = 1 / (used * counts[bins[inside]])
    return [float(weight) for weight in weights]


def _checked(
    errors: Sequence[float], weights: Sequence[float] | None
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    values = np.asarray(errors, dtype=np.float64)
    values = np.where(np.isfinite(values), values, np.inf)
    if not len(values):
        raise ValueError("need the errors of at least one run, got none")
    if weights is None:
        return values, np.full(len(values), 1 / len(values))
    shares = np.asarray(weights, dtype=np.float64)
    if shares.shape != values.shape or (shares < 0).any() or not shares.sum() > 0:
        raise ValueError(
            f"need one weight of 0 or more for each of {len(values)} runs, some above 0, got "
            f"{len(shares)} that sum to {shares.sum():g}"
        )
    return values, shares / shares.sum()
