"""The networks of self-supervised training: built without memory, spread over ranks, then drawn.

Whatever the number of ranks, weights begin as the same numbers; a sharded network is never whole
in any process.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as torch_dist
from torch import nn

from eyespot import dist
from eyespot.design.specs import Spec
from eyespot.design.training import Groups
from eyespot.errors import RecipeError
from eyespot.models.build import create_model
from eyespot.models.convnet import ConvNet
from eyespot.models.multicrop_net import MultiCropNet, Passes
from eyespot.models.redraw import fill_, redraw_
from eyespot.models.speed import SpeedSettings, prepare_training, speed_defaults
from eyespot.models.sync_bn import to_sync_bn
from eyespot.tasks.run import Place
from eyespot.train.sharding import shard_
from eyespot.weights.fit import fit_weights
from eyespot.weights.opened import open_weights
from eyespot.weights.pretraining import open_head


@dataclass(frozen=True, slots=True)
class Build:
    """How a network is put together.

    Attributes:
        spec: Of the backbone, without a classifier.
        make_head: From the backbone's width to the head.
        passes: How the backbone goes through the views.
        sync_bn: Batch statistics over several ranks.
        sync_bn_ranks: How many neighbouring ranks share them; 0 for all.
        groups: Blocks that compute their activations again for the gradient.
        speed: How it is run.
        seed: Of the weights.
    """

    spec: Spec
    make_head: Callable[[int], nn.Module]
    passes: Passes
    sync_bn: bool
    sync_bn_ranks: int
    groups: Groups
    speed: SpeedSettings
    seed: int


def build_network(build: Build, place: Place) -> MultiCropNet:
    """Return the network on its device, sharded if it is to be, with new weights."""
    network = _empty(build, place)
    redraw_(network, build.spec, seed=build.seed)
    return network


def build_target(build: Build, place: Place, network: MultiCropNet) -> MultiCropNet:
    """Return a second network that begins as a copy, needs no gradient, and may have less head."""
    target = _empty(build, place, frozen=True)
    state = network.state_dict()
    target.load_state_dict({name: state[name] for name in target.state_dict()})
    return target


def _empty(build: Build, place: Place, *, frozen: bool = False) -> MultiCropNet:
    with torch.device("meta"):
        backbone = create_model(build.spec)
        network: nn.Module = MultiCropNet(
            backbone, build.make_head(_width(backbone)), passes=build.passes
        )
    if build.sync_bn and dist.world_size() > 1:
        group = _neighbours(build.sync_bn_ranks)
        network = to_sync_bn(network, group=group, device=place.device)
    assert isinstance(network, MultiCropNet)
    if frozen:
        network.requires_grad_(False)
    network.backbone.set_grad_checkpointing(bool(build.groups), build.groups)  # type: ignore[operator]
    if place.parallel == "fsdp":
        shard_(network, compute_dtype=build.speed.dtype)
    network.to_empty(device=place.device)
    speed = build.speed
    if place.parallel == "fsdp":  # shards lie as they are
        speed = replace(speed, channels_last=False)
    prepare_training(network, replace(speed, compile=False))
    if build.speed.compile:
        network.backbone.compile()
    return network


def _width(backbone: nn.Module) -> int:
    """Return the width of a backbone's pooled features."""
    return backbone.head.in_dim if isinstance(backbone, ConvNet) else int(backbone.num_features)  # type: ignore[arg-type]


def _neighbours(count: int) -> torch_dist.ProcessGroup | None:
    """Return this rank's group of neighbouring ranks; every rank makes every group."""
    ranks = dist.world_size()
    if not count or count >= ranks:
        return None
    if ranks % count:
        raise RecipeError(f"need sync_bn_ranks that divide the {ranks} ranks, got {count}")
    groups = [
        torch_dist.new_group(list(range(first, first + count))) for first in range(0, ranks, count)
    ]
    group: torch_dist.ProcessGroup = groups[dist.rank() // count]
    return group


@torch.no_grad()
def share_statistics_(network: nn.Module) -> None:
    """Make running statistics the mean over all ranks, so that a checkpoint holds those of all."""
    running = [
        value
        for norm in network.modules()
        if isinstance(norm, nn.modules.batchnorm._BatchNorm)
        for value in (norm.running_mean, norm.running_var)
        if value is not None
    ]
    if not running:
        return
    mean = dist.all_reduce_mean(torch.cat(running))
    for value, part in zip(
        running, torch.split(mean, [len(each) for each in running]), strict=True
    ):
        value.copy_(part)


@torch.no_grad()
def load_pretrained_(network: MultiCropNet, path: Path, *, head: bool) -> None:
    """Fill the backbone, and the head if asked, from a weights file.

    Raises:
        WeightsError: If they do not fit.
    """
    chosen, _ = fit_weights(network.backbone, open_weights(path), head="drop")
    own = network.backbone.state_dict()
    for name, tensor in chosen.items():
        fill_(own[name], tensor)
    if head:
        own = network.head.state_dict()
        for name, tensor in open_head(path, own).items():
            fill_(own[name], tensor)


def speed_of(
    precision: Literal["auto", "float32", "bfloat16", "float16"],
    compile: bool,
    spec: Spec,
    place: Place,
) -> SpeedSettings:
    """Return how a recipe's network is run on a device."""
    found = speed_defaults(place.device, spec, "training", exact=precision == "float32")
    changes: dict[str, Any] = {"compile": compile}
    if precision in ("bfloat16", "float16"):
        changes["dtype"] = getattr(torch, precision)
    return replace(found, **changes)
