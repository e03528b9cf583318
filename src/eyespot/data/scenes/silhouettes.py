"""Where objects are: silhouettes, visible masks and boxes.

Letters: N objects, P side of a square patch around each object, H and W of the image.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from eyespot.data.scenes.figures import figures
from eyespot.data.scenes.outline import Outline, fitted
from eyespot.data.scenes.raster import coverage
from eyespot.data.scenes.things import things
from eyespot.data.scenes.world import Scene, SceneObject

Box = tuple[int, int, int, int]


class Patch(NamedTuple):
    """An object drawn on a square of its own.

    Attributes:
        body: Covered share of each pixel.
        details: Tone and covered share of each detail.
        corner: Column and row of the first pixel in the image; may be outside.
        centre: The object's centre (x, y) on the patch in pixels.
    """

    body: Float32[np.ndarray, "p p"]
    details: tuple[tuple[str, Float32[np.ndarray, "p p"]], ...]
    corner: tuple[int, int]
    centre: tuple[float, float]


@cache
def outlines() -> dict[str, Outline]:
    """Return the outline of every shape by name, fitted to the unit canvas."""
    return {name: fitted(outline) for name, outline in (figures() | things()).items()}


def cut_patches(
    objects: Sequence[SceneObject], image_size: int, *, margin_px: int = 1, details: bool = True
) -> list[Patch]:
    """Return every object's silhouette and details at the given image size.

    Args:
        objects: The objects.
        image_size: Side of the image in pixels.
        margin_px: Free pixels around each silhouette.
        details: Whether to draw the details too.
    """
    spots, starts, stops, layers = [], [], [], []
    sides: list[int] = []
    for thing in objects:
        edges = _edges(thing.shape, details)
        reach = edges.reach * thing.side / 2 * image_size + margin_px
        side_px = 8 * math.ceil((2 * reach + 1) / 8)
        x, y = thing.x * image_size, thing.y * image_size
        corner = (math.floor(x - side_px / 2 + 0.5), math.floor(y - side_px / 2 + 0.5))
        centre = (x - corner[0], y - corner[1])
        points = _turned(edges.points, thing, image_size) + centre
        spots.append((corner, centre))
        starts.append(points)
        stops.append(points[edges.following])
        layers.append(edges.layer + len(sides))
        sides += [side_px] * (1 + len(edges.tones))
    start, stop, layer = (np.concatenate(parts) for parts in (starts, stops, layers))
    covered = iter(coverage(start, stop, layer, np.array(sides)))
    return [
        Patch(
            body=next(covered),
            details=tuple((tone, next(covered)) for tone in _edges(thing.shape, details).tones),
            corner=corner,
            centre=centre,
        )
        for thing, (corner, centre) in zip(objects, spots, strict=True)
    ]


class _Edges(NamedTuple):
    """A shape as edges.

    Attributes:
        points: Where each edge starts.
        following: Number of the point where it stops.
        layer: 0 for the body, 1 and up for the details.
        tones: Of the details.
        reach: The body's farthest point from the centre, in halves of the longer side.
    """

    points: Float[np.ndarray, "e 2"]
    following: Int[np.ndarray, " e"]
    layer: Int[np.ndarray, " e"]
    tones: tuple[str, ...]
    reach: float


@cache
def _edges(shape: str, details: bool) -> _Edges:
    outline = outlines()[shape]
    drawn = outline.details if details else ()
    layers = [outline.body + outline.holes, *(contours for _, contours in drawn)]
    lengths = [len(contour) for contours in layers for contour in contours]
    following = np.arange(1, sum(lengths) + 1)
    ends = np.cumsum(lengths)
    following[ends - 1] = ends - lengths
    return _Edges(
        points=np.concatenate([contour for contours in layers for contour in contours]),
        following=following,
        layer=np.repeat(np.arange(len(layers)), [sum(map(len, contours)) for contours in layers]),
        tones=tuple(tone for tone, _ in drawn),
        reach=float(np.hypot(*np.concatenate(outline.body).T).max()),
    )


def extent(thing: SceneObject) -> tuple[float, float, float, float]:
    """Return how far the silhouette reaches left, up, right and down from the object's centre."""
    points = _turned(_edges(thing.shape, details=False).points, thing, 1)
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return -left, -top, right, bottom


def _turned(
    points: Float[np.ndarray, "e 2"], thing: SceneObject, image_size: int
) -> Float[np.ndarray, "e 2"]:
    """The points of the unit canvas in pixels from the object's centre."""
    angle = math.radians(thing.angle_deg)
    scale = thing.side / 2 * image_size
    sin, cos = scale * math.sin(angle), scale * math.cos(angle)
    x, y = points.T
    x = -x if thing.flipped else x
    return np.stack([x * cos - y * sin, x * sin + y * cos], axis=1)


def whole(patches: Sequence[Patch], image_size: int) -> Float32[np.ndarray, "n h w"]:
    """Return the silhouettes placed in the image."""
    image = np.zeros((len(patches), image_size, image_size), dtype=np.float32)
    for canvas, patch in zip(image, patches, strict=True):
        inside, part = window(patch, image_size)
        canvas[inside] = patch.body[part]
    return image


def window(patch: Patch, image_size: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the part of the image that a patch covers, and the part of the patch inside it."""
    inside, part = [], []
    for first in reversed(patch.corner):
        start, stop = max(first, 0), min(first + len(patch.body), image_size)
        inside.append(slice(start, stop))
        part.append(slice(start - first, stop - first))
    return (inside[0], inside[1]), (part[0], part[1])


def visible_masks(silhouettes: Float[np.ndarray, "n h w"]) -> Bool[np.ndarray, "n h w"]:
    """Return the pixels at which each object is seen; none belongs to two.

    A pixel belongs to the nearest object that covers half of it. An object so thin or so hidden
    that it wins no pixel gets the one that shows most of it.
    """
    solid = silhouettes >= 0.5
    taken = np.zeros(silhouettes.shape[1:], dtype=bool)
    for index in range(len(silhouettes) - 1, -1, -1):
        solid[index] &= ~taken
        if not solid[index].any():
            shown = silhouettes[index] * np.prod(1 - silhouettes[index + 1 :], axis=0)
            row, column = np.unravel_index(shown.argmax(), shown.shape)
            solid[:, row, column] = False
            solid[index, row, column] = True
        taken |= solid[index]
    return solid


def tight_boxes(masks: Bool[np.ndarray, "n h w"]) -> list[Box]:
    """Return the box (x0, y0, x1, y1) around each mask in pixels, ends not included."""
    boxes = []
    for mask in masks:
        (xs,), (ys,) = mask.any(axis=0).nonzero(), mask.any(axis=1).nonzero()
        boxes.append((int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1))
    return boxes


def masks(scene: Scene) -> Bool[np.ndarray, "n h w"]:
    """Return the visible mask of every object, in the order of `scene.objects`; none overlap."""
    size = scene.config.image_size
    return visible_masks(whole(cut_patches(scene.objects, size, details=False), size))
