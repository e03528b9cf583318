"""LVIS "fixed" average precision: federated annotations, a cap per category over the whole set.

Paper: LVIS (arXiv 1908.03195), section 2; fixed AP: arXiv 2102.01066. An image is annotated for
a few categories only: those with objects in it, and those verified to be absent. Detections of
other categories in it say nothing and are dropped.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from eyespot.evals.average_precision import IOU_THRESHOLDS, Detections, Truths, average_precision
from eyespot.evals.coco_ap import (
    CocoDetections,
    CocoTruths,
    coco_truths,
    dense_ids,
    mean_of_defined,
    paired_box_iou,
)

AREAS_PX = ((0.0, 1e5**2), (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, 1e5**2))
FREQUENCIES = ("r", "c", "f")


class LvisTruths(NamedTuple):
    """Annotated boxes and what each image was annotated for.

    A pair is an image id and a category id.
    """

    objects: CocoTruths
    image_ids: Int[np.ndarray, "images"]
    category_ids: Int[np.ndarray, "categories"]
    frequencies: np.ndarray  # of each category: "r"are, "c"ommon or "f"requent
    absent: Int[np.ndarray, "a 2"]
    not_exhaustive: Int[np.ndarray, "n 2"]  # annotated, but some objects may lack a box


def lvis_truths(dataset: Mapping[str, Any]) -> LvisTruths:
    """Read an LVIS-style JSON object into columns."""
    images = sorted(dataset["images"], key=lambda image: image["id"])
    categories = sorted(dataset["categories"], key=lambda category: category["id"])
    return LvisTruths(
        coco_truths(dataset),
        np.array([image["id"] for image in images], dtype=np.int64),
        np.array([category["id"] for category in categories], dtype=np.int64),
        np.array([category["frequency"] for category in categories], dtype="U1"),
        *(
            np.array([(i["id"], c) for i in images for c in i[name]], dtype=np.int64).reshape(-1, 2)
            for name in ("neg_category_ids", "not_exhaustive_category_ids")
        ),
    )


def lvis_fixed_ap(
    truths: LvisTruths, detections: CocoDetections, *, max_per_category: int = 10_000
) -> dict[str, float]:
    """Return AP, AP50, AP75, APs, APm, APl, APr, APc, APf in 0..1; -1 where nothing is to find.

    Args:
        truths: The annotations of the set.
        detections: Everything found in it; no cap per image.
        max_per_category: How many best detections of each category over the whole set count;
            of equal scores the earlier ones.

    Raises:
        ValueError: If a detection's image or category is not in the set.
    """
    objects = truths.objects
    image = _known("image", truths.image_ids, detections.image_ids)
    category = _known("category", truths.category_ids, detections.category_ids)
    truth_image = _known("image", truths.image_ids, objects.image_ids)
    truth_category = _known("category", truths.category_ids, objects.category_ids)
    pair = image * len(truths.category_ids) + category
    present = truth_image * len(truths.category_ids) + truth_category
    annotated = np.union1d(present, _pairs(truths, truths.absent))
    rows = _best_of_each(category, detections.scores, max_per_category)
    rows = rows[np.isin(pair[rows], annotated)]
    boxes, others = detections.boxes_xywh_px[rows], objects.boxes_xywh_px
    scores = average_precision(
        Truths(truth_image, truth_category, objects.areas_px, np.zeros(len(others), dtype=bool)),
        Detections(
            image[rows],
            category[rows],
            boxes[:, 2] * boxes[:, 3],
            detections.scores[rows],
            np.isin(pair[rows], _pairs(truths, truths.not_exhaustive)),
        ),
        lambda found, truth: paired_box_iou(
            boxes[found], others[truth], np.zeros(len(found), dtype=bool)
        ),
        num_categories=len(truths.category_ids),
        areas_px=AREAS_PX,
        max_detections=(None,),
    )
    return _nine_numbers(scores.precision, truths.frequencies)


def _nine_numbers(precision: np.ndarray, frequencies: np.ndarray) -> dict[str, float]:
    seventy_five = int(np.argmin(np.abs(IOU_THRESHOLDS - 0.75)))
    numbers = {
        "AP": precision[0],
        "AP50": precision[0, 0],
        "AP75": precision[0, seventy_five],
        "APs": precision[1],
        "APm": precision[2],
        "APl": precision[3],
        **{f"AP{f}": precision[0][:, frequencies == f] for f in FREQUENCIES},
    }
    return {name: mean_of_defined(values) for name, values in numbers.items()}


def _best_of_each(category: np.ndarray, scores: np.ndarray, limit: int) -> np.ndarray:
    """Rows of the best detections of each category, in input order."""
    order = np.lexsort((-scores, category))
    begin = np.searchsorted(category[order], category[order], side="left")
    return np.sort(order[np.arange(len(order)) - begin < limit])


def _pairs(truths: LvisTruths, pairs: np.ndarray) -> np.ndarray:
    image = _known("image", truths.image_ids, pairs[:, 0])
    category = _known("category", truths.category_ids, pairs[:, 1])
    return np.asarray(image * len(truths.category_ids) + category)


def _known(kind: str, known: np.ndarray, ids: np.ndarray) -> np.ndarray:
    place, is_known = dense_ids(ids, known)
    if not is_known.all():
        stranger = ids[~is_known][0]
        raise ValueError(
            f"need {kind} ids of the annotation file, got {stranger}, which it does not have; "
            "were the detections made on another split?"
        )
    return place
