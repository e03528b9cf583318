"""Run time as a line through activations and flops, fitted to measured networks.

Paper: Fast and Accurate Model Scaling (arXiv 2103.06877), section 2: on accelerators the run time
follows activations closely and flops or params loosely. The model is

    time = batch (a acts + b flops) + c,    a, b, c >= 0,

fitted to one device, dtype, mode and layout at a time. Errors count relative to the measured
time, so that small networks weigh as much as large ones.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from eyespot.design.complexity import Complexity
from eyespot.errors import unknown_name

MODES = ("infer", "train")
WEIGHTINGS = ("relative", "absolute")

MIN_NETWORKS = 5
"""Fewest networks that a fit of three numbers is taken from."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a measurement holds for.

    Args:
        device: Hardware, by name.
        dtype: "float32", or a 16-bit type under autocast.
        mode: "infer" is a forward pass in evaluation mode, "train" a whole optimizer step.
        channels_last: Memory layout of images and convolutions.
        compiled: Through torch.compile.
    """

    device: str
    dtype: str = "float32"
    mode: str = "infer"
    channels_last: bool = False
    compiled: bool = False

    @property
    def slug(self) -> str:
        """A file name for it."""
        words = [self.device, self.dtype, self.mode]
        words += ["channels-last"] * self.channels_last + ["compiled"] * self.compiled
        return re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured network.

    Args:
        name: Of the network.
        image_size: Side of the images, px.
        batch: Images at a time.
        params: Of the network.
        flops: Multiply-adds of one image.
        acts: Activations of one image.
        ms: Milliseconds of the whole batch.
    """

    name: str
    image_size: int
    batch: int
    params: int
    flops: int
    acts: int
    ms: float


@dataclass(frozen=True, slots=True)
class LatencyModel:
    """A fitted line.

    Attributes:
        setting: What it holds for.
        ms_per_act: a.
        ms_per_flop: b.
        ms_overhead: c.
        r_squared: Part of the variance of the measured times that it explains.
        r_acts: Pearson correlation of the time of one image with its activations.
        r_flops: The same with its flops.
        r_params: The same with the params.
        left_out_error: Median relative error on a network left out of the fit.
        num_networks: Networks it was fitted to.
    """

    setting: Setting
    ms_per_act: float
    ms_per_flop: float
    ms_overhead: float
    r_squared: float
    r_acts: float
    r_flops: float
    r_params: float
    left_out_error: float
    num_networks: int

    def predict_ms(self, cost: Complexity, batch: int = 1) -> float:
        """Predict the milliseconds of a batch of images of this cost.

        Raises:
            ValueError: If the batch is below 1.
        """
        if batch < 1:
            raise ValueError(f"need a batch of 1 or more, got {batch}")
        return batch * (self.ms_per_act * cost.acts + self.ms_per_flop * cost.flops) + (
            self.ms_overhead
        )


def fit_latency(
    setting: Setting, samples: Sequence[Sample], weighting: str = "relative"
) -> LatencyModel:
    """Fit the line to measured networks by non-negative least squares.

    Args:
        setting: What they were measured with.
        samples: At least `MIN_NETWORKS`.
        weighting: "relative" divides each error by the measured time.

    Raises:
        ValueError: If there are too few networks, or a time is not positive.
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(unknown_name("weighting", weighting, WEIGHTINGS))
    if len(samples) < MIN_NETWORKS:
        raise ValueError(
            f"need at least {MIN_NETWORKS} measured networks to fit a line, got {len(samples)}"
        )
    for sample in samples:
        if not (sample.ms > 0 and math.isfinite(sample.ms)):
            raise ValueError(f"need times above 0 ms, got {sample.ms} for {sample.name}")
    a, b, c = _coefficients(samples, weighting)
    per_image = [sample.ms / sample.batch for sample in samples]
    errors = left_out_errors(samples, weighting)
    return LatencyModel(
        setting,
        ms_per_act=a,
        ms_per_flop=b,
        ms_overhead=c,
        r_squared=_r_squared([s.ms for s in samples], [_line(s, a, b, c) for s in samples]),
        r_acts=pearson([s.acts for s in samples], per_image),
        r_flops=pearson([s.flops for s in samples], per_image),
        r_params=pearson([s.params for s in samples], per_image),
        left_out_error=_median([abs(error) for error in errors]),
        num_networks=len(samples),
    )


def left_out_errors(samples: Sequence[Sample], weighting: str = "relative") -> list[float]:
    """Return (predicted - measured) / measured of each network by a fit to all the others."""
    errors = []
    for i, sample in enumerate(samples):
        rest = [*samples[:i], *samples[i + 1 :]]
        errors.append(_line(sample, *_coefficients(rest, weighting)) / sample.ms - 1)
    return errors


def pearson(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the Pearson correlation, in [-1, 1]; 0 where one side does not vary."""
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    dx, dy = [x - mean_x for x in xs], [y - mean_y for y in ys]
    scale = math.sqrt(sum(x * x for x in dx)) * math.sqrt(sum(y * y for y in dy))
    return sum(x * y for x, y in zip(dx, dy, strict=True)) / scale if scale else 0.0


