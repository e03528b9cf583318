"""The VOC 2007 protocol: a linear SVM for each class on frozen features, on all images or a few.

Papers: Goyal et al. (arXiv 1905.01235), sections 3 and 6.1; SEER (arXiv 2103.01988), section 4.
As VISSL runs it, but that problems are solved exactly instead of stopping after 2000 rounds.

Shapes: N training and M test images, D width, K classes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int8, Int64
from torch import Tensor

from eyespot.evals.binary_ap import binary_average_precision
from eyespot.evals.linear_svm import LinearSvm, fit_linear_svms

COSTS = (0.01, 0.1, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 50.0, 100.0, 1000.0)
"""VISSL's costs on VOC 2007."""

SHOTS = (1, 2, 4, 8, 16, 32, 64, 96)
"""Positive images a class of the low-shot protocol on VOC 2007."""

_FOLDS = 3

Truths = Int8[Tensor, "n k"]
"""1 if an image shows a class, -1 if it does not, 0 if it counts for neither."""


class SvmResult(NamedTuple):
    """What SVMs on all training images reach.

    Attributes:
        ap: Average precision of each class on the test images, in 0..1.
        costs: The cost chosen for each class.
        error: The largest relative error of a solution.
    """

    ap: tuple[float, ...]
    costs: tuple[float, ...]
    error: float

    @property
    def mean_ap(self) -> float:
        """Mean over classes, in 0..1."""
        return float(np.mean(self.ap))


class LowShotResult(NamedTuple):
    """What SVMs on a few images reach, over several draws of them.

    Attributes:
        shots: Positive images a class.
        cost: The one with the highest mean.
        mean: Of the draws' mean average precision, in 0..1.
        lowest: Likewise.
        highest: Likewise.
        std: Of the draws, divided by their number (not one less).
    """

    shots: int
    cost: float
    mean: float
    lowest: float
    highest: float
    std: float


