"""Where a picture is cut and how it is resized.

A crop is drawn first, as plain numbers, and then cut by a pure function. Pictures stay uint8, as
PIL keeps them; the scaling papers' reference code resizes floats, so a value may differ by a half.

Shapes: H, W of the picture, h, w of what is cut from it.
"""

import math
from collections.abc import Iterable
from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8

from eyespot.data.draws import Draws

Filter = Literal["bilinear", "bicubic"]
"""How pixels of a resized picture are weighted."""

_TRIES = 10
_LONGEST = 100


class Box(NamedTuple):
    """A rectangle in whole pixels, from the top left corner."""

    top: int
    left: int
    height: int
    width: int


def draw_crop(
    draws: Draws,
    height: int,
    width: int,
    *,
    area: tuple[float, float] = (0.08, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
) -> Box | None:
    """Draw the crop of the scaling papers' recipe: aspect uniform, sides swapped at random.

    Paper: Goyal et al. (arXiv 1706.02677) after Szegedy et al. (arXiv 1409.4842), as the
    reference code of Fast and Accurate Model Scaling (arXiv 2103.06877) trains.

    Args:
        draws: Of this view.
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
        area: Range of the crop's share of the picture, uniform.
        aspect: Range of width / height, uniform, before the swap.

    Returns:
        The crop, or None when ten tries found none that fits: then take `short_side_crop`.
    """
    for _ in range(_TRIES):
        pixels = height * width * draws.uniform(*area)
        ratio = draws.uniform(*aspect)
        box_width, box_height = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
        if draws.coin():
            box_width, box_height = box_height, box_width
        if 0 < box_height <= height and 0 < box_width <= width:
            return _place(draws, height, width, box_height, box_width)
    return None


def draw_log_crop(
    draws: Draws,
    height: int,
    width: int,
    *,
    area: tuple[float, float],
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
) -> Box:
    """Draw the crop that self-supervised recipes use: the logarithm of the aspect is uniform.

    After ten tries that do not fit, the largest centred crop whose aspect is in range is taken.
    Arguments are those of `draw_crop`.
    """
    low, high = math.log(aspect[0]), math.log(aspect[1])
    for _ in range(_TRIES):
        pixels = height * width * draws.uniform(*area)
        ratio = math.exp(draws.uniform(low, high))
        box_width, box_height = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
        if 0 < box_height <= height and 0 < box_width <= width:
            return _place(draws, height, width, box_height, box_width)
    box_height, box_width = height, width
    if width < height * aspect[0]:
        box_height = round(width / aspect[0])
    elif width > height * aspect[1]:
        box_width = round(height * aspect[1])
    return Box((height - box_height) // 2, (width - box_width) // 2, box_height, box_width)


def side_for(boxes: Iterable[Box], size_px: int, height: int, width: int) -> int:
    """Return the shorter side at which none of a picture's crops need be enlarged.

    Args:
        boxes: Crops.
        size_px: Their side after resizing.
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
    """
    narrowest = min(min(box.height, box.width) for box in boxes)
    return math.ceil(min(height, width) * size_px / narrowest)


def scale_box(box: Box, size: tuple[int, int], to: tuple[int, int]) -> Box:
    """Return a crop of a picture where that has another height and width, in whole pixels."""
    (tall, wide), (height, width) = size, to
    edges = [box.top * height / tall, (box.top + box.height) * height / tall]
    edges += [box.left * width / wide, (box.left + box.width) * width / wide]
    top, bottom, left, right = map(round, edges)
    top, left = min(top, height - 1), min(left, width - 1)
    return Box(top, left, max(1, bottom - top), max(1, right - left))


def cut(image: UInt8[np.ndarray, "H W 3"], box: Box) -> UInt8[np.ndarray, "h w 3"]:
    """Return the part of a picture inside a box, as a view."""
    return image[box.top : box.top + box.height, box.left : box.left + box.width]


def resize(
    image: UInt8[np.ndarray, "H W 3"],
    height: int,
    width: int,
    *,
    antialias: bool = True,
    filter: Filter = "bilinear",
) -> UInt8[np.ndarray, "h w 3"]:
    """Resize, pixel centres aligned.

    With `antialias` the filter widens when the picture shrinks, as PIL does it (equal to within
    two levels, but for bicubic noise, whose overshoot is cut off in each of two passes; bilinear,
    to one level of the exact filter); without, the nearest neighbours are read whatever the scale,
    as OpenCV does it.
    """
    if image.shape[:2] == (height, width):
        return image
    # Torch's fast path wants memory in channels-last order, batch stride included.
    batch = torch.from_numpy(np.ascontiguousarray(image))[None].permute(0, 3, 1, 2)  # [1, 3, H, W]
    small = F.interpolate(batch, (height, width), mode=filter, antialias=antialias)
    return small[0].permute(1, 2, 0).numpy()  # [h, w, 3]


def resize_short_side(
    image: UInt8[np.ndarray, "H W 3"],
    size: int,
    *,
    antialias: bool = True,
    filter: Filter = "bilinear",
) -> UInt8[np.ndarray, "h w 3"]:
    """Resize so that the shorter side is `size`; the longer one is rounded down."""
    height, width = image.shape[:2]
    short = min(height, width)
    sides = size * height // short, size * width // short
    return resize(image, *sides, antialias=antialias, filter=filter)


def center_crop(image: UInt8[np.ndarray, "H W 3"], size: int) -> UInt8[np.ndarray, "h w 3"]:
    """Cut the middle square; an odd margin leaves the larger half at the top and left.

    Raises:
        ValueError: If the picture is smaller than the square.
    """
    height, width = image.shape[:2]
    if min(height, width) < size:
        raise ValueError(f"need a picture of at least {size}x{size}, got {height}x{width}")
    top, left = (height - size + 1) // 2, (width - size + 1) // 2  # ceil of half
    return cut(image, Box(top, left, size, size))


def short_side_crop(
    image: UInt8[np.ndarray, "H W 3"],
    *,
    resize_to: int,
    crop: int,
    antialias: bool = True,
    filter: Filter = "bilinear",
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the test view: shorter side to `resize_to`, then the middle `crop` x `crop`.

    Of a picture longer than `_LONGEST` times its shorter side, the middle so long is all there is:
    resized whole, a line of pixels would fill the memory.
    """
    height, width = image.shape[:2]
    longest = _LONGEST * min(height, width)
    if max(height, width) > longest:
        top, left = max(0, height - longest) // 2, max(0, width - longest) // 2
        image = cut(image, Box(top, left, min(height, longest), min(width, longest)))
    small = resize_short_side(image, resize_to, antialias=antialias, filter=filter)
    return center_crop(small, crop)


def resized_crop(
    image: UInt8[np.ndarray, "H W 3"],
    box: Box | None,
    size: int,
    *,
    filter: Filter = "bilinear",
) -> UInt8[np.ndarray, "h w 3"]:
    """Return what `draw_crop` or `draw_log_crop` drew, as a picture of `size` x `size`."""
    if box is None:
        return short_side_crop(image, resize_to=size, crop=size, filter=filter)
    return resize(cut(image, box), size, size, filter=filter)


def flip(image: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """Mirror left and right."""
    return cv2.flip(image, 1)


def pad_crop(
    image: UInt8[np.ndarray, "H W 3"], *, pad: int, top: int, left: int
) -> UInt8[np.ndarray, "H W 3"]:
    """Pad with zeros on all sides, then cut the old size at (top, left).

    CIFAR's recipe pads 4 and draws both offsets uniformly from 0..7: 8 would fit, but the
    reference never draws it.
    """
    height, width = image.shape[:2]
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
    return cut(padded, Box(top, left, height, width))


def _place(draws: Draws, height: int, width: int, box_height: int, box_width: int) -> Box:
    top = draws.integer(height - box_height + 1)
    left = draws.integer(width - box_width + 1)
    return Box(top, left, box_height, box_width)
