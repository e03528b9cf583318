"""Features from several places of a network in one pass, each pooled as its tap says.

Shapes: B images, C channels, H W size of a map, h w of its pooled grid.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eyespot.models.convnet import ConvNet
from eyespot.models.vit import ViT

POOL = "pool"
"""The tap of what the network's own classifier sees."""

_TEXT = re.compile(r"([\w.]+)(?:@(\d+)x(\d+)|@k(\d+)s(\d+)p(\d+))?")


@dataclass(frozen=True, slots=True)
class Tap:
    """A place of a network, and how its map is pooled.

    Attributes:
        level: "pool" for the features before the classifier, or a name of `feature_info`: "s4",
            "stem.af", "blocks.11".
        grid: Cells of the adaptive average pool, high and wide.
        window: Kernel, stride and padding of an average pool to take instead.
    """

    level: str = POOL
    grid: tuple[int, int] = (1, 1)
    window: tuple[int, int, int] | None = None

    def __str__(self) -> str:
        if self.window is not None:
            return "{}@k{}s{}p{}".format(self.level, *self.window)
        return self.level if self.grid == (1, 1) else "{}@{}x{}".format(self.level, *self.grid)


def parse_tap(text: str) -> Tap:
    """Read a tap as it prints: "pool", "s4", "s4@2x1" (a grid), "s3@k8s3p0" (a window).

    Raises:
        ValueError: If the text is none.
    """
    match = _TEXT.fullmatch(text)
    if match is None or (match[1] == POOL and match[0] != POOL) or match[2] == "0":
        raise ValueError(f"need a tap such as pool, s4, s4@2x1 or s3@k8s3p0, got {text!r}")
    if match[4]:
        return Tap(match[1], window=(int(match[4]), int(match[5]), int(match[6])))
    return Tap(match[1], (int(match[2]), int(match[3]))) if match[2] else Tap(match[1])


def _windows(kernels: Sequence[tuple[int, int, int]]) -> tuple[Tap, ...]:
    levels = ("stem.af", "s1", "s2", "s3", "s4")
    return tuple(Tap(level, window=k) for level, k in zip(levels, kernels, strict=True))


PUBLISHED_TAPS: dict[str, tuple[Tap, ...]] = {
    "ResNet-50": _windows([(10, 10, 4), (16, 8, 0), (13, 5, 0), (8, 3, 0), (6, 1, 0)]),
    "RegNetY-8.0GF": (Tap("s3", (3, 3)), Tap("s4", (6, 1)), Tap()),
    "RegNetY-16GF": (Tap("s3", (3, 3)), Tap("s4", (4, 1)), Tap()),
    "RegNetY-32GF": (Tap("s3", (7, 1)), Tap("s4", (3, 1)), Tap()),
    "RegNetY-64GF-seer": (Tap("s3", (5, 1)), Tap("s4", (2, 1)), Tap()),
    "RegNetY-128GF-seer": (Tap("s3", (3, 1)), Tap("s4", (2, 1)), Tap()),
    "RegNetY-256GF-seer-vissl": (Tap("s3", (2, 1)), Tap("s4", (1, 2)), Tap()),
    "RegNetY-10B-seer": (Tap("s3", (2, 1)), Tap("s4", (2, 1)), Tap("s4", (1, 2)), Tap()),
}
"""What VISSL's linear evaluations tap, for images of 224 px."""

VOC_TAPS = (Tap("s3", window=(8, 3, 0)), Tap("s4", window=(6, 1, 0)))
"""What VISSL's SVMs on VOC 2007 tap, for images of 224 px."""


class TappedNetwork(nn.Module):
    """A network that returns flat features of several taps, running no further than they need.

    Args:
        network: It loses nothing; its classifier is not run.
        taps: In the order wanted.

    Attributes:
        channels: Channels of each tap.
        cells: Places of each tap's pooled map; features are `channels * cells` wide. None where a
            window makes it depend on the image.

    Raises:
        ValueError: If the network has no such level.
    """

    def __init__(self, network: ConvNet | ViT, taps: Sequence[Tap]) -> None:
        super().__init__()
        known = network.feature_info.module_name()
        for tap in taps:
            if tap.level not in (POOL, *known):
                raise ValueError(
                    f"need a tap of {POOL}, {', '.join(known)} for this network, got {tap}"
                )
        if not taps:
            raise ValueError(f"need at least one tap of {POOL}, {', '.join(known)}, got none")
        self.taps = tuple(taps)
        self._order = {name: place for place, name in enumerate(known)}
        widths = dict(zip(known, network.feature_info.channels(), strict=True))
        pooled = network.head.in_dim if isinstance(network, ConvNet) else network.num_features
        widths[POOL] = pooled
        self.channels = tuple(widths[tap.level] for tap in taps)
        self.cells = tuple(None if tap.window else tap.grid[0] * tap.grid[1] for tap in taps)
        self.network = network

    def forward(self, images: Float[Tensor, "b i h w"]) -> list[Tensor]:
        """Return features [B, C h w] of each tap."""
        names = {tap.level for tap in self.taps}
        run = self._run_cnn if isinstance(self.network, ConvNet) else self._run_vit
        found = run(images, names)
        return [_pooled(found[tap.level], tap) for tap in self.taps]

    def _run_cnn(self, images: Tensor, names: set[str]) -> dict[str, Tensor]:
        last = max(self._order, key=lambda name: self._order[name])
        levels = sorted((names - {POOL}) | ({last} if POOL in names else set()))
        maps = self.network.forward_intermediates(images, [self._order[name] for name in levels])
        found = dict(zip(levels, maps, strict=True))
        if POOL in names:
            found[POOL] = self.network.forward_head(found[last], pre_logits=True)
        return found

    def _run_vit(self, images: Tensor, names: set[str]) -> dict[str, Tensor]:
        network = self.network
        assert isinstance(network, ViT)
        levels = sorted(names - {POOL})
        found: dict[str, Tensor] = {}
        if levels:
            indices = [self._order[name] for name in levels]
            maps = network.forward_intermediates(images, indices)
            found = dict(zip(levels, maps, strict=True))
        if POOL in names:
            tokens = network.forward_features(images)
            found[POOL] = network.forward_head(tokens, pre_logits=True)
        return found


def _pooled(found: Tensor, tap: Tap) -> Tensor:
    """Return features [B, C h w] of a tap's map or pooled features."""
    if tap.level == POOL:
        return found
    if tap.window is None:
        return F.adaptive_avg_pool2d(found, tap.grid).flatten(1)
    kernel, stride, padding = tap.window
    if min(found.shape[2:]) + 2 * padding < kernel:
        raise ValueError(
            f"need maps of at least {kernel - 2 * padding} px for the tap {tap}, got "
            f"{found.shape[2]}x{found.shape[3]}; give larger images or another tap"
        )
    return F.avg_pool2d(found, kernel, stride, padding).flatten(1)
