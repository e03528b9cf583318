"""At which score to cut the boxes found for phrases: precision, recall and F1 at each threshold.

Shapes: Q boxes found for a phrase, N annotated ones, T thresholds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from eyespot.ops.boxes import box_iou

MIN_SCORES = np.arange(1, 200) / 200
"""The thresholds that are tried: 0.005 to 0.995."""


class PhraseBoxes(NamedTuple):
    """What is found for a phrase, and what it names."""

    scores: Float[np.ndarray, "q"]
    boxes_xyxy_px: Float[np.ndarray, "q 4"]
    truths_xyxy_px: Float[np.ndarray, "n 4"]  # none: the phrase names what is not there


class ScoreCurve(NamedTuple):
    """What is right if boxes that score less than a threshold are not shown, all in 0..1.

    Attributes:
        min_scores: The thresholds, ascending.
        precision: Share of the shown boxes that are right; 1 where none is shown.
        recall: Share of the annotated boxes that are found.
        f1: Of both.
        absent_not_found: Of the phrases that name what is not there, the share without a box; None
            if there is no such phrase.
    """

    min_scores: Float[np.ndarray, "t"]
    precision: Float[np.ndarray, "t"]
    recall: Float[np.ndarray, "t"]
    f1: Float[np.ndarray, "t"]
    absent_not_found: Float[np.ndarray, "t"] | None

    def best(self) -> int:
        """Place of the threshold with the best F1; of several the middle one."""
        best = np.flatnonzero(self.f1 == self.f1.max())
        return int(best[len(best) // 2])


def score_curve(phrases: Sequence[PhraseBoxes], *, least_iou: float = 0.5) -> ScoreCurve:
    """Return precision and recall of the boxes of all phrases at each of `MIN_SCORES`.

    As COCO's evaluation does, each box, best first, takes the annotated box of its phrase that it
    overlaps most among those still free; every other box is wrong, and so is every box of a phrase
    that names what is not there.

    Args:
        phrases: At least one with an annotated box.
        least_iou: Overlap from which a box is right.

    Raises:
        ValueError: If no phrase has an annotated box.
    """
    wanted = sum(len(phrase.truths_xyxy_px) for phrase in phrases)
    if not wanted:
        raise ValueError(f"need a phrase with a box, got none in {len(phrases)} phrases")
    scores = np.concatenate([phrase.scores for phrase in phrases])
    hits = np.concatenate([_hits(phrase, least_iou) for phrase in phrases])
    shown, right = _count(scores), _count(scores[hits])
    absent = [phrase.scores.max(initial=0) for phrase in phrases if not len(phrase.truths_xyxy_px)]
    return ScoreCurve(
        MIN_SCORES,
        np.where(shown > 0, right / np.maximum(shown, 1), 1.0),
        right / wanted,
        2 * right / (shown + wanted),
        1 - _count(np.array(absent)) / len(absent) if absent else None,
    )


def _count(scores: Float[np.ndarray, "n"]) -> Float[np.ndarray, "t"]:
    """How many scores reach each threshold."""
    return (len(scores) - np.searchsorted(np.sort(scores), MIN_SCORES)).astype(np.float64)


def _hits(phrase: PhraseBoxes, least_iou: float) -> np.ndarray:
    """Which of a phrase's boxes are right."""
    hits = np.zeros(len(phrase.scores), dtype=bool)
    both = (phrase.boxes_xyxy_px, phrase.truths_xyxy_px)
    iou = box_iou(*(torch.from_numpy(boxes.astype(np.float64)) for boxes in both)).numpy()
    if iou.size:
        for i in np.argsort(-phrase.scores, kind="stable"):
            nearest = iou[i].argmax()
            hits[i] = iou[i, nearest] >= least_iou
            if hits[i]:
                iou[:, nearest] = -1  # taken
    return hits
