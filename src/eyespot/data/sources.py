"""Rules that belong to one data source: Flickr30k Entities boxes, LVIS category names."""

import re

import torch
from jaxtyping import Float
from torch import Tensor

from eyespot.ops.boxes import box_iou, xywh_to_xyxy

_IN_PARENTHESES = re.compile(r"\(.*\)")


def flickr_equivalent_boxes(
    boxes_xywh_px: Float[Tensor, "n 4"], *, least_iou: float = 0.95
) -> list[list[int]]:
    """Group the boxes of a caption that are the same object drawn twice.

    Boxes with IoU >= `least_iou`, directly or through others, form a group. The published
    preparation keeps the last box of a group and the spans of all.

    Returns:
        Groups of rows, each ascending, ordered by their first row.
    """
    boxes = xywh_to_xyxy(boxes_xywh_px)
    linked = box_iou(boxes, boxes) >= least_iou
    groups: list[list[int]] = []
    seen: set[int] = set()
    for first in range(len(boxes)):
        if first not in seen:
            group, waiting = {first}, [first]
            while waiting:
                near = set(torch.nonzero(linked[waiting.pop()]).flatten().tolist()) - group
                group |= near
                waiting += near
            seen |= group
            groups.append(sorted(group))
    return groups


def lvis_clean_name(name: str) -> str:
    """Return an LVIS category name as the published captions have it: `bow_(weapon)` -> `bow `.

    From the first parenthesis to the last all goes, underscores become spaces, double spaces
    single ones. Different categories can end up with one name, and a trailing space may remain,
    as in the released files.
    """
    return _IN_PARENTHESES.sub("", name).replace("_", " ").replace("  ", " ")
