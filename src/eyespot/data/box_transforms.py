"""Resize, crop and mirror an image together with its boxes, masks and spans.

Paper: MDETR (arXiv 2104.12763), appendix; sizes of its published code. The functions are pure:
what is random is drawn first (`draw_training_view`) and passed in. Captions that tell left
from right must not be mirrored, so no published text-conditioned recipe mirrors.

Shapes: N boxes, H W the image.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from eyespot.data.captions import Span, swap_left_right
from eyespot.ops.boxes import box_area, xyxy_px_to_cxcywh

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_CROP_TRIES = 100
_LONGEST = 10  # of an image before its crop, in longest crops


class GroundedImage(NamedTuple):
    """An image with its caption and boxes; every per-box field has one entry a box.

    `is_final` is NaN for boxes of which it is not said.
    """

    image: UInt8[np.ndarray, "h w 3"]
    caption: str
    boxes_xyxy_px: Float[Tensor, "n 4"]
    areas_px: Float[Tensor, "n"]
    spans: list[list[Span]]
    is_final: Float[Tensor, "n"] | None = None
    masks: Bool[Tensor, "n h w"] | None = None


class Crop(NamedTuple):
    """A region of an image."""

    top_px: int
    left_px: int
    height_px: int
    width_px: int


class View(NamedTuple):
    """What is done to one image: an optional resize and crop, then the last resize.

    A mirrored one is mirrored before all of that.
    """

    first_hw_px: tuple[int, int] | None
    crop: Crop | None
    last_hw_px: tuple[int, int]
    mirrored: bool = False


@dataclass(frozen=True)
class ViewSizes:
    """Sizes that training views are drawn from."""

    short_sides_px: tuple[int, ...]
    max_long_side_px: int
    before_crop_px: tuple[int, ...]
    min_crop_px: int
    max_crop_px: int


NATURAL_SIZES = ViewSizes(tuple(range(480, 801, 32)), 1333, (400, 500, 600), 384, 1333)
CLEVR_SIZES = ViewSizes((256, 288, 320, 352, 384), 512, (320, 352, 384), 256, 512)


def resized_hw(
    height_px: int, width_px: int, short_side_px: int, max_long_side_px: int | None = None
) -> tuple[int, int]:
    """Return the size with this short side, or less where the long side would pass its limit.

    As published: the limited short side is rounded, then the long side truncated, so that it
    can pass the limit by one, or by half if the short side is one pixel. Of an image so thin that
    the short side would vanish, it is one pixel, and the long side at its limit.
    """
    short, long = sorted((height_px, width_px))
    if max_long_side_px is not None and long / short * short_side_px > max_long_side_px:
        short_side_px = round(max_long_side_px * short / long)
        if short_side_px < 1:
            return (1, max_long_side_px) if height_px <= width_px else (max_long_side_px, 1)
    long_side_px = int(short_side_px * long / short)
    if height_px <= width_px:
        return short_side_px, long_side_px
    return long_side_px, short_side_px


def resize(grounded: GroundedImage, hw_px: tuple[int, int]) -> GroundedImage:
    """Resize to this height and width: the image bilinearly, masks by nearest neighbour."""
    height, width = hw_px
    old_height, old_width = grounded.image.shape[:2]
    picture = Image.fromarray(grounded.image)
    image = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
    across, down = width / old_width, height / old_height
    scale = grounded.boxes_xyxy_px.new_tensor([across, down, across, down])
    masks = grounded.masks
    if masks is not None and len(masks) == 0:
        masks = masks.new_zeros(0, height, width)
    elif masks is not None:
        masks = F.interpolate(masks.unsqueeze(0).byte(), size=hw_px, mode="nearest")[0].bool()
    return grounded._replace(
        image=image,
        boxes_xyxy_px=grounded.boxes_xyxy_px * scale,
        areas_px=grounded.areas_px * (across * down),
        masks=masks,
    )


def crop(grounded: GroundedImage, region: Crop) -> GroundedImage:
    """Cut a region out; boxes are clipped to it, and those left without area are dropped.

    Everything that belongs to a dropped box goes with it, its spans too. Areas become those
    of the clipped boxes.
    """
    top, left, height, width = region
    rows, columns = slice(top, top + height), slice(left, left + width)
    boxes = _cropped_boxes(grounded.boxes_xyxy_px, region)
    areas = box_area(boxes)
    kept = grounded._replace(
        image=grounded.image[rows, columns],
        boxes_xyxy_px=boxes,
        areas_px=areas,
        masks=None if grounded.masks is None else grounded.masks[:, rows, columns],
    )
    return keep_boxes(kept, areas > 0)


def keep_boxes(grounded: GroundedImage, keep: Bool[Tensor, "n"]) -> GroundedImage:
    """Keep some boxes and everything that belongs to them."""
    is_final, masks = grounded.is_final, grounded.masks
    return grounded._replace(
        boxes_xyxy_px=grounded.boxes_xyxy_px[keep],
        areas_px=grounded.areas_px[keep],
        spans=[s for s, kept in zip(grounded.spans, keep.tolist(), strict=True) if kept],
        is_final=None if is_final is None else is_final[keep],
        masks=None if masks is None else masks[keep],
    )


def mirror(grounded: GroundedImage) -> GroundedImage:
    """Mirror left and right; the words left and right swap, and the spans follow them."""
    caption, spans = swap_left_right(grounded.caption, grounded.spans)
    return grounded._replace(
        image=np.ascontiguousarray(grounded.image[:, ::-1]),
        caption=caption,
        boxes_xyxy_px=mirrored_boxes(grounded.boxes_xyxy_px, grounded.image.shape[1]),
        spans=spans,
        masks=None if grounded.masks is None else grounded.masks.flip(2),
    )


def mirrored_boxes(boxes_xyxy_px: Float[Tensor, "n 4"], width_px: int) -> Float[Tensor, "n 4"]:
    """Return where boxes are in the mirror image."""
    swapped = boxes_xyxy_px[:, [2, 1, 0, 3]]
    return swapped * swapped.new_tensor([-1, 1, -1, 1]) + swapped.new_tensor(
        [width_px, 0, width_px, 0]
    )


def normalize(
    grounded: GroundedImage,
) -> tuple[Float[Tensor, "3 h w"], Float[Tensor, "n 4"]]:
    """Return the image as the network takes it, and its boxes as centre boxes in 0..1.

    Pixels in 0..1 minus ImageNet's mean, divided by its standard deviation, channels first.
    """
    pixels = torch.from_numpy(np.array(grounded.image)).permute(2, 0, 1).to(torch.float32) / 255
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    height, width = grounded.image.shape[:2]
    boxes = xyxy_px_to_cxcywh(grounded.boxes_xyxy_px, height, width)
    return ((pixels - mean) / std).contiguous(), boxes


def apply_view(grounded: GroundedImage, view: View) -> GroundedImage:
    """Do what a view says."""
    if view.mirrored:
        grounded = mirror(grounded)
    if view.first_hw_px is not None:
        grounded = resize(grounded, view.first_hw_px)
    if view.crop is not None:
        grounded = crop(grounded, view.crop)
    return resize(grounded, view.last_hw_px)


def evaluation_view(
    height_px: int, width_px: int, *, short_side_px: int = 800, max_long_side_px: int = 1333
) -> View:
    """Return the evaluation view; the defaults are those published for natural images."""
    size = resized_hw(height_px, width_px, short_side_px, max_long_side_px)
    return View(None, None, size)


def draw_training_view(
    rng: np.random.Generator,
    height_px: int,
    width_px: int,
    boxes_xyxy_px: Float[Tensor, "n 4"],
    sizes: ViewSizes = NATURAL_SIZES,
) -> View:
    """Draw how to show an image in training.

    Half of the time it is only resized; else it is resized, cropped and resized again. The
    crop should keep all boxes: up to 100 are tried, and the last is taken if none does. Before the
    crop an image may be ten times as long as the longest crop, to be no burden if it is a line.

    Args:
        rng: The sample's own generator.
        height_px: Of the image.
        width_px: Of the image.
        boxes_xyxy_px: That the crop should keep.
        sizes: To draw from.
    """
    last = int(rng.choice(sizes.short_sides_px))
    if rng.random() < 0.5:
        size = resized_hw(height_px, width_px, last, sizes.max_long_side_px)
        return View(None, None, size)
    longest = _LONGEST * sizes.max_crop_px
    first = resized_hw(height_px, width_px, int(rng.choice(sizes.before_crop_px)), longest)
    scale = torch.tensor([first[1] / width_px, first[0] / height_px] * 2).to(boxes_xyxy_px)
    region = _draw_crop(rng, first, boxes_xyxy_px * scale, sizes)
    size = resized_hw(region.height_px, region.width_px, last, sizes.max_long_side_px)
    return View(first, region, size)


def _draw_crop(
    rng: np.random.Generator, hw_px: tuple[int, int], boxes_xyxy_px: Tensor, sizes: ViewSizes
) -> Crop:
    height, width = hw_px
    for _ in range(_CROP_TRIES):
        sides = [
            int(rng.integers(min(sizes.min_crop_px, limit), limit, endpoint=True))
            for limit in (min(height, sizes.max_crop_px), min(width, sizes.max_crop_px))
        ]
        top = int(rng.integers(0, height - sides[0], endpoint=True))
        left = int(rng.integers(0, width - sides[1], endpoint=True))
        region = Crop(top, left, *sides)
        if bool((box_area(_cropped_boxes(boxes_xyxy_px, region)) > 0).all()):
            break
    return region


def _cropped_boxes(boxes_xyxy_px: Tensor, region: Crop) -> Tensor:
    """Boxes seen from the region's corner, clipped to it."""
    top, left, height, width = region
    boxes = boxes_xyxy_px - boxes_xyxy_px.new_tensor([left, top, left, top])
    return boxes.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))
