"""Generalised referring expressions: texts that mean one object, several or none (gRefCOCO).

Paper: GREC: Generalized Referring Expression Comprehension (arXiv 2308.16182), section 4.
"""

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from jaxtyping import Float

from eyespot.evals.referring import Found
from eyespot.ops.boxes import box_iou

LEAST_SCORE = 0.7
"""What counts as predicted in the paper's baselines, MDETR among them."""


def generalised_scores(
    predictions: Mapping[Hashable, Found],
    truths: Mapping[Hashable, Float[np.ndarray, "n 4"]],
    *,
    least_score: float = LEAST_SCORE,
    least_overlap: float = 0.5,
) -> dict[str, float]:
    """Return how often exactly the objects that are meant are found, and how often none.

    Args:
        predictions: By expression.
        truths: By expression, the boxes that it means; none of them for one that means nothing.
        least_score: Boxes below are not predicted.
        least_overlap: IoU of a box that is found.

    Returns:
        In 0..1: "Pr@F1=1", the share of all expressions without a wrong and a missing box; "N-acc",
        of those that mean nothing, the share with no box; "T-acc", of the others, the share with
        any box. The latter two only where there are such expressions.

    Raises:
        ValueError: If an expression has no prediction.
    """
    exact: list[bool] = []
    silent: dict[bool, list[bool]] = {True: [], False: []}  # by whether it means nothing
    for expression, wanted in truths.items():
        if expression not in predictions:
            raise ValueError(f"need a prediction for every expression, got none for {expression!r}")
        found = predictions[expression]
        boxes = found.boxes_xyxy_px[found.scores >= least_score]
        exact.append(len(boxes) == len(wanted) == _num_hits(boxes, wanted, least_overlap))
        silent[not len(wanted)].append(not len(boxes))
    scores = {"Pr@F1=1": float(np.mean(exact))} if exact else {}
    if silent[True]:
        scores["N-acc"] = float(np.mean(silent[True]))
    if silent[False]:
        scores["T-acc"] = 1 - float(np.mean(silent[False]))
    return scores


def _num_hits(
    boxes: Float[np.ndarray, "q 4"], wanted: Float[np.ndarray, "n 4"], least_overlap: float
) -> int:
    """Pairs of a box and a wanted one, largest overlap first, each box in one pair."""
    overlap = box_iou(
        torch.from_numpy(boxes.astype(np.float64)), torch.from_numpy(wanted.astype(np.float64))
    ).numpy()
    hits = 0
    while overlap.size and overlap.max() >= least_overlap:
        box, truth = np.unravel_index(overlap.argmax(), overlap.shape)
        overlap[box, :] = overlap[:, truth] = -1
        hits += 1
    return hits
