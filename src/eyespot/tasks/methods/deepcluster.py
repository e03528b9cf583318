"""DeepCluster-v2: predict the cluster that an image had at the end of the last epoch.

Papers: DeepCluster (arXiv 1807.05520); SwAV (arXiv 2006.09882), section 4 and appendix, for the
second version. It needs several passes over the data.

Shapes: B samples of this rank, V views, A views kept, N samples of the data, H sets of K
prototypes, E embedding width.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from eyespot import dist
from eyespot.errors import RecipeError
from eyespot.models.heads import SwAVHead
from eyespot.models.redraw import fill_
from eyespot.tasks.health import embedding_health
from eyespot.tasks.methods.training import Sizes, Training, Views, by_view
from eyespot.tasks.ranges import Within, check_ranges, check_widths
from eyespot.train.job import Job
from eyespot.train.sharding import reshard_

_NO_CLUSTER = -100  # of samples that no epoch has reached yet; cross-entropy leaves them out


@dataclass(frozen=True, slots=True)
class DeepCluster:
    """Numbers of DeepCluster-v2.

    Attributes:
        hidden_dims: Widths of the projector's hidden layers.
        out_dim: Width E of an embedding.
        prototypes: K of each set.
        kept_views: A: the first views, whose embeddings are kept; the sets take turns at them.
        temperature: Of the prediction's softmax.
        iters: Of the spherical k-means at the start of every epoch.
    """

    name: Literal["deepcluster"] = "deepcluster"
    hidden_dims: tuple[int, ...] = (2048,)
    out_dim: int = 128
    prototypes: tuple[int, ...] = (3000, 3000, 3000)
    kept_views: int = 2
    temperature: float = 0.1
    iters: int = 10


class Memory(nn.Module):
    """Every sample's last embeddings and its present clusters, the same on every rank."""

    embeddings: Tensor
    clusters: Tensor

    def __init__(self, settings: DeepCluster, sizes: Sizes) -> None:
        super().__init__()
        kept, sets, device = settings.kept_views, len(settings.prototypes), sizes.device
        shape = (kept, sizes.num_samples, settings.out_dim)
        none = torch.full((sets, sizes.num_samples), _NO_CLUSTER, device=device)
        self.register_buffer("embeddings", torch.zeros(shape, device=device))  # [A, N, E]
        self.register_buffer("clusters", none)  # [H, N]

    def keep_(self, indices: Int64[Tensor, " b"], embeddings: Float[Tensor, "a b e"]) -> None:
        """Write down embeddings of samples, those of all ranks."""
        everyone = dist.all_gather_cat(indices)
        rows = dist.all_gather_cat(embeddings.transpose(0, 1))  # [ranks B, A, E]
        self.embeddings[:, everyone] = rows.transpose(0, 1)


def check(settings: DeepCluster, sizes: Sizes) -> None:
    """Raise RecipeError if these numbers cannot train."""
    check_widths(settings.hidden_dims, settings.out_dim)
    check_ranges({"method.iters": Within(settings.iters, 1)})
    if not settings.temperature > 0:
        raise RecipeError(f"need a temperature above 0, got {settings.temperature}")
    if sizes.num_views < 2 or not 1 <= settings.kept_views <= sizes.num_views:
        raise RecipeError(
            "need at least 2 views of an image, and kept_views of 1 to all of them, got "
            f"{sizes.num_views} views and kept_views {settings.kept_views}; add crops"
        )
    seen = sizes.steps_per_epoch * sizes.batch_size
    if not settings.prototypes or not 2 <= max(settings.prototypes) <= seen:
        raise RecipeError(
            f"need sets of 2 to {seen} prototypes, as many as images of an epoch, got "
            f"{settings.prototypes}"
        )
    if sizes.total_steps <= sizes.steps_per_epoch:
        raise RecipeError(
            "need more than one epoch for DeepCluster, which predicts the clusters of the epoch "
            f"before, got {sizes.total_steps} steps with {sizes.steps_per_epoch} an epoch; SwAV "
            "learns from one pass"
        )


def make_head(settings: DeepCluster, width: int) -> nn.Module:
    """Return the projector and the prototypes, which no gradient moves."""
    dims = (width, *settings.hidden_dims, settings.out_dim)
    head = SwAVHead(dims, settings.prototypes, batch_norm=True)
    head.prototypes.requires_grad_(False)
    return head


def make_state(training: Training) -> dict[str, nn.Module]:
    """Return the memory."""
    return {"memory": Memory(training.method, training.sizes)}


