"""Paints a scene: soft shadows, materials, shading, details.

Letters: P side of a patch, H and W of the image. Colours run from 0 to 1 until the end.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from eyespot.data.scenes.backdrop import paint_backdrop
from eyespot.data.scenes.colour import Rgb, paint_over
from eyespot.data.scenes.silhouettes import Patch, cut_patches, window
from eyespot.data.scenes.world import Scene, SceneObject

_MARGIN = 0.06
_SHADOW, _SHADOW_SHIFT = 0.42, (0.014, 0.026)
_LIGHT = (0.6, 0.8)  # where the light falls to
_SOFT, _RIM_WIDTH, _STEP = 0.02, 0.0075, 0.014  # shares of the image side
_GLINT_SHIFT = 0.039


def render(scene: Scene) -> UInt8[np.ndarray, "h w 3"]:
    """Return the picture of a scene, red, green and blue from 0 to 255."""
    size = scene.config.image_size
    image = paint_backdrop(scene)
    patches = cut_patches(scene.objects, size, margin_px=math.ceil(_MARGIN * size))
    for thing, patch in zip(scene.objects, patches, strict=True):
        inside, part = window(patch, size)
        light = _lighting(patch.body, size)
        target = image[:, inside[0], inside[1]]
        target *= 1 - _SHADOW * light.shadow[part]
        paint = _paint_object(thing, patch, light, size)
        target += (paint[:, part[0], part[1]] - target) * patch.body[part]
    pixels = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)  # [3, H, W]
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


class _Light(NamedTuple):
    """What follows from a blurred silhouette.

    Attributes:
        shadow: What the object throws on the ground, 0 to 1.
        tilt: How far the puffy surface leans towards the light, about -1 to 1.
        rim: 1 at the edge, 0 inside.
    """

    shadow: Float32[np.ndarray, "p p"]
    tilt: Float32[np.ndarray, "p p"]
    rim: Float32[np.ndarray, "p p"]


def _lighting(body: Float32[np.ndarray, "p p"], size: int) -> _Light:
    blurred = _blurred(body, _SOFT * size)
    right, down = _STEP * size * _LIGHT[0], _STEP * size * _LIGHT[1]
    return _Light(
        shadow=_moved(blurred, _SHADOW_SHIFT[0] * size, _SHADOW_SHIFT[1] * size),
        tilt=_moved(blurred, -right, -down) - _moved(blurred, right, down),
        rim=np.clip(2 - 2 * _blurred(body, max(0.55, _RIM_WIDTH * size)), 0, 1),
    )


def _paint_object(
    thing: SceneObject, patch: Patch, light: _Light, size: int
) -> Float32[np.ndarray, "3 p p"]:
    """The object's colours on its patch, beyond its silhouette too."""
    side_px = len(patch.body)
    line = np.arange(side_px, dtype=np.float32) + 0.5
    scale = 2 / (thing.side * size)
    x = (line[None, :] - patch.centre[0]) * scale  # [1, P]
    y = (line[:, None] - patch.centre[1]) * scale  # [P, 1]
    coat = np.empty((3, side_px, side_px), dtype=np.float32)
    coat[:] = _planes(thing.rgb)
    if thing.material in ("striped", "dotted"):
        _cover(coat, thing.rgb, "pattern", _pattern(thing, x, y, scale))
    for tone, share in patch.details:
        _cover(coat, thing.rgb, tone, share)
    shiny = thing.material == "shiny"
    coat *= (1 + (0.5 if shiny else 0.18) * light.tilt) * (1 - 0.42 * light.rim**2)
    if shiny:
        coat *= np.clip(0.94 - 0.2 * (_LIGHT[0] * x + _LIGHT[1] * y), 0.74, 1.12)
        step = _GLINT_SHIFT * size
        lit = _moved(light.tilt, step * _LIGHT[0], step * _LIGHT[1])
        coat += (1 - coat) * np.clip(lit * 3.6 - 1, 0, 0.95)
    return coat


def _pattern(
    thing: SceneObject,
    x: Float32[np.ndarray, "1 p"],
    y: Float32[np.ndarray, "p 1"],
    scale: float,
) -> Float32[np.ndarray, "p p"]:
    """Where stripes or dots are, 0 to 1; a pixel is `scale` wide."""
    angle = math.radians(thing.angle_deg + 45)
    u = x * math.cos(angle) + y * math.sin(angle)  # [P, P]
    if thing.material == "striped":
        turns = u * 2.2
        turns -= np.floor(turns)
        return np.clip((0.21 - np.abs(turns - 0.5)) / (2.2 * scale) + 0.5, 0, 1)
    u = u * 2
    v = (y * math.cos(angle) - x * math.sin(angle)) * 2
    u, v = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
    return np.clip((0.3 - np.sqrt(u * u + v * v)) / (2 * scale) + 0.5, 0, 1)


def _cover(
    coat: Float32[np.ndarray, "3 p p"], rgb: Rgb, tone: str, share: Float32[np.ndarray, "p p"]
) -> None:
    """Paint a tone over the coat, in place."""
    paint, thickness = paint_over(rgb, tone)
    coat += (_planes(paint) - coat) * (share * thickness)


def _planes(rgb: Rgb) -> Float32[np.ndarray, "3 1 1"]:
    return np.array(rgb, dtype=np.float32)[:, None, None]


def _blurred(plane: Float32[np.ndarray, "p p"], sigma_px: float) -> Float32[np.ndarray, "p p"]:
    """The plane under a Gaussian, computed in whole numbers up to 2**24.

    float32 holds these exactly, so no order of adding, on no machine, makes a difference.
    """
    kernel, total = _gaussian(len(plane), sigma_px)
    levels = min(255, 2**24 // total**2)
    blurred: Float32[np.ndarray, "p p"] = kernel @ (np.rint(plane * levels) @ kernel)
    return blurred * np.float32(1 / (levels * total**2))


@lru_cache(maxsize=64)
def _gaussian(side_px: int, sigma_px: float) -> tuple[Float32[np.ndarray, "p p"], int]:
    """A Gaussian around each pixel in whole numbers, about 256 in all, and their sum.

    Outside the patch is empty.
    """
    line = np.arange(side_px)
    weights = np.exp(-((line[:, None] - line) ** 2) / (2 * sigma_px**2))
    kernel = np.rint(weights * (256 / weights[side_px // 2].sum())).astype(np.float32)
    return kernel, int(kernel[side_px // 2].sum())


def _moved(
    plane: Float32[np.ndarray, "p p"], right_px: float, down_px: float
) -> Float32[np.ndarray, "p p"]:
    """The plane moved by any distance, linear between pixels, with nothing coming in."""
    return _moved_down(_moved_down(plane, down_px).T, right_px).T


def _moved_down(plane: Float32[np.ndarray, "p p"], down_px: float) -> Float32[np.ndarray, "p p"]:
    low, side_px = math.floor(down_px), len(plane)
    moved = np.zeros_like(plane)
    for step, share in ((low, low + 1 - down_px), (low + 1, down_px - low)):
        target = moved[max(step, 0) : side_px + min(step, 0)]
        target += plane[max(-step, 0) : side_px - max(step, 0)] * share
    return moved
