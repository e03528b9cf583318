"""Which query answers for which target box: the Hungarian matcher of set prediction.

Paper: MDETR (arXiv 2104.12763), section 2.2.2; DETR (arXiv 2005.12872), equation 1.

Shapes: L decoder layers, B images, Q queries, T classes (token positions, then "no object"),
N boxes; "total" boxes are those of all images of a batch, one after the other.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from eyespot.ops.boxes import box_giou, cxcywh_to_xyxy


class Matches(NamedTuple):
    """Matched pairs of a whole batch; every decoder layer has the same number P of them.

    In layer l, pair p joins query `query[l, p]` of image `image[l, p]` with row
    `target[l, p]` of the boxes of all images. Pairs are sorted by image, then query.
    """

    image: Int[Tensor, "l p"]
    query: Int[Tensor, "l p"]
    target: Int[Tensor, "l p"]


def matched(values: Float[Tensor, "l b q *c"], matches: Matches) -> Float[Tensor, "l p *c"]:
    """Take the values of the matched queries."""
    layer = torch.arange(len(values), device=values.device).unsqueeze(1)  # [L, 1]
    return values[layer, matches.image, matches.query]


def at_least_float32(values: Tensor) -> Tensor:
    """Half precisions as float32; float32 and float64 as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def named_or_not(logits: Float[Tensor, "*n t"]) -> Float[Tensor, "*n 2"]:
    """Class scores as two: any token, and "no object"; the probability of the latter stays."""
    logits = at_least_float32(logits)
    return torch.stack([logits[..., :-1].logsumexp(dim=-1), logits[..., -1]], dim=-1)


def matching_cost(
    logits: Float[Tensor, "*b q t"],
    boxes_cxcywh: Float[Tensor, "*b q 4"],
    target_boxes_cxcywh: Float[Tensor, "*#b n 4"],
    positive_map: Float[Tensor, "*#b n t"] | Bool[Tensor, "*#b n t"],
    *,
    class_cost: float = 1.0,
    box_cost: float = 5.0,
    giou_cost: float = 2.0,
) -> Float[Tensor, "*b q n"]:
    """Cost of giving target box n to query q.

    MDETR, section 2.2.2: box_cost * L1(cxcywh) - class_cost * sum over the box's tokens of
    their probability - giou_cost * GIoU. Computed in float32 or better, under autocast too.

    Args:
        logits: Class scores of every query.
        boxes_cxcywh: Predicted boxes, relative to the image.
        target_boxes_cxcywh: Annotated boxes, relative to the image.
        positive_map: Weight of each token for each box: 0 or 1 as the published models were
            trained, or rows that sum to one.
        class_cost: Weight of the token term.
        box_cost: Weight of the L1 term.
        giou_cost: Weight of the GIoU term.
    """
    with torch.autocast(logits.device.type, enabled=False):
        probs = at_least_float32(logits).softmax(dim=-1)
        boxes = at_least_float32(boxes_cxcywh)
        targets = target_boxes_cxcywh.to(boxes)
        token_gain = probs @ positive_map.to(probs).transpose(-1, -2)  # [*B, Q, N]
        l1 = (boxes.unsqueeze(-2) - targets.unsqueeze(-3)).abs().sum(dim=-1)  # [*B, Q, N]
        giou = box_giou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(targets))  # [*B, Q, N]
        return box_cost * l1 - class_cost * token_gain - giou_cost * giou


@torch.no_grad()
def match_queries(
    logits: Float[Tensor, "l b q t"],
    boxes_cxcywh: Float[Tensor, "l b q 4"],
    target_boxes_cxcywh: Float[Tensor, "total 4"],
    positive_map: Float[Tensor, "total t"] | Bool[Tensor, "total t"],
    num_targets: Sequence[int],
    *,
    class_cost: float = 1.0,
    box_cost: float = 5.0,
    giou_cost: float = 2.0,
) -> Matches:
    """Give every target box of every image its own query, in every decoder layer, at least cost.

    One matrix is computed on the device for all layers and images, copied to the host once,
    and solved there image by image. When an image has more boxes than queries, Q pairs are
    made. No gradient flows.

    Args:
        logits: Class scores, decoder layers stacked.
        boxes_cxcywh: Predicted boxes, relative to the image, decoder layers stacked.
        target_boxes_cxcywh: Boxes of all images, concatenated.
        positive_map: Their token weights; see `matching_cost`.
        num_targets: How many of the boxes each image has; sums to "total".
        class_cost: Weight of the token term.
        box_cost: Weight of the L1 term.
        giou_cost: Weight of the GIoU term.

    Raises:
        ValueError: If the counts do not sum to the number of boxes, or a cost is not finite.
    """
    num_images = logits.shape[1]
    counts = list(num_targets)
    if len(counts) != num_images or sum(counts) != len(target_boxes_cxcywh):
        raise ValueError(
            f"need one count for each of {num_images} images, summing to "
            f"{len(target_boxes_cxcywh)} boxes, got {counts}"
        )
    rows = _padded_rows(counts)  # [B, N]
    if rows.size == 0:
        return Matches(*torch.empty(3, len(logits), 0, dtype=torch.long, device=logits.device))
    padded = torch.from_numpy(rows).to(logits.device, non_blocking=True)
    cost = matching_cost(
        logits,
        boxes_cxcywh,
        target_boxes_cxcywh[padded],
        positive_map[padded],
        class_cost=class_cost,
        box_cost=box_cost,
        giou_cost=giou_cost,
    )
    pairs = _solve(cost.cpu().double().numpy(), counts, rows)
    return Matches(*torch.from_numpy(pairs).to(logits.device, non_blocking=True))


def _padded_rows(counts: Sequence[int]) -> np.ndarray:
    """Row of each box of each image among all boxes, [B, N]; 0 where an image has fewer."""
    first = np.cumsum([0, *counts])[:-1, None]
    column = np.arange(max(counts, default=0))
    return np.where(column < np.asarray(counts)[:, None], first + column, 0)


def _solve(cost: np.ndarray, counts: Sequence[int], rows: np.ndarray) -> np.ndarray:
    """Solve each image of each layer; returns image, query, target, [3, L, P]."""
    layers = []
    for layer, layer_cost in enumerate(cost):
        pairs = []
        for image, count in enumerate(counts):
            image_cost = layer_cost[image, :, :count]
            if not np.isfinite(image_cost).all():
                raise ValueError(
                    f"need finite predictions to match, got a cost that is not, in decoder "
                    f"layer {layer}, image {image}; look for a NaN in the logits or boxes"
                )
            query, target = linear_sum_assignment(image_cost)
            pairs.append(np.stack([np.full_like(query, image), query, rows[image, target]]))
        layers.append(np.concatenate(pairs, axis=1))
    return np.stack(layers, axis=1)
