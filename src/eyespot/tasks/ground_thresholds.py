"""At which score to cut what a grounding network finds for phrases: `--min-score` from data.

Boxes are those that `eyespot ground` shows: cut to the image, without those that overlap a better
one of their phrase.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from eyespot.evals.score_curve import MIN_SCORES, PhraseBoxes, ScoreCurve, score_curve
from eyespot.ops.boxes import clip_xyxy_px
from eyespot.ops.detections import apart
from eyespot.tasks.ground_predictions import Predicted

_MAX_IOU = 0.5  # as `eyespot ground` has it unless told


def curve_of(found: Mapping[int, Predicted]) -> ScoreCurve | None:
    """Return precision and recall over the scores of all phrases; None if no phrase has a box."""
    phrases = [phrase for one in found.values() for phrase in _phrase_boxes(one)]
    if not any(len(phrase.truths_xyxy_px) for phrase in phrases):
        return None
    return score_curve(phrases)


def threshold_metrics(found: Mapping[int, Predicted]) -> dict[str, float]:
    """Return the threshold with the best F1 at IoU 0.5, and what it gives."""
    curve = curve_of(found)
    if curve is None:
        return {}
    best = curve.best()
    metrics = {
        "best_min_score": float(curve.min_scores[best]),
        "best_precision": float(curve.precision[best]),
        "best_recall": float(curve.recall[best]),
    }
    if curve.absent_not_found is not None:
        metrics["absent_not_found"] = float(curve.absent_not_found[best])
    return metrics


def curve_as_json(curve: ScoreCurve) -> dict[str, Any]:
    """Return the best threshold and all others as plain data, a row each."""
    columns = curve._asdict()
    columns = {"min_score": columns.pop("min_scores"), **columns}
    known = {name: values.tolist() for name, values in columns.items() if values is not None}
    rows = [dict(zip(known, row, strict=True)) for row in zip(*known.values(), strict=True)]
    return {"best": rows[curve.best()], "curve": rows}


def _phrase_boxes(one: Predicted) -> list[PhraseBoxes]:
    """What would be shown for each phrase of a text, from the lowest threshold on."""
    truths = [phrase.boxes_xyxy_px for phrase in one.phrases]
    truths += [np.zeros((0, 4))] * len(one.absent_scores)
    every = torch.from_numpy(one.boxes_xyxy_px)
    boxes = clip_xyxy_px(every, one.record.height_px, one.record.width_px)
    phrases = []
    scores_of_all = (*one.phrase_scores, *one.absent_scores)
    for scores, wanted in zip(scores_of_all, truths, strict=True):
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] >= MIN_SCORES[0]]
        shown = order[apart(boxes[order], _MAX_IOU)]
        phrases.append(PhraseBoxes(scores[shown], boxes[shown].numpy(), wanted))
    return phrases