def step(training: Training, job: Job, views: Views, indices: Tensor) -> dict[str, Tensor]:
    """Take one step; the first of an epoch clusters the embeddings of the one before."""
    settings: DeepCluster = training.method
    memory = job.modules["memory"]
    assert isinstance(memory, Memory)
    epoch, place = divmod(job.step, training.sizes.steps_per_epoch)
    if place == 0:
        if epoch == 0:
            _look_at_all_(training, memory)
        _cluster_(training, memory, epoch)
    indices = indices.to(training.sizes.device)
    embedded: list[Tensor] = []

    def loss_of(part: tuple[Views, Tensor]) -> Tensor:
        views, clusters = part
        embeddings, scores = training.run(training.model, views)
        kept = by_view(embeddings.detach(), training.sizes.num_views)[: settings.kept_views]
        embedded.append(kept)
        losses = [
            F.cross_entropy(
                of_set / settings.temperature, of_samples.repeat(training.sizes.num_views)
            )
            for of_set, of_samples in zip(scores, clusters, strict=True)
        ]
        return torch.stack(losses).mean()

    parts = training.parts(views)
    clusters = memory.clusters[:, indices].chunk(len(parts), dim=1)  # [H, B] each
    loss = training.backward(list(zip(parts, clusters, strict=True)), loss_of)
    norm = training.descend(loss)
    kept = torch.cat(embedded, dim=1)  # [A, B, E]
    memory.keep_(indices, kept)
    return {"loss": loss, "gradient_norm": norm, **embedding_health(kept)}


def chance_loss(settings: DeepCluster, sizes: Sizes) -> float:
    """Return the loss of a network that knows nothing: ln K, the mean over sets."""
    logs: list[float] = torch.tensor(settings.prototypes, dtype=torch.float64).log().tolist()
    return sum(logs) / len(logs)


@torch.no_grad()
def _look_at_all_(training: Training, memory: Memory) -> None:
    """Fill the memory before the first step, from the network as it was drawn."""
    for indices, views in training.first_views():
        embeddings, _ = training.run(training.network, views)
        rows = by_view(embeddings, sum(len(of_size) for of_size in views))
        memory.keep_(indices.to(training.sizes.device), rows[: training.method.kept_views])
    reshard_(training.network)


@torch.no_grad()
def _cluster_(training: Training, memory: Memory, epoch: int) -> None:
    """Replace every set of prototypes by the centres of the kept embeddings, and all clusters."""
    settings: DeepCluster = training.method
    head = training.network.head
    assert isinstance(head, SwAVHead)
    for i, prototypes in enumerate(head.prototypes):
        rows = memory.embeddings[i % settings.kept_views]  # [N, E]
        draw = (training.sizes.seed * 1_000_003 + epoch) * 101 + i
        generator = torch.Generator().manual_seed(draw)
        centres, clusters = spherical_k_means(
            rows, settings.prototypes[i], iters=settings.iters, generator=generator
        )
        weight = prototypes.weight
        assert isinstance(weight, Tensor)
        fill_(weight, centres)
        memory.clusters[i] = clusters


def spherical_k_means(
    rows: Float[Tensor, "n e"], count: int, *, iters: int, generator: torch.Generator
) -> tuple[Float[Tensor, "k e"], Int64[Tensor, " n"]]:
    """Return unit-length centres, and the centre that each row points to most nearly.

    Every rank passes all rows and works off its part of them. Rows of zeros belong to no centre
    (-100). A centre that loses all rows stays where it is.

    Args:
        rows: Of unit length, or zero.
        count: Centres K.
        iters: How often centres are moved.
        generator: Of the rows that centres start from; the same on all ranks.

    Raises:
        ValueError: If there are fewer rows than centres.
    """
    filled = rows.any(dim=1).nonzero().squeeze(1)
    if len(filled) < count:
        raise ValueError(f"need at least {count} rows for {count} centres, got {len(filled)}")
    start = torch.randperm(len(filled), generator=generator)[:count].to(rows.device)
    centres = rows[filled[start]].clone()  # [K, E]
    length = -(-len(rows) // dist.world_size())
    mine = rows[dist.rank() * length : (dist.rank() + 1) * length]
    own = mine.any(dim=1)
    for _ in range(iters):
        nearest = (mine @ centres.t()).argmax(dim=1)[own]
        sums = torch.zeros_like(centres).index_add_(0, nearest, mine[own])
        sums = dist.all_reduce_sum(sums)
        moved = F.normalize(sums, dim=1)
        centres = torch.where(moved.any(dim=1, keepdim=True), moved, centres)
    nearest = (mine @ centres.t()).argmax(dim=1).where(own, _NO_CLUSTER)
    padded = F.pad(nearest, (0, length - len(nearest)), value=_NO_CLUSTER)
    return centres, dist.all_gather_cat(padded)[: len(rows)]
