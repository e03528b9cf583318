"""Masks of a data set against those predicted: one mask a text, the union of all it means.

PhraseCut's boxes are compared in the same way: all boxes of a text together.

Paper: PhraseCut (arXiv 2008.01187), section 4; MDETR (arXiv 2104.12763), section 4.2.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool

from eyespot.data.annotations import CaptionedImage, Region
from eyespot.data.grounding import read_masks
from eyespot.evals.phrasecut import Overlap, box_overlap, mask_overlap
from eyespot.ops import rle
from eyespot.ops.boxes import xyxy_to_xywh
from eyespot.ops.polygons import fill_polygons
from eyespot.tasks.ground_predictions import Predicted

LEAST_SCORE = 0.7
"""Queries above this are part of the mask that a text means, as published."""


def mask_overlaps(found: Mapping[int, Predicted]) -> dict[int, Overlap]:
    """Return, for each text whose image has masks, how the predicted mask overlaps the true one."""
    return {
        image: mask_overlap(mask_of_text(one), true_mask(one.record))
        for image, one in found.items()
        if one.masks is not None and has_masks(one.record)
    }


def box_overlaps(found: Mapping[int, Predicted]) -> dict[int, Overlap]:
    """Return, for each of PhraseCut's texts, how all predicted boxes overlap all true ones."""
    return {
        image: box_overlap(
            xyxy_to_xywh(torch.from_numpy(one.boxes_xyxy_px[kept_queries(one)])).tolist(),
            [region.box_xywh_px for region in one.record.regions],
        )
        for image, one in found.items()
        if _is_phrasecut(one.record)
    }


def has_masks(record: CaptionedImage) -> bool:
    """Whether boxes are annotated, each with its mask."""
    regions = record.regions
    return bool(regions) and all(region.more.get("segmentation") for region in regions)


def kept_queries(one: Predicted) -> Bool[np.ndarray, " q"]:
    """Which queries are part of what the text as a whole means."""
    expression = any(region.is_final is not None for region in one.record.regions)
    final = expression and one.final_scores is not None
    scores = one.final_scores if final else one.scores
    assert scores is not None, "looked at above"
    return np.asarray(scores > LEAST_SCORE)


def mask_of_text(one: Predicted) -> Bool[np.ndarray, "h w"]:
    """Return the union of the masks of the queries that score enough; empty if none does."""
    assert one.masks is not None, "asked for with masks only"
    chosen = rle.take(one.masks, np.flatnonzero(kept_queries(one)))
    if not chosen.num_masks:
        return np.zeros((one.record.height_px, one.record.width_px), dtype=bool)
    return np.asarray(rle.decode(chosen).any(axis=0))


def true_mask(record: CaptionedImage) -> Bool[np.ndarray, "h w"]:
    """Return the union of the masks of all boxes, or of those that an expression means.

    PhraseCut's polygons are filled as its own evaluator fills them, others as COCO's does.
    """
    finals = [region for region in record.regions if region.is_final]
    regions = finals or list(record.regions)
    size = record.height_px, record.width_px
    if _is_phrasecut(record) and _all_polygons(regions):
        polygons = [
            list(zip(flat[::2], flat[1::2], strict=True))
            for region in regions
            for flat in region.more["segmentation"]
        ]
        return fill_polygons(polygons, *size)
    return np.asarray(read_masks(regions, *size).numpy().any(axis=0))


def _is_phrasecut(record: CaptionedImage) -> bool:
    return str(record.more.get("dataset_name")).startswith("phrasecut")


def _all_polygons(regions: list[Region]) -> bool:
    return all(isinstance(region.more["segmentation"], list) for region in regions)
