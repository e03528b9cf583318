"""Predictions to detections: scores, pixel boxes, phrase rankings, masks of the original size.

Paper: MDETR (arXiv 2104.12763), section 4. There is no non-maximum suppression.

Shapes: B images, Q queries, T classes (token positions, the last one "no object"), h w mask
logits, H W an image.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eyespot.ops.boxes import box_iou, cxcywh_to_xyxy_px
from eyespot.ops.matching import at_least_float32, named_or_not


class DetectedBoxes(NamedTuple):
    """One box a query, in query order."""

    scores: Float[Tensor, "b q"]
    boxes_xyxy_px: Float[Tensor, "b q 4"]


def detect(
    logits: Float[Tensor, "b q t"],
    boxes_cxcywh: Float[Tensor, "b q 4"],
    sizes_hw_px: Int[Tensor, "b 2"],
    is_final_logits: Float[Tensor, "b q"] | None = None,
) -> DetectedBoxes:
    """Score every query and give its box in pixels of the original image.

    The score is 1 - P(no object); for CLEVR-Ref+ times P(is final).

    Args:
        logits: Class scores of the last decoder layer.
        boxes_cxcywh: Boxes of the last decoder layer, relative to the image.
        sizes_hw_px: Height and width of each original image.
        is_final_logits: Scores for "the caption as a whole means this box".
    """
    scores = 1 - at_least_float32(logits).softmax(dim=-1)[..., -1]
    if is_final_logits is not None:
        scores = scores * is_final_logits.to(scores).sigmoid()
    boxes = cxcywh_to_xyxy_px(at_least_float32(boxes_cxcywh), sizes_hw_px)
    return DetectedBoxes(scores, boxes)


def rank_queries_by_phrase(
    logits: Float[Tensor, "b q t"],
    positive_map: Float[Tensor, "phrases t"] | Bool[Tensor, "phrases t"],
    num_phrases: Sequence[int],
) -> list[Int[Tensor, "_ q"]]:
    """For each image, all queries, best first for each of its phrases.

    A query's rank is by its largest probability among the phrase's tokens; equals keep query
    order.

    Args:
        logits: Class scores of the last decoder layer.
        positive_map: Tokens of each phrase, the phrases of all images one after the other.
        num_phrases: How many phrases each image has.
    """
    probs = at_least_float32(logits).softmax(dim=-1)
    ranked = []
    for image, rows in enumerate(torch.split(positive_map, list(num_phrases))):
        of_phrase = probs[image] * (rows > 0).unsqueeze(1)  # [phrases, Q, T]
        best = of_phrase.amax(dim=-1)  # [phrases, Q]
        ranked.append(best.argsort(dim=-1, descending=True, stable=True))
    return ranked


def apart(boxes_xyxy: Float[Tensor, "n 4"], max_iou: float) -> list[int]:
    """Return which of some boxes, best first, stay: all that overlap no better one that stays.

    Args:
        boxes_xyxy: The boxes, in any unit.
        max_iou: Overlap above which only the better box stays; 1 for all, as MDETR evaluates.
    """
    if max_iou >= 1:
        return list(range(len(boxes_xyxy)))
    overlap = box_iou(boxes_xyxy, boxes_xyxy).tolist()
    kept: list[int] = []
    for i, row in enumerate(overlap):
        if all(row[j] <= max_iou for j in kept):
            kept.append(i)
    return kept


def alignment_logits(
    logits: Float[Tensor, "b q t"],
    query_embeddings: Float[Tensor, "b q e"],
    token_embeddings: Float[Tensor, "b k e"],
    text_pad_mask: Bool[Tensor, "b k"],
    *,
    temperature: float = 0.07,
) -> Float[Tensor, "b q t"]:
    """Class scores whose tokens come from the contrastive alignment instead of the class head.

    For networks trained without the soft-token loss: the softmax of a row is P(object) times the
    softmax over the caption's tokens of the likeness of query and token (MDETR, equation 2), and
    P(no object) is the class head's.

    Args:
        logits: Class scores; only "no object" against all others is read.
        query_embeddings: Unit-norm vectors of the queries.
        token_embeddings: Unit-norm vectors of the caption's tokens.
        text_pad_mask: True on padding, which names nothing.
        temperature: Of the alignment loss (paper: 0.07).
    """
    logits = at_least_float32(logits)
    likeness = query_embeddings.to(logits) @ token_embeddings.to(logits).transpose(1, 2)
    likeness = (likeness / temperature).masked_fill(text_pad_mask.unsqueeze(1), -torch.inf)
    of_object, none = named_or_not(logits).log_softmax(dim=-1).unbind(dim=-1)  # [B, Q] each
    named = likeness.log_softmax(dim=-1) + of_object.unsqueeze(-1)  # [B, Q, K]
    columns = logits.shape[-1] - 1
    named = F.pad(named[..., :columns], (0, max(0, columns - named.shape[-1])), value=-torch.inf)
    return torch.cat([named, none.unsqueeze(-1)], dim=-1)


def phrase_tokens(logits: Float[Tensor, "q t"], *, least_prob: float = 0.1) -> Bool[Tensor, "q t"]:
    """Which tokens each query is about: probability above `least_prob`, never "no object".

    `ops.spans.rows_to_spans` turns the rows into characters of the caption. A row may be
    empty: a box without a phrase.
    """
    rows = at_least_float32(logits).softmax(dim=-1) > least_prob
    rows[..., -1] = False
    return rows


def resize_masks(
    mask_logits: Float[Tensor, "b q h w"],
    network_sizes_hw_px: Sequence[tuple[int, int]],
    original_sizes_hw_px: Sequence[tuple[int, int]],
) -> list[Bool[Tensor, "q _ _"]]:
    """Masks at each image's original size, from those of a padded batch.

    Logits are resized bilinearly to the padded size of the batch, cut to the image, resized
    bilinearly to the original size, and compared with probability 0.5.

    Args:
        mask_logits: One mask a query.
        network_sizes_hw_px: Height and width of each image as the network saw it, unpadded.
        original_sizes_hw_px: Height and width of each original image.
    """
    padded = tuple(max(side) for side in zip(*network_sizes_hw_px, strict=True))
    logits = at_least_float32(mask_logits)
    logits = F.interpolate(logits, size=padded, mode="bilinear", align_corners=False)
    sizes = zip(network_sizes_hw_px, original_sizes_hw_px, strict=True)
    masks = []
    for image, ((height, width), original) in zip(logits, sizes, strict=True):
        own = image[:, :height, :width].unsqueeze(0)  # [1, Q, H', W']
        own = F.interpolate(own, size=tuple(original), mode="bilinear", align_corners=False)
        masks.append(own[0] > 0)
    return masks


def union_of_masks(
    scores: Float[Tensor, "q"], masks: Bool[Tensor, "q h w"], *, least_score: float = 0.7
) -> Bool[Tensor, "h w"]:
    """One mask from all queries that score above `least_score`; empty if none does."""
    return masks[scores > least_score].any(dim=0)
