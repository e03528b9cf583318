"""Training examples of grounding: an image, its caption, and boxes with the spans that name them.

`GroundingExamples` goes into the same `Loader` as images without captions do, with the same
order, workers, quarantine and exact resume.

Shapes: B images, N boxes of one image, "total" boxes of all images one after the other.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from eyespot.data.annotations import CaptionedImage, Region, training_boxes
from eyespot.data.box_transforms import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    NATURAL_SIZES,
    GroundedImage,
    View,
    ViewSizes,
    apply_view,
    draw_training_view,
    evaluation_view,
    mirrored_boxes,
)
from eyespot.data.captions import Span
from eyespot.data.decode import MAX_PIXELS, decode_image
from eyespot.data.draws import generator
from eyespot.data.grounding_sources import GroundingSource
from eyespot.data.padding import pad_images, pad_to_largest
from eyespot.data.quarantine import BadSample
from eyespot.design.plain_data import short
from eyespot.ops import rle
from eyespot.ops.boxes import xyxy_px_to_cxcywh
from eyespot.ops.polygons import polygons_to_rles

_MAX_IN_A_ROW = 100

MakeView = Callable[[np.random.Generator, int, int, Float[Tensor, "n 4"]], View]
"""(random numbers, height, width, boxes_xyxy_px) -> what is done to the image."""


@dataclass(frozen=True)
class RandomView:
    """The published training view: resized, half of the time also cropped.

    Args:
        sizes: `NATURAL_SIZES`, `CLEVR_SIZES`, or others.
        mirror: Half of the images are mirrored, their captions' left and right swapped: published
            for plain COCO, never for what texts describe.
    """

    sizes: ViewSizes = NATURAL_SIZES
    mirror: bool = False

    def __call__(
        self, rng: np.random.Generator, height_px: int, width_px: int, boxes_xyxy_px: Tensor
    ) -> View:
        """Draw a view."""
        mirrored = self.mirror and rng.random() < 0.5
        if mirrored:
            boxes_xyxy_px = mirrored_boxes(boxes_xyxy_px, width_px)
        view = draw_training_view(rng, height_px, width_px, boxes_xyxy_px, self.sizes)
        return view._replace(mirrored=mirrored)


@dataclass(frozen=True)
class FixedView:
    """The published evaluation view.

    Args:
        short_side_px: What the shorter side becomes; None: the image stays as it is (CLEVR).
        max_long_side_px: Unless the longer side would pass this.
    """

    short_side_px: int | None = 800
    max_long_side_px: int = NATURAL_SIZES.max_long_side_px

    def __call__(
        self, rng: np.random.Generator, height_px: int, width_px: int, boxes_xyxy_px: Tensor
    ) -> View:
        """Return the view; nothing is random."""
        if self.short_side_px is None:
            return View(None, None, (height_px, width_px))
        return evaluation_view(
            height_px,
            width_px,
            short_side_px=self.short_side_px,
            max_long_side_px=self.max_long_side_px,
        )


@dataclass(frozen=True)
class GroundingExample:
    """What a worker makes of one pair of image and caption."""

    step: int
    index: int
    grounded: GroundedImage
    record: CaptionedImage
    bad: tuple[BadSample, ...]


class GroundingBatch(NamedTuple):
    """One rank's part of a step.

    Attributes:
        step: Counted from 0 over all epochs.
        images: RGB in 0..255, zeros at the bottom and right; `normalize_padded` readies them.
        pad_mask: True on padding.
        captions: Texts.
        boxes_cxcywh: Relative to each image without its padding.
        num_boxes: How many boxes each image has.
        spans: For each image, for each of its boxes, the characters [begin, end) that name it.
        is_final: 1 where the caption as a whole means the box, 0 where not, NaN where it is not
            said; None if it is not said of any box.
        masks: Of the boxes, zeros on padding; None unless asked for.
        records: The captions as annotated, for evaluators: ids, original sizes, all boxes.
        indices: Of the pairs that were read.
        bad: Pairs whose image could not be read and that were replaced.
    """

    step: int
    images: UInt8[Tensor, "b 3 h w"]
    pad_mask: Bool[Tensor, "b h w"]
    captions: tuple[str, ...]
    boxes_cxcywh: Float[Tensor, "total 4"]
    num_boxes: tuple[int, ...]
    spans: tuple[list[list[Span]], ...]
    is_final: Float[Tensor, " total"] | None
    masks: Bool[Tensor, "total h w"] | None
    records: tuple[CaptionedImage, ...]
    indices: Int64[Tensor, " b"]
    bad: tuple[BadSample, ...]

    @property
    def sizes_hw_px(self) -> Int64[Tensor, "b 2"]:
        """Height and width of the original images, which evaluators scale boxes to."""
        return torch.tensor([(record.height_px, record.width_px) for record in self.records])


class GroundingExamples:
    """A source with its views, asked by (step, epoch, index).

    Args:
        source: Where images and captions come from.
        make_view: `RandomView` to train, `FixedView` to evaluate, or another.
        seed: Of the run.
        with_masks: Whether boxes come with their masks.
        max_pixels: Larger pictures count as damaged.

    Raises:
        ValueError: On access, if a hundred images in a row are damaged, or all there are.
    """

    def __init__(
        self,
        source: GroundingSource,
        make_view: MakeView,
        *,
        seed: int,
        with_masks: bool = False,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.source = source
        self.make_view = make_view
        self.seed = seed
        self.with_masks = with_masks
        self.max_pixels = max_pixels

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, where: tuple[int, int, int]) -> GroundingExample:
        step, epoch, asked = where
        bad: list[BadSample] = []
        for place in range(asked, asked + min(len(self), _MAX_IN_A_ROW)):
            place %= len(self)
            record = self.source.caption(place, epoch)
            try:
                grounded = self._read(place, record)
            except ValueError as error:
                bad.append(BadSample(place, record.file_name, str(error)))
                continue
            rng = generator(self.seed, epoch, place)
            size = (record.height_px, record.width_px)
            view = self.make_view(rng, *size, grounded.boxes_xyxy_px)
            return GroundingExample(step, place, apply_view(grounded, view), record, tuple(bad))
        raise ValueError(
            f"need readable images, got {len(bad)} damaged ones in a row from index {asked}; the "
            f"last is {bad[-1].name}: {bad[-1].reason}"
        )

    def collate(self, examples: Sequence[GroundingExample]) -> GroundingBatch:
        """Put examples together, padded to the largest height and width."""
        grounded = [example.grounded for example in examples]
        images = [torch.from_numpy(np.array(one.image)).permute(2, 0, 1) for one in grounded]
        padded = pad_images(images)
        return GroundingBatch(
            examples[0].step,
            padded.images,
            padded.pad_mask,
            tuple(one.caption for one in grounded),
            torch.cat([xyxy_px_to_cxcywh(g.boxes_xyxy_px, *g.image.shape[:2]) for g in grounded]),
            tuple(len(one.boxes_xyxy_px) for one in grounded),
            tuple(one.spans for one in grounded),
            _join_finals(grounded),
            _stack_masks(grounded, padded.pad_mask),
            tuple(example.record for example in examples),
            torch.tensor([example.index for example in examples]),
            tuple(bad for example in examples for bad in example.bad),
        )

    def _read(self, place: int, record: CaptionedImage) -> GroundedImage:
        image = self.source.image(place, record)
        if isinstance(image, bytes):
            image = decode_image(image, max_pixels=self.max_pixels)
        if image.shape[:2] != (record.height_px, record.width_px):
            raise ValueError(
                f"need an image of {record.width_px}x{record.height_px} as annotated, got "
                f"{image.shape[1]}x{image.shape[0]}"
            )
        boxes = training_boxes(record)
        return GroundedImage(
            image,
            record.caption,
            boxes.boxes_xyxy_px,
            boxes.areas_px,
            [list(region.spans) for region in boxes.regions],
            _finals(boxes.regions),
            read_masks(boxes.regions, *image.shape[:2]) if self.with_masks else None,
        )


def read_masks(
    regions: Sequence[Region], height_px: int, width_px: int
) -> Bool[Tensor, "n {height_px} {width_px}"]:
    """Return the masks of regions: COCO polygons or run lengths in `segmentation`.

    Raises:
        ValueError: If a region has none, or one that is broken or of another size.
    """
    masks = np.zeros((len(regions), height_px, width_px), bool)
    for mask, region in zip(masks, regions, strict=True):
        segmentation = region.more.get("segmentation")
        if not segmentation:
            raise ValueError(f"need a segmentation of the box {region.box_xywh_px}, got none")
        try:
            if isinstance(segmentation, list):
                found = rle.decode(polygons_to_rles([segmentation], [height_px], [width_px]))
            else:
                found = rle.decode(rle.from_coco([segmentation]))
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError) as error:
            raise ValueError(
                f"need polygons or run lengths of the box {region.box_xywh_px}, got "
                f"{short(segmentation)}: {error}"
            ) from None
        if found.shape[1:] != mask.shape:
            raise ValueError(
                f"need a segmentation of {width_px}x{height_px}, got {found.shape[2]}x"
                f"{found.shape[1]}: the box {region.box_xywh_px}"
            )
        mask[:] = found[0]
    return torch.from_numpy(masks)


def normalize_padded(
    images: UInt8[Tensor, "b 3 h w"], pad_mask: Bool[Tensor, "b h w"]
) -> Float[Tensor, "b 3 h w"]:
    """Return images as the network takes them: ImageNet's mean 0 and deviation 1, padding 0."""
    mean, std = (
        torch.tensor(values, device=images.device).view(3, 1, 1)
        for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    pixels = (images.to(torch.float32) / 255 - mean) / std
    return pixels.masked_fill(pad_mask.unsqueeze(1), 0.0)


def _finals(regions: Sequence[Region]) -> Float[Tensor, " n"] | None:
    """What is said of boxes being meant by the whole caption; None if nothing is."""
    if all(region.is_final is None for region in regions):
        return None
    said = [math.nan if region.is_final is None else float(region.is_final) for region in regions]
    return torch.tensor(said)


def _join_finals(grounded: Sequence[GroundedImage]) -> Float[Tensor, " total"] | None:
    if all(one.is_final is None for one in grounded):
        return None
    unknown = [torch.full((len(one.boxes_xyxy_px),), math.nan) for one in grounded]
    pairs = zip(grounded, unknown, strict=True)
    return torch.cat([nan if one.is_final is None else one.is_final for one, nan in pairs])


def _stack_masks(
    grounded: Sequence[GroundedImage], pad_mask: Bool[Tensor, "b h w"]
) -> Bool[Tensor, "total h w"] | None:
    masks = [one.masks for one in grounded if one.masks is not None]
    if not masks:
        return None
    height, width = pad_mask.shape[1:]
    largest = torch.zeros(1, height, width, dtype=torch.bool)  # so that images without boxes count
    planes = [plane.unsqueeze(0) for mask in masks for plane in mask]
    return pad_to_largest([largest, *planes])[1:, 0]
