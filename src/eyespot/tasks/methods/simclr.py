"""SimCLR: tell the other views of an image from the views of all other images.

Papers: SimCLR (arXiv 2002.05709), algorithm 1; SwAV (arXiv 2006.09882), appendix, for multi-crop.
Shapes: V views, B samples of this rank, E embedding width.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eyespot.errors import RecipeError
from eyespot.losses.contrastive import nt_xent_loss
from eyespot.models.heads import mlp
from eyespot.tasks.health import embedding_health
from eyespot.tasks.methods.training import Sizes, Training, Views, by_view
from eyespot.tasks.ranges import check_widths
from eyespot.train.job import Job


@dataclass(frozen=True, slots=True)
class SimCLR:
    """Numbers of SimCLR.

    Attributes:
        hidden_dims: Widths of the projector's hidden layers.
        out_dim: Width E of an embedding.
        head_norm: Batch norm in the projector (VISSL: none).
        temperature: Of the softmax.
    """

    name: Literal["simclr"] = "simclr"
    hidden_dims: tuple[int, ...] = (2048,)
    out_dim: int = 128
    head_norm: bool = False
    temperature: float = 0.1


def check(settings: SimCLR, sizes: Sizes) -> None:
    """Raise RecipeError if these numbers cannot train."""
    check_widths(settings.hidden_dims, settings.out_dim)
    if sizes.num_views < 2 or sizes.batch_size // sizes.accumulate < 2:
        raise RecipeError(
            "need at least 2 views of at least 2 images at a time, got "
            f"{sizes.num_views} views of {sizes.batch_size // sizes.accumulate}; add crops or "
            "take a larger batch"
        )
    if not settings.temperature > 0:
        raise RecipeError(f"need a temperature above 0, got {settings.temperature}")


def make_head(settings: SimCLR, width: int) -> nn.Module:
    """Return the projector."""
    return mlp((width, *settings.hidden_dims, settings.out_dim), batch_norm=settings.head_norm)


def make_state(training: Training) -> dict[str, nn.Module]:
    """Return nothing: SimCLR remembers nothing."""
    return {}


def step(training: Training, job: Job, views: Views, indices: Tensor) -> dict[str, Tensor]:
    """Take one step: algorithm 1, with the negatives of all ranks."""
    embedded: list[Tensor] = []

    def loss_of(part: Views) -> Tensor:
        embeddings = by_view(training.run(training.model, part), training.sizes.num_views)
        embedded.append(embeddings.detach()[:2])  # [2, B, E]
        return nt_xent_loss(embeddings, temperature=training.method.temperature)

    loss = training.backward(training.parts(views), loss_of)
    norm = training.descend(loss)
    unit = F.normalize(torch.cat(embedded, dim=1), dim=-1)
    return {"loss": loss, "gradient_norm": norm, **embedding_health(unit)}


def chance_loss(settings: SimCLR, sizes: Sizes) -> float:
    """Return the loss of a network that cannot tell images apart: ln of all it chooses from."""
    images = sizes.batch_size // sizes.accumulate
    return math.log(sizes.num_views * (images - 1) + 1)
