"""From feature maps to one descriptor a picture, for retrieval.

Papers: R-MAC: Tolias et al. (arXiv 1511.05879), section 3; GeM: Radenovic et al. (arXiv
1711.02512), section 3.2; whitening: Jegou and Chum, "Negative evidences and co-occurrences in
image retrieval" (ECCV 2012).

Shapes: B pictures, C channels, H W size of a map, R regions, N descriptors, D width, E kept.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_OVERLAP = 0.4
_MOST_REGIONS = 7  # along the longer side at the coarsest scale


class Whitening(NamedTuple):
    """A projection on principal directions that makes all of them equally spread.

    Attributes:
        mean: Subtracted first.
        directions: Each divided by the standard deviation along it.
    """

    mean: Float[Tensor, " d"]
    directions: Float[Tensor, "d e"]

    def __call__(self, descriptors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n e"]:
        """Return projected descriptors of unit length."""
        centred = descriptors.to(self.mean) - self.mean
        return F.normalize(centred @ self.directions, dim=-1)


def fit_whitening(descriptors: Float[Tensor, "n d"], width: int | None = None) -> Whitening:
    """Learn whitening from descriptors of other pictures than those searched.

    Args:
        descriptors: To learn from.
        width: E, directions to keep; all when not given (VISSL: 512 to 1024).

    Raises:
        ValueError: If the descriptors do not spread in that many directions.
    """
    width = descriptors.shape[1] if width is None else width
    rows = descriptors.double()
    mean = rows.mean(0)
    _, lengths, right = torch.linalg.svd(rows - mean, full_matrices=False)
    std = lengths / len(rows) ** 0.5
    floor = float(std[0]) * 1e-6 if len(std) else 0.0
    spread = int((std > floor).sum())
    if not 1 <= width <= spread:
        raise ValueError(
            f"need 1 to {spread} directions, in which {len(rows)} descriptors of width "
            f"{descriptors.shape[1]} spread, got {width}; take fewer, or learn from more pictures"
        )
    dtype = torch.promote_types(descriptors.dtype, torch.float32)
    return Whitening(mean.to(dtype), (right[:width].T / std[:width]).to(dtype))


def gem(
    maps: Float[Tensor, "b c h w"], *, power: float = 3.0, least: float = 1e-6
) -> Float[Tensor, "b c"]:
    """Return generalized means: power 1 is the average, a large one nearly the maximum.

    Args:
        maps: As after a ReLU; values below `least` count as `least`.
        power: p.
        least: See `maps`.
    """
    highest = maps.amax((2, 3), keepdim=True).clamp(min=least)  # so that no power overflows
    means = (maps.clamp(min=least) / highest).pow(power).mean((2, 3))
    return highest[..., 0, 0] * means.pow(1 / power)


def rmac(
    maps: Float[Tensor, "b c h w"], *, levels: int = 3, whitening: Whitening | None = None
) -> Float[Tensor, "b e"]:
    """Return the sum of the maxima of regions of several scales, of unit length.

    Args:
        maps: As after a ReLU.
        levels: Scales, 1 for the coarsest alone.
        whitening: Of the regions' maxima (`region_maxima`), if wanted.
    """
    regions = region_maxima(maps, levels=levels)
    if whitening is not None:
        regions = whitening(regions)
    return F.normalize(regions.sum(1), dim=1)


def region_maxima(maps: Float[Tensor, "b c h w"], *, levels: int = 3) -> Float[Tensor, "b r c"]:
    """Return the maximum of each channel in each region, a vector of unit length a region."""
    boxes = rmac_regions(maps.shape[2], maps.shape[3], levels=levels)
    maxima = [
        maps[:, :, top : top + side, left : left + side].amax((2, 3)) for top, left, side in boxes
    ]
    return F.normalize(torch.stack(maxima, 1), dim=2)


def rmac_regions(height: int, width: int, *, levels: int = 3) -> list[tuple[int, int, int]]:
    """Return the square regions of a map: top, left, side.

    At scale l there are l along the shorter side and l + m - 1 along the longer one, of side
    2 min(H, W) / (l + 1). m makes neighbours at scale 1 overlap by as near to 40 % as it can.
    """
    short, long = min(height, width), max(height, width)
    more = 0
    if long > short:
        counts = range(2, _MOST_REGIONS + 1)
        overlaps = {m: 1 - (long - short) / ((m - 1) * short) for m in counts}
        more = min(counts, key=lambda m: abs(overlaps[m] - _OVERLAP)) - 1
    regions = []
    for level in range(1, levels + 1):
        side = 2 * short // (level + 1)
        if side == 0:
            break
        tops = _starts(height, side, level + (more if height > width else 0))
        lefts = _starts(width, side, level + (more if width > height else 0))
        regions += [(top, left, side) for top in tops for left in lefts]
    return regions


def _starts(length: int, side: int, count: int) -> list[int]:
    """Return where regions start that are spread evenly over a length."""
    return [(length - side) * i // max(count - 1, 1) for i in range(count)]
