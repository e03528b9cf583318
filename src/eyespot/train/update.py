"""One optimizer step from losses: accumulate, check that all is finite, clip, step."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from eyespot.train.loss_scale import LossScale

Batch = TypeVar("Batch")


class NonFiniteError(ArithmeticError):
    """A loss or gradient is infinite or not a number; the step was not taken."""


def backward_all(
    batches: Sequence[Batch],
    loss_of: Callable[[Batch], Tensor],
    *,
    model: nn.Module,
    scale: LossScale | None = None,
) -> Tensor:
    """Add up the gradients of several equally large parts of one batch; return the mean loss.

    Args:
        batches: The parts; one for no accumulation.
        loss_of: Runs the model on a part and returns its mean loss.
        model: The network as it is called, wrapped or not: DDP and FSDP exchange gradients with
            the last part only.
        scale: What gradients are multiplied by, for `step_` to divide them again.
    """
    losses = []
    for i, batch in enumerate(batches):
        _exchange_gradients_(model, i == len(batches) - 1)
        loss = loss_of(batch) / len(batches)
        scaled = loss if scale is None else loss * scale.scale
        scaled.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    return torch.stack(losses).sum()


def _exchange_gradients_(model: nn.Module, enable: bool) -> None:
    if isinstance(model, nn.parallel.DistributedDataParallel):
        model.require_backward_grad_sync = enable
    elif isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(enable)


def step_(
    optimizer: Optimizer, loss: Tensor, *, clip: float = 0.0, scale: LossScale | None = None
) -> Tensor:
    """Take an optimizer step with the gradients there are, and clear them; return their norm.

    With a scale, gradients that overflowed are dropped, no step is taken, and the norm is 0.

    Args:
        optimizer: Whose parameters have gradients.
        loss: What they are gradients of.
        clip: Scale the gradients down to at most this norm over all of them; 0 for never.
        scale: What they were multiplied by; it shrinks after an overflow.

    Raises:
        NonFiniteError: If the loss or the norm is not finite, with a scale only once it is below
            1; no parameter has changed.
    """
    params = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    if scale is not None:
        _divide_(params, scale.scale)
    norm = gradient_norm(params)
    if scale is not None and not bool(torch.isfinite(norm)) and scale.shrink_():
        optimizer.zero_grad(set_to_none=True)
        return torch.zeros_like(norm)
    if not bool(torch.isfinite(norm + loss.to(norm.device))):
        raise NonFiniteError(
            f"the loss is {loss.item():g} and the gradient norm {norm.item():g}; this step was "
            "not taken"
        )
    if clip > 0:
        nn.utils.clip_grads_with_norm_(params, clip, norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    if scale is not None:
        scale.grow_()
    return norm


@torch.no_grad()
def _divide_(params: Iterable[nn.Parameter], factor: Tensor) -> None:
    for param in params:
        assert param.grad is not None
        grad = param.grad.to_local() if isinstance(param.grad, DTensor) else param.grad
        grad /= factor


def gradient_norm(params: Iterable[nn.Parameter]) -> Tensor:
    """Return the L2 norm over all gradients, over all ranks where they are sharded."""
    grads = [p.grad for p in params if p.grad is not None]
    norm = nn.utils.get_total_norm(grads)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm
