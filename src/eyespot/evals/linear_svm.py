"""Linear support vector machines, many at once, to a proven accuracy.

A problem is min over w of |w|^2 / 2 + C sum_i a_i max(0, 1 - y_i w.x_i)^2, with the bias as the
weight of a constant feature 1, as LIBLINEAR has it. It is strongly convex with modulus 1, so the
norm of the gradient bounds the distance of w from the only solution.

Method: Newton's for the squared hinge (Keerthi and DeCoste, "A modified finite Newton method for
fast solution of large scale linear SVMs", 2005), its steps by conjugate gradients.

Shapes: N samples, D width, P problems, R = min(N, D + 1) directions that the samples span.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

_NEWTON_STEPS = 200
_CG_STEPS = 200
_HALVINGS = 30
_ENOUGH_DESCENT = 1e-4


class LinearSvm(NamedTuple):
    """Solved problems.

    Attributes:
        weights: Of each problem.
        biases: Of each problem.
        errors: At most so far is each solution from the exact one, relative to its own length or
            to 1 if that is more.
    """

    weights: Float[Tensor, "p d"]
    biases: Float[Tensor, " p"]
    errors: Float[Tensor, " p"]

    def scores(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n p"]:
        """Return each problem's score of each sample, above 0 for its class."""
        return features.to(self.weights) @ self.weights.T + self.biases


def fit_linear_svms(
    features: Float[Tensor, "n d"],
    targets: Float[Tensor, "p n"],
    costs: Float[Tensor, " p"],
    *,
    positive_weight: float = 2.0,
    tolerance: float = 1e-5,
) -> LinearSvm:
    """Solve problems that share their features, in float64.

    Args:
        features: Of all samples.
        targets: 1 and -1 for the classes of each problem, 0 for samples it leaves out.
        costs: C of each problem.
        positive_weight: a_i of positive samples; negative ones have 1 (VISSL: 2).
        tolerance: Relative error at which a problem is solved.

    Raises:
        ValueError: If a problem has samples of one class only, or a cost is not above 0.
    """
    _check(targets, costs)
    rows = features.double()
    rows = torch.cat([rows, rows.new_ones(len(rows), 1)], 1)  # [N, D + 1]
    left, sizes, right = torch.linalg.svd(rows, full_matrices=False)
    problem = _Problem(left * sizes, sizes.square(), targets.double(), costs, positive_weight)
    solution, errors = _newton(problem, tolerance)  # [P, R]
    weights = solution @ right
    return LinearSvm(weights[:, :-1], weights[:, -1], errors)


def _check(targets: Tensor, costs: Tensor) -> None:
    one_sided = ((targets == 1).sum(1) == 0) | ((targets == -1).sum(1) == 0)
    if bool(one_sided.any()):
        which = int(one_sided.nonzero()[0, 0])
        raise ValueError(
            "need positive and negative samples to tell apart, got "
            f"{int((targets[which] == 1).sum())} positive and {int((targets[which] == -1).sum())} "
            f"negative ones in problem {which}"
        )
    if not bool((costs > 0).all()):
        raise ValueError(f"need costs above 0, got {costs.min().item():g}")


class _Problem:
    """The sums over samples that Newton's method needs, in the samples' principal directions."""

    def __init__(
        self, rows: Tensor, spectrum: Tensor, targets: Tensor, costs: Tensor, positive: float
    ) -> None:
        self.rows = rows  # [N, R]; rows^T rows is the diagonal matrix of the spectrum
        self.spectrum = spectrum  # [R]
        self.targets = targets  # [P, N]
        share = torch.where(targets > 0, positive, 1.0) * (targets != 0)
        self.weights = 2 * costs.double()[:, None] * share  # [P, N], 2 C a_i

    def violations(self, margins: Tensor) -> Tensor:
        return (1 - self.targets * margins).clamp(min=0)

    def value(self, solution: Tensor, margins: Tensor) -> Tensor:
        hinge = (self.weights * self.violations(margins).square()).sum(1)
        return (solution.square().sum(1) + hinge) / 2

    def gradient(self, solution: Tensor, margins: Tensor) -> Tensor:
        pull = self.weights * self.targets * self.violations(margins)
        return solution - pull @ self.rows

    def newton_step(self, margins: Tensor, gradient: Tensor) -> Tensor:
        """Solve the Hessian for the step down the gradient, by conjugate gradients."""
        active = self.weights * (self.violations(margins) > 0)  # [P, N]
        usual = active.mean(1, keepdim=True)
        scale = 1 / (1 + usual * self.spectrum)  # nearly the inverse of the Hessian
        step, residual = torch.zeros_like(gradient), -gradient
        direction = scaled = scale * residual
        product = (residual * scaled).sum(1)
        enough = (0.1 * gradient.norm(dim=1).clamp(max=1)) * gradient.norm(dim=1)
        for _ in range(_CG_STEPS):
            if bool((residual.norm(dim=1) <= enough).all()):
                break
            curved = direction + (active * (direction @ self.rows.T)) @ self.rows
            length = _ratio(product, (direction * curved).sum(1))[:, None]
            step = step + length * direction
            residual = residual - length * curved
            scaled = scale * residual
            product, before = (residual * scaled).sum(1), product
            direction = scaled + _ratio(product, before)[:, None] * direction
        return step


def _newton(problem: _Problem, tolerance: float) -> tuple[Tensor, Tensor]:
    solution = problem.rows.new_zeros(len(problem.targets), problem.rows.shape[1])
    margins = torch.zeros_like(problem.targets)
    for _ in range(_NEWTON_STEPS):
        gradient = problem.gradient(solution, margins)
        errors = gradient.norm(dim=1) / solution.norm(dim=1).clamp(min=1)
        open_ = (errors > tolerance)[:, None]
        if not bool(open_.any()):
            break
        step = problem.newton_step(margins, gradient) * open_
        change = step @ problem.rows.T  # [P, N]
        slope = (gradient * step).sum(1)
        value = problem.value(solution, margins)
        length = torch.ones_like(slope)
        for _ in range(_HALVINGS):
            tried = problem.value(
                solution + length[:, None] * step, margins + length[:, None] * change
            )
            too_high = tried > value + _ENOUGH_DESCENT * length * slope + 1e-12 * value.abs()
            if not bool(too_high.any()):
                break
            length = torch.where(too_high, length / 2, length)
        solution = solution + length[:, None] * step
        margins = margins + length[:, None] * change
    return solution, errors


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    return torch.where(below > 0, above / below.clamp(min=1e-300), 0.0)
