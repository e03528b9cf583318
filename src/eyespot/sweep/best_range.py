"""Which values of a parameter the best runs have: an empirical bootstrap.

Paper: Designing Network Design Spaces (arXiv 2003.13678), appendix; the numbers are pycls'.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

DRAWS = 2500
"""Redrawn populations."""


class BestRange(NamedTuple):
    """Where the best runs are.

    Attributes:
        low: 2.5th percentile of the parameter over the winners.
        median: 50th percentile.
        high: 97.5th percentile.
    """

    low: float
    median: float
    high: float


def best_range(values: Sequence[float], errors: Sequence[float], *, seed: int) -> BestRange:
    """Estimate in which range of a parameter the best runs lie.

    2500 times, max(1, n // 4) of the n runs are drawn with replacement and the one with the least
    error wins; the range is the winners' 2.5th to 97.5th percentile. Runs whose value or error is
    not finite do not take part.

    Args:
        values: The parameter of each run.
        errors: Error of each run.
        seed: Of the redraws.

    Raises:
        ValueError: If no run has both.
    """
    parameter = np.asarray(values, dtype=np.float64)
    error = np.asarray(errors, dtype=np.float64)
    usable = np.isfinite(parameter) & np.isfinite(error)
    count = int(usable.sum())
    if not count:
        raise ValueError(f"need runs with a value and an error, got none among {len(error)}")
    parameter, error = parameter[usable], error[usable]
    drawn = np.random.default_rng(seed).integers(count, size=(DRAWS, max(1, count // 4)))
    winners = drawn[np.arange(DRAWS), error[drawn].argmin(axis=1)]
    low, median, high = np.percentile(parameter[winners], [2.5, 50, 97.5])
    return BestRange(float(low), float(median), float(high))


def inside(
    metrics: Mapping[str, Sequence[float]], ranges: Mapping[str, tuple[float, float, float]]
) -> list[int]:
    """Return the runs that lie inside every range, for a closer look at what else matters.

    Args:
        metrics: Values of each run, by metric.
        ranges: [low, median, high] by metric, as `best_range` gives them; the median is not used.

    Raises:
        ValueError: If a range is of a metric that the runs lack.
    """
    missing = [name for name in ranges if name not in metrics]
    if missing:
        raise ValueError(f"need ranges of {', '.join(metrics)}, got one of {missing[0]}")
    count = min((len(values) for values in metrics.values()), default=0)
    return [
        run
        for run in range(count)
        if all(low <= metrics[name][run] <= high for name, (low, _, high) in ranges.items())
    ]
