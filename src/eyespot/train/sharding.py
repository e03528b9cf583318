"""A model over several ranks: copied (DDP) or sharded (FSDP2), from outside the model's code."""

import warnings
from typing import Literal

import torch
from torch import nn
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel

from eyespot import dist

Parallel = Literal["none", "ddp", "fsdp"]


def wrap(
    model: nn.Module,
    parallel: Parallel,
    *,
    compute_dtype: torch.dtype = torch.float32,
    mesh: DeviceMesh | None = None,
    group: ProcessGroup | None = None,
) -> nn.Module:
    """Return the model as it is called in training; its parameters are ready for an optimizer.

    Args:
        model: The network, on its device.
        parallel: "ddp" keeps a copy on every rank and averages gradients; "fsdp" shards
            parameters, gradients and optimizer state, in place.
        compute_dtype: What sharded parameters are gathered in; batch norms stay float32.
        mesh: For "fsdp": the ranks; all of them by default.
        group: For "ddp": the ranks; all of them by default.

    Raises:
        ValueError: If there is one rank only and `parallel` is not "none", or the reverse.
    """
    ranks = dist.world_size(group)
    if (ranks == 1) != (parallel == "none"):
        raise ValueError(
            f'need parallel "none" on one rank and "ddp" or "fsdp" on several, got {parallel!r} '
            f"on {ranks}; start several with torchrun"
        )
    if parallel == "ddp":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # newer torch renamed it
            return DistributedDataParallel(model, process_group=group, broadcast_buffers=False)
    if parallel == "fsdp":
        shard_(model, compute_dtype=compute_dtype, mesh=mesh)
    return model


def shard_(
    model: nn.Module, *, compute_dtype: torch.dtype = torch.float32, mesh: DeviceMesh | None = None
) -> None:
    """Shard a model in place: every batch norm a float32 unit of its own, every block a unit.

    Batch norms stay gathered after their forward pass, since a recomputed block passes them again
    (as SEER's 10-billion-parameter run does; arXiv 2202.08360, appendix). Prototypes, the linear
    layers of an `nn.ModuleList` of that name, are float32 units too.

    Args:
        model: A network of `models.build`, or any module with blocks as direct children of
            `nn.Sequential`s.
        compute_dtype: What other parameters are gathered in, if of 16 bits; gradients are then
            reduced in float32.
        mesh: The ranks; all of them by default.
    """
    low = compute_dtype in (torch.bfloat16, torch.float16)
    exact = MixedPrecisionPolicy(cast_forward_inputs=False)
    policy = MixedPrecisionPolicy(
        param_dtype=compute_dtype if low else None, reduce_dtype=torch.float32 if low else None
    )
    for module in list(model.modules()):
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            fully_shard(module, mesh=mesh, mp_policy=exact, reshard_after_forward=False)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.ModuleList) and name.split(".")[-1] == "prototypes":
            for prototypes in module:
                fully_shard(prototypes, mesh=mesh, mp_policy=exact)
    for module in list(model.modules()):
        if isinstance(module, nn.Sequential) and _holds_blocks(module):
            for block in module:
                fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)


def reshard_(model: nn.Module) -> None:
    """Give up what a sharded model gathered in a forward pass that no backward pass follows."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def _holds_blocks(module: nn.Sequential) -> bool:
    """Whether a Sequential is a stage: its children have children of their own."""
    return len(module) > 0 and all(len(list(block.children())) > 0 for block in module)
