"""The views of supervised training and testing: from one decoded picture to what a network sees.

Each is called as `multi_crop` is, with the picture and where its random numbers come from.

Shapes: H, W of the picture.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from eyespot.data.distort import Distortion, distort, draw_distortion
from eyespot.data.draws import Draws
from eyespot.data.geometry import (
    Filter,
    draw_crop,
    flip,
    pad_crop,
    resize,
    resized_crop,
    scale_box,
    short_side_crop,
    side_for,
)
from eyespot.data.policies import apply_ops, parse_policy


@dataclass(frozen=True)
class TrainView:
    """Random resized crop, mirrored half the time, then AutoAugment or RandAugment, then colours.

    Args:
        size_px: Side of the view.
        area: Range of the crop's share of the picture.
        policy: "AutoAugment", "RandAugment_N2_M0.5[_P1.0]", or "" for none.
        distortion: Of colours, as in pretraining, after the policy; None for none.
        filter: Of resizing.

    Raises:
        ValueError: If the policy is another string.
    """

    size_px: int = 224
    area: tuple[float, float] = (0.08, 1.0)
    policy: str = ""
    distortion: Distortion | None = None
    filter: Filter = "bilinear"

    def __post_init__(self) -> None:
        if self.policy:
            parse_policy(self.policy)

    def __call__(
        self,
        image: UInt8[np.ndarray, "H W 3"],
        *,
        seed: int,
        epoch: int,
        index: int,
        size: tuple[int, int] | None = None,
    ) -> list[np.ndarray]:
        """Return the one view; `size` is the picture's where it was decoded smaller."""
        draws, here = Draws(seed, epoch, index), image.shape[:2]
        box = draw_crop(draws, *(size or here), area=self.area)
        if box is not None and size is not None:
            box = scale_box(box, size, here)
        view = resized_crop(image, box, self.size_px, filter=self.filter)
        if draws.coin():
            view = flip(view)
        if self.policy:
            view = apply_ops(np.ascontiguousarray(view), parse_policy(self.policy)(draws))
        if self.distortion is not None:
            view = distort(view, draw_distortion(draws, self.distortion))
        return [view]

    def least_side(self, height: int, width: int, *, seed: int, epoch: int, index: int) -> int:
        """Return the shorter side, in pixels, at which the crop of a picture is not enlarged."""
        box = draw_crop(Draws(seed, epoch, index), height, width, area=self.area)
        return self.size_px if box is None else side_for([box], self.size_px, height, width)


@dataclass(frozen=True)
class PaddedView:
    """CIFAR's training view: zero padding, a crop of the old size, mirrored half the time.

    Args:
        pad: Pixels on each side; offsets are drawn from 0..2*pad-1.
    """

    pad: int = 4

    def __call__(
        self, image: UInt8[np.ndarray, "H W 3"], *, seed: int, epoch: int, index: int
    ) -> list[np.ndarray]:
        """Return the one view."""
        draws = Draws(seed, epoch, index)
        top, left = draws.integer(2 * self.pad), draws.integer(2 * self.pad)
        view = pad_crop(image, pad=self.pad, top=top, left=left)
        return [flip(view) if draws.coin() else view]


@dataclass(frozen=True)
class TestView:
    """The middle of the picture; nothing is random.

    Args:
        resize_to: What the shorter side is resized to.
        size_px: Side of the view, at most `resize_to`.
        antialias: See `resize`.
        filter: Of resizing.
    """

    __test__ = False  # no test, whatever pytest thinks of the name

    resize_to: int = 256
    size_px: int = 224
    antialias: bool = True
    filter: Filter = "bilinear"

    def __call__(
        self, image: UInt8[np.ndarray, "H W 3"], *, seed: int, epoch: int, index: int
    ) -> list[np.ndarray]:
        """Return the one view."""
        return [
            short_side_crop(
                image,
                resize_to=self.resize_to,
                crop=self.size_px,
                antialias=self.antialias,
                filter=self.filter,
            )
        ]


@dataclass(frozen=True)
class WholeView:
    """The whole picture, whatever its proportion, as a square; nothing is random.

    Args:
        size_px: Side of the view.
        filter: Of resizing.
    """

    size_px: int = 224
    filter: Filter = "bilinear"

    def __call__(
        self, image: UInt8[np.ndarray, "H W 3"], *, seed: int, epoch: int, index: int
    ) -> list[np.ndarray]:
        """Return the one view."""
        return [resize(image, self.size_px, self.size_px, filter=self.filter)]
