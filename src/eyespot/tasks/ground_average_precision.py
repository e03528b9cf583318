"""Average precision of a grounding network: COCO's as one class and by category, LVIS' fixed AP."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from eyespot.data.annotations import CaptionedImage
from eyespot.data.grounding import read_masks
from eyespot.evals.coco_ap import CocoDetections, CocoTruths, coco_ap
from eyespot.evals.lvis_ap import LvisTruths, lvis_fixed_ap
from eyespot.ops import rle
from eyespot.tasks.ground_masks import has_masks
from eyespot.tasks.ground_predictions import Predicted

_LVIS_KEYS = ("original_id", "category_id", "frequency")


class Detected(NamedTuple):
    """Queries that stand for a category in one pair of image and caption.

    Attributes:
        one: The predictions of the pair.
        category_id: 1 for "any object".
        scores: One a query.
        regions: Places of the annotated boxes of this category.
    """

    one: Predicted
    category_id: int
    scores: np.ndarray
    regions: tuple[int, ...]


def average_precisions(found: Mapping[int, Predicted]) -> dict[str, float]:
    """Return AP and AP50, and those by category and of masks where the data say enough."""
    single = list(as_one_class(found))
    box = coco_ap(*_columns(single))
    metrics = {"AP": box["AP"], "AP50": box["AP50"]}
    if single and all(
        one.masks is not None and (has_masks(one.record) or not one.record.regions)
        for one in found.values()
    ):
        masks = coco_ap(*_columns(single, with_masks=True), kind="masks")
        metrics |= {"mask_AP": masks["AP"], "mask_AP50": masks["AP50"]}
    named = list(by_category(found))
    if named:
        of_names = coco_ap(*_columns(named))
        metrics |= {"category_AP": of_names["AP"], "category_AP50": of_names["AP50"]}
    if is_lvis(found):
        scores = lvis_fixed_ap(lvis_truths_of(found), _lvis_detections(found))
        names = ("AP", "AP50", "APr", "APc", "APf")
        metrics |= {f"lvis_{name}": scores[name] for name in names}
    return metrics


def as_one_class(found: Mapping[int, Predicted]) -> Iterator[Detected]:
    """Yield each pair's queries as objects of one class."""
    for one in found.values():
        yield Detected(one, 1, one.scores, tuple(range(len(one.record.regions))))


def by_category(found: Mapping[int, Predicted]) -> Iterator[Detected]:
    """Yield each pair's queries for each category that its caption names.

    A phrase whose boxes are all of one `category_id` asks for that category; several phrases of one
    category count as one. Nothing is yielded unless the data have two categories.
    """
    detected = [one for pair in found.values() for one in _named_categories(pair)]
    if len({one.category_id for one in detected}) > 1:
        yield from detected


def is_lvis(found: Mapping[int, Predicted]) -> bool:
    """Whether every text asks for one LVIS category in one image."""
    return bool(found) and all(
        key in one.record.more for one in found.values() for key in _LVIS_KEYS
    )


def lvis_truths_of(found: Mapping[int, Predicted]) -> LvisTruths:
    """Return the annotations of texts that each ask for one category, as LVIS has them."""
    mores = [one.record.more for one in found.values()]
    frequencies = {int(more["category_id"]): str(more["frequency"]) for more in mores}
    categories = sorted(frequencies)
    rows = [
        (int(one.record.more["original_id"]), int(one.record.more["category_id"]), region)
        for one in found.values()
        for region in one.record.regions
    ]
    absent = [_pair(one.record) for one in found.values() if not one.record.regions]
    partly = [_pair(one.record) for one in found.values() if one.record.more.get("not_exhaustive")]
    return LvisTruths(
        CocoTruths(
            np.array([image for image, _, _ in rows], np.int64),
            np.array([category for _, category, _ in rows], np.int64),
            np.array([region.box_xywh_px for _, _, region in rows], np.float64).reshape(-1, 4),
            np.array([region.area_px for _, _, region in rows], np.float64),
            np.zeros(len(rows), bool),
        ),
        np.unique([int(more["original_id"]) for more in mores]),
        np.array(categories, np.int64),
        np.array([frequencies[category] for category in categories], dtype="U1"),
        np.array(absent, np.int64).reshape(-1, 2),
        np.array(partly, np.int64).reshape(-1, 2),
    )


def _pair(record: CaptionedImage) -> tuple[int, int]:
    return int(record.more["original_id"]), int(record.more["category_id"])


def _lvis_detections(found: Mapping[int, Predicted]) -> CocoDetections:
    pairs = [(*_pair(one.record), one) for one in found.values()]
    boxes = [xywh(one.boxes_xyxy_px) for _, _, one in pairs]
    counts = [len(one.scores) for _, _, one in pairs]
    return CocoDetections(
        np.repeat(np.array([image for image, _, _ in pairs], np.int64), counts),
        np.repeat(np.array([category for _, category, _ in pairs], np.int64), counts),
        np.concatenate(boxes),
        np.concatenate([one.scores for _, _, one in pairs]),
    )


def _named_categories(one: Predicted) -> Iterator[Detected]:
    regions = one.record.regions
    categories: dict[int, list[int]] = {}
    for place, phrase in enumerate(one.phrases):
        ids: set[Any] = {regions[i].more.get("category_id") for i in phrase.regions}
        if len(ids) == 1 and None not in ids:
            categories.setdefault(int(ids.pop()), []).append(place)
    for category, places in categories.items():
        wanted = {i for place in places for i in one.phrases[place].regions}
        yield Detected(one, category, one.phrase_scores[places].max(axis=0), tuple(sorted(wanted)))


def _columns(
    detected: list[Detected], *, with_masks: bool = False
) -> tuple[CocoTruths, CocoDetections]:
    """Truths and detections in columns; every pair of image and caption is an image of its own."""
    truths = [
        (d.one.record.image_id, d.category_id, d.one.record.regions[i])
        for d in detected
        for i in d.regions
    ]
    counts = [len(d.scores) for d in detected]
    empty = np.zeros((0, 4))
    masks = [d.one.masks for d in detected if d.one.masks is not None]
    return (
        CocoTruths(
            np.array([image for image, _, _ in truths], np.int64),
            np.array([category for _, category, _ in truths], np.int64),
            np.array([r.box_xywh_px for _, _, r in truths], np.float64).reshape(-1, 4),
            np.array([r.area_px for _, _, r in truths], np.float64),
            np.array([r.is_crowd for _, _, r in truths], bool),
            rle.concatenate([_true_masks(d) for d in detected]) if with_masks else None,
        ),
        CocoDetections(
            np.repeat(np.array([d.one.record.image_id for d in detected], np.int64), counts),
            np.repeat(np.array([d.category_id for d in detected], np.int64), counts),
            np.concatenate([empty, *(xywh(d.one.boxes_xyxy_px) for d in detected)]),
            np.concatenate([np.zeros(0), *(d.scores for d in detected)]),
            rle.concatenate(masks) if with_masks else None,
        ),
    )


def _true_masks(detected: Detected) -> rle.RleMasks:
    record = detected.one.record
    regions = [record.regions[i] for i in detected.regions]
    return rle.encode(read_masks(regions, record.height_px, record.width_px).numpy())


def xywh(boxes_xyxy: np.ndarray) -> np.ndarray:
    """Return boxes as left, top, width, height."""
    return np.concatenate([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], axis=1)
