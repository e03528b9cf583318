"""Collectives that do nothing in a single process.

Every function works with and without an initialised `torch.distributed` process group, so the
code that calls them is written once for one process and for a thousand.
"""

import os
from typing import Any

import torch
import torch.distributed as torch_dist
from jaxtyping import Shaped
from torch import Tensor
from torch.distributed import ProcessGroup


def world_size(group: ProcessGroup | None = None) -> int:
    """Return the number of processes in the group: 1 when nothing is distributed."""
    if torch_dist.is_available() and torch_dist.is_initialized():
        return torch_dist.get_world_size(group)
    return 1


def rank(group: ProcessGroup | None = None) -> int:
    """Return this process's place in the group, from 0: 0 when nothing is distributed."""
    if torch_dist.is_available() and torch_dist.is_initialized():
        return torch_dist.get_rank(group)
    return 0


def is_first() -> bool:
    """Whether this process speaks for its job: rank 0, also before and after it has a group."""
    if torch_dist.is_available() and torch_dist.is_initialized():
        return torch_dist.get_rank() == 0
    return os.environ.get("RANK", "0") == "0"


def barrier(group: ProcessGroup | None = None) -> None:
    """Wait until every process of the group is here."""
    if world_size(group) > 1:
        torch_dist.barrier(group)


def all_reduce_sum(
    tensor: Shaped[Tensor, "*shape"], group: ProcessGroup | None = None
) -> Shaped[Tensor, "*shape"]:
    """Return the sum of every process's tensor; the argument stays as it is, no gradient flows.

    Args:
        tensor: Same shape and dtype on every process.
        group: Processes that take part; all of them by default.
    """
    return _all_reduce(tensor, torch_dist.ReduceOp.SUM, group)


def all_reduce_max(
    tensor: Shaped[Tensor, "*shape"], group: ProcessGroup | None = None
) -> Shaped[Tensor, "*shape"]:
    """Return the elementwise maximum over every process's tensor, as `all_reduce_sum` does."""
    return _all_reduce(tensor, torch_dist.ReduceOp.MAX, group)


def all_reduce_mean(
    tensor: Shaped[Tensor, "*shape"], group: ProcessGroup | None = None
) -> Shaped[Tensor, "*shape"]:
    """Return the mean of every process's tensor, as `all_reduce_sum` does; always a float."""
    return all_reduce_sum(tensor, group) / world_size(group)


def all_gather_cat(
    tensor: Shaped[Tensor, "n *shape"],
    *,
    differentiable: bool = False,
    group: ProcessGroup | None = None,
) -> Shaped[Tensor, "m *shape"]:
    """Return every process's tensor, concatenated on the first axis in the order of the ranks.

    Args:
        tensor: Same shape and dtype on every process.
        differentiable: Let the gradient through. Each process then receives, for its own rows,
            the sum of what every process's loss says about them: with gradients averaged
            afterwards (as DDP does), the result is that of the mean of all losses.
        group: Processes that take part; all of them by default.
    """
    if world_size(group) == 1:
        return tensor if differentiable else tensor.detach()
    if differentiable:
        gathered: Tensor = _GatherWithGradient.apply(tensor, group)  # type: ignore[no-untyped-call]
        return gathered
    return _gather(tensor, group)


def all_gather_rows(
    tensor: Shaped[Tensor, "n *shape"], group: ProcessGroup | None = None
) -> Shaped[Tensor, "m *shape"]:
    """Return every process's rows in the order of the ranks, however many each one has.

    Args:
        tensor: Same dtype and width on every process; any number of rows, none included.
        group: Processes that take part; all of them by default.
    """
    if world_size(group) == 1:
        return tensor.detach()
    counts = all_gather_cat(torch.tensor([len(tensor)], device=tensor.device), group=group)
    longest = int(counts.max())
    padded = tensor.new_zeros(longest, *tensor.shape[1:])
    padded[: len(tensor)] = tensor.detach()
    everyone = all_gather_cat(padded[None], group=group)  # [ranks, longest, ...]
    return torch.cat([rows[:n] for rows, n in zip(everyone, counts.tolist(), strict=True)])


class _GatherWithGradient(torch.autograd.Function):
    """All-gather whose backward sums the gradients of all processes."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: ProcessGroup | None) -> Tensor:
        ctx.group = group
        return _gather(tensor, group)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        summed = all_reduce_sum(grads[0].contiguous(), ctx.group)
        return summed.chunk(world_size(ctx.group))[rank(ctx.group)], None


def _all_reduce(tensor: Tensor, op: Any, group: ProcessGroup | None) -> Tensor:
    if world_size(group) == 1:
        return tensor.detach()
    reduced = tensor.detach().clone(memory_format=torch.contiguous_format)
    torch_dist.all_reduce(reduced, op, group)
    return reduced


def _gather(tensor: Tensor, group: ProcessGroup | None) -> Tensor:
    size = world_size(group)
    gathered = tensor.new_empty(size * tensor.shape[0], *tensor.shape[1:])
    torch_dist.all_gather(list(gathered.chunk(size)), tensor.detach().contiguous(), group)
    return gathered
