"""Few labels: which samples keep theirs, and logistic regression on the features of those.

Papers: SimCLR (arXiv 2002.05709), section 4.3, for 1 % and 10 % of ImageNet's labels; SEER (arXiv
2103.01988), sections 4.2 and 4.3.

Shapes: N samples on this rank, D width, K classes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor
from torch.distributed import ProcessGroup

from eyespot import dist
from eyespot.data.sampling import permute
from eyespot.evals.knn import check_classes

PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Strengths that `fit_logistic` is tried with by default."""

_ROUGHLY = 1e-4  # scikit-learn's own tolerance; enough to compare penalties


def label_subset(
    labels: Int64[np.ndarray, " n"],
    *,
    fraction: float | None = None,
    per_class: int | None = None,
    balanced: bool = True,
    seed: int = 0,
) -> Int64[np.ndarray, " m"]:
    """Choose samples that keep their labels; a smaller subset of one seed is in every larger one.

    Args:
        labels: Of all samples.
        fraction: Share to choose: of each class, and at least one; or of all, if not balanced.
        per_class: Number to choose of each class, instead of a share.
        balanced: Choose from each class by itself.
        seed: Of the choice; the same numbers on every machine.

    Returns:
        Indices, ascending.

    Raises:
        ValueError: If not exactly one of `fraction` and `per_class` is given, it is out of range,
            or a class has too few samples.
    """
    if (fraction is None) == (per_class is None) or (per_class is not None and not balanced):
        raise ValueError(
            "need a fraction, or a number per class of a balanced subset, got "
            f"fraction={fraction}, per_class={per_class}, balanced={balanced}"
        )
    if fraction is not None and not 0 < fraction <= 1:
        raise ValueError(f"need a fraction above 0 and up to 1, got {fraction}")
    if per_class is not None and per_class < 1:
        raise ValueError(f"need one sample per class or more, got {per_class}")
    groups = [np.arange(len(labels))]
    if balanced:
        groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    chosen = []
    for stream, group in enumerate(groups):
        count = per_class if fraction is None else max(1, round(fraction * len(group)))
        assert count is not None
        if count > len(group):
            raise ValueError(
                f"need {count} samples of every class, got {len(group)} of class "
                f"{labels[group[0]]}; take fewer"
            )
        chosen.append(group[permute(np.arange(count), len(group), seed, 0, stream=stream)])
    return np.sort(np.concatenate(chosen))


