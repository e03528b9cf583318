"""Naming boxes by words: what a backbone can learn from captions before it meets a transformer.

Each annotated box has to say which of the vocabulary's tokens are in the phrases that name it.
A detector's colour and shape features come from this within a minute, where the set losses alone
need many epochs; published recipes start from a backbone that knows ImageNet instead.

Shapes: B images, C channels, h w of a map, V tokens of the vocabulary, "total" boxes of all images
one after the other.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eyespot.ops.boxes import cxcywh_to_xyxy
from eyespot.ops.matching import at_least_float32

_GRID = 3


def box_features(
    maps: Float[Tensor, "b c h w"],
    boxes_cxcywh: Float[Tensor, "total 4"],
    num_targets: Sequence[int],
) -> Float[Tensor, "total c"]:
    """Return the largest of 3 x 3 bilinear samples inside each box, channel by channel.

    Args:
        maps: Of images that are not padded.
        boxes_cxcywh: Of all images, relative to each image.
        num_targets: How many of them each image has.
    """
    image = torch.repeat_interleave(
        torch.arange(len(maps), device=maps.device),
        torch.tensor(list(num_targets), device=maps.device),
    )
    low, high = cxcywh_to_xyxy(boxes_cxcywh).chunk(2, dim=-1)  # [total, 2]
    steps = (torch.arange(_GRID, device=maps.device) + 0.5) / _GRID
    x, y = (low.unsqueeze(-1) + (high - low).unsqueeze(-1) * steps).unbind(1)  # [total, 3]
    grid = torch.stack(
        [x.unsqueeze(1).expand(-1, _GRID, -1), y.unsqueeze(2).expand(-1, -1, _GRID)], dim=-1
    )
    sampled = F.grid_sample(maps[image], (grid * 2 - 1).to(maps), align_corners=False)
    return sampled.amax(dim=(2, 3))


def phrase_words(
    token_ids: Int[Tensor, "b k"],
    positive_map: Bool[Tensor, "total t"],
    num_targets: Sequence[int],
    vocab_size: int,
) -> Bool[Tensor, "total v"]:
    """Return which tokens of the vocabulary are in the phrases that name each box."""
    counts = torch.tensor(list(num_targets), device=token_ids.device)
    ids = torch.repeat_interleave(token_ids, counts, dim=0)  # [total, K]
    chosen = F.pad(positive_map, (0, max(0, ids.shape[1] - positive_map.shape[1])))
    words = torch.zeros(len(ids), vocab_size, device=ids.device)
    words.scatter_add_(1, ids, chosen[:, : ids.shape[1]].to(words))
    return words > 0


def word_loss(
    logits: Float[Tensor, "total v"], words: Bool[Tensor, "total v"], *, num_boxes: float | Tensor
) -> Float[Tensor, ""]:
    """Binary cross entropy over the vocabulary, summed, over the boxes of the step, in nats."""
    targets = words.to(at_least_float32(logits))
    loss = F.binary_cross_entropy_with_logits(at_least_float32(logits), targets, reduction="none")
    return loss.sum() / num_boxes