def _line(sample: Sample, a: float, b: float, c: float) -> float:
    return sample.batch * (a * sample.acts + b * sample.flops) + c


def _r_squared(measured: Sequence[float], predicted: Sequence[float]) -> float:
    mean = sum(measured) / len(measured)
    spread = sum((y - mean) ** 2 for y in measured)
    missed = sum((y - p) ** 2 for y, p in zip(measured, predicted, strict=True))
    return 1 - missed / spread if spread else 0.0


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else sum(ordered[middle - 1 : middle + 1]) / 2


def _coefficients(samples: Sequence[Sample], weighting: str) -> tuple[float, float, float]:
    rows = [(s.batch * s.acts, s.batch * s.flops, 1.0) for s in samples]
    weights = [1 / s.ms if weighting == "relative" else 1.0 for s in samples]
    scaled = [[w * x for x in row] for w, row in zip(weights, rows, strict=True)]
    a, b, c = nonnegative_least_squares(
        scaled, [w * s.ms for w, s in zip(weights, samples, strict=True)]
    )
    return a, b, c


def nonnegative_least_squares(
    rows: Sequence[Sequence[float]], targets: Sequence[float]
) -> list[float]:
    """Return the x >= 0 that minimises the sum of (row x - target)^2.

    Exact: the best of the plain solutions over every subset of columns that come out positive.
    Meant for a few columns.
    """
    width = len(rows[0])
    norms = [math.sqrt(sum(row[k] ** 2 for row in rows)) or 1.0 for k in range(width)]
    units = [[x / n for x, n in zip(row, norms, strict=True)] for row in rows]
    best, least = [0.0] * width, sum(t * t for t in targets)
    for size in range(1, width + 1):
        for chosen in combinations(range(width), size):
            found = _solve(
                [[sum(u[i] * u[j] for u in units) for j in chosen] for i in chosen],
                [sum(u[i] * t for u, t in zip(units, targets, strict=True)) for i in chosen],
            )
            if found is None or min(found) < 0:
                continue
            x = [0.0] * width
            for k, value in zip(chosen, found, strict=True):
                x[k] = value
            missed = sum(
                (sum(a * b for a, b in zip(u, x, strict=True)) - t) ** 2
                for u, t in zip(units, targets, strict=True)
            )
            if missed < least:
                best, least = x, missed
    return [value / norm for value, norm in zip(best, norms, strict=True)]


def _solve(matrix: list[list[float]], right: list[float]) -> list[float] | None:
    """Gaussian elimination with pivoting; None where the matrix is singular."""
    size = len(right)
    table = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for k in range(size):
        pivot = max(range(k, size), key=lambda i: abs(table[i][k]))
        if abs(table[pivot][k]) < 1e-12:
            return None
        table[k], table[pivot] = table[pivot], table[k]
        for i in range(k + 1, size):
            factor = table[i][k] / table[k][k]
            table[i] = [x - factor * y for x, y in zip(table[i], table[k], strict=True)]
    found = [0.0] * size
    for k in reversed(range(size)):
        rest = sum(table[k][j] * found[j] for j in range(k + 1, size))
        found[k] = (table[k][size] - rest) / table[k][k]
    return found
