"""Images of different sizes to one batch, zero-padded at the bottom and right."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor


class PaddedImages(NamedTuple):
    """A batch of images of the largest height and the largest width."""

    images: Shaped[Tensor, "b c h w"]
    pad_mask: Bool[Tensor, "b h w"]  # True on padding


def pad_images(images: Sequence[Shaped[Tensor, "c _ _"]]) -> PaddedImages:
    """Batch images; their sizes are not rounded."""
    batch = pad_to_largest(images)
    pad_mask = torch.ones(batch[:, 0].shape, dtype=torch.bool, device=batch.device)
    for mask, image in zip(pad_mask, images, strict=True):
        mask[: image.shape[-2], : image.shape[-1]] = False
    return PaddedImages(batch, pad_mask)


def pad_to_largest(planes: Sequence[Shaped[Tensor, "_ _ _"]]) -> Shaped[Tensor, "b c h w"]:
    """Stack planes of the same number of channels and any sizes, zeros at bottom and right.

    Raises:
        ValueError: If there are none, or their channels differ.
    """
    channels = {p.shape[0] for p in planes}
    if len(channels) != 1:
        raise ValueError(f"need planes of one number of channels to batch, got {sorted(channels)}")
    height, width = (max(p.shape[axis] for p in planes) for axis in (1, 2))
    batch = planes[0].new_zeros(len(planes), channels.pop(), height, width)
    for row, plane in zip(batch, planes, strict=True):
        row[:, : plane.shape[1], : plane.shape[2]] = plane
    return batch
