"""LARC: SGD whose every tensor takes a step in proportion to its own length.

Paper: Large Batch Training of Convolutional Networks (arXiv 1708.03888), eq. 6, in the form of
NVIDIA's apex, which SwAV and SEER use. Norms are those of whole tensors, also when FSDP2 shards
them: each process sums the squares of its shards, and one all-reduce completes all sums.
"""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from eyespot.dist import all_reduce_sum


class LARC(Optimizer):
    """SGD with momentum on gradients that `larc_gradients_` has scaled.

    The buffers are SGD's: v becomes momentum * v + g, and w becomes w - lr * v. SwAV and SEER
    decay and scale every tensor alike; BYOL leaves biases and norms to plain SGD: a group with
    `adapt=False` is. Parameters without a gradient (frozen prototypes) are left alone, momentum
    too. Under mixed precision, unscale the gradients first.

    Args:
        params: Parameters or groups, as for any optimizer. A group may set its own `lr`,
            `momentum`, `weight_decay` and `adapt`.
        lr: Learning rate; in scale mode it multiplies each tensor's own rate.
        momentum: SwAV and SEER: 0.9.
        weight_decay: SwAV: 1e-6, SEER: 1e-5, on everything.
        trust_coefficient: Length of a tensor's step over its own length, at lr 1.
        eps: Added to the denominator.
        clip: Let the own rate lower the learning rate, never raise it (apex's default; SwAV and
            SEER run without).

    Raises:
        ValueError: If a number is negative.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 1e-3,
        eps: float = 1e-8,
        clip: bool = False,
    ) -> None:
        if min(lr, momentum, weight_decay, trust_coefficient, eps) < 0:
            raise ValueError(
                f"need numbers of 0 or more, got {lr=}, {momentum=}, {weight_decay=}, "
                f"{trust_coefficient=}, {eps=}"
            )
        self.trust_coefficient = trust_coefficient
        self.eps = eps
        self.clip = clip
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "adapt": True}
        super().__init__(params, defaults)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Scale the gradients in place, then take one step.

        Args:
            closure: Computes the loss again and returns it.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        larc_gradients_(
            self.param_groups,
            trust_coefficient=self.trust_coefficient,
            eps=self.eps,
            clip=self.clip,
        )
        for group in self.param_groups:
            for p in group["params"]:  # frozen ones too: a checkpoint expects them all
                if p.requires_grad and "momentum_buffer" not in self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p)
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            velocities = [_local(self.state[p]["momentum_buffer"]) for p in params]
            torch._foreach_mul_(velocities, group["momentum"])
            torch._foreach_add_(velocities, [_local(p.grad) for p in params])
            torch._foreach_add_([_local(p) for p in params], velocities, alpha=-group["lr"])
        return loss


@torch.no_grad()
def larc_gradients_(
    param_groups: Iterable[dict[str, Any]],
    *,
    trust_coefficient: float = 1e-3,
    eps: float = 1e-8,
    clip: bool = False,
) -> None:
    """Replace every gradient g of a tensor w by rate * (g + decay * w), in place.

    The rate is trust_coefficient * |w| / (|g| + decay * |w| + eps). A tensor whose |w| or |g| is
    exactly 0 keeps its gradient as it is, without decay. In groups with `adapt=False` the rate is
    1. Follow with an optimizer that does not
    decay by itself: `LARC`, or any other whose own weight decay is off.

    Args:
        param_groups: An optimizer's groups; read are `params`, `weight_decay`, `adapt` (True if
            missing) and, when clipping, `lr`. Tensors may be sharded DTensors; all processes must
            agree on which have gradients.
        trust_coefficient: See `LARC`.
        eps: See `LARC`.
        clip: See `LARC`.
    """
    used = [(group, [p for p in group["params"] if p.grad is not None]) for group in param_groups]
    params = [p for _, of_group in used for p in of_group]
    if not params:
        return

    def of_each(key: str) -> Tensor:  # filled on the device: a copy would wait for the backward
        return torch.cat([norms.new_full((len(of_group),), g[key]) for g, of_group in used])

    norms = _norms(params + [p.grad for p in params])
    param_norms, grad_norms = norms.chunk(2)  # [tensors]
    decays = of_each("weight_decay")
    rates = trust_coefficient * param_norms / (grad_norms + decays * param_norms + eps)
    if clip:
        rates = (rates / of_each("lr")).clamp_(max=1)
    scaled = (param_norms != 0) & (grad_norms != 0)
    adapted = torch.cat(
        [scaled.new_full((len(of_group),), g.get("adapt", True)) for g, of_group in used]
    )
    rates = rates.where(scaled & adapted, 1.0)
    decays = (rates * decays).where(scaled | ~adapted, 0.0)
    grads = [_local(p.grad) for p in params]
    torch._foreach_mul_(grads, rates.unbind())
    torch._foreach_addcmul_(grads, [_local(p) for p in params], decays.unbind())


def _norms(tensors: list[Tensor]) -> Tensor:
    """Return the length of each whole tensor, in float32 or better.

    Tensors sharded over the same processes share one all-reduce.
    """
    dtype = torch.promote_types(tensors[0].dtype, torch.float32)
    norms = list(torch._foreach_norm([_local(t) for t in tensors], 2, dtype=dtype))
    for group, places in _shards(tensors).items():
        squares = torch.stack([norms[place] for place in places]).square()
        whole = all_reduce_sum(squares, group).sqrt()
        for place, norm in zip(places, whole.unbind(), strict=True):
            norms[place] = norm
    return torch.stack(norms)


def _shards(tensors: list[Tensor]) -> dict[ProcessGroup, list[int]]:
    """Return, for each group of processes, the places of the tensors that are cut among it."""
    places: dict[ProcessGroup, list[int]] = {}
    for place, tensor in enumerate(tensors):
        if isinstance(tensor, DTensor):
            for axis, placement in enumerate(tensor.placements):
                if placement.is_partial():
                    raise ValueError(
                        "need gradients whose shards are summed, "
                        f"got one placed as {tensor.placements}"
                    )
                if placement.is_shard():
                    places.setdefault(tensor.device_mesh.get_group(axis), []).append(place)
    return places


def _local(tensor: Tensor) -> Tensor:
    """This process's shard, or the tensor itself; both share its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
