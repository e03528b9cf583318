"""The calls that are timed: a forward pass, and a whole training step."""

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eyespot.data.multicrop import Crops
from eyespot.design.by_name import to_spec
from eyespot.design.training import Groups
from eyespot.models.speed import (
    SpeedSettings,
    autocast,
    prepare_inference,
    prepare_training,
    to_layout,
)
from eyespot.recipes import get_recipe
from eyespot.tasks.methods import swav
from eyespot.tasks.methods.training import Sizes, Training
from eyespot.tasks.optimization import make_optimizer
from eyespot.tasks.pretrain_networks import Build, build_network
from eyespot.tasks.run import Place
from eyespot.train.job import Job


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


def make_views(crops: tuple[Crops, ...], batch: int, device: str) -> list[Tensor]:
    """Return noise in place of normalised views, as the task's loader leaves them."""
    torch.manual_seed(0)
    return [
        torch.randn(kind.count * batch, 3, kind.size_px, kind.size_px, device=device)
        .to(memory_format=torch.channels_last)
        .unflatten(0, (kind.count, batch))
        for kind in crops
    ]


def swav_call(
    model: str,
    views: list[Tensor],
    prototypes: int,
    settings: SpeedSettings,
    device: str,
    *,
    groups: Groups = (),
) -> Callable[[], object]:
    """Return the step that `eyespot train swav/...` takes; views as `make_views` leaves them."""
    recipe = get_recipe("swav/resnet50_100ep")
    method = replace(recipe.method, prototypes=(prototypes,), freeze_steps=0)
    place = Place(torch.device(device), "none", 0, None)
    spec = replace(to_spec(model), num_classes=0)
    head = lambda width: swav.make_head(method, width)  # noqa: E731
    network = build_network(Build(spec, head, "sizes", False, 0, groups, settings, 1), place)
    optimizer = make_optimizer(network, replace(recipe.optimizer, lr=0.1), views[0].shape[1])
    num_views, batch = sum(map(len, views)), views[0].shape[1]
    sizes = Sizes(num_views, batch, batch, 1, 1, 1000, 1, place.device)
    training = Training(method, sizes, network, network, optimizer, settings, 0.0, lambda: iter(()))
    job = Job({"model": network}, {"optimizer": optimizer}, place.device)
    indices = torch.arange(batch)

    def step() -> None:
        swav.step(training, job, views, indices)
        job.step += 1

    step.job = job  # type: ignore[attr-defined]  # for who weighs it
    return step


def describe(settings: SpeedSettings) -> str:
    """Return settings in a few words."""
    words = [str(settings.dtype).removeprefix("torch.")]
    words += [
        name.replace("_", " ")
        for name in ("channels_last", "compile", "fold_norms", "onednn_linear")
        if getattr(settings, name)
    ]
    return ", ".join(words)
