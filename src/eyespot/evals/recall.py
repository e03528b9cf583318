"""Phrase grounding on Flickr30k Entities: recall at k, any-box and merged-boxes protocols.

Paper: Flickr30k Entities (arXiv 1505.04870); protocols: MDETR (arXiv 2104.12763), section 4.1.
A phrase of a sentence counts if its entity has a box; its k best predicted boxes hit if one of
them overlaps a box of the entity by IoU >= 0.5.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from eyespot.data.flickr import Phrase, parse_sentence, read_entity_boxes
from eyespot.evals.coco_ap import paired_box_iou

__all__ = [
    "KS",
    "Phrase",
    "PhraseTruth",
    "parse_sentence",
    "phrase_recall",
    "phrase_truths",
    "read_entity_boxes",
]

KS: tuple[int | None, ...] = (1, 5, 10, None)


class PhraseTruth(NamedTuple):
    """What a phrase's prediction is compared with."""

    boxes_xyxy_px: Float[np.ndarray, "n 4"]
    types: tuple[str, ...]


def phrase_truths(
    phrases: Sequence[Phrase],
    entity_boxes: Mapping[str, Float[np.ndarray, "_ 4"]],
    *,
    merged: bool = False,
) -> list[PhraseTruth]:
    """Pair the phrases whose entity has a box, in sentence order, with their boxes.

    Args:
        phrases: Of one sentence.
        entity_boxes: Boxes (left, top, right, bottom) of each entity of the image.
        merged: Replace the boxes of an entity by the one around them all.
    """
    truths = []
    for phrase in phrases:
        boxes = entity_boxes.get(phrase.entity_id)
        if boxes is not None:
            if merged:
                low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
                boxes = np.concatenate([low, high])[None]
            truths.append(PhraseTruth(boxes, phrase.types))
    return truths


def phrase_recall(
    predictions: Mapping[Hashable, Sequence[Float[np.ndarray, "_ 4"]]],
    truths: Mapping[Hashable, Sequence[PhraseTruth]],
    *,
    ks: Sequence[int | None] = KS,
    least_iou: float = 0.5,
) -> dict[str, dict[str, float]]:
    """Return recall for each k, over all phrases and for each phrase type.

    Args:
        predictions: For each sentence, for each of its phrases, boxes (left, top, right,
            bottom) in pixels, best first. Sentences without phrases may be missing or not.
        truths: For each sentence, its phrases that have boxes.
        ks: How many of the best boxes count; None: all of them.
        least_iou: Overlap that hits.

    Returns:
        `{"R@1": {"all": ..., "people": ...}, ..., "R@all": ...}` in 0..1. A phrase counts in
        each of its types.

    Raises:
        ValueError: If a sentence is missing or has the wrong number of phrases.
    """
    best: list[float] = []
    types: list[tuple[str, ...]] = []
    for sentence, phrases in truths.items():
        found = predictions.get(sentence, ())
        if len(found) != len(phrases):
            raise ValueError(
                f"need boxes for {len(phrases)} phrases of sentence {sentence!r}, got "
                f"{len(found)}; predict every phrase that has a box, in sentence order"
            )
        best += [
            _first_hit(f, p.boxes_xyxy_px, least_iou) for f, p in zip(found, phrases, strict=True)
        ]
        types += [p.types for p in phrases]
    rank = np.array(best, dtype=np.float64)
    of_type = {
        name: np.array([name in t for t in types], dtype=bool)
        for name in dict.fromkeys(name for t in types for name in t)
    }
    result = {}
    for k in ks:
        hit = rank < (np.inf if k is None else k)
        result[f"R@{'all' if k is None else k}"] = {
            "all": float(hit.mean()) if len(hit) else 0.0,
            **{name: float(hit[rows].mean()) for name, rows in of_type.items()},
        }
    return result


def _first_hit(found: np.ndarray, wanted: np.ndarray, least_iou: float) -> float:
    """Place of the first predicted box that hits; infinity if none does."""
    row, column = np.indices((len(found), len(wanted))).reshape(2, -1)
    boxes, others = (
        np.concatenate([b[:, :2], b[:, 2:] - b[:, :2]], axis=1) for b in (found, wanted)
    )
    iou = paired_box_iou(boxes[row], others[column], np.zeros(len(row), dtype=bool))
    hits = row[iou >= least_iou]
    return float(hits[0]) if len(hits) else np.inf