class Standardizer(NamedTuple):
    """Brings every feature to mean 0 and standard deviation 1; constant ones to 0.

    Attributes:
        mean: Of the training samples.
        std: Of the training samples, divided by their number; 1 where it was 0.
    """

    mean: Float[Tensor, " d"]
    std: Float[Tensor, " d"]

    def __call__(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return standardized features in float64."""
        return (features.to(self.mean) - self.mean) / self.std


def fit_standardizer(
    features: Float[Tensor, "n d"], group: ProcessGroup | None = None
) -> Standardizer:
    """Measure the mean and standard deviation over the samples of all ranks."""
    rows = features.double()
    count = dist.all_reduce_sum(torch.tensor(float(len(rows)), device=rows.device), group)
    mean = dist.all_reduce_sum(rows.sum(0), group) / count
    variance = dist.all_reduce_sum((rows - mean).square().sum(0), group) / count
    # What is left of a constant by rounding is no spread.
    constant = variance <= (mean.abs() * 1e-12).square()
    return Standardizer(mean, torch.where(constant, 1.0, variance.sqrt()))


class Logistic(NamedTuple):
    """A multinomial logistic regression.

    Attributes:
        weight: Of each class.
        bias: Of each class.
        error: Norm of the objective's gradient where the search ended.
    """

    weight: Float[Tensor, "k d"]
    bias: Float[Tensor, " k"]
    error: float

    def scores(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """Return logits."""
        return F.linear(features.to(self.weight), self.weight, self.bias)


def fit_logistic(
    features: Float[Tensor, "n d"],
    labels: Int64[Tensor, " n"],
    num_classes: int,
    *,
    penalty: float,
    max_steps: int = 1000,
    tolerance: float = 1e-5,
    group: ProcessGroup | None = None,
) -> Logistic:
    """Minimize mean cross-entropy + penalty / 2 |weight|^2 over the samples of all ranks.

    By L-BFGS with line search in float64, from zero; every rank ends with the same result. The
    bias is not penalized. scikit-learn's C is 1 / (penalty N).

    Args:
        features: Of this rank's samples, best standardized.
        labels: In 0..K-1.
        num_classes: K.
        penalty: Above 0.
        max_steps: Of L-BFGS at most.
        tolerance: Greatest entry of the gradient at which the search ends.
        group: Processes that take part; all of them by default.

    Raises:
        ValueError: If the penalty is not above 0, or there are labels of one class only.
    """
    if penalty <= 0:
        raise ValueError(f"need a penalty above 0, got {penalty}")
    check_classes(dist.all_gather_rows(labels, group), num_classes)
    rows = features.double()
    truths = F.one_hot(labels, num_classes).double()
    total = dist.all_reduce_sum(torch.tensor(float(len(rows)), device=rows.device), group)
    weight = rows.new_zeros(num_classes, rows.shape[1])
    bias = rows.new_zeros(num_classes)
    search = torch.optim.LBFGS(
        [weight, bias],
        max_iter=max_steps,
        max_eval=2 * max_steps,
        history_size=20,
        tolerance_grad=tolerance,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def objective() -> Tensor:
        log_probs = F.linear(rows, weight, bias).log_softmax(1)  # [N, K]
        wrong = (log_probs.exp() - truths) / total
        parts = torch.cat(
            [(wrong.T @ rows).flatten(), wrong.sum(0), -(truths * log_probs).sum()[None] / total]
        )
        summed = dist.all_reduce_sum(parts, group)
        weight.grad = summed[: weight.numel()].view_as(weight) + penalty * weight
        bias.grad = summed[weight.numel() : -1]
        return summed[-1] + penalty / 2 * weight.square().sum()

    search.step(objective)  # type: ignore[no-untyped-call]
    objective()
    assert weight.grad is not None
    assert bias.grad is not None
    error = torch.cat([weight.grad.flatten(), bias.grad]).norm().item()
    return Logistic(weight, bias, error)


def best_penalty(
    features: Float[Tensor, "n d"],
    labels: Int64[Tensor, " n"],
    num_classes: int,
    *,
    penalties: Sequence[float] = PENALTIES,
    held_out: float = 0.2,
    seed: int = 0,
) -> float:
    """Choose the penalty of best accuracy on a part of the samples that is not fitted.

    Every class keeps at least one sample to be fitted; with one sample of every class there is
    nothing to choose by, and the middle penalty is taken.

    Args:
        features: Of all samples, on this rank.
        labels: In 0..K-1.
        num_classes: K.
        penalties: To choose from; of equally good ones the first.
        held_out: Share of each class that is not fitted.
        seed: Of the choice of that part.
    """
    kept = label_subset(labels.cpu().numpy(), fraction=1 - held_out, seed=seed)
    fitted = torch.zeros(len(labels), dtype=torch.bool, device=labels.device)
    fitted[torch.from_numpy(kept).to(labels.device)] = True
    if bool(fitted.all()):
        return penalties[len(penalties) // 2]
    scale = fit_standardizer(features[fitted])
    rows, others = scale(features[fitted]), scale(features[~fitted])
    accuracies = []
    for penalty in penalties:
        model = fit_logistic(rows, labels[fitted], num_classes, penalty=penalty, tolerance=_ROUGHLY)
        right = model.scores(others).argmax(1) == labels[~fitted]
        accuracies.append(right.double().mean().item())
    return penalties[int(np.argmax(accuracies))]
