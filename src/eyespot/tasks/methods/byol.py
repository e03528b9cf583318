"""BYOL: predict what an average of the network says of the other view.

Paper: BYOL (arXiv 2006.07733), section 3 and appendix A. Shapes: B samples of this rank, E
embedding width.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eyespot.errors import RecipeError
from eyespot.losses.byol import byol_loss
from eyespot.models.heads import byol_projector
from eyespot.models.multicrop_net import MultiCropNet
from eyespot.optim.ema import update_target_
from eyespot.optim.schedules import byol_momentum
from eyespot.tasks.health import embedding_health
from eyespot.tasks.methods.training import Sizes, Training, Views, by_view
from eyespot.tasks.ranges import check_widths
from eyespot.train.job import Job
from eyespot.train.sharding import reshard_


@dataclass(frozen=True, slots=True)
class BYOL:
    """Numbers of BYOL.

    Attributes:
        hidden_dim: Width of the hidden layers of projector and predictor.
        out_dim: Width E of an embedding.
        momentum: Share that the averaged network keeps of itself at step 0; it rises to 1 in half
            a cosine wave.
    """

    name: Literal["byol"] = "byol"
    hidden_dim: int = 4096
    out_dim: int = 256
    momentum: float = 0.996


class BYOLHead(nn.Module):
    """The projector, and in the trained network the predictor after it.

    Args:
        width: Of the backbone.
        settings: The method's numbers.
    """

    def __init__(self, width: int, settings: BYOL) -> None:
        super().__init__()
        hidden, out = settings.hidden_dim, settings.out_dim
        self.projector = byol_projector(width, hidden, out)
        self.predictor: nn.Module = byol_projector(out, hidden, out)

    def forward(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b e"]:
        """Return predictions; projections where there is no predictor."""
        predictions: Tensor = self.predictor(self.projector(features))
        return predictions


def check(settings: BYOL, sizes: Sizes) -> None:
    """Raise RecipeError if these numbers cannot train."""
    check_widths((settings.hidden_dim,), settings.out_dim)
    if sizes.num_views != 2:
        raise RecipeError(f"need 2 views of an image for BYOL, got {sizes.num_views}")
    if not 0 <= settings.momentum <= 1:
        raise RecipeError(f"need a momentum of 0 to 1, got {settings.momentum}")


def make_head(settings: BYOL, width: int) -> nn.Module:
    """Return projector and predictor."""
    return BYOLHead(width, settings)


def make_state(training: Training) -> dict[str, nn.Module]:
    """Return nothing: the averaged network is the task's second network."""
    return {}


def make_target_head(settings: BYOL, width: int) -> nn.Module:
    """Return the averaged network's head: a projector alone."""
    head = BYOLHead(width, settings)
    head.predictor = nn.Identity()
    return head


def step(training: Training, job: Job, views: Views, indices: Tensor) -> dict[str, Tensor]:
    """Take one step: both views predict the average's projection of the other one."""
    target = job.modules["target"]
    projected: list[Tensor] = []

    def loss_of(part: Views) -> Tensor:
        predictions = by_view(training.run(training.model, part), 2)  # [2, B, E]
        with torch.no_grad():
            targets = by_view(training.run(target, part), 2)  # [2, B, E]
        projected.append(targets)
        return byol_loss(predictions, targets)

    loss = training.backward(training.parts(views), loss_of)
    norm = training.descend(loss)
    share = byol_momentum(job.step, training.sizes.total_steps, base=training.method.momentum)
    _update_(target, training.network, share)
    unit = F.normalize(torch.cat(projected, dim=1), dim=-1)
    return {"loss": loss, "gradient_norm": norm, **embedding_health(unit)}


def chance_loss(settings: BYOL, sizes: Sizes) -> float:
    """Return the loss of predictions at right angles to their targets."""
    return 4.0


def _update_(target: nn.Module, network: MultiCropNet, share: float) -> None:
    assert isinstance(target, MultiCropNet)
    assert isinstance(target.head, BYOLHead)
    assert isinstance(network.head, BYOLHead)
    reshard_(target)
    update_target_(target.backbone, network.backbone, share)
    update_target_(target.head.projector, network.head.projector, share)
