"""AutoAugment's policy "v0" and RandAugment: which pixel operations a picture gets.

Papers: AutoAugment (arXiv 1805.09501; the policy is EfficientNet's, named v0 in its code) and
RandAugment (arXiv 1909.13719), with the ranges of Fast and Accurate Model Scaling's code.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from eyespot.data import pixels
from eyespot.data.draws import Draws
from eyespot.errors import unknown_name


class Op(NamedTuple):
    """One drawn operation: its name in `OPS` and its value, in the units of its range."""

    name: str
    value: float


@dataclass(frozen=True)
class OpKind:
    """How a magnitude m of 0..1 becomes a value, low + m * (high - low), and what it does.

    Args:
        low: Value at m = 0.
        high: Value at m = 1.
        negate: Whether the value's sign is tossed.
        apply: The operation, of a picture and a value.
    """

    low: float
    high: float
    negate: bool
    apply: Callable[[np.ndarray, float], np.ndarray]


def _enhance(function: Callable[[np.ndarray, float], np.ndarray]) -> OpKind:
    return OpKind(0.0, 0.9, True, lambda image, value: function(image, 1.0 + value))


OPS: dict[str, OpKind] = {
    "auto_contrast": OpKind(0.0, 0.0, False, lambda image, _: pixels.auto_contrast(image)),
    "equalize": OpKind(0.0, 0.0, False, lambda image, _: pixels.equalize(image)),
    "invert": OpKind(0.0, 0.0, False, lambda image, _: pixels.invert(image)),
    "rotate": OpKind(0.0, 30.0, True, pixels.rotate),
    "posterize": OpKind(0.0, 4.0, False, lambda image, v: pixels.posterize(image, max(1, int(v)))),
    "posterize_inc": OpKind(
        0.0, 4.0, False, lambda image, v: pixels.posterize(image, max(1, 4 - int(v)))
    ),
    "solarize": OpKind(0.0, 256.0, False, lambda image, v: pixels.solarize(image, int(v))),
    "solarize_inc": OpKind(
        0.0, 256.0, False, lambda image, v: pixels.solarize(image, 256 - int(v))
    ),
    "solarize_add": OpKind(0.0, 110.0, False, lambda image, v: pixels.solarize_add(image, v)),
    "color": OpKind(0.1, 1.9, False, pixels.color),
    "contrast": OpKind(0.1, 1.9, False, pixels.contrast),
    "brightness": OpKind(0.1, 1.9, False, pixels.brightness),
    "sharpness": OpKind(0.1, 1.9, False, pixels.sharpness),
    "color_inc": _enhance(pixels.color),
    "contrast_inc": _enhance(pixels.contrast),
    "brightness_inc": _enhance(pixels.brightness),
    "sharpness_inc": _enhance(pixels.sharpness),
    "shear_x": OpKind(0.0, 0.3, True, pixels.shear_x),
    "shear_y": OpKind(0.0, 0.3, True, pixels.shear_y),
    "trans_x": OpKind(0.0, 0.45, True, pixels.translate_x),
    "trans_y": OpKind(0.0, 0.45, True, pixels.translate_y),
}

RANDAUGMENT_OPS = (
    "auto_contrast",
    "equalize",
    "invert",
    "rotate",
    "posterize_inc",
    "solarize_inc",
    "solarize_add",
    "color_inc",
    "contrast_inc",
    "brightness_inc",
    "sharpness_inc",
    "shear_x",
    "shear_y",
    "trans_x",
    "trans_y",
)

# Each line: an operation, its probability and magnitude, then the same of the second one.
_V0 = """
equalize 0.8 0.1  shear_y 0.8 0.4
color 0.4 0.9  equalize 0.6 0.3
color 0.4 0.1  rotate 0.6 0.8
solarize 0.8 0.3  equalize 0.4 0.7
solarize 0.4 0.2  solarize 0.6 0.2
color 0.2 0  equalize 0.8 0.8
equalize 0.4 0.8  solarize_add 0.8 0.3
shear_x 0.2 0.9  rotate 0.6 0.8
color 0.6 0.1  equalize 1 0.2
invert 0.4 0.9  rotate 0.6 0
equalize 1 0.9  shear_y 0.6 0.3
color 0.4 0.7  equalize 0.6 0
posterize 0.4 0.6  auto_contrast 0.4 0.7
solarize 0.6 0.8  color 0.6 0.9
solarize 0.2 0.4  rotate 0.8 0.9
rotate 1 0.7  trans_y 0.8 0.9
shear_x 0 0  solarize 0.8 0.4
shear_y 0.8 0  color 0.6 0.4
color 1 0  rotate 0.6 0.2
equalize 0.8 0.4  equalize 0 0.8
equalize 1 0.4  auto_contrast 0.6 0.2
shear_y 0.4 0.7  solarize_add 0.6 0.7
posterize 0.8 0.2  solarize 0.6 1
solarize 0.6 0.8  equalize 0.6 0.1
color 0.8 0.6  rotate 0.4 0.5
"""

AUTOAUGMENT_V0: tuple[tuple[tuple[str, float, float], ...], ...] = tuple(
    tuple((words[i], float(words[i + 1]), float(words[i + 2])) for i in (0, 3))
    for words in map(str.split, _V0.strip().splitlines())
)
"""25 pairs of (operation, probability, magnitude)."""


@dataclass(frozen=True)
class RandAugment:
    """RandAugment's numbers.

    Args:
        num_ops: Operations a picture, drawn with replacement.
        magnitude: Of every operation, 0..1.
        probability: That a drawn operation is applied.
    """

    num_ops: int
    magnitude: float
    probability: float = 1.0


def draw_autoaugment(draws: Draws) -> list[Op]:
    """Draw one pair of AutoAugment's policy v0 and which of the two are applied."""
    pair = AUTOAUGMENT_V0[draws.integer(len(AUTOAUGMENT_V0))]
    return [
        _draw_value(draws, name, magnitude)
        for name, probability, magnitude in pair
        if draws.coin(probability)
    ]


