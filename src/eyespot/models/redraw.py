"""Weights drawn anew in place: the same numbers whether the network is whole or sharded.

A network of a billion parameters is built on the meta device, sharded, given memory for its shards
(`to_empty`), and drawn here one tensor at a time: no process ever holds all of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Shard
from torch.utils._python_dispatch import TorchDispatchMode

from eyespot.design.specs import Spec
from eyespot.models.build import init_weights_
from eyespot.models.convnet import ConvNet
from eyespot.models.vit import ViT

_DRAWS = (torch.ops.aten.normal_.default, torch.ops.aten.uniform_.default)


@torch.no_grad()
def redraw_(model: nn.Module, spec: Spec, *, seed: int) -> None:
    """Draw every weight and reset every statistic of a model, in place.

    A backbone inside is drawn as `models.build` draws it, all other layers as torch does. The
    numbers depend on the seed and the model alone: not on its device, its sharding, or on what was
    drawn before.

    Args:
        model: With memory: nothing of it on the meta device. Sharded at most along one mesh axis.
        spec: Of the backbone inside it.
        seed: Of the draws.
    """
    with torch.random.fork_rng([]), _WholeDraws():  # type: ignore[no-untyped-call]
        torch.manual_seed(seed)
        for module in model.modules():
            drawn_below = isinstance(module, nn.Conv2d) and module.bias is None
            reset = getattr(module, "reset_parameters", None)
            if callable(reset) and not drawn_below:
                reset()
        for module in model.modules():
            if isinstance(module, ConvNet | ViT):
                init_weights_(module, spec)


class _WholeDraws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Makes in-place draws on the CPU in the tensor's whole shape, then keeps the part it holds."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func not in _DRAWS:
            return func(*args, **(kwargs or {}))
        tensor, *rest = args
        whole = torch.empty(tensor.shape, dtype=tensor.dtype)
        func(whole, *rest, **(kwargs or {}))
        fill_(tensor, whole)
        return tensor


@torch.no_grad()
def fill_(tensor: Tensor, whole: Tensor) -> None:
    """Copy into a tensor, or into the part of a sharded one that lies here.

    Args:
        tensor: To be filled; sharded at most along one mesh axis.
        whole: All its values.
    """
    if not isinstance(tensor, DTensor):
        tensor.copy_(whole)
        return
    (placement,) = tensor.placements
    if isinstance(placement, Shard):
        parts = whole.chunk(tensor.device_mesh.size(), placement.dim)
        place = tensor.device_mesh.get_local_rank()
        if place >= len(parts):  # fewer rows than ranks: nothing lies here
            return
        whole = parts[place]
    tensor.to_local().copy_(whole)
