"""The colour distortion and blur of SwAV, SimCLR, MoCo v2 and BYOL: drawn first, then applied.

Brightness, contrast and grey are PIL's to within one level of 255, saturation to within two:
the grey it blends with may be off by one.

Shapes: h, w of the picture.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from eyespot.data.draws import Draws
from eyespot.data.pixels import solarize
from eyespot.data.policies import Op

_LUMA = (0.299, 0.587, 0.114)  # of R, G, B
_CUT = -0.4999  # turns OpenCV's rounding into PIL's cutting off

Picture = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Distortion:
    """How strongly and how often the colours of a view are changed.

    Papers: SimCLR (arXiv 2002.05709), appendix A; SwAV (arXiv 2006.09882), section 4.

    Args:
        brightness: Factors are drawn from [max(0, 1 - b), 1 + b].
        contrast: As brightness.
        saturation: As brightness.
        hue: Turns are drawn from [-h, h] of the colour circle.
        jitter_probability: That the four above are applied, in random order.
        grey_probability: That the view turns grey.
        blur_probability: That the view is blurred.
        blur_sigma: Range of the blur's standard deviation, in pixels.
        solarize_probability: That values of at least 128 are inverted.
    """

    brightness: float = 0.8
    contrast: float = 0.8
    saturation: float = 0.8
    hue: float = 0.2
    jitter_probability: float = 0.8
    grey_probability: float = 0.2
    blur_probability: float = 0.5
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    solarize_probability: float = 0.0


def draw_distortion(draws: Draws, settings: Distortion) -> list[Op]:
    """Draw what happens to one view, in order."""
    ops = []
    if draws.coin(settings.jitter_probability):
        ops = _draw_jitter(draws, settings)
    if draws.coin(settings.grey_probability):
        ops.append(Op("grey", 0.0))
    if draws.coin(settings.blur_probability):
        ops.append(Op("blur", draws.uniform(*settings.blur_sigma)))
    if draws.coin(settings.solarize_probability):
        ops.append(Op("solarize", 128.0))
    return ops


def distort(image: Picture, ops: Sequence[Op]) -> Picture:
    """Apply what `draw_distortion` drew."""
    for name, value in ops:
        image = _OPS[name](image, value)
    return image


def adjust_brightness(image: Picture, factor: float) -> Picture:
    """Blend with black: 0 is black, 1 the picture."""
    return _scale_and_add(image, factor, 0.0)


def adjust_contrast(image: Picture, factor: float) -> Picture:
    """Blend with the mean grey: 0 is grey, 1 the picture."""
    red, green, blue, _ = cv2.mean(image)
    mean = int(_LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue + 0.5)
    return _scale_and_add(image, factor, (1.0 - factor) * mean)


def adjust_saturation(image: Picture, factor: float) -> Picture:
    """Blend with the grey picture: 0 is grey, 1 the picture."""
    grey = to_grey(image)
    return np.asarray(cv2.addWeighted(image, factor, grey, 1.0 - factor, _CUT))


def adjust_hue(image: Picture, turn: float) -> Picture:
    """Turn every colour by a part of the colour circle, right to 1.5/256 of it."""
    hsv = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL))
    step = np.zeros((image.shape[1], 3), np.uint8)
    step[:, 0] = round(turn * 256) % 256
    hsv += step  # wraps around, as hues do
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL))


def to_grey(image: Picture) -> Picture:
    """Give all three channels the picture's luma (ITU-R 601)."""
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))


def blur(image: Picture, sigma: float) -> Picture:
    """Blur with a Gaussian, cut off beyond three standard deviations; the edge is repeated.

    SwAV's reference uses PIL's blur, which approximates the same Gaussian by boxes.
    """
    taps = cv2.getGaussianKernel(2 * math.ceil(3 * sigma) + 1, sigma, cv2.CV_32F)
    # In floats, which is twice as fast as OpenCV's own blur of bytes, and closer.
    return np.asarray(cv2.sepFilter2D(image, -1, taps, taps, borderType=cv2.BORDER_REPLICATE))


_OPS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "brightness": adjust_brightness,
    "contrast": adjust_contrast,
    "saturation": adjust_saturation,
    "hue": adjust_hue,
    "grey": lambda image, _: to_grey(image),
    "blur": blur,
    "solarize": lambda image, threshold: solarize(image, int(threshold)),
}


def _draw_jitter(draws: Draws, settings: Distortion) -> list[Op]:
    ops = [
        Op(name, draws.uniform(max(0.0, 1.0 - strength), 1.0 + strength))
        for name, strength in (
            ("brightness", settings.brightness),
            ("contrast", settings.contrast),
            ("saturation", settings.saturation),
        )
    ]
    ops.append(Op("hue", draws.uniform(-settings.hue, settings.hue)))
    return [ops[place] for place in draws.order(4)]


def _scale_and_add(image: np.ndarray, factor: float, addition: float) -> np.ndarray:
    shift = addition + _CUT
    rows = [(factor, 0.0, 0.0, shift), (0.0, factor, 0.0, shift), (0.0, 0.0, factor, shift)]
    return np.asarray(cv2.transform(image, np.array(rows)))
