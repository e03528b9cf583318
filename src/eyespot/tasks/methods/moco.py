"""MoCo v2: find a view's key among those of many earlier batches.

Papers: MoCo (arXiv 1911.05722), algorithm 1; MoCo v2 (arXiv 2003.04297).
Shapes: B samples of this rank, E embedding width, N queued keys.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eyespot import dist
from eyespot.errors import RecipeError
from eyespot.losses.contrastive import info_nce_loss
from eyespot.models.heads import mlp
from eyespot.models.queues import MoCoQueue
from eyespot.optim.ema import update_target_
from eyespot.tasks.health import embedding_health
from eyespot.tasks.methods.training import Sizes, Training, Views, single_views
from eyespot.tasks.ranges import check_widths
from eyespot.train.job import Job
from eyespot.train.sharding import reshard_


@dataclass(frozen=True, slots=True)
class MoCo:
    """Numbers of MoCo v2.

    Attributes:
        hidden_dims: Widths of the projector's hidden layers.
        out_dim: Width E of an embedding.
        temperature: Of the softmax.
        queue: Keys N, all ranks together.
        momentum: Share that the key network keeps of itself at every step.
        shuffle: Give every rank other samples' keys to compute, so that batch norms that are not
            shared over ranks cannot tell which key belongs to which query.
    """

    name: Literal["moco"] = "moco"
    hidden_dims: tuple[int, ...] = (2048,)
    out_dim: int = 128
    temperature: float = 0.2
    queue: int = 65536
    momentum: float = 0.999
    shuffle: bool = True


def check(settings: MoCo, sizes: Sizes) -> None:
    """Raise RecipeError if these numbers cannot train."""
    check_widths(settings.hidden_dims, settings.out_dim)
    if sizes.num_views != 2:
        raise RecipeError(f"need 2 views of an image for MoCo, got {sizes.num_views}")
    if settings.queue < sizes.batch_size or settings.queue % sizes.batch_size:
        raise RecipeError(
            f"need a queue of whole batches of {sizes.batch_size}, got {settings.queue}; "
            f"{max(1, round(settings.queue / sizes.batch_size)) * sizes.batch_size} is the nearest"
        )
    if not 0 <= settings.momentum <= 1 or not settings.temperature > 0:
        raise RecipeError(
            "need a momentum of 0 to 1 and a temperature above 0, got "
            f"{settings.momentum} and {settings.temperature}"
        )


def make_head(settings: MoCo, width: int) -> nn.Module:
    """Return the projector."""
    return mlp((width, *settings.hidden_dims, settings.out_dim), batch_norm=False)


def make_state(training: Training) -> dict[str, nn.Module]:
    """Return the queue; the key network is the task's second network."""
    settings, sizes = training.method, training.sizes
    generator = torch.Generator().manual_seed(sizes.seed)
    queue = MoCoQueue(settings.queue, settings.out_dim, generator=generator)
    return {"queue": queue.to(sizes.device)}


def step(training: Training, job: Job, views: Views, indices: Tensor) -> dict[str, Tensor]:
    """Take one step: algorithm 1 of MoCo."""
    settings: MoCo = training.method
    key_network, queue = job.modules["target"], job.modules["queue"]
    assert isinstance(queue, MoCoQueue)
    new_keys: list[Tensor] = []

    def loss_of(part: Views) -> Tensor:
        for_query, for_key = single_views(part)
        queries = training.run(training.model, [for_query[None]])  # [B, E]
        keys = _keys(training, key_network, for_key, job.step)  # [B, E], no gradient
        new_keys.append(keys)
        return info_nce_loss(queries, keys, queue.keys, temperature=settings.temperature)

    loss = training.backward(training.parts(views), loss_of)
    norm = training.descend(loss)
    reshard_(key_network)
    update_target_(key_network, training.network, settings.momentum)
    queue.push_(torch.cat(new_keys))
    unit = F.normalize(torch.cat(new_keys), dim=-1)[None]
    return {"loss": loss, "gradient_norm": norm, **embedding_health(unit)}


def chance_loss(settings: MoCo, sizes: Sizes) -> float:
    """Return the loss of a network that cannot tell images apart: ln of all it chooses from."""
    return math.log(settings.queue + 1)


@torch.no_grad()
def _keys(training: Training, network: nn.Module, images: Tensor, done: int) -> Tensor:
    """Return the keys of this rank's images, computed on whatever rank they are shuffled to."""
    if not training.method.shuffle or dist.world_size() == 1:
        keys: Tensor = training.run(network, [images[None]])
        return keys
    everyone = dist.all_gather_cat(images)  # [ranks B, 3, h, w]
    generator = torch.Generator().manual_seed(training.sizes.seed + done)
    order = torch.randperm(len(everyone), generator=generator).to(images.device)
    mine = order.chunk(dist.world_size())[dist.rank()]
    shuffled = dist.all_gather_cat(training.run(network, [everyone[mine][None]]))
    back = order.argsort().chunk(dist.world_size())[dist.rank()]
    return shuffled[back]
