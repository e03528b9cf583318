"""Multi-crop: several views of one picture, some large, some small.

Paper: SwAV (arXiv 2006.09882), section 3.2 and appendix A.3.

Shapes: H, W of the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from eyespot.data.distort import Distortion, distort, draw_distortion
from eyespot.data.distort_batch import encode_ops
from eyespot.data.draws import Draws
from eyespot.data.geometry import Box, cut, draw_log_crop, flip, resize, scale_box, side_for
from eyespot.data.policies import Op


@dataclass(frozen=True)
class Crops:
    """Views of one kind.

    Args:
        count: How many of them.
        size_px: Their side.
        area: Range of their share of the picture.
        distortion: Of their colours.
    """

    count: int
    size_px: int
    area: tuple[float, float]
    distortion: Distortion = field(default_factory=Distortion)


class View(NamedTuple):
    """What was drawn for one view: plain numbers."""

    box: Box
    mirrored: bool
    ops: list[Op]


_MOCO = Distortion(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
_BYOL = Distortion(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, blur_probability=1.0)
_BYOL_2 = Distortion(
    brightness=0.4,
    contrast=0.4,
    saturation=0.2,
    hue=0.1,
    blur_probability=0.1,
    solarize_probability=0.2,
)
_NONE = Distortion(jitter_probability=0.0, grey_probability=0.0, blur_probability=0.0)
_SMALL = (0.05, 0.14)

PRESETS: dict[str, tuple[Crops, ...]] = {
    "swav": (Crops(2, 224, (0.14, 1.0)), Crops(6, 96, _SMALL)),
    "swav_2x224": (Crops(2, 224, (0.08, 1.0)),),
    "swav_wide": (Crops(2, 224, (0.14, 1.0)), Crops(4, 96, _SMALL)),
    "swav_wide_w4": (Crops(2, 224, (0.08, 1.0)), Crops(4, 96, (0.08, 0.14))),
    "swav_160": (Crops(2, 160, (0.08, 1.0)), Crops(4, 96, _SMALL)),
    "seer": (Crops(2, 224, (0.14, 1.0)), Crops(4, 96, _SMALL)),
    "seer_10b": (Crops(2, 160, (0.14, 1.0)), Crops(4, 96, _SMALL)),
    "six_160": (Crops(6, 160, (0.14, 1.0)),),
    "simclr": (Crops(2, 224, (0.08, 1.0)),),
    "moco_v2": (Crops(2, 224, (0.2, 1.0), _MOCO),),
    "moco_vissl": (Crops(2, 224, (0.08, 1.0), _MOCO),),
    "byol": (Crops(1, 224, (0.08, 1.0), _BYOL), Crops(1, 224, (0.08, 1.0), _BYOL_2)),
}
"""Crops of the published recipes."""


def multi_crop(
    image: UInt8[np.ndarray, "H W 3"],
    kinds: Sequence[Crops],
    *,
    seed: int,
    epoch: int,
    index: int,
    size: tuple[int, int] | None = None,
) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """Return every view of one picture, kind after kind.

    Args:
        image: RGB.
        kinds: Which views.
        seed: Of the run.
        epoch: Which pass over the data.
        index: Which sample; with seed, epoch and the view's number it fixes all random numbers.
        size: Height and width of the picture where it was decoded smaller.
    """
    here = image.shape[:2]
    height, width = size or here
    views: list[np.ndarray] = []
    for kind in kinds:
        for _ in range(kind.count):
            view = draw_view(Draws(seed, epoch, index, len(views)), height, width, kind)
            view = view._replace(box=scale_box(view.box, (height, width), here))
            views.append(cut_view(image, view, kind.size_px))
    return views


def draw_steps(
    height: int, width: int, kinds: Sequence[Crops], *, seed: int, epoch: int, index: int
) -> Float32[np.ndarray, "views 7 2"]:
    """Return what `multi_crop` does to the colours of each view, for `distort_batch` to do it.

    Arguments are those of `multi_crop`; height and width are the picture's.
    """
    steps: list[np.ndarray] = []
    for kind in kinds:
        for _ in range(kind.count):
            draws = Draws(seed, epoch, index, len(steps))
            steps.append(encode_ops(draw_view(draws, height, width, kind).ops))
    return np.stack(steps)


def without_colours(kinds: Sequence[Crops]) -> tuple[Crops, ...]:
    """Return the same crops and mirrorings, whose colours are left as they are."""
    return tuple(replace(kind, distortion=_NONE) for kind in kinds)


def draw_view(draws: Draws, height: int, width: int, kind: Crops) -> View:
    """Draw the crop, the mirroring and the colours of one view."""
    box = draw_log_crop(draws, height, width, area=kind.area)
    return View(box, draws.coin(), draw_distortion(draws, kind.distortion))


def cut_view(
    image: UInt8[np.ndarray, "H W 3"], view: View, size_px: int
) -> UInt8[np.ndarray, "{size_px} {size_px} 3"]:
    """Cut and change what was drawn."""
    pixels = resize(cut(image, view.box), size_px, size_px)
    if view.mirrored:
        pixels = flip(pixels)
    return distort(pixels, view.ops)


def least_side(
    height: int, width: int, kinds: Sequence[Crops], *, seed: int, epoch: int, index: int
) -> int:
    """Return the shorter side, in pixels, at which none of these crops need be enlarged.

    Large JPEGs may be decoded at half their size or less where that is enough (`Examples`), which
    changes pixels a little and saves time. Arguments are those of `multi_crop`; height and width
    are the picture's.
    """
    sides, first = [], 0
    for kind in kinds:
        numbers = range(first, first + kind.count)
        draws = (Draws(seed, epoch, index, number) for number in numbers)
        boxes = (draw_log_crop(each, height, width, area=kind.area) for each in draws)
        sides.append(side_for(boxes, kind.size_px, height, width))
        first = numbers.stop
    return max(sides)