def unit_rows(features: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Divide each feature by its length plus 1e-5, as the protocol asks."""
    lengths: Tensor = features.norm(dim=1, keepdim=True)  # [N, 1]
    return features / (lengths + 1e-5)


def one_against_rest(labels: Int64[Tensor, " n"], num_classes: int) -> Truths:
    """Return the truths of images of one class each."""
    return 2 * F.one_hot(labels, num_classes).to(torch.int8) - 1


def svm_mean_ap(
    train: Float[Tensor, "n d"],
    train_truths: Int8[Tensor, "n k"],
    test: Float[Tensor, "m d"],
    test_truths: Int8[Tensor, "m k"],
    *,
    costs: Sequence[float] = COSTS,
) -> SvmResult:
    """Fit an SVM for each class, its cost chosen by cross-validation in three folds.

    Folds are scored by the "steps" area, the test images by the "interpolated" one.

    Args:
        train: Features; scaled by `unit_rows` first.
        train_truths: Of the training images.
        test: Features of the test images.
        test_truths: Of the test images.
        costs: To choose from.

    Raises:
        ValueError: If a class has fewer than three positive or negative training images, or no
            test image.
    """
    _check_truths(train_truths, test_truths, least=_FOLDS)
    train, test = unit_rows(train.double()), unit_rows(test.double())
    chosen, problems, held_out = [], [], []
    for truth in train_truths.T:
        for fold in stratified_folds(truth):
            problems.append(truth.double().masked_fill(fold, 0.0))
            held_out.append(fold & (truth != 0))
    grid = torch.tensor(costs, dtype=torch.float64, device=train.device)
    targets = torch.stack(problems).repeat_interleave(len(costs), 0)  # class, fold, cost
    svms = fit_linear_svms(train, targets, grid.repeat(len(problems)))
    scores = svms.scores(train).T.reshape(len(problems), len(costs), -1)
    for k, truth in enumerate(train_truths.T):
        folds = range(_FOLDS * k, _FOLDS * (k + 1))
        means = [
            np.mean([_fold_ap(scores[f, c], truth, held_out[f]) for f in folds])
            for c in range(len(costs))
        ]
        chosen.append(costs[int(np.argmax(means))])
    final = fit_linear_svms(train, train_truths.T.double(), grid.new_tensor(chosen))
    aps = _class_aps(final, test, test_truths)
    return SvmResult(tuple(aps), tuple(chosen), float(torch.cat([svms.errors, final.errors]).max()))


def low_shot_svm(
    train: Float[Tensor, "n d"],
    train_truths: Int8[Tensor, "n k"],
    test: Float[Tensor, "m d"],
    test_truths: Int8[Tensor, "m k"],
    *,
    shots: Sequence[int] = SHOTS,
    draws: int = 5,
    costs: Sequence[float] = COSTS,
    seed: int = 0,
) -> list[LowShotResult]:
    """Fit SVMs on a few images of each class, drawn several times; one result for each number.

    For k shots a class has k positive images and k (K - 1) negative ones, or as many as there are.
    The images of fewer shots are among those of more.

    Args:
        train: Features; scaled by `unit_rows` first.
        train_truths: Of the training images.
        test: Features of the test images.
        test_truths: Of the test images.
        shots: Each k.
        draws: How often images are drawn.
        costs: Each is tried; the best by its mean over draws counts.
        seed: Of the draws.

    Raises:
        ValueError: If a class has too few positive images, no negative one or no test image.
    """
    _check_truths(train_truths, test_truths, least=max(shots))
    train, test = unit_rows(train.double()), unit_rows(test.double())
    grid = torch.tensor(costs, dtype=torch.float64, device=train.device)
    results = []
    for k in shots:
        means = np.zeros((len(costs), draws))
        for draw in range(draws):
            few = draw_shots(train_truths, k, seed=seed, draw=draw).T.double()  # [K, N]
            used = (few != 0).any(0)  # rows no class was drawn need not be solved with
            targets = few[:, used].repeat(len(costs), 1)
            svms = fit_linear_svms(train[used], targets, grid.repeat_interleave(len(few)))
            aps = _class_aps(svms, test, test_truths.repeat(1, len(costs)))
            means[:, draw] = np.reshape(aps, (len(costs), -1)).mean(1)
        best = int(means.mean(1).argmax())
        row = means[best]
        stats = (float(f(row)) for f in (np.mean, np.min, np.max, np.std))
        results.append(LowShotResult(k, costs[best], *stats))
    return results


def draw_shots(truths: Int8[Tensor, "n k"], shots: int, *, seed: int, draw: int) -> Truths:
    """Draw a few positive and negative images of each class; all others become 0."""
    few = torch.zeros_like(truths)
    for k in range(truths.shape[1]):
        generator = np.random.default_rng([seed, draw, k])
        for value, count in ((1, shots), (-1, shots * (truths.shape[1] - 1))):
            places = torch.nonzero(truths[:, k] == value)[:, 0].cpu().numpy()
            chosen = torch.from_numpy(generator.permutation(places)[:count])
            few[chosen.to(few.device), k] = value
    return few


def stratified_folds(truth: Int8[Tensor, " n"]) -> list[Bool[Tensor, " n"]]:
    """Cut a class's samples into three folds with equal shares of both kinds, in their order.

    As scikit-learn's StratifiedKFold cuts what is not 0.
    """
    fold_of = torch.full_like(truth, -1)
    kinds = sorted((1, -1), key=lambda kind: int((truth == kind).nonzero()[0, 0]))
    first = 0
    for kind in kinds:
        places = torch.nonzero(truth == kind)[:, 0]
        ranks = torch.arange(first, first + len(places), device=truth.device)
        counts = torch.bincount(ranks % _FOLDS, minlength=_FOLDS)
        folds = torch.arange(_FOLDS, device=truth.device).repeat_interleave(counts)
        fold_of[places] = folds.to(fold_of.dtype)
        first += len(places)
    return [fold_of == fold for fold in range(_FOLDS)]


def _fold_ap(scores: Tensor, truth: Tensor, held_out: Tensor) -> float:
    return binary_average_precision(scores[held_out], truth[held_out] == 1)


def _class_aps(svms: LinearSvm, test: Tensor, truths: Tensor) -> list[float]:
    aps = []
    for scores, truth in zip(svms.scores(test).T, truths.T, strict=True):
        counts = truth != 0
        aps.append(binary_average_precision(scores[counts], truth[counts] == 1, "interpolated"))
    return aps


def _check_truths(train: Tensor, test: Tensor, *, least: int) -> None:
    positive, negative = (train == 1).sum(0), (train == -1).sum(0)
    few = (positive < least) | (negative < min(least, _FOLDS))
    if bool(few.any()):
        k = int(few.nonzero()[0, 0])
        raise ValueError(
            f"need at least {least} positive images of each class and some negative ones, got "
            f"{int(positive[k])} and {int(negative[k])} of class {k}"
        )
    absent = ((test == 1).sum(0) == 0).nonzero()
    if len(absent):
        raise ValueError(f"need test images of each class, got none of class {int(absent[0, 0])}")
