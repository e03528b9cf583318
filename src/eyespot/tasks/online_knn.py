"""Features of labelled images while training goes on: do neighbours share a class?

Shapes: N images, D feature width.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor


def leave_one_out_error(
    features: Float[Tensor, "n _"],
    labels: Int64[Tensor, " n"],
    *,
    neighbours: int = 20,
    temperature: float = 0.07,
    block: int = 1024,
) -> float:
    """Return the share of images, in percent, that their neighbours' vote calls by another class.

    Paper: Wu et al. (arXiv 1805.01978), section 3.4: a neighbour's vote counts exp(cosine / t).

    Args:
        features: Of all images.
        labels: Their classes, from 0.
        neighbours: How many vote (SwAV: 20).
        temperature: t.
        block: Images compared with all others at a time.

    Raises:
        ValueError: If there are not more images than neighbours.
    """
    if len(features) <= neighbours:
        raise ValueError(
            f"need more than {neighbours} images for as many neighbours, got {len(features)}"
        )
    unit = F.normalize(features.float(), dim=1)
    right = 0
    for first in range(0, len(unit), block):
        cosines = unit[first : first + block] @ unit.t()  # [block, N]
        own = torch.arange(first, first + len(cosines), device=unit.device)
        cosines[torch.arange(len(cosines), device=unit.device), own] = -torch.inf
        near, places = cosines.topk(neighbours, dim=1)
        votes = cosines.new_zeros(len(cosines), int(labels.max()) + 1)
        votes.scatter_add_(1, labels[places], ((near - near[:, :1]) / temperature).exp())
        right += int((votes.argmax(1) == labels[own]).sum())
    return 100 * (1 - right / len(unit))


def effective_rank(features: Float[Tensor, "n d"]) -> float:
    """Return how many directions features use, 1 to D.

    RankMe (arXiv 2210.02885): exp of the entropy of the singular values, scaled to sum to one. Not
    centred, as in the paper.
    """
    values = torch.linalg.svdvals(features.double())
    shares = values / values.sum()
    shares = shares[shares > 0]
    return math.exp(float(-(shares * shares.log()).sum()))
