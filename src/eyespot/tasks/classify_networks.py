"""The networks of supervised classification: where they begin, how they are laid out."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from eyespot.design.specs import Spec
from eyespot.design.training import Groups
from eyespot.models.build import create_model
from eyespot.models.convnet import ConvNet
from eyespot.models.projected import keep_projection_
from eyespot.models.speed import SpeedSettings, prepare_training, speed_defaults
from eyespot.models.sync_bn import to_sync_bn
from eyespot.models.vit import ViT
from eyespot.tasks.classify_plan import classify_facts
from eyespot.tasks.recomputing import groups_here
from eyespot.tasks.run import Place
from eyespot.train.checkpoint import newest_checkpoint
from eyespot.train.sharding import wrap
from eyespot.weights.load import load_weights
from eyespot.weights.pretraining import open_projection
from eyespot.weights.trunk import Found, find_weights, weights_file

if TYPE_CHECKING:
    from eyespot.tasks.classify import ClassifyRecipe


def networks_of(
    recipe: "ClassifyRecipe",
    spec: Spec,
    num_classes: int,
    speed: SpeedSettings,
    groups: Groups,
    out: Path,
    place: Place,
    start: Found | None,
) -> tuple[nn.Module, nn.Module | None]:
    """The network and, if wanted, a second one for the average that begins as its copy."""

    def new() -> nn.Module:
        size = recipe.pictures.size_px
        network = create_model(spec, num_classes=num_classes, image_size=size)
        if recipe.keep_projection:
            assert isinstance(network, ConvNet | ViT)
            path = weights_file(out) if start is None else start.path
            keep_projection_(network, *open_projection(path))
        if recipe.sync_bn:
            network = to_sync_bn(network)
        return network.to(place.device)

    if but_for_shards(speed, place):
        speed = replace(speed, channels_last=False)
    network = new()
    if start is not None:
        load_weights(network, start.path, head="load" if recipe.start_head else "drop")
    network.set_grad_checkpointing(bool(groups), groups)  # type: ignore[operator]
    average = None
    if recipe.average.form != "none":
        average = new()
        average.load_state_dict(network.state_dict())
        average = prepare_training(average.requires_grad_(False), speed)
        if place.parallel == "fsdp":
            average = wrap(average, "fsdp", compute_dtype=speed.dtype)
    return prepare_training(network, speed), average


def but_for_shards(speed: SpeedSettings, place: Place) -> str:
    """Say that FSDP, which takes no parameters in channels-last memory, has plain ones."""
    sharded = speed.channels_last and place.parallel == "fsdp"
    return "; sharded weights are in plain memory, only maps are channels-last" if sharded else ""


def find_start(recipe: "ClassifyRecipe", out: Path) -> Found | None:
    """The weights to begin with; None for new ones, and for a checkpoint in the place of lost ones.

    Raises:
        WeightsError: If there are no such weights.
        OSError: If published weights cannot be fetched.
    """
    if not recipe.start_from:
        return None
    gone = not Path(recipe.start_from).exists()
    if gone and newest_checkpoint(out / "checkpoints")[0] is not None:
        return None
    return find_weights(recipe.start_from)


def recomputed_groups(
    recipe: "ClassifyRecipe", spec: Spec, num_classes: int, place: Place, dtype: torch.dtype
) -> Groups:
    """The groups of blocks whose activations are computed again, in a part of this rank's step."""
    if recipe.recompute == "none":
        return ()
    part = replace(recipe, batch_size=recipe.batch_size // recipe.accumulate)
    return groups_here(classify_facts(part, spec, num_classes), place.parallel, dtype)


def speed_of(recipe: "ClassifyRecipe", spec: Spec, place: Place) -> SpeedSettings:
    """The device's defaults, where the recipe does not say otherwise."""
    seen = replace(spec, image_size=recipe.pictures.size_px)
    found = speed_defaults(place.device, seen, "training", exact=recipe.precision == "float32")
    changes: dict[str, Any] = {}
    if recipe.precision == "bfloat16":
        changes["dtype"] = torch.bfloat16
    if recipe.compile != "auto":
        changes["compile"] = recipe.compile == "on"
    return replace(found, **changes)
