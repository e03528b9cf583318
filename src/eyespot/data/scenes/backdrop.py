"""The ground behind the objects: calm colours, uneven light, a pattern, grain."""

import math
from functools import cache

import numpy as np
from jaxtyping import Float32

from eyespot.data.scenes.colour import oklch_to_rgb
from eyespot.data.scenes.stream import Stream
from eyespot.data.scenes.world import Backdrop, Scene, SceneConfig

PATTERNS = ("plain", "cloudy", "striped", "checked")
_CONTRAST = {"easy": 0.06, "medium": 0.08, "hard": 0.11}
_CHROMA = {"easy": 0.03, "medium": 0.04, "hard": 0.05}
_NOISE_CELLS = (5, 8, 16)


def draw_backdrop(config: SceneConfig, seed: int, index: int) -> Backdrop:
    """Return the ground of one scene: two muted colours of neighbouring hues and a pattern."""
    stream = Stream("backdrop", config.split, seed, index)
    contrast = _CONTRAST[config.difficulty] * stream.between(0.8, 1.2)
    chroma = _CHROMA[config.difficulty] * stream.between(0.3, 1.0)
    lightness, hue = stream.between(0.68, 0.88), stream.between(0, 360)
    return Backdrop(
        pattern=stream.pick(PATTERNS),
        first=oklch_to_rgb(lightness - contrast / 2, chroma, hue),
        second=oklch_to_rgb(lightness + contrast / 2, chroma, hue + stream.between(-50, 50)),
        angle_deg=stream.between(0, 180),
        period=stream.between(0.12, 0.3),
        phase=stream.unit(),
        noise=stream.between(0.008, 0.02),
        grain=stream.between(0.004, 0.02),
        light_deg=stream.between(0, 360),
    )


def paint_backdrop(scene: Scene) -> Float32[np.ndarray, "3 h w"]:
    """Return the ground as red, green and blue planes, 0 to 1."""
    ground, size = scene.backdrop, scene.config.image_size
    stream = Stream("noise", scene.config.split, scene.seed, scene.index)
    clouds = _clouds(stream, size)
    x, y = _grid(size)
    match ground.pattern:
        case "striped":
            share = _stripes(ground, ground.angle_deg, x, y)
        case "checked":
            one = _stripes(ground, ground.angle_deg, x, y)
            other = _stripes(ground, ground.angle_deg + 90, x, y)
            share = one + other - 2 * one * other
        case "cloudy":
            share = np.clip(0.5 + 1.2 * clouds, 0, 1)
        case _:
            share = 0.5 + 0.5 * _along(ground.angle_deg, x, y)
    light = 1 + ground.noise * clouds + 0.06 * _along(ground.light_deg, x, y)
    light += ground.grain * _grain(stream, size)
    first = np.array(ground.first, dtype=np.float32)[:, None, None]
    second = np.array(ground.second, dtype=np.float32)[:, None, None]
    planes: Float32[np.ndarray, "3 h w"] = (first + (second - first) * share) * light
    return planes


@cache
def _grid(size: int) -> tuple[Float32[np.ndarray, "1 w"], Float32[np.ndarray, "h 1"]]:
    """Pixel centres from -0.5 to 0.5 across the image."""
    line = ((np.arange(size) + 0.5) / size - 0.5).astype(np.float32)
    return line[None, :], line[:, None]


def _along(
    angle_deg: float, x: Float32[np.ndarray, "1 w"], y: Float32[np.ndarray, "h 1"]
) -> Float32[np.ndarray, "h w"]:
    """A ramp of about -1 to 1 in the given direction."""
    angle = math.radians(angle_deg)
    ramp: Float32[np.ndarray, "h w"] = x * (2 * math.cos(angle)) + y * (2 * math.sin(angle))
    return ramp


def _stripes(
    ground: Backdrop, angle_deg: float, x: Float32[np.ndarray, "1 w"], y: Float32[np.ndarray, "h 1"]
) -> Float32[np.ndarray, "h w"]:
    """Bands of 0 and 1 with smooth borders about a pixel and a half wide."""
    turns = _along(angle_deg, x, y) * (0.5 / ground.period) + ground.phase
    turns -= np.floor(turns)
    sharpness = ground.period * x.shape[1] / 1.5
    share: Float32[np.ndarray, "h w"] = np.clip(
        (0.25 - np.abs(turns - 0.5)) * sharpness + 0.5, 0, 1
    )
    return share


def _clouds(stream: Stream, size: int) -> Float32[np.ndarray, "h w"]:
    """Smooth noise at three scales, about -1 to 1."""
    total = np.zeros((size, size), dtype=np.float32)
    for octave, cells in enumerate(_NOISE_CELLS):
        nodes = stream.words(cells * cells) >> np.uint64(56)
        heights = nodes.astype(np.float32).reshape(cells, cells) - 128
        spread = _spread(cells, size)
        total += spread @ heights @ spread.T * (1.5 * 0.6**octave / (128 * 256 * 256))
    return total


@cache
def _spread(cells: int, size: int) -> Float32[np.ndarray, "size cells"]:
    """Weights from a coarse grid to pixels along a cubic B-spline, in whole 256ths.

    Products of whole numbers this small are exact in float32, in whatever order they are added.
    """
    place = (np.arange(size) + 0.5) / size * (cells - 3) + 1
    offset = np.abs(place[:, None] - np.arange(cells))
    near = 2 / 3 - offset**2 + offset**3 / 2
    far = (2 - offset) ** 3 / 6
    weights = np.where(offset < 1, near, np.where(offset < 2, far, 0))
    whole: Float32[np.ndarray, "size cells"] = np.rint(weights * 256).astype(np.float32)
    return whole


def _grain(stream: Stream, size: int) -> Float32[np.ndarray, "h w"]:
    """Independent noise of every pixel, -1 to 1."""
    words = stream.words(-(-size * size // 8))
    bytes_ = words.view(np.uint8)[: size * size].reshape(size, size)
    grain: Float32[np.ndarray, "h w"] = bytes_ * np.float32(2 / 255) - 1
    return grain
