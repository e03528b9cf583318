"""COCO average precision and recall, the twelve numbers, for boxes and for masks.

Definition: cocodataset.org, "Detection evaluation". Equal to the COCO API's numbers.

Shapes: G annotated and D detected objects.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from eyespot.evals.average_precision import (
    IOU_THRESHOLDS,
    Detections,
    PairedIou,
    Scores,
    Truths,
    average_precision,
)
from eyespot.ops import rle
from eyespot.ops.polygons import polygons_to_rles
from eyespot.ops.rle import RleMasks

AREAS_PX = ((0.0, 1e10), (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, 1e10))
MAX_DETECTIONS = (1, 10, 100)

Kind = Literal["boxes", "masks"]


class CocoTruths(NamedTuple):
    """Annotated objects as columns."""

    image_ids: Int[np.ndarray, "g"]
    category_ids: Int[np.ndarray, "g"]
    boxes_xywh_px: Float[np.ndarray, "g 4"]
    areas_px: Float[np.ndarray, "g"]  # as annotated: of the mask where there is one
    is_crowd: Bool[np.ndarray, "g"]
    masks: RleMasks | None = None


class CocoDetections(NamedTuple):
    """Detected objects as columns."""

    image_ids: Int[np.ndarray, "d"]
    category_ids: Int[np.ndarray, "d"]
    boxes_xywh_px: Float[np.ndarray, "d 4"]
    scores: Float[np.ndarray, "d"]
    masks: RleMasks | None = None


def coco_ap(
    truths: CocoTruths, detections: CocoDetections, *, kind: Kind = "boxes"
) -> dict[str, float]:
    """Return AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs, ARm, ARl in 0..1.

    A number is -1 where there is nothing annotated to find. Pass all category ids as 0 for
    the class-agnostic numbers.

    Args:
        truths: Annotations of all images that were searched.
        detections: Everything found in them; at most the best 100 of a category in an image
            count.
        kind: Which overlap decides, and whose area sorts detections into s, m and l.

    Raises:
        ValueError: If masks are asked for and missing.
    """
    scores = _scores(truths, detections, kind)
    precision, recall = scores.precision, scores.recall
    fifty, seventy_five = 0, int(np.argmin(np.abs(IOU_THRESHOLDS - 0.75)))
    return {
        "AP": mean_of_defined(precision[0]),
        "AP50": mean_of_defined(precision[0, fifty]),
        "AP75": mean_of_defined(precision[0, seventy_five]),
        "APs": mean_of_defined(precision[1]),
        "APm": mean_of_defined(precision[2]),
        "APl": mean_of_defined(precision[3]),
        "AR1": mean_of_defined(recall[0, 0]),
        "AR10": mean_of_defined(recall[1, 0]),
        "AR100": mean_of_defined(recall[2, 0]),
        "ARs": mean_of_defined(recall[2, 1]),
        "ARm": mean_of_defined(recall[2, 2]),
        "ARl": mean_of_defined(recall[2, 3]),
    }


def coco_truths(dataset: Mapping[str, Any], *, with_masks: bool = False) -> CocoTruths:
    """Read the annotations of a COCO-style JSON object into columns.

    Args:
        dataset: With `annotations`, and `images` (for their sizes) when masks are read.
        with_masks: Also rasterise or parse each `segmentation`.
    """
    rows = dataset["annotations"]
    masks = None
    if with_masks:
        sizes = {image["id"]: (image["height"], image["width"]) for image in dataset["images"]}
        masks = _read_masks([r["segmentation"] for r in rows], [sizes[r["image_id"]] for r in rows])
    boxes = np.array([r["bbox"] for r in rows], dtype=np.float64).reshape(-1, 4)
    return CocoTruths(
        np.array([r["image_id"] for r in rows], dtype=np.int64),
        np.array([r["category_id"] for r in rows], dtype=np.int64),
        boxes,
        np.array([r["area"] for r in rows], dtype=np.float64),
        np.array([r.get("iscrowd", 0) for r in rows], dtype=bool),
        masks,
    )


def coco_detections(results: Sequence[Mapping[str, Any]]) -> CocoDetections:
    """Read COCO's results format into columns: image_id, category_id, score, bbox or mask.

    A missing `bbox` is taken from the `segmentation`; masks are read where all rows have one.
    """
    masks = None
    if results and all("segmentation" in r for r in results):
        masks = rle.from_coco([r["segmentation"] for r in results])
    if masks is not None and not all("bbox" in r for r in results):
        boxes = rle.boxes_xywh_px(masks)
    else:
        boxes = np.array([r["bbox"] for r in results], dtype=np.float64).reshape(-1, 4)
    return CocoDetections(
        np.array([r["image_id"] for r in results], dtype=np.int64),
        np.array([r["category_id"] for r in results], dtype=np.int64),
        boxes,
        np.array([r["score"] for r in results], dtype=np.float64),
        masks,
    )


def paired_box_iou(
    boxes_xywh: Float[np.ndarray, "p 4"],
    others_xywh: Float[np.ndarray, "p 4"],
    is_crowd: Bool[np.ndarray, "p"],
) -> Float[np.ndarray, "p"]:
    """IoU of box i with other box i; over the first box's own area where the other is a crowd.

    Computed in the order of the COCO API, so that overlaps equal to a threshold stay equal.
    """
    x, y, width, height = boxes_xywh.T
    other_x, other_y, other_width, other_height = others_xywh.T
    across = np.minimum(width + x, other_width + other_x) - np.maximum(x, other_x)
    down = np.minimum(height + y, other_height + other_y) - np.maximum(y, other_y)
    both = np.maximum(across, 0) * np.maximum(down, 0)
    area = width * height
    union = np.where(is_crowd, area, area + other_width * other_height - both)
    return np.asarray(np.divide(both, union, out=np.zeros_like(both), where=both > 0))


def mean_of_defined(values: np.ndarray) -> float:
    """Mean of the values that are not -1; -1 if all are."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else -1.0


