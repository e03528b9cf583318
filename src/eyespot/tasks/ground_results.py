"""Predictions of a grounding network as files that the public evaluators read.

A folder holds what the data allow:

- `detections.json`: COCO's results format, one class, `image_id` as in the annotation file, masks
  as run lengths where there are masks.
- `categories.json`: the same for the categories that captions name, `image_id` that of the images.
- `lvis.json`: LVIS' results format.
- `phrases.json`: for each sentence the ten best boxes of each of its phrases (Flickr30k Entities).
- `scores.json`: precision and recall of phrases' boxes at each threshold for their scores.
- `referring.json`: for each expression its ten best boxes (RefCOCO, CLEVR-Ref+, gRefCOCO), and all
  that GREC's evaluator counts as predicted.
- `phrasecut.npy`: image to task to boxes and packed mask, as PhraseCut's `evaluate.py` takes them.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from eyespot.design.files import write_whole
from eyespot.evals.grec import LEAST_SCORE
from eyespot.ops import rle
from eyespot.tasks.ground_average_precision import (
    Detected,
    as_one_class,
    by_category,
    is_lvis,
    xywh,
)
from eyespot.tasks.ground_masks import kept_queries, mask_of_text
from eyespot.tasks.ground_predictions import Predicted
from eyespot.tasks.ground_thresholds import curve_as_json, curve_of

_BEST = 10


def write_results(
    found: Mapping[int, Predicted], folder: Path, *, expressions: Mapping[int, np.ndarray]
) -> None:
    """Write the files; what an earlier evaluation left there is replaced.

    Args:
        found: Predictions by pair.
        folder: Where to; it is made.
        expressions: The pairs that are referring expressions, and each query's score for them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    named = list(by_category(found))
    curve = curve_of(found)
    files: dict[str, Any] = {
        "detections.json": [row for one in as_one_class(found) for row in _coco_rows(one)],
        "categories.json": [row for one in named for row in _coco_rows(one, original=True)],
        "lvis.json": [row for one in found.values() for row in _lvis_rows(one)]
        if is_lvis(found)
        else [],
        "phrases.json": [_sentence(one) for one in found.values() if one.phrases],
        "scores.json": None if curve is None else curve_as_json(curve),
        "referring.json": [_expression(found[i], scores) for i, scores in expressions.items()],
    }
    for name, content in files.items():
        if content:
            write_whole(folder / name, json.dumps(content) + "\n")
        else:
            (folder / name).unlink(missing_ok=True)
    _write_phrasecut(found.values(), folder / "phrasecut.npy")


def _coco_rows(detected: Detected, *, original: bool = False) -> list[dict[str, Any]]:
    one = detected.one
    image = one.record.more["original_id"] if original else one.record.image_id
    return _rows(one, image, detected.category_id, detected.scores)


def _lvis_rows(one: Predicted) -> list[dict[str, Any]]:
    more = one.record.more
    return _rows(one, more["original_id"], more["category_id"], one.scores)


def _rows(one: Predicted, image: Any, category: Any, scores: np.ndarray) -> list[dict[str, Any]]:
    """A result for each query, best first."""
    order = np.argsort(-scores, kind="stable")
    boxes = xywh(one.boxes_xyxy_px).round(4)[order].tolist()
    rows = [
        {"image_id": image, "category_id": category, "bbox": box, "score": score}
        for box, score in zip(boxes, scores[order].tolist(), strict=True)
    ]
    if one.masks is not None:
        for row, runs in zip(rows, rle.to_coco(rle.take(one.masks, order)), strict=True):
            row["segmentation"] = runs
    return rows


def _sentence(one: Predicted) -> dict[str, Any]:
    caption = one.record.caption
    return {
        **_names(one),
        "phrases": [" ".join(caption[b:e] for b, e in phrase.spans) for phrase in one.phrases],
        "spans": [[list(span) for span in phrase.spans] for phrase in one.phrases],
        "boxes": [one.ranked(p)[:_BEST].round(2).tolist() for p in range(len(one.phrases))],
    }


def _expression(one: Predicted, scores: np.ndarray) -> dict[str, Any]:
    count = max(_BEST, int((scores >= LEAST_SCORE).sum()))
    best = np.argsort(-scores, kind="stable")[:count]
    return {
        **_names(one),
        "dataset_name": one.record.more.get("dataset_name"),
        "boxes": one.boxes_xyxy_px[best].round(2).tolist(),
        "scores": scores[best].round(6).tolist(),
    }


def _names(one: Predicted) -> dict[str, Any]:
    """What tells a text apart: its image, its number, and itself."""
    record = one.record
    image = record.more.get("original_id", record.image_id)
    number = record.more.get("sentence_id")
    return {"id": record.image_id, "image_id": image, "sentence_id": number, "text": record.caption}


def _write_phrasecut(found: Iterable[Predicted], path: Path) -> None:
    tasks = [one for one in found if "task_id" in one.record.more and one.masks is not None]
    predictions: dict[Any, dict[str, dict[str, Any]]] = {}
    for one in tasks:
        boxes = xywh(one.boxes_xyxy_px[kept_queries(one)]).tolist()
        packed = np.packbits(mask_of_text(one))
        of_image = predictions.setdefault(one.record.more["original_id"], {})
        of_image[one.record.more["task_id"]] = {"pred_boxlist": boxes, "pred_mask": packed}
    if predictions:
        np.save(path, np.array(predictions, dtype=object), allow_pickle=True)
    else:
        path.unlink(missing_ok=True)