def draw_randaugment(draws: Draws, settings: RandAugment) -> list[Op]:
    """Draw RandAugment's operations."""
    names = [RANDAUGMENT_OPS[draws.integer(len(RANDAUGMENT_OPS))] for _ in range(settings.num_ops)]
    return [
        _draw_value(draws, name, settings.magnitude)
        for name in names
        if draws.coin(settings.probability)
    ]


def parse_policy(text: str) -> Callable[[Draws], list[Op]]:
    """Return what draws "AutoAugment" or "RandAugment_N2_M0.5[_P1.0]".

    Raises:
        ValueError: If the text is neither, or a number is out of range.
    """
    if text == "AutoAugment":
        return draw_autoaugment
    number = r"(\d+(?:\.\d+)?)"
    match = re.fullmatch(rf"RandAugment_N(\d+)_M{number}(?:_P{number})?", text)
    if match is None:
        raise ValueError(
            unknown_name("augmentation", text, ("AutoAugment", "RandAugment_N2_M0.5_P1.0"))
        )
    settings = RandAugment(int(match[1]), float(match[2]), float(match[3] or 1.0))
    if settings.num_ops < 1 or settings.magnitude > 1 or settings.probability > 1:
        raise ValueError(
            f"need N of at least 1, M and P of 0..1 in RandAugment_N2_M0.5_P1.0, got {text!r}"
        )
    return partial(draw_randaugment, settings=settings)


def apply_ops(image: UInt8[np.ndarray, "h w 3"], ops: Sequence[Op]) -> UInt8[np.ndarray, "h w 3"]:
    """Apply drawn operations one after the other."""
    for name, value in ops:
        image = OPS[name].apply(image, value)
    return image


def _draw_value(draws: Draws, name: str, magnitude: float) -> Op:
    kind = OPS[name]
    value = kind.low + magnitude * (kind.high - kind.low)
    if kind.negate and draws.coin():
        value = -value
    return Op(name, value)
