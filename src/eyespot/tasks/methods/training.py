"""What a self-supervised step works on, whatever the method.

Shapes: B samples of this rank, v views of one size, V views of all sizes, E embedding width.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eyespot.models.multicrop_net import MultiCropNet
from eyespot.models.speed import SpeedSettings, autocast
from eyespot.train.loss_scale import LossScale
from eyespot.train.update import backward_all, step_

Part = TypeVar("Part")

Views = list[Float[Tensor, "_ _ 3 _ _"]]
"""For each size its views of the same B samples, normalised, on the device."""


class Sizes(NamedTuple):
    """Numbers of a run that its methods ask for.

    Attributes:
        num_views: V.
        num_samples: Of the training set.
        batch_size: Images of a step, all ranks together.
        accumulate: Parts in which each rank works a step off.
        steps_per_epoch: Optimizer steps of a pass over the data.
        total_steps: Of the whole run.
        seed: Of the run.
        device: Where the networks are.
    """

    num_views: int
    num_samples: int
    batch_size: int
    accumulate: int
    steps_per_epoch: int
    total_steps: int
    seed: int
    device: torch.device


class Training(NamedTuple):
    """What a step needs beside the job's state, and never changes.

    Attributes:
        method: The method's numbers.
        sizes: The run's numbers.
        network: The trained network.
        model: The same, as it is called: wrapped or sharded.
        optimizer: Of its parameters.
        speed: How it is run.
        clip: Greatest norm of the gradient; 0 for no clipping.
        first_views: Of every sample of the first epoch, with its index, in batches: for methods
            that look at all of them before they train.
        scale: Of the loss, in float16.
    """

    method: Any
    sizes: Sizes
    network: MultiCropNet
    model: nn.Module
    optimizer: torch.optim.Optimizer
    speed: SpeedSettings
    clip: float
    first_views: Callable[[], Iterator[tuple[Tensor, Views]]]
    scale: LossScale | None = None

    def backward(self, parts: Sequence[Part], loss_of: Callable[[Part], Tensor]) -> Tensor:
        """Add up the gradients of a step's parts; return the mean loss."""
        return backward_all(parts, loss_of, model=self.model, scale=self.scale)

    def descend(self, loss: Tensor) -> Tensor:
        """Take the optimizer's step; return the gradient's norm."""
        return step_(self.optimizer, loss, clip=self.clip, scale=self.scale)

    def run(self, model: nn.Module, views: Views) -> Any:
        """Return what a network makes of views, under the run's autocast."""
        with autocast(self.sizes.device, self.speed):
            return model(views)

    def parts(self, views: Views) -> list[Views]:
        """Cut a step's views into the parts that are worked off one after another."""
        chunks = [of_size.chunk(self.sizes.accumulate, dim=1) for of_size in views]
        return [list(part) for part in zip(*chunks, strict=True)]


def by_view(rows: Tensor, num_views: int) -> Tensor:
    """Cut rows [V B, ...] into views [V, B, ...]."""
    return rows.reshape(num_views, -1, *rows.shape[1:])


def single_views(views: Views) -> list[Float[Tensor, "b 3 _ _"]]:
    """Return every view by itself."""
    return [view for of_size in views for view in of_size]
