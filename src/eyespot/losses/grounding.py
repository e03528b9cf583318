"""The losses of modulated detection: tokens, boxes, alignment, finality, cardinality.

Paper: MDETR (arXiv 2104.12763), section 2.2. Each loss sums over matched queries and is divided
by `num_boxes`, the average number of boxes a process has in the step (at least 1), and is
computed for every decoder layer at once, in float32 or better.

Shapes: L decoder layers (the last one makes the predictions, the others are "auxiliary"),
B images, Q queries, T classes (token positions, the last one "no object"), K caption tokens,
E alignment width, P matched pairs of a layer, "total" boxes of all images one after the other.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from eyespot.ops.boxes import cxcywh_to_xyxy, elementwise_giou
from eyespot.ops.matching import (
    Matches,
    at_least_float32,
    match_queries,
    matched,
    named_or_not,
)

LayerLoss = Float[Tensor, "l"]

PUBLISHED_WEIGHTS: Mapping[str, float] = {
    "soft_token": 1.0,
    "box_l1": 5.0,
    "box_giou": 2.0,
    "contrastive_align": 1.0,
    "is_final": 1.0,
}

_PUBLISHED_NAMES = {
    "soft_token": "loss_ce",
    "box_l1": "loss_bbox",
    "box_giou": "loss_giou",
    "contrastive_align": "loss_contrastive_align",
    "is_final": "loss_isfinal",
    "cardinality_error": "cardinality_error",
    "is_final_accuracy": "accuracy_isfinal",
}


class GroundingLosses(NamedTuple):
    """Every term, one value a decoder layer; None where the model has no such head.

    `cardinality_error` and `is_final_accuracy` are for the log, not for training.
    """

    soft_token: LayerLoss
    box_l1: LayerLoss
    box_giou: LayerLoss
    cardinality_error: LayerLoss
    contrastive_align: LayerLoss | None = None
    is_final: LayerLoss | None = None
    is_final_accuracy: LayerLoss | None = None


class GroundingTargets(NamedTuple):
    """What the captions of a batch say, the boxes of all images one after the other.

    Args:
        boxes_cxcywh: Relative to the image.
        positive_map: Weight of each token for each box. The published models were trained with
            `ops.spans.positive_map`, 1 for every token; `ops.spans.normalize_rows` of it is the
            uniform distribution the paper describes.
        num_targets: How many boxes each image has.
        token_map: Which caption tokens name each box, for the alignment loss. None: the
            positive columns of `positive_map`.
        is_final: 1 where the caption as a whole refers to the box (CLEVR-Ref+), 0 where not, NaN
            where the caption refers to none in particular.
    """

    boxes_cxcywh: Float[Tensor, "total 4"]
    positive_map: Float[Tensor, "total t"] | Bool[Tensor, "total t"]
    num_targets: Sequence[int]
    token_map: Bool[Tensor, "total k"] | None = None
    is_final: Float[Tensor, "total"] | None = None


def grounding_losses(
    logits: Float[Tensor, "l b q t"],
    boxes_cxcywh: Float[Tensor, "l b q 4"],
    targets: GroundingTargets,
    *,
    num_boxes: float | Tensor,
    query_embeddings: Float[Tensor, "l b q e"] | None = None,
    token_embeddings: Float[Tensor, "b k e"] | None = None,
    is_final_logits: Float[Tensor, "l b q"] | None = None,
    no_object_weight: float = 0.1,
    temperature: float = 0.07,
    name_tokens: bool = True,
) -> tuple[GroundingLosses, Matches]:
    """Match every layer's queries to the boxes and compute all losses of the batch.

    Args:
        logits: Scores of every query for every token position and "no object".
        boxes_cxcywh: Predicted boxes, relative to the image.
        targets: The annotated boxes and their tokens.
        num_boxes: Boxes of this step averaged over processes, at least 1.
        query_embeddings: Unit-norm alignment vectors of the queries.
        token_embeddings: Unit-norm alignment vectors of the caption's tokens.
        is_final_logits: Scores for "the caption as a whole means this box".
        no_object_weight: Of unmatched queries in the token loss (paper: 0.1).
        temperature: Of the alignment loss (paper: 0.07).
        name_tokens: False for the ablation without soft-token prediction: the class head is
            trained and matched as "object" against "no object", and the alignment names tokens.

    Raises:
        ValueError: If a head has no targets, or predictions are not finite.
    """
    boxes, positive_map, num_targets = targets[:3]
    names = positive_map
    if not name_tokens:
        logits = named_or_not(logits)
        positive_map = positive_map.new_tensor([True, False]).expand(len(boxes), 2)
    matches = match_queries(logits, boxes_cxcywh, boxes, positive_map, num_targets)
    box_l1, box_giou = box_losses(boxes_cxcywh, matches, boxes, num_boxes=num_boxes)
    losses = GroundingLosses(
        soft_token_loss(
            logits, matches, positive_map, num_boxes=num_boxes, no_object_weight=no_object_weight
        ),
        box_l1,
        box_giou,
        cardinality_error(logits, num_targets),
    )
    if query_embeddings is not None and token_embeddings is not None:
        token_map = targets.token_map
        if token_map is None:
            token_map = _token_map(names, token_embeddings.shape[1])
        align = contrastive_align_loss(
            query_embeddings,
            token_embeddings,
            matches,
            token_map,
            num_boxes=num_boxes,
            temperature=temperature,
        )
        losses = losses._replace(contrastive_align=align)
    if is_final_logits is not None:
        if targets.is_final is None:
            raise ValueError("need is_final for every box to train the is-final head, got None")
        loss, accuracy = is_final_loss(
            is_final_logits, matches, targets.is_final, num_boxes=num_boxes
        )
        losses = losses._replace(is_final=loss, is_final_accuracy=accuracy)
    return losses, matches


def weighted_total(
    losses: GroundingLosses, weights: Mapping[str, float] = PUBLISHED_WEIGHTS
) -> Float[Tensor, ""]:
    """Sum all layers of all terms by weight; the same weight serves every layer."""
    terms = losses._asdict()
    used = [
        weight * terms[name].sum() for name, weight in weights.items() if terms[name] is not None
    ]
    return torch.stack(used).sum()


def published_names(losses: GroundingLosses) -> dict[str, Tensor]:
    """Name each value as the published logs do: `loss_ce` (last layer), `loss_ce_0`, ..."""
    named = {}
    for field, values in losses._asdict().items():
        if values is not None:
            name = _PUBLISHED_NAMES[field]
            named[name] = values[-1]
            named.update({f"{name}_{i}": value for i, value in enumerate(values[:-1])})
    return named


def soft_token_loss(
    logits: Float[Tensor, "l b q t"],
    matches: Matches,
    positive_map: Float[Tensor, "total t"] | Bool[Tensor, "total t"],
    *,
    num_boxes: float | Tensor,
    no_object_weight: float = 0.1,
) -> LayerLoss:
    """Cross entropy of each query with the tokens of its box, or with "no object".

    MDETR, section 2.2.2. With a binary map a box of k tokens counts k log-probabilities, as
    in the published training; with normalised rows their mean, as in the paper.

    Returns:
        (sum over matched of -map . log p - no_object_weight * sum over the others of
        log p(no object)) / num_boxes, in nats.
    """
    log_probs = at_least_float32(logits).log_softmax(dim=-1)
    unmatched = torch.full_like(log_probs[..., -1], no_object_weight)  # [L, B, Q]
    layer = torch.arange(len(logits), device=logits.device).unsqueeze(1)
    unmatched[layer, matches.image, matches.query] = 0.0
    no_object = (unmatched * log_probs[..., -1]).sum(dim=(1, 2))
    tokens = positive_map[matches.target].to(log_probs)  # [L, P, T]
    objects = (tokens * matched(log_probs, matches)).sum(dim=(1, 2))
    return -(no_object + objects) / num_boxes


def box_losses(
    boxes_cxcywh: Float[Tensor, "l b q 4"],
    matches: Matches,
    target_boxes_cxcywh: Float[Tensor, "total 4"],
    *,
    num_boxes: float | Tensor,
) -> tuple[LayerLoss, LayerLoss]:
    """L1 distance of the four numbers of matched boxes, and 1 - GIoU, each over num_boxes."""
    found = at_least_float32(matched(boxes_cxcywh, matches))  # [L, P, 4]
    wanted = target_boxes_cxcywh[matches.target].to(found)
    l1 = (found - wanted).abs().sum(dim=(1, 2))
    giou = elementwise_giou(cxcywh_to_xyxy(found), cxcywh_to_xyxy(wanted))  # [L, P]
    return l1 / num_boxes, (1 - giou).sum(dim=1) / num_boxes


@torch.no_grad()
def cardinality_error(logits: Float[Tensor, "l b q t"], num_targets: Sequence[int]) -> LayerLoss:
    """Mean over images of |queries that name an object - annotated boxes|; for the log."""
    named = (logits.argmax(dim=-1) != logits.shape[-1] - 1).sum(dim=-1)  # [L, B]
    wanted = torch.tensor(num_targets, device=logits.device)
    return (named - wanted).abs().to(torch.float32).mean(dim=1)


def contrastive_align_loss(
    query_embeddings: Float[Tensor, "l b q e"],
    token_embeddings: Float[Tensor, "b k e"],
    matches: Matches,
    token_map: Bool[Tensor, "total k"],
    *,
    num_boxes: float | Tensor,
    temperature: float = 0.07,
) -> LayerLoss:
    """Pull each matched query and the tokens that name its box together, in both directions.

    MDETR, equations 1 to 3. As published, padding and special tokens stay in the
    denominators, and only queries (tokens) with at least one positive count.

    Args:
        query_embeddings: Unit-norm vectors of the queries.
        token_embeddings: Unit-norm vectors of the caption's tokens, padding included.
        matches: From the matcher.
        token_map: Which tokens name each box.
        num_boxes: See the module.
        temperature: Divides the similarities (paper: 0.07).
    """
    with torch.autocast(query_embeddings.device.type, enabled=False):
        queries = at_least_float32(query_embeddings)
        tokens = token_embeddings.to(queries)
        similarity = queries @ tokens.transpose(1, 2) / temperature  # [L, B, Q, K]
    positive = torch.zeros_like(similarity, dtype=torch.bool)
    layer = torch.arange(len(queries), device=queries.device).unsqueeze(1)
    positive[layer, matches.image, matches.query] = token_map[matches.target]
    by_query = _multi_positive_nce(similarity, positive)
    by_token = _multi_positive_nce(similarity.transpose(2, 3), positive.transpose(2, 3))
    return (by_query + by_token) / 2 / num_boxes


def is_final_loss(
    is_final_logits: Float[Tensor, "l b q"],
    matches: Matches,
    is_final: Float[Tensor, "total"],
    *,
    num_boxes: float | Tensor,
) -> tuple[LayerLoss, LayerLoss]:
    """Binary cross entropy of matched queries with "the caption means this box"; accuracy.

    Boxes of which it is not known (NaN) count in neither. The accuracy (at probability 0.5) is 0
    when nothing was matched.
    """
    found = at_least_float32(matched(is_final_logits, matches))  # [L, P]
    wanted = is_final[matches.target].to(found)
    known = ~wanted.isnan()
    each = F.binary_cross_entropy_with_logits(found, wanted.nan_to_num(), reduction="none")
    right = ((found > 0) == (wanted > 0.5)) & known
    return (each * known).sum(dim=1) / num_boxes, right.sum(dim=1) / known.sum(dim=1).clamp(min=1)


def image_text_contrastive_loss(
    image_embeddings: Float[Tensor, "b e"],
    text_embeddings: Float[Tensor, "b e"],
    *,
    temperature: float = 0.07,
) -> Float[Tensor, ""]:
    """Tell the image of each caption from the others of the batch, and the reverse (InfoNCE).

    Optional in the published code and used by no published model. Inputs are normalised here.

    Returns:
        Mean of both directions in nats; ln B when all similarities are equal.
    """
    with torch.autocast(image_embeddings.device.type, enabled=False):
        images = F.normalize(at_least_float32(image_embeddings), dim=-1)
        texts = F.normalize(at_least_float32(text_embeddings), dim=-1)
        similarity = texts @ images.T / temperature  # [B, B]
    own = torch.arange(len(images), device=images.device)
    return (F.cross_entropy(similarity, own) + F.cross_entropy(similarity.T, own)) / 2


def _multi_positive_nce(
    similarity: Float[Tensor, "l b n m"], positive: Bool[Tensor, "l b n m"]
) -> LayerLoss:
    """Sum over rows with a positive of log-sum-exp of all minus the mean of the positives."""
    count = positive.sum(dim=-1)  # [L, B, N]
    mean = torch.where(positive, similarity, 0.0).sum(dim=-1) / (count + 1e-6)
    loss = torch.where(count > 0, similarity.logsumexp(dim=-1) - mean, 0.0)
    return loss.sum(dim=(1, 2))


def _token_map(
    positive_map: Float[Tensor, "total t"] | Bool[Tensor, "total t"], num_tokens: int
) -> Bool[Tensor, "total k"]:
    """The columns of the caption's tokens; captions longer than the map have no positives there."""
    rows = positive_map[:, :num_tokens] > 0
    return F.pad(rows, (0, num_tokens - rows.shape[1]))