def dense_ids(ids: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place of each id in the sorted `known`, and whether it is there at all."""
    place = np.searchsorted(known, ids)
    place = np.minimum(place, max(len(known) - 1, 0))
    is_known = known[place] == ids if len(known) else np.zeros(len(ids), dtype=bool)
    return place, is_known


def _scores(truths: CocoTruths, detections: CocoDetections, kind: Kind) -> Scores:
    categories = np.unique(truths.category_ids)
    category, known = dense_ids(detections.category_ids, categories)
    rows = np.flatnonzero(known)  # nothing to find of any other category: no number changes
    area, paired_iou = _overlap(truths, detections, kind)
    return average_precision(
        Truths(
            truths.image_ids,
            dense_ids(truths.category_ids, categories)[0],
            truths.areas_px,
            truths.is_crowd,
        ),
        Detections(
            detections.image_ids[rows],
            category[rows],
            area[rows],
            detections.scores[rows],
            np.zeros(len(rows), dtype=bool),
        ),
        lambda found, truth: paired_iou(rows[found], truth),
        num_categories=len(categories),
        areas_px=AREAS_PX,
        max_detections=MAX_DETECTIONS,
    )


def _overlap(
    truths: CocoTruths, detections: CocoDetections, kind: Kind
) -> tuple[np.ndarray, PairedIou]:
    """Area of each detection, and the overlap of a detection with a truth."""
    if kind == "boxes":
        boxes, others = detections.boxes_xywh_px, truths.boxes_xywh_px

        def box_iou(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
            return paired_box_iou(boxes[found], others[truth], truths.is_crowd[truth])

        return boxes[:, 2] * boxes[:, 3], box_iou
    masks, other_masks = detections.masks, truths.masks
    if masks is None or other_masks is None:
        missing = "detections" if masks is None else "truths"
        raise ValueError(f"need masks to score masks, got none in the {missing}; read them first")

    def mask_iou(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
        return rle.paired_mask_iou(masks, other_masks, found, truth, truths.is_crowd)

    return rle.area_px(masks).astype(np.float64), mask_iou


def _read_masks(segmentations: Sequence[Any], sizes_hw: Sequence[tuple[int, int]]) -> RleMasks:
    """Masks of polygons and of run-length dictionaries, in the given order."""
    is_runs = np.array([isinstance(s, Mapping) for s in segmentations], dtype=bool)
    heights, widths = np.array(sizes_hw, dtype=np.int64).reshape(-1, 2).T
    polygons = [s for s in segmentations if not isinstance(s, Mapping)]
    drawn = polygons_to_rles(polygons, heights[~is_runs], widths[~is_runs])
    parsed = rle.from_coco([s for s in segmentations if isinstance(s, Mapping)])
    order = np.argsort(is_runs, kind="stable")  # polygons, then runs
    return rle.take(rle.concatenate([drawn, parsed]), np.argsort(order))
