"""The losses of a grounding step, put together from the terms of `losses.grounding`.

Shapes: B images, "total" boxes of all images of a batch.
"""

from typing import NamedTuple

from torch import Tensor

from eyespot.losses.grounding import (
    GroundingLosses,
    GroundingTargets,
    grounding_losses,
    published_names,
    weighted_total,
)
from eyespot.models.mdetr import GroundingOutput
from eyespot.ops.matching import Matches
from eyespot.tasks.ground_parts import Weights
from eyespot.train.update import NonFiniteError


class SetLoss(NamedTuple):
    """What a batch's predictions lose.

    Attributes:
        total: The weighted sum over decoder layers and proposals.
        terms: The published terms of the last decoder layer, by name.
        matches: Which query is matched with which box, for each layer.
    """

    total: Tensor
    terms: dict[str, Tensor]
    matches: Matches


def set_loss(
    weights: Weights, output: GroundingOutput, wanted: GroundingTargets, num_boxes: Tensor
) -> SetLoss:
    """Return MDETR's losses of every decoder layer, and of proposals if there are any.

    Args:
        weights: Of the terms, and whether layers before the last count.
        output: Of the network.
        wanted: What should have been found.
        num_boxes: Of the whole step, by which sums are divided.

    Raises:
        NonFiniteError: If a score or box is not finite.
    """
    if not weights.auxiliary:
        output = _last_layer(output)
    losses, matches = _losses(weights, output, wanted, num_boxes)
    total = weighted_total(losses, _loss_weights(weights))
    if output.proposals is not None:
        proposed, _ = _losses(weights, output.proposals, wanted, num_boxes)
        total = total + weighted_total(proposed, _loss_weights(weights))
    return SetLoss(total, published_names(losses), matches)


def _losses(
    weights: Weights, output: GroundingOutput, wanted: GroundingTargets, num_boxes: Tensor
) -> tuple[GroundingLosses, Matches]:
    if not bool((output.logits.isfinite().all() & output.boxes_cxcywh.isfinite().all()).item()):
        raise NonFiniteError("scores or boxes are not finite; this step was not taken")
    return grounding_losses(
        output.logits,
        output.boxes_cxcywh,
        wanted,
        num_boxes=num_boxes,
        query_embeddings=output.query_embeddings,
        token_embeddings=output.token_embeddings,
        is_final_logits=output.is_final_logits,
        no_object_weight=weights.no_object,
        name_tokens=weights.soft_token > 0,
    )


def _loss_weights(weights: Weights) -> dict[str, float]:
    return {
        "soft_token": weights.soft_token or 1.0,  # of "object" against "no object"
        "box_l1": weights.box_l1,
        "box_giou": weights.box_giou,
        "contrastive_align": weights.contrastive_align,
        "is_final": weights.is_final,
    }


def _last_layer(output: GroundingOutput) -> GroundingOutput:
    return output._replace(
        logits=output.logits[-1:],
        boxes_cxcywh=output.boxes_cxcywh[-1:],
        queries=output.queries[-1:],
        query_embeddings=_last(output.query_embeddings),
        is_final_logits=_last(output.is_final_logits),
    )


def _last(values: Tensor | None) -> Tensor | None:
    return None if values is None else values[-1:]
