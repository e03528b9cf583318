"""Encoded pictures and texts, put together into batches and taken apart again.

Shapes: B pictures, K tokens, D width.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from eyespot.models.mdetr import ImageFeatures, Level


def padded(features: Sequence[Tensor]) -> tuple[Tensor, Bool[Tensor, "b k"]]:
    """Stack texts [1, K, D] of different lengths, zeros and True behind them."""
    longest = max(f.shape[1] for f in features)
    texts = torch.cat(
        [torch.nn.functional.pad(f, (0, 0, 0, longest - f.shape[1])) for f in features]
    )
    lengths = torch.tensor([f.shape[1] for f in features], device=texts.device)
    return texts, torch.arange(longest, device=texts.device) >= lengths.unsqueeze(1)


def one_of(features: ImageFeatures, row: int) -> ImageFeatures:
    """One picture's part of a batch."""
    one = slice(row, row + 1)
    return ImageFeatures(
        [m[one] for m in features.maps],
        features.projected[one],
        features.pad_mask[one],
        features.position[one],
        tuple(Level(*(part[one] for part in level)) for level in features.finer),
    )


def stacked(features: Sequence[ImageFeatures]) -> ImageFeatures:
    """A batch of pictures of one size."""
    return ImageFeatures(
        [torch.cat(maps) for maps in zip(*(f.maps for f in features), strict=True)],
        torch.cat([f.projected for f in features]),
        torch.cat([f.pad_mask for f in features]),
        torch.cat([f.position for f in features]),
        tuple(
            Level(*(torch.cat(parts) for parts in zip(*levels, strict=True)))
            for levels in zip(*(f.finer for f in features), strict=True)
        ),
    )
