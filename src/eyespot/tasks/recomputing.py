"""Which blocks a recipe's network computes again for the gradient, on the ranks that it runs on."""

from dataclasses import replace

import torch

from eyespot import dist
from eyespot.design.memory import recomputed_groups
from eyespot.design.training import Groups, Training
from eyespot.train.sharding import Parallel


def groups_here(part: Training, parallel: Parallel, dtype: torch.dtype) -> Groups:
    """Return the blocks, counted over all stages.

    Args:
        part: What is worked off at a time, all ranks together, on one device.
        parallel: How the network is spread over the ranks there are.
        dtype: Of the forward pass.

    Raises:
        ValueError: If the recipe asks for what the network has not, or for too few gigabytes.
    """
    return recomputed_groups(
        replace(
            part,
            num_devices=dist.world_size(),
            sharding="fsdp" if parallel == "fsdp" else "ddp",
            dtype=str(dtype).removeprefix("torch."),
        )
    )


def recompute_note(recompute: str, groups: Groups) -> tuple[str, ...]:
    """Say how many blocks a target of gigabytes takes; nothing of what a recipe says itself."""
    if not recompute.upper().endswith("GB"):
        return ()
    count = sum(end - first for first, end in groups)
    return (f"{count} blocks compute their activations again, to need {recompute} by prediction",)
