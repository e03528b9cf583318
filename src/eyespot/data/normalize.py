"""From uint8 pictures to what a network reads, on whatever device the batch is.

Shapes: B samples, H, W of the picture.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from eyespot.data.draws import Draws

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SWAV_STD = (0.228, 0.224, 0.225)
"""What SwAV's published runs divide by, in pretraining and in evaluation: a slip for ImageNet's."""
CIFAR10_MEAN = (125.3 / 255, 123.0 / 255, 113.9 / 255)
CIFAR10_STD = (63.0 / 255, 62.1 / 255, 66.7 / 255)

_PCA_VALUES = (0.2175, 0.0188, 0.0045)
_PCA_VECTORS = (  # rows R, G, B
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


def normalize(
    images: UInt8[Tensor, "*b 3 h w"] | Float[Tensor, "*b 3 h w"],
    *,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    shift: Float[Tensor, "*b 3"] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "*b 3 h w"]:
    """Return (images / 255 + shift - mean) / std, in channels-last memory.

    Args:
        images: RGB, in 0..255.
        mean: Of each channel, in 0..1.
        std: Of each channel, in 0..1.
        shift: What `pca_shift` drew for each picture.
        dtype: Of the result; the sum is done in it.
    """
    scale = torch.tensor([1 / (255 * s) for s in std], dtype=dtype, device=images.device)
    offset = torch.tensor(
        [-m / s for m, s in zip(mean, std, strict=True)], dtype=dtype, device=images.device
    )
    if shift is not None:
        offset = offset + shift.to(images.device, dtype) * (255 * scale)  # [*b, 3]
    width = images.shape[-1]
    rows = (
        images.movedim(-3, -1).to(dtype, copy=True).flatten(-2)
    )  # [*b, h, w * 3]: three factors, repeated
    rows.mul_(scale.tile(width)).add_(offset.tile(width)[..., None, :])
    return rows.view(*rows.shape[:-1], width, 3).movedim(-1, -3)


def pca_shift(draws: Draws, *, std: float = 0.1) -> tuple[float, float, float]:
    """Draw AlexNet's colour shift: what to add to R, G and B, pixels in 0..1.

    Paper: Krizhevsky et al., "ImageNet classification with deep convolutional neural networks"
    (2012), section 4.1.

    Args:
        draws: Of this view.
        std: Of the weight of each principal component of ImageNet's colours.
    """
    weights = [draws.normal(std) * value for value in _PCA_VALUES]
    red, green, blue = (
        sum(entry * weight for entry, weight in zip(row, weights, strict=True))
        for row in _PCA_VECTORS
    )
    return red, green, blue
