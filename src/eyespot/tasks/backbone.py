"""The backbone part of every recipe that measures a frozen one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from eyespot.data.normalize import normalize
from eyespot.data.views import TestView, WholeView
from eyespot.design.by_name import to_spec
from eyespot.errors import RecipeError
from eyespot.models.speed import prepare_inference, speed_defaults
from eyespot.models.taps import PUBLISHED_TAPS, Tap, TappedNetwork, parse_tap
from eyespot.weights.trunk import Trunk, load_trunk

PUBLISHED = ("published",)
"""Stands for the taps of the network's published linear evaluation."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """What is measured, and how it sees images.

    Attributes:
        weights: A run's folder, a weights file, a name of `eyespot weights list`, or "random".
        model: The network, where the weights do not say.
        size_px: Side of what it sees of an image; 0 for the weights' own.
        resize_px: What the shorter side is resized to before; 0 for the weights' own proportion.
        whole: Resize all of an image to a square of `size_px`, whatever its proportion, instead
            of cutting out its middle.
        mean: Of each channel in 0..1; empty for the weights' own.
        std: Likewise.
        fast: Compute in what is fastest on the device, with relative errors of about 1e-2.
        random_seed: Of random weights.
    """

    weights: str = "random"
    model: str = ""
    size_px: int = 0
    resize_px: int = 0
    whole: bool = False
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    fast: bool = False
    random_seed: int = 0


class Frozen(NamedTuple):
    """A backbone that will not change any more.

    Attributes:
        network: Returns the features of each tap.
        trunk: Where it came from.
        taps: In the order of the features.
        channels: Of each tap.
        places: Of each tap's pooled map.
        view: The test view.
        mean: Of each channel.
        std: Of each channel.
        device: Where it is.
    """

    network: nn.Module
    trunk: Trunk
    taps: tuple[Tap, ...]
    channels: tuple[int, ...]
    places: tuple[int, ...]
    view: TestView | WholeView
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: torch.device

    @torch.no_grad()
    def features(self, pixels: Tensor) -> list[Tensor]:
        """Return features of uint8 images."""
        images = normalize(pixels.to(self.device), mean=self.mean, std=self.std)
        found: list[Tensor] = self.network(images)
        return found


def open_trunk(backbone: Backbone) -> Trunk:
    """Load the weights.

    Raises:
        ValueError: If there are no such weights or nobody says of which network.
    """
    if len(backbone.mean) not in (0, 3) or len(backbone.std) not in (0, 3):
        raise RecipeError(
            f"need three numbers for mean and for std, got {backbone.mean} and {backbone.std}"
        )
    return load_trunk(
        backbone.weights,
        model=backbone.model or None,
        image_size=backbone.size_px or None,
        seed=backbone.random_seed,
    )


def freeze(backbone: Backbone, taps: Sequence[str], device: torch.device) -> Frozen:
    """Load a backbone and tap it.

    Args:
        backbone: Of the recipe.
        taps: As they print; `PUBLISHED` for the published ones.
        device: Where to.

    Raises:
        ValueError: If the weights do not load, or the network has no such tap.
    """
    trunk = open_trunk(backbone)
    chosen = _published(trunk) if tuple(taps) == PUBLISHED else tuple(map(parse_tap, taps))
    tapped = TappedNetwork(trunk.network, chosen).to(device)
    settings = speed_defaults(device, trunk.spec, "inference", exact=not backbone.fast)
    mean, std = trunk.colours()
    view: TestView | WholeView = trunk.view(backbone.size_px or None, backbone.resize_px or None)
    if backbone.whole:
        view = WholeView(view.size_px, view.filter)
    frozen = Frozen(
        prepare_inference(tapped, settings), trunk, chosen, tapped.channels, (), view,
        backbone.mean or mean, backbone.std or std, device,
    )  # fmt: skip
    blank = np.zeros((1, 3, view.size_px, view.size_px), np.uint8)
    widths = [features.shape[1] for features in frozen.features(torch.from_numpy(blank))]
    places = tuple(w // c for w, c in zip(widths, tapped.channels, strict=True))
    return frozen._replace(places=places)


def _published(trunk: Trunk) -> tuple[Tap, ...]:
    for name, taps in PUBLISHED_TAPS.items():
        if getattr(to_spec(name), "widths", ()) == getattr(trunk.spec, "widths", None):
            return taps
    raise RecipeError(
        f"need one of {', '.join(PUBLISHED_TAPS)} for published taps, got another network; name "
        "taps such as pool or s4@2x1"
    )
