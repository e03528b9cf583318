"""Features of labelled images while training goes on: do neighbours share a class?

Shapes: N images, D feature width.
"""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from eyespot import dist
from eyespot.evals.knn import knn_votes, nearest


def leave_one_out_error(
    features: Float[Tensor, "n _"],
    labels: Int64[Tensor, " n"],
    *,
    neighbours: int = 20,
    temperature: float = 0.07,
) -> float:
    """Return the share of images, in percent, that their neighbours' vote calls by another class.

    Args:
        features: Of this rank's images; as many on every rank.
        labels: Their classes, from 0.
        neighbours: How many vote (SwAV: 20).
        temperature: A vote counts exp(cosine / t).

    Raises:
        ValueError: If there are not more images than neighbours, or of one class alone.
    """
    ids = torch.arange(len(features), device=features.device) + dist.rank() * len(features)
    found = nearest(features, features, neighbours, query_ids=ids, bank_ids=ids)
    everyone = dist.all_gather_cat(labels)
    votes = knn_votes(found, everyone, int(everyone.max()) + 1, temperature=temperature)
    right = dist.all_reduce_sum((votes.argmax(1) == labels).sum())
    return 100 * (1 - right.item() / len(everyone))


def effective_rank(features: Float[Tensor, "n d"]) -> float:
    """Return how many directions features use, 1 to D.

    RankMe (arXiv 2210.02885): exp of the entropy of the singular values, scaled to sum to one. Not
    centred, as in the paper.
    """
    values = torch.linalg.svdvals(features.double())
    shares = values / values.sum()
    shares = shares[shares > 0]
    return math.exp(float(-(shares * shares.log()).sum()))
