"""The inverse of scaling: the largest network of a strategy that fits a budget."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from eyespot.design.scaling import ScaleReport, scale, scale_with_report
from eyespot.design.specs import Spec

_DOUBLINGS = 24
_STEP = 1.002


class Budget(NamedTuple):
    """A limit on one measure of a network.

    Attributes:
        name: What is limited, for messages: "flops", "latency_ms", ...
        limit: The most it may be.
        measure: Returns it for a network, at the network's own image size.
    """

    name: str
    limit: float
    measure: Callable[[Spec], float]


@dataclass(frozen=True, slots=True)
class Fit:
    """The largest network of a strategy within budgets.

    Attributes:
        spec: The network.
        report: How it was scaled; its factor is the one found.
        asked: The limits, by name.
        got: What the network has of each.
        above: What the next larger network has of each: the price of rounding.
    """

    spec: Spec
    report: ScaleReport
    asked: dict[str, float]
    got: dict[str, float]
    above: dict[str, float]


def fit_budget(spec: Spec, strategy: str, budgets: Sequence[Budget]) -> Fit:
    """Find the factor whose scaled, rounded network uses most of the budgets and exceeds none.

    Rounding makes every measure a staircase in the factor, so factors are tried 0.2% apart around
    the last that fits, and the network nearest to a limit from below is taken.

    Args:
        spec: The base network.
        strategy: As `scaling.strategy_weights` reads it.
        budgets: One or more limits; all have to hold.

    Raises:
        ValueError: If no network of the strategy fits, or none is ever too large.
    """
    for budget in budgets:
        if not (budget.limit > 0 and math.isfinite(budget.limit)):
            raise ValueError(f"need a {budget.name} budget above 0, got {budget.limit}")

    @functools.cache
    def use_of(network: Spec) -> float:
        return max(budget.measure(network) / budget.limit for budget in budgets)

    def use(factor: float) -> float:
        return use_of(scale(spec, strategy, factor))

    doublings = range(-_DOUBLINGS, _DOUBLINGS + 1)
    fitting = [k for k in doublings if use(2.0**k) <= 1]
    if not fitting:
        raise ValueError(_too_small(spec, strategy, budgets))
    if fitting[-1] == _DOUBLINGS:
        names = " or ".join(budget.name for budget in budgets)
        raise ValueError(
            f"need a strategy under which {names} can reach the budget; scaling by {strategy!r} "
            f"stays below it at any factor up to 2^{_DOUBLINGS}"
        )
    last = fitting[-1]
    tried = {factor: use(factor) for factor in _between(2.0 ** (last - 1), 2.0 ** (last + 2))}
    tried[2.0**last] = use(2.0**last)
    best = max((factor for factor in tried if tried[factor] <= 1), key=lambda f: (tried[f], -f))
    larger = [factor for factor in tried if tried[factor] > 1]
    above = scale(spec, strategy, min(larger, key=lambda f: tried[f]))
    network, report = scale_with_report(spec, strategy, best)
    return Fit(
        network,
        report,
        asked={budget.name: budget.limit for budget in budgets},
        got={budget.name: budget.measure(network) for budget in budgets},
        above={budget.name: budget.measure(above) for budget in budgets},
    )


def _between(low: float, high: float) -> Iterator[float]:
    steps = math.ceil(math.log(high / low) / math.log(_STEP))
    return (low * _STEP**i for i in range(steps + 1))


def _too_small(spec: Spec, strategy: str, budgets: Sequence[Budget]) -> str:
    least = scale(spec, strategy, 2.0**-_DOUBLINGS)
    over = [b for b in budgets if b.measure(least) > b.limit] or list(budgets)
    budget = over[0]
    return (
        f"need a {budget.name} budget of at least {budget.measure(least):.6g}, which is what the "
        f"smallest network of strategy {strategy!r} has, got {budget.limit:.6g}; take a smaller "
        "base network or a strategy that shrinks more dimensions"
    )
