"""Whether self-supervised training is well: cheap numbers of every step, and what they mean.

Shapes: A coded views, V views, B samples of this rank, L queued samples, K prototypes, E embedding
width.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from eyespot import dist

_COLLAPSED = 0.95  # mean cosine of different images
_STALE = 0.5  # share of the queue that falls on other prototypes than the batch
_FEW_CODES = 0.5  # entropy of the mean code, of ln K: as of the square root of K prototypes
_ILL_WHEN_LOW = {"code_usage_entropy", "prototypes_used"}


@torch.no_grad()
def embedding_health(embeddings: Float[Tensor, "a b e"]) -> dict[str, Tensor]:
    """Measure how differently the images of a batch, all ranks together, are embedded.

    Args:
        embeddings: Of unit length; the first view is measured.

    Returns:
        `likeness`: mean cosine between embeddings of different images, -1 to 1; near 1 all images
        look alike. `dimensions`: how many directions the embeddings use, 1 to E: the participation
        ratio (sum of variances)^2 / sum of squared variances over principal axes.
    """
    rows = embeddings[0]
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))  # [B, E]
    count = len(rows) * dist.world_size()
    sums = dist.all_reduce_sum(torch.cat([rows.t() @ rows, rows.sum(0)[None]]))  # [E + 1, E]
    squares, total = sums[:-1], sums[-1]
    likeness = (total.square().sum() - squares.trace()) / max(1, count * (count - 1))
    covariance = squares / count - torch.outer(total, total) / count**2
    dimensions = covariance.trace().square() / covariance.square().sum().clamp_min(1e-20)
    return {"likeness": likeness, "dimensions": dimensions}


@torch.no_grad()
def code_health(
    scores: Float[Tensor, "v b k"], codes: Float[Tensor, "a b k"], *, temperature: float
) -> dict[str, Tensor]:
    """Measure how sharp codes are, and how evenly codes and predictions use the prototypes.

    All are over the samples of all ranks.

    Returns:
        `code_entropy`: mean entropy of a code, in 0..1 of ln K: 1 says nothing about an image.
        `code_usage_entropy`: entropy of the mean code, in 0..1 of ln K: 1 when codes use all
        prototypes equally, near 0 when they all fall on one; at least `code_entropy`.
        `prototypes_used`: exp of the entropy of the mean prediction, over K: near 1 / K all
        images are predicted alike. `greatest_score`: above 1 means that embeddings or prototypes
        are not of unit length.
    """
    count = scores.shape[-1]
    entropy = dist.all_reduce_mean(_entropy(codes).mean()) / math.log(count)
    usage = _entropy(dist.all_reduce_mean(codes.flatten(0, 1).mean(0))) / math.log(count)
    mean = dist.all_reduce_mean(_predictions(scores[: len(codes)], temperature))
    used = _entropy(mean).exp() / count
    greatest = dist.all_reduce_max(scores.abs().amax())
    return {
        "code_entropy": entropy,
        "code_usage_entropy": usage,
        "prototypes_used": used,
        "greatest_score": greatest,
    }


def worst_of(found: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return each measure of several sets of prototypes, or parts of a step, where it is worst.

    That is the lowest `code_usage_entropy` and `prototypes_used`, and the highest of all others.

    Args:
        found: The same measures of each, at least one.
    """
    every = {name: torch.stack([each[name] for each in found]) for name in found[0]}
    return {
        name: values.amin(0) if name in _ILL_WHEN_LOW else values.amax(0)
        for name, values in every.items()
    }


@torch.no_grad()
def queue_health(seen: Float[Tensor, "a n k"], batch: int, temperature: float) -> dict[str, Tensor]:
    """Measure whether the queue still looks like the batch that follows it.

    Returns:
        `queue_drift`: half the distance between the mean predictions of the two, 0 to 1; 0 while
        the queue is not used.
    """
    queued = seen.shape[1] - batch
    if queued == 0:
        return {"queue_drift": seen.new_zeros(())}
    old = _predictions(seen[:, :queued], temperature)
    new = _predictions(seen[:, queued:], temperature)
    return {"queue_drift": (dist.all_reduce_mean(old) - dist.all_reduce_mean(new)).abs().sum() / 2}


def _predictions(scores: Tensor, temperature: float) -> Tensor:
    return (scores / temperature).softmax(-1).flatten(0, -2).mean(0)  # [K]


def _entropy(shares: Float[Tensor, "*n k"]) -> Float[Tensor, "*n"]:
    """Of shares that sum to one, in nats; a share of zero adds nothing."""
    entropy: Tensor = torch.special.entr(shares).sum(-1)
    return entropy


def advice(
    means: Mapping[str, float], *, step: int, chance_loss: float, settled: int, width: int
) -> list[str]:
    """Say what is wrong, the likely cause and the remedy; nothing if all is well.

    Args:
        means: Of a window of steps: the loss and the numbers above.
        step: Of the run.
        chance_loss: The loss of a network that knows nothing, in nats.
        settled: Steps after which a run has left the chance loss and used its embedding.
        width: E.
    """
    found = []
    if means.get("greatest_score", 0.0) > 1.01:
        found.append(
            f"scores reach {means['greatest_score']:.2f} where cosines end at 1: embeddings or "
            "prototypes are not of unit length; Sinkhorn overflows next. Normalise both before "
            "every step"
        )
    if means.get("queue_drift", 0.0) > _STALE:
        found.append(
            f"the queue is stale: {means['queue_drift']:.0%} of it falls on other prototypes than "
            "the batch, for the network outruns it. Take a shorter queue, start it later, or a "
            "lower rate"
        )
    if step < settled:
        return found
    if means.get("likeness", 0.0) > _COLLAPSED:
        found.append(
            f"embeddings of different images have a mean cosine of {means['likeness']:.2f}: they "
            "have collapsed. Take a lower rate or a longer warmup, weaker crops and colours, no "
            "batch norm in the head, or (SwAV) epsilon 0.03 and a longer freeze of the prototypes"
        )
    elif means.get("dimensions", width) < min(2.0, width):
        found.append(
            f"embeddings lie along {means['dimensions']:.1f} of {width} directions: they are "
            "collapsing. Take a lower rate, or a larger batch"
        )
    elif means.get("code_entropy", 0.0) > 0.99:
        found.append(
            "codes say nothing about the images: their entropy is that of chance. Take a smaller "
            "epsilon (0.03)"
        )
    elif means.get("code_usage_entropy", 1.0) < _FEW_CODES:
        found.append(
            "codes leave most prototypes out: the mean code has "
            f"{means['code_usage_entropy']:.0%} of the entropy of equal use. Take more iterations "
            "of Sinkhorn, a larger epsilon, or a larger batch or queue"
        )
    if abs(means["loss"] - chance_loss) < 0.01 * chance_loss:
        found.append(
            f"the loss is {means['loss']:.3f}, that of a network that knows nothing "
            f"({chance_loss:.3f}): it has not begun to learn, or has collapsed. Take another rate, "
            "or (SwAV) epsilon 0.03, a longer freeze, or fewer prototypes for so few images"
        )
    return found
