"""Samplers: each draws one parameter of a point of a design space.

A range is closed and quantised: what is drawn is a multiple of the quantum between low and high,
both included. The laws are pycls' sweep samplers', with its floors and ceilings; see `Law`.
"""

import math
import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Law = Literal[
    "uniform", "log_uniform", "power2_uniform", "power2_or_log_uniform", "normal", "log_normal"
]
"""How a range is drawn. With U uniform, q the quantum, and [low, high] the range:

uniform                floor to q of U[low, high + q)
log_uniform            ceil to q of exp U(ln(low - min(q, low / 2)), ln high]
power2_uniform         2^floor U[log2 low, log2 high + 1)
power2_or_log_uniform  a power of two as above; from q on, log_uniform over multiples of q
normal                 mean mid-range, sigma a sixth of it, redrawn until inside, rounded to q
log_normal             the same of the logarithms
"""

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Value:
    """One of several values, each equally likely.

    Args:
        values: What to choose from; one alone is a constant.
    """

    values: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("need at least one value to choose from, got none")


@dataclass(frozen=True, slots=True)
class IntRange:
    """A whole number.

    Args:
        low: Least value.
        high: Greatest value.
        law: How it is drawn.
        quantum: Every value is a multiple of this.
    """

    low: int
    high: int
    law: Law = "uniform"
    quantum: int = 1

    def __post_init__(self) -> None:
        _check_range(self)

    def multiple(self, steps: int) -> int:
        """Return so many quanta, or the nearest end of the range."""
        return min(max(steps * self.quantum, self.low), self.high)


@dataclass(frozen=True, slots=True)
class FloatRange:
    """A real number.

    Args:
        low: Least value.
        high: Greatest value.
        law: How it is drawn.
        quantum: Every value is a multiple of this; something tiny for a continuous range.
    """

    low: float
    high: float
    law: Law
    quantum: float

    def __post_init__(self) -> None:
        _check_range(self)

    def quantised(self, value: float) -> float:
        """Return the nearest multiple of the quantum inside the range."""
        return self.multiple(round(value / self.quantum))

    def multiple(self, steps: int) -> float:
        """Return so many quanta, or the nearest end: 364 x 0.1 is 36.4, not 36.400000000000006."""
        first, last = round(self.low / self.quantum), round(self.high / self.quantum)
        return float(min(max(steps, first), last) * Decimal(repr(self.quantum)))


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of independent draws.

    Args:
        length: How many.
        item: Sampler of each.
    """

    length: int
    item: Value | IntRange | FloatRange

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"need a length of 1 or more, got {self.length}")


Sampler = Value | IntRange | FloatRange | ListOf
Drawn = Scalar | tuple[Scalar, ...]


def draw(sampler: Sampler, rng: random.Random) -> Drawn:
    """Draw one value; a constant takes nothing of the random stream.

    Args:
        sampler: What to draw from.
        rng: Where the randomness comes from.
    """
    match sampler:
        case ListOf(length, item):
            return tuple(_draw_scalar(item, rng) for _ in range(length))
        case _:
            return _draw_scalar(sampler, rng)


def _draw_scalar(sampler: Value | IntRange | FloatRange, rng: random.Random) -> Scalar:
    if isinstance(sampler, Value):
        values = sampler.values
        return values[rng.randrange(len(values))] if len(values) > 1 else values[0]
    low, high, quantum = sampler.low, sampler.high, sampler.quantum
    match sampler.law:
        case "uniform":
            steps = math.floor((low + (high + quantum - low) * rng.random()) / quantum)
        case "log_uniform":
            steps = _log_steps(low, high, quantum, rng)
        case "power2_uniform":
            steps = round(_power_of_two(low, high, rng) / quantum)
        case "power2_or_log_uniform":
            power = _power_of_two(low, high, rng)
            if power < quantum:
                return int(power) if isinstance(sampler, IntRange) else power
            low = max(low, quantum)
            steps = _log_steps(low, high, quantum, rng)
        case "normal":
            steps = round(_inside_normal(low, high, rng) / quantum)
        case "log_normal":
            logs = _inside_normal(math.log(low), math.log(high), rng)
            steps = round(math.exp(logs) / quantum)
    return sampler.multiple(steps)


def _log_steps(low: float, high: float, quantum: float, rng: random.Random) -> int:
    start = math.log(low - min(quantum, low / 2))
    end = math.log(high)
    return math.ceil(math.exp(end - (end - start) * rng.random()) / quantum)


def _power_of_two(low: float, high: float, rng: random.Random) -> float:
    start, end = math.log2(low), math.log2(high) + 1
    drawn = start + (end - start) * rng.random()
    return 2.0 ** min(math.floor(drawn), math.ceil(end) - 1)


def _inside_normal(low: float, high: float, rng: random.Random) -> float:
    while True:
        drawn = rng.gauss((low + high) / 2, (high - low) / 6)
        if low <= drawn <= high:
            return drawn


def _is_multiple(value: float, quantum: float) -> bool:
    return abs(value - round(value / quantum) * quantum) <= 1e-9 * max(abs(value), quantum)


def _check_range(sampler: IntRange | FloatRange) -> None:
    low, high, law, quantum = sampler.low, sampler.high, sampler.law, sampler.quantum
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"need low <= high, both finite, got low {low} and high {high}")
    if not (quantum > 0 and math.isfinite(quantum)):
        raise ValueError(f"need a quantum above 0, got {quantum}")
    if low <= 0 and law not in ("uniform", "normal"):
        raise ValueError(f"need low above 0 for {law}, got {low}")
    if law == "power2_uniform":
        powers: tuple[float, ...] = (low, high)
        multiples: tuple[float, ...] = (low, high)
    elif law == "power2_or_log_uniform":
        powers = (low,) if high >= quantum else (low, high)
        multiples = tuple(end for end in (low, high) if end > quantum)
    else:
        powers, multiples = (), (low, high)
    for end in powers:
        if math.frexp(end)[0] != 0.5:
            raise ValueError(f"need a power of two at the ends of {law}, got {end}")
    for end in multiples:
        if not _is_multiple(end, quantum):
            raise ValueError(f"need range ends that are multiples of {quantum:g}, got {end:g}")
