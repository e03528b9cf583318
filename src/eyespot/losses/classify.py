"""Classification on soft targets: label smoothing, mixup, CutMix and their cross-entropy.

The order within a batch is `smooth_one_hot`, then `mix`, then the network, then
`soft_cross_entropy`. Shapes: B samples, C channels, H W pixels, N classes.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


class Mixed(NamedTuple):
    """A mixed batch.

    Attributes:
        images: Each with part of another one.
        targets: Class weights; each row sums to one if it did before.
        kept: Share of the image's own targets, in 0 to 1; 1 when nothing was mixed.
    """

    images: Float[Tensor, "b c h w"]
    targets: Float[Tensor, "b n"]
    kept: float


def smooth_one_hot(
    labels: Int[Tensor, " b"],
    num_classes: int,
    *,
    smoothing: float,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "b {num_classes}"]:
    """Return targets with `smoothing` of their weight spread over all classes, the right one too.

    Paper: Rethinking Inception (arXiv 1512.00567), section 7.

    Args:
        labels: Class of each sample, from 0.
        num_classes: Width of the result.
        smoothing: Weight spread evenly, in 0 to 1 (usually 0.1; 0 for plain one-hot rows).
        dtype: Of the result.
    """
    one_hot = F.one_hot(labels.long(), num_classes).to(dtype)
    return one_hot * (1 - smoothing) + smoothing / num_classes


def soft_cross_entropy(
    logits: Float[Tensor, "b n"], targets: Float[Tensor, "b n"]
) -> Float[Tensor, ""]:
    """Return the mean over samples of - sum(targets * log softmax(logits)), in nats.

    Float32 under autocast.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return -(targets * logits.log_softmax(dim=1)).sum(dim=1).mean()


def mix(
    images: Float[Tensor, "b c h w"],
    targets: Float[Tensor, "b n"],
    *,
    mixup_alpha: float,
    cutmix_alpha: float,
    generator: np.random.Generator,
    partners: Int[Tensor, " b"] | None = None,
) -> Mixed:
    """Apply mixup or CutMix to a batch; with both alphas above 0, a fair coin picks one.

    Args:
        images: Batch; stays as it is.
        targets: Class weights.
        mixup_alpha: Both parameters of mixup's beta distribution; 0 turns mixup off.
        cutmix_alpha: The same for CutMix.
        generator: Where all chances come from: the coin, the share, the partners, the box.
        partners: Which image each is mixed with; a permutation is drawn if not given.

    Raises:
        ValueError: If an alpha is negative.
    """
    if mixup_alpha < 0 or cutmix_alpha < 0:
        raise ValueError(f"need alphas of 0 or more, got {mixup_alpha=}, {cutmix_alpha=}")
    if mixup_alpha > 0 and cutmix_alpha > 0:
        use_mixup = bool(generator.random() < 0.5)
    else:
        use_mixup = mixup_alpha > 0
    if use_mixup:
        return mixup(images, targets, alpha=mixup_alpha, generator=generator, partners=partners)
    if cutmix_alpha > 0:
        return cutmix(images, targets, alpha=cutmix_alpha, generator=generator, partners=partners)
    return Mixed(images, targets, 1.0)


def mixup(
    images: Float[Tensor, "b c h w"],
    targets: Float[Tensor, "b n"],
    *,
    alpha: float,
    generator: np.random.Generator,
    partners: Int[Tensor, " b"] | None = None,
) -> Mixed:
    """Blend every image and its targets with a partner's, by one share for the whole batch.

    Paper: mixup (arXiv 1710.09412), eq. 1. Args as in `mix`.
    """
    kept = float(generator.beta(alpha, alpha))
    partner = _partners(images, generator) if partners is None else partners
    return Mixed(
        torch.lerp(images[partner], images, kept),
        torch.lerp(targets[partner], targets, kept),
        kept,
    )


def cutmix(
    images: Float[Tensor, "b c h w"],
    targets: Float[Tensor, "b n"],
    *,
    alpha: float,
    generator: np.random.Generator,
    partners: Int[Tensor, " b"] | None = None,
) -> Mixed:
    """Paste one box of a partner's image into every image; targets follow the area.

    Paper: CutMix (arXiv 1905.04899), eq. 1 and 2. The box is clipped at the border, and `kept` is
    what it leaves uncovered. Args as in `mix`.
    """
    height, width = images.shape[-2:]
    wanted = float(generator.beta(alpha, alpha))
    partner = _partners(images, generator) if partners is None else partners
    center = int(generator.integers(height)), int(generator.integers(width))
    top, bottom, left, right = cutmix_box(height, width, wanted, center)
    kept = 1 - (bottom - top) * (right - left) / (height * width)
    pasted = images.clone()
    pasted[..., top:bottom, left:right] = images[partner, :, top:bottom, left:right]
    return Mixed(pasted, torch.lerp(targets[partner], targets, kept), kept)


def cutmix_box(
    height: int, width: int, kept: float, center: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return the top, bottom, left and right edge of CutMix's box, clipped to the image.

    Args:
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        kept: Share of the image that an unclipped box leaves, but for rounding: sides are rounded
            down, then to the even number below, since the box is half a side on either hand of its
            middle (as in CutMix's code and pycls).
        center: Row and column of the box's middle.
    """
    up = int(height * math.sqrt(1 - kept)) // 2
    aside = int(width * math.sqrt(1 - kept)) // 2
    return (
        max(center[0] - up, 0),
        min(center[0] + up, height),
        max(center[1] - aside, 0),
        min(center[1] + aside, width),
    )


def block_partners(
    count: int, generator: np.random.Generator, *, batch_size: int
) -> Int[Tensor, " {count}"]:
    """Return partners for a part of a shuffled batch that are those of the whole batch.

    Each image is mixed with one a random distance further on in its block, around the end. A block
    has 8 images if 64 divides the batch, else 2, so that a small batch can be cut into small parts.
    The reference permutes each process's images instead.

    Args:
        count: Images of the part; if blocks do not divide it, they make one block.
        generator: Draws the distance, one number whatever the count.
        batch_size: Images of the batch, all parts together.
    """
    block = 2 if batch_size % 64 else 8
    block = count if count % block else block
    shift = 1 + int(generator.random() * (block - 1)) if block > 1 else 0
    place = torch.arange(count)
    return place - place % block + (place + shift) % block


def _partners(images: Tensor, generator: np.random.Generator) -> Tensor:
    """One permutation of the batch, on the images' device."""
    return torch.from_numpy(generator.permutation(len(images))).to(images.device)
