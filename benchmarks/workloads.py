"""The calls that are timed: a forward pass, and a whole training step."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from eyespot.models.speed import (
    SpeedSettings,
    autocast,
    prepare_inference,
    prepare_training,
    to_layout,
)


def inference_call(model: nn.Module, settings: SpeedSettings, images: torch.Tensor) -> Callable:
    """Return one forward pass; ours is prepared, a peer's runs as its users run it."""
    images = to_layout(images, settings)
    model = model.eval()
    if settings.channels_last:
        model = model.to(memory_format=torch.channels_last)

    def call() -> None:
        with torch.inference_mode(), autocast(images.device, settings):
            model(images)

    return call


def prepared_call(model: nn.Module, settings: SpeedSettings, images: torch.Tensor) -> Callable:
    """Return one forward pass of a prepared network."""
    prepared = prepare_inference(model, settings)
    images = to_layout(images, settings)

    def call() -> None:
        prepared(images)

    return call


def training_call(model: nn.Module, settings: SpeedSettings, images: torch.Tensor) -> Callable:
    """Return one training step: forward, loss, backward, SGD with momentum."""
    model = prepare_training(model, settings).train()
    images = to_layout(images, settings)
    labels = torch.arange(len(images), device=images.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def call() -> None:
        with autocast(images.device, settings):
            loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return call


def describe(settings: SpeedSettings) -> str:
    """Return settings in a few words."""
    words = [str(settings.dtype).removeprefix("torch.")]
    words += [
        name.replace("_", " ")
        for name in ("channels_last", "compile", "fold_norms", "onednn_linear")
        if getattr(settings, name)
    ]
    return ", ".join(words)
