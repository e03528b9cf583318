"""Focal and dice loss of predicted masks (PhraseCut).

Paper: MDETR (arXiv 2104.12763), section 4.2; focal loss arXiv 1708.02002; dice arXiv 1606.04797.

Shapes: B images, Q queries, N matched masks, h w predicted and H W annotated size, "total"
masks of all images one after the other.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from eyespot.ops.matching import Matches, at_least_float32


def mask_losses(
    mask_logits: Float[Tensor, "b q h w"],
    matches: Matches,
    target_masks: Bool[Tensor, "total H W"],
    *,
    num_boxes: float | Tensor,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Focal and dice loss of the last decoder layer's matched masks.

    Predictions are resized bilinearly to the annotated size, which is the padded size of the
    batch; as published, padding pixels count like any other (annotated as outside).

    Args:
        mask_logits: One mask a query.
        matches: From the matcher; its last layer is used.
        target_masks: Masks of all boxes, in the order the matcher was given the boxes.
        num_boxes: Boxes of this step averaged over processes, at least 1.
    """
    image, query, target = (index[-1] for index in matches)
    found = at_least_float32(mask_logits[image, query])  # [N, h, w]
    size = target_masks.shape[-2:]
    found = F.interpolate(found.unsqueeze(1), size=size, mode="bilinear", align_corners=False)
    found = found.flatten(1)  # [N, H*W]
    wanted = target_masks[target].flatten(1).to(found)
    return (
        focal_loss(found, wanted, num_boxes=num_boxes),
        dice_loss(found, wanted, num_boxes=num_boxes),
    )


def focal_loss(
    logits: Float[Tensor, "n pixels"],
    targets: Float[Tensor, "n pixels"],
    *,
    num_boxes: float | Tensor,
    alpha: float = 0.25,
    gamma: float = 2.0,
) -> Float[Tensor, ""]:
    """Cross entropy weighted by (1 - probability of the truth)^gamma: pixel mean, mask sum.

    Args:
        logits: Scores for "inside".
        targets: 1 inside, 0 outside.
        num_boxes: Divides the sum over masks.
        alpha: Weight of inside pixels; outside pixels weigh 1 - alpha.
        gamma: How strongly easy pixels are discounted.
    """
    logits = at_least_float32(logits)
    ce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    miss = (logits.sigmoid() - targets).abs()  # 1 - probability of the truth, for 0/1 targets
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return (weight * miss**gamma * ce).mean(dim=1).sum() / num_boxes


def dice_loss(
    logits: Float[Tensor, "n pixels"],
    targets: Float[Tensor, "n pixels"],
    *,
    num_boxes: float | Tensor,
) -> Float[Tensor, ""]:
    """1 - (2 sum(p g) + 1) / (sum(p) + sum(g) + 1) of each mask, summed, over num_boxes."""
    probs = at_least_float32(logits).sigmoid()
    both = 2 * (probs * targets).sum(dim=1) + 1
    each = probs.sum(dim=1) + targets.sum(dim=1) + 1
    return torch.sum(1 - both / each) / num_boxes
