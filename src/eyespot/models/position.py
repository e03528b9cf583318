"""Where things are: the sine encoding of image positions.

Paper: DETR (arXiv 2005.12872), appendix A.4.

Shapes: B images, H W feature positions, D width.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def sine_encoding(
    pad_mask: Bool[Tensor, "b h w"],
    dim: int,
    *,
    temperature: float = 10_000.0,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "b d h w"]:
    """Sines and cosines of each position's row and column, counted inside the image.

    Rows and columns run from 1/n to 1 of the unpadded image, times 2 pi. The first half of
    the channels encodes the row, the second the column; within a half, channel i has
    wavelength temperature^(2 floor(i / 2) / (D / 2)), sine for even i and cosine for odd.

    Args:
        pad_mask: True on padding.
        dim: Channels D, divisible by 4.
        temperature: Of the wavelengths (paper: 10000).
        dtype: Of the result and of the arithmetic.

    Raises:
        ValueError: If D is not divisible by 4.
    """
    if dim % 4:
        raise ValueError(f"need a width divisible by 4 to encode two axes, got {dim}")
    inside = (~pad_mask).to(dtype)
    halves = []
    for axis in (1, 2):
        steps = inside.cumsum(axis)  # [B, H, W]
        last = steps.narrow(axis, steps.shape[axis] - 1, 1)
        halves.append(steps / (last + 1e-6) * 2 * math.pi)
    channel = torch.arange(dim // 2, device=pad_mask.device)
    wavelength = temperature ** ((channel // 2 * 2).to(dtype) / (dim // 2))  # [D/2]
    angle = torch.stack(halves, dim=1).unsqueeze(-1) / wavelength  # [B, 2, H, W, D/2]
    waves = torch.stack([angle[..., 0::2].sin(), angle[..., 1::2].cos()], dim=-1)
    return waves.flatten(-2).permute(0, 1, 4, 2, 3).flatten(1, 2)  # [B, D, H, W]
