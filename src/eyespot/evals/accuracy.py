"""Top-k accuracy, exact whatever the batches and however many ranks share them.

Shapes: B samples, K classes.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.distributed import ProcessGroup

from eyespot import dist


class TopK:
    """Counts how often the right class is among the k best; whole numbers until the end.

    Args:
        ks: Each k to count, such as (1, 5).

    Raises:
        ValueError: If there is no k, or one below 1.
    """

    def __init__(self, ks: Sequence[int] = (1, 5)) -> None:
        if not ks or min(ks) < 1:
            raise ValueError(f"need at least one k of 1 or more, got {list(ks)}")
        self.ks = tuple(ks)
        self._counts: Tensor | None = None  # samples, then hits of each k

    def add(self, scores: Float[Tensor, "b k"], labels: Int64[Tensor, " b"]) -> None:
        """Count a batch.

        Raises:
            ValueError: If a label is no class, a score is NaN, or there are fewer classes than k.
        """
        hits = [in_top_k(scores, labels, k).sum() for k in self.ks]
        counts = torch.stack([torch.full_like(hits[0], len(labels)), *hits])
        self._counts = counts if self._counts is None else self._counts + counts

    def result(self, group: ProcessGroup | None = None) -> dict[str, float]:
        """Return the shares in 0..1 over all ranks by name, "top1" and so on.

        Every rank must have counted at least one batch, or none of them.

        Raises:
            ValueError: If nothing was counted.
        """
        if self._counts is None:
            raise ValueError("need at least one sample to measure accuracy on, got none")
        total, *hits = dist.all_reduce_sum(self._counts, group).tolist()
        if total == 0:
            raise ValueError("need at least one sample to measure accuracy on, got none")
        return {f"top{k}": n / total for k, n in zip(self.ks, hits, strict=True)}


def in_top_k(
    scores: Float[Tensor, "b k"], labels: Int64[Tensor, " b"], k: int
) -> Bool[Tensor, " b"]:
    """Say of each sample whether its class is among the k best scored.

    Of equal scores the class of the lower number comes first, so a network that scores all
    classes alike is right about class 0 alone.

    Raises:
        ValueError: If a label is no class, a score is NaN, or there are fewer than k classes.
    """
    classes = scores.shape[1]
    if k > classes:
        raise ValueError(f"need at least {k} classes for top-{k} accuracy, got {classes}")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        wrong = labels[(labels < 0) | (labels >= classes)][0].item()
        raise ValueError(
            f"need labels of 0..{classes - 1} to measure accuracy, got {wrong}; are the samples "
            "labelled, and is this the classifier of their classes?"
        )
    if bool(scores.isnan().any()):
        raise ValueError("need scores that are numbers to measure accuracy, got NaN")
    own = scores.gather(1, labels[:, None])  # [B, 1]
    before = torch.arange(classes, device=scores.device) < labels[:, None]  # [B, K]
    better = (scores > own) | ((scores == own) & before)
    return better.sum(1) < k
