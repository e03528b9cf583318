"""The pixel operations of AutoAugment and RandAugment, each equal to PIL's to the last bit.

All take and give uint8 RGB. Where a table of 256 entries, OpenCV or NumPy is faster than PIL it
is used; rotations and shears are PIL's own.

Shapes: h, w of the picture.
"""

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

GREY = (128, 128, 128)
"""What is laid where a rotation, shear or translation uncovers nothing."""

_LEVELS = np.arange(256)
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13

Picture = UInt8[np.ndarray, "h w 3"]


def auto_contrast(image: Picture) -> Picture:
    """Stretch each channel so that its darkest level becomes 0 and its brightest 255."""
    tables = []
    for counts in _histograms(image):
        (used,) = counts.nonzero()
        low, high = int(used[0]), int(used[-1])
        if high <= low:
            tables.append(_LEVELS)
            continue
        scale = 255.0 / (high - low)
        tables.append((_LEVELS * scale - low * scale).astype(np.int64))
    return _look_up(image, tables)


def equalize(image: Picture) -> Picture:
    """Map each channel's levels so that all become about equally frequent."""
    tables = []
    for counts in _histograms(image):
        step = (counts.sum() - counts[counts.nonzero()[0][-1]]) // 255
        if step == 0:
            tables.append(_LEVELS)
            continue
        before = np.concatenate([[0], counts.cumsum()[:-1]])
        tables.append((step // 2 + before) // step)
    return _look_up(image, tables)


def invert(image: Picture) -> Picture:
    """Replace every value v by 255 - v."""
    return image ^ np.uint8(255)


def posterize(image: Picture, bits: int) -> Picture:
    """Keep the highest 1..8 bits of every value."""
    return image & np.uint8(256 - (1 << (8 - bits)))


def solarize(image: Picture, threshold: int = 128) -> Picture:
    """Invert the values that are at least the threshold (0..256)."""
    level = _LEVELS
    return _look_up(image, [np.where(level < threshold, level, 255 - level)])


def solarize_add(image: Picture, addition: float) -> Picture:
    """Add to the values below 128, up to 255; sums are rounded, halves to even."""
    level = _LEVELS
    return _look_up(image, [np.where(level < 128, np.rint(level + addition), level)])


def brightness(image: Picture, factor: float) -> Picture:
    """Blend with black: 0 is black, 1 the picture, more is brighter."""
    return _blend_with_level(0, image, factor)


def contrast(image: Picture, factor: float) -> Picture:
    """Blend with the mean grey: 0 is grey, 1 the picture, more is starker."""
    mean = int(np.asarray(_luma(image)).mean() + 0.5)
    return _blend_with_level(mean, image, factor)


def color(image: Picture, factor: float) -> Picture:
    """Blend with the grey picture: 0 is grey, 1 the picture, more is more colourful."""
    luma = np.asarray(_luma(image))
    return _blend(cv2.merge([luma, luma, luma]), image, factor)


def sharpness(image: Picture, factor: float) -> Picture:
    """Blend with a smoothed picture: 0 is smooth, 1 the picture, more is sharper."""
    smooth = image.copy()
    smooth[1:-1, 1:-1] = cv2.filter2D(image, -1, _SMOOTH)[1:-1, 1:-1]
    return _blend(smooth, image, factor)


def rotate(image: Picture, degrees: float) -> Picture:
    """Rotate counter-clockwise around the middle."""
    turned = Image.fromarray(image).rotate(
        degrees, resample=Image.Resampling.BILINEAR, fillcolor=GREY
    )
    return np.array(turned)


def shear_x(image: Picture, shear: float) -> Picture:
    """Shift row y to the left by shear * y pixels."""
    return _affine(image, (1.0, shear, 0.0, 0.0, 1.0, 0.0))


def shear_y(image: Picture, shear: float) -> Picture:
    """Shift column x up by shear * x pixels."""
    return _affine(image, (1.0, 0.0, 0.0, shear, 1.0, 0.0))


def translate_x(image: Picture, part: float) -> Picture:
    """Shift to the left by a part of the width."""
    return _affine(image, (1.0, 0.0, part * image.shape[1], 0.0, 1.0, 0.0))


def translate_y(image: Picture, part: float) -> Picture:
    """Shift up by a part of the height."""
    return _affine(image, (1.0, 0.0, 0.0, 0.0, 1.0, part * image.shape[0]))


def _histograms(image: np.ndarray) -> list[np.ndarray]:
    return [
        cv2.calcHist([image], [channel], None, [256], [0, 256]).astype(np.int64).ravel()
        for channel in range(3)
    ]


def _look_up(image: np.ndarray, tables: list[np.ndarray]) -> np.ndarray:
    table = np.stack(tables, axis=-1).clip(0, 255).astype(np.uint8)  # [256, 1 or 3]
    return np.asarray(cv2.LUT(image, table.reshape(1, 256, -1)))


def _luma(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image).convert("L")


def _blend(start: np.ndarray, end: np.ndarray, factor: float) -> np.ndarray:
    """Go from start (0) to end (1) and beyond, in float32, cutting off as PIL does."""
    base = start.astype(np.float32)
    mix = base + np.float32(factor) * (end - base)
    return mix.clip(0, 255, out=mix).astype(np.uint8)


def _blend_with_level(level: int, image: np.ndarray, factor: float) -> np.ndarray:
    levels = np.arange(256, dtype=np.uint8)
    return _look_up(image, [_blend(np.full_like(levels, level), levels, factor)])


def _affine(image: np.ndarray, matrix: tuple[float, ...]) -> np.ndarray:
    moved = Image.fromarray(image).transform(
        (image.shape[1], image.shape[0]),
        Image.Transform.AFFINE,
        matrix,
        resample=Image.Resampling.BILINEAR,
        fillcolor=GREY,
    )
    return np.array(moved)
