"""Generalised referring expressions: are all objects meant found, be they none, one or several?

Paper: GREC (arXiv 2308.16182), the benchmark of gRefCOCO, and its evaluator.

Shapes: Q predicted boxes of an expression, N annotated ones.
"""

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from jaxtyping import Float

from eyespot.evals.referring import Criterion, Found
from eyespot.ops.boxes import box_giou, box_iou

LEAST_SCORE = 0.7
"""Boxes that score this or more are predicted; published for MDETR-like networks."""


def grec_scores(
    predictions: Mapping[Hashable, Found],
    truths: Mapping[Hashable, Float[np.ndarray, "_ 4"]],
    *,
    criterion: Criterion = "iou",
    least_score: float = LEAST_SCORE,
    least_overlap: float = 0.5,
) -> dict[str, float]:
    """Return how many expressions are answered without a fault, and how absence is told.

    Predicted and annotated boxes are paired one to one, as published: the two that overlap most
    first, and so on while any two overlap enough. An expression is right if its F1 is 1: every
    box of either side has a partner. One that means nothing is right if nothing is predicted.

    The paper says IoU; its evaluator compares the generalised IoU (`criterion="giou"`).

    Args:
        predictions: By expression.
        truths: Boxes (left, top, right, bottom) in pixels by expression; none where it means
            nothing.
        criterion: Overlap that is compared.
        least_score: Score from which a box is predicted at all.
        least_overlap: Overlap from which two boxes can be partners; above 0.

    Returns:
        In 0..1: `Pr@F1=1`, the share of expressions that are right; `N-acc`, of those that mean
        nothing the share with nothing predicted; `T-acc`, of the others the share with something
        predicted. A share of no expressions at all is left out.

    Raises:
        ValueError: If an expression has no prediction.
    """
    right, quiet, spoken = [], [], []
    for expression, wanted in truths.items():
        if expression not in predictions:
            raise ValueError(f"need a prediction for every expression, got none for {expression!r}")
        scores, boxes = predictions[expression]
        predicted = boxes[scores >= least_score]
        pairs = _count_pairs(predicted, wanted, criterion, least_overlap)
        right.append(pairs == len(predicted) == len(wanted))
        if len(wanted):
            spoken.append(len(predicted) > 0)
        else:
            quiet.append(len(predicted) == 0)
    shares = {"Pr@F1=1": right, "N-acc": quiet, "T-acc": spoken}
    return {name: float(np.mean(rows)) for name, rows in shares.items() if rows}


def _count_pairs(
    predicted: Float[np.ndarray, "q 4"],
    wanted: Float[np.ndarray, "n 4"],
    criterion: Criterion,
    least_overlap: float,
) -> int:
    compare = box_giou if criterion == "giou" else box_iou
    overlap = compare(*(torch.from_numpy(b.astype(np.float64)) for b in (predicted, wanted)))
    left = overlap.numpy().copy()
    pairs = 0
    while left.size and left.max() >= least_overlap:
        row, column = np.unravel_index(left.argmax(), left.shape)
        left[row], left[:, column] = -np.inf, -np.inf
        pairs += 1
    return pairs
