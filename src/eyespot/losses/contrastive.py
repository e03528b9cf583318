"""Contrastive losses: SimCLR's NT-Xent with any number of views, and MoCo's InfoNCE with a queue.

Shapes: V views, B samples of this process, E embedding width, N queued keys. Embeddings are
normalised here, and the losses are computed in float32 (float64 for float64) under autocast.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.distributed import ProcessGroup

from eyespot import dist


def nt_xent_loss(
    embeddings: Float[Tensor, "v b e"],
    *,
    temperature: float,
    group: ProcessGroup | None = None,
) -> Float[Tensor, ""]:
    """Tell the other views of an image from all views of all other images.

    Papers: SimCLR (arXiv 2002.05709), eq. 1; SwAV (arXiv 2006.09882), appendix, for more than two
    views: the mean over an anchor's V - 1 positives, each alone against all negatives. Negatives
    come from every process (VISSL's multi-crop form leaves the other processes out).

    Args:
        embeddings: Projected views of this process's samples; same shape on every process.
        temperature: Of the softmax (SimCLR: 0.1).
        group: Processes whose samples are negatives; all of them by default.

    Returns:
        Mean over this process's anchors, in nats. Its mean over processes, and the gradients that
        DDP averages, are those of one process with all samples.

    Raises:
        ValueError: If there are fewer than two views, or only one image on all processes.
    """
    num_views, batch, _ = embeddings.shape
    num_images = batch * dist.world_size(group)
    if num_views < 2 or num_images < 2:
        raise ValueError(
            "need at least 2 views of at least 2 images, "
            f"got {num_views} views of {num_images} images"
        )
    with torch.autocast(embeddings.device.type, enabled=False):
        anchors = _unit(embeddings).transpose(0, 1)  # [B, V, E]
        others = dist.all_gather_cat(anchors, differentiable=True, group=group)
        logits = torch.einsum("bve,cwe->bvcw", anchors, others) / temperature
    own = torch.arange(batch, device=logits.device)
    same = own + dist.rank(group) * batch  # where this process's images are among all
    positives = logits[own, :, same]  # [B, V, V]
    is_same = torch.zeros(batch, num_images, dtype=torch.bool, device=logits.device)
    is_same[own, same] = True
    negatives = logits.masked_fill(is_same[:, None, :, None], -torch.inf)
    against = negatives.flatten(2).logsumexp(dim=2, keepdim=True)  # [B, V, 1]
    losses = torch.logaddexp(positives, against) - positives  # [B, V, V]
    itself = torch.eye(num_views, dtype=torch.bool, device=logits.device)
    return losses.masked_fill(itself, 0.0).sum() / (batch * num_views * (num_views - 1))


def info_nce_loss(
    queries: Float[Tensor, "b e"],
    keys: Float[Tensor, "b e"],
    queue: Float[Tensor, "n e"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """Tell each query's own key from all queued keys.

    Paper: MoCo (arXiv 1911.05722), eq. 1; MoCo v2 (arXiv 2003.04297) for the temperature.

    Args:
        queries: From the trained encoder.
        keys: Of the same images, from the averaged encoder; no gradient flows into them.
        queue: Keys of earlier batches, as they were before this batch's keys joined them.
        temperature: Of the softmax (MoCo v2: 0.2).

    Returns:
        Mean cross-entropy in nats.
    """
    with torch.autocast(queries.device.type, enabled=False):
        queries, keys, queue = _unit(queries), _unit(keys.detach()), _unit(queue.detach())
        own = (queries * keys).sum(dim=1, keepdim=True)  # [B, 1]
        logits = torch.cat([own, queries @ queue.t()], dim=1) / temperature  # [B, 1 + N]
        return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))


def _unit(x: Tensor) -> Tensor:
    return F.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=-1)
