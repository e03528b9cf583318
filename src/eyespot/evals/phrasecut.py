"""Referring expression segmentation on PhraseCut: mean and cumulative IoU, precision at IoU.

Paper: PhraseCut (arXiv 2008.01187), section 4. A task is a phrase about an image; its prediction
is one mask, the union of all instances the phrase means.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from eyespot.ops.polygons import fill_polygons

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


class Overlap(NamedTuple):
    """Pixels of a predicted and an annotated mask in common and in either."""

    intersection_px: int
    union_px: int


def mask_overlap(found: Bool[np.ndarray, "h w"], wanted: Bool[np.ndarray, "h w"]) -> Overlap:
    """Compare two masks."""
    return Overlap(int((found & wanted).sum()), int((found | wanted).sum()))


def polygon_overlap(
    found: Bool[np.ndarray, "h w"], polygons: Sequence[Sequence[Sequence[int | float]]]
) -> Overlap:
    """Compare a mask with the union of annotated polygons, drawn as the evaluator draws them."""
    return mask_overlap(found, fill_polygons(polygons, *found.shape))


def box_overlap(
    found_xywh_px: Sequence[Sequence[int | float]], wanted_xywh_px: Sequence[Sequence[int | float]]
) -> Overlap:
    """Compare two unions of boxes, for the box variant of the scores.

    As the published evaluator does, a box covers the whole pixels from its truncated left to
    its truncated right minus one, the latter excluded; likewise from top to bottom. The canvas
    ends where the last box does, not the image; pixels before 0 count from its other end.
    """
    boxes = [_whole_pixels(box) for box in (*found_xywh_px, *wanted_xywh_px)]
    width, height = (max((box[side] for box in boxes), default=0) + 1 for side in (2, 3))
    covered = np.zeros((2, max(height, 0), max(width, 0)), dtype=bool)
    for place, (left, top, right, bottom) in enumerate(boxes):
        covered[int(place >= len(found_xywh_px)), top:bottom, left:right] = True
    return mask_overlap(covered[0], covered[1])


def _whole_pixels(box_xywh_px: Sequence[int | float]) -> tuple[int, int, int, int]:
    left, top, width, height = box_xywh_px
    return int(left), int(top), int(left + width - 1), int(top + height - 1)


def phrasecut_scores(
    overlaps: Sequence[Overlap], thresholds: Sequence[float] = THRESHOLDS
) -> dict[str, float]:
    """Return mean IoU, cumulative IoU and the share of tasks with IoU above each threshold.

    Args:
        overlaps: One for each task; an empty prediction of an empty truth has IoU 0.
        thresholds: Of `Pr@t`; an IoU equal to t does not count.

    Returns:
        `{"mean_iou": ..., "cum_iou": ..., "Pr@0.5": ..., ...}` in 0..1.

    Raises:
        ValueError: If there is no task.
    """
    if not overlaps:
        raise ValueError("need at least one task to score, got none; was anything predicted?")
    both, either = np.array(overlaps, dtype=np.float64).T
    iou = both / np.maximum(either, 1)
    return {
        "mean_iou": float(iou.mean()),
        "cum_iou": float(both.sum() / max(either.sum(), 1)),
        **{f"Pr@{t}": float((iou > t).mean()) for t in thresholds},
    }
