"""Referring expressions: is the one box meant among the k best (RefCOCO family, CLEVR-Ref+).

Paper: MDETR (arXiv 2104.12763), section 4.1 and table 3.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from eyespot.ops.boxes import box_giou, box_iou

Criterion = Literal["iou", "giou"]


class Referred(NamedTuple):
    """The ground truth of an expression."""

    box_xyxy_px: Float[np.ndarray, "4"]
    dataset: str  # such as refcoco, refcoco+, refcocog: scores are kept apart by it


class Found(NamedTuple):
    """What was predicted for an expression; CLEVR-Ref+ scores are times P(is final)."""

    scores: Float[np.ndarray, "q"]
    boxes_xyxy_px: Float[np.ndarray, "q 4"]


def referring_precision(
    predictions: Mapping[Hashable, Found],
    truths: Mapping[Hashable, Referred],
    *,
    criterion: Criterion = "iou",
    ks: Sequence[int] = (1, 5, 10),
    least_overlap: float = 0.5,
) -> dict[str, dict[str, float]]:
    """Return, for each dataset, the share of expressions whose box is among the k best.

    The published numbers were made with `criterion="giou"` though described as IoU; it is
    slightly stricter. Equal scores are ordered by coordinates, larger first, as published.

    Args:
        predictions: By expression.
        truths: By expression. For CLEVR-Ref+ leave out expressions that refer to more or
            fewer objects than one (`only_single`).
        criterion: Overlap that is compared: IoU, or the reference's generalised IoU.
        ks: How many of the best boxes count.
        least_overlap: Overlap that hits.

    Returns:
        `{"refcoco": {"P@1": ..., "P@5": ..., "P@10": ...}, ...}` in 0..1.

    Raises:
        ValueError: If an expression has no prediction.
    """
    hits: dict[str, list[list[bool]]] = {}
    for expression, truth in truths.items():
        if expression not in predictions:
            raise ValueError(f"need a prediction for every expression, got none for {expression!r}")
        near = _overlap(predictions[expression], truth, criterion) >= least_overlap
        hits.setdefault(truth.dataset, []).append([bool(near[:k].any()) for k in ks])
    return {
        dataset: {f"P@{k}": float(p) for k, p in zip(ks, np.mean(rows, axis=0), strict=True)}
        for dataset, rows in hits.items()
    }


def only_single(
    truths: Mapping[Hashable, Sequence[Referred]],
) -> dict[Hashable, Referred]:
    """Keep the expressions with exactly one annotated box, as CLEVR-Ref+ is scored."""
    return {expression: boxes[0] for expression, boxes in truths.items() if len(boxes) == 1}


def _overlap(found: Found, truth: Referred, criterion: Criterion) -> np.ndarray:
    """Overlap of the predicted boxes with the true one, best score first."""
    order = np.lexsort((*found.boxes_xyxy_px.T[::-1], found.scores))[::-1]
    boxes = torch.from_numpy(found.boxes_xyxy_px[order].astype(np.float64))
    wanted = torch.from_numpy(truth.box_xyxy_px.astype(np.float64))[None]
    overlap = box_giou if criterion == "giou" else box_iou
    return overlap(boxes, wanted)[:, 0].numpy()
