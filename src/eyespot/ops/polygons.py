"""Polygons to masks, the two ways the published evaluators rasterise them.

COCO (and LVIS) walk the outline on a grid five times finer and keep a pixel whose centre lies
inside; PhraseCut truncates the vertices to whole pixels and fills with the outline included.
Polygons are in pixels, x before y.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageDraw

from eyespot.ops.rle import RleMasks, from_boundaries

_FINER = 5
_POLYGONS_AT_ONCE = 2000  # bounds the memory of the outline points

Polygon = Sequence[int | float] | np.ndarray


def fill_polygons(
    polygons: Sequence[Sequence[Sequence[int | float]]], height_px: int, width_px: int
) -> Bool[np.ndarray, "h w"]:
    """Union of polygons as PhraseCut's evaluator draws them.

    Args:
        polygons: Each a list of (x, y) vertices; those with fewer than two are skipped.
        height_px: Height of the mask.
        width_px: Width of the mask.
    """
    canvas = Image.new("1", (width_px, height_px), 0)
    draw = ImageDraw.Draw(canvas)
    for polygon in polygons:
        if len(polygon) > 1:
            draw.polygon([(int(x), int(y)) for x, y in polygon], outline=1, fill=1)
    return np.array(canvas, dtype=bool)


def polygons_to_rles(
    objects: Sequence[Sequence[Polygon]],
    heights_px: Sequence[int] | np.ndarray,
    widths_px: Sequence[int] | np.ndarray,
) -> RleMasks:
    """Rasterise objects as COCO does: each the union of its polygons.

    Args:
        objects: For each object its polygons, each flat: x0, y0, x1, y1, ...
        heights_px: Image height of each object.
        widths_px: Image width of each object.

    Raises:
        ValueError: If a polygon has an odd number of coordinates or fewer than six.
    """
    heights = np.asarray(heights_px, dtype=np.int64)
    widths = np.asarray(widths_px, dtype=np.int64)
    object_of = np.repeat(np.arange(len(objects)), [len(o) for o in objects])
    polygons = [_vertices(polygon, n) for n, o in enumerate(objects) for polygon in o]
    parts = []
    for start in range(0, len(polygons), _POLYGONS_AT_ONCE):
        owners = object_of[start : start + _POLYGONS_AT_ONCE]
        some = polygons[start : start + _POLYGONS_AT_ONCE]
        polygon, position = _crossings(some, heights[owners], widths[owners])
        parts.append(np.stack([polygon + start, position]))
    polygon, position = np.concatenate(parts, axis=1) if parts else np.zeros((2, 0), np.int64)
    owner, position = _unite(object_of, polygon, position)
    return from_boundaries(owner, position, heights, widths)


def _vertices(polygon: Polygon, owner: int) -> np.ndarray:
    """Vertices on the finer grid, the first one repeated at the end."""
    flat = np.asarray(polygon, dtype=np.float64)
    if flat.ndim != 1 or len(flat) % 2 or len(flat) < 6:
        raise ValueError(
            f"need a flat polygon x0, y0, x1, y1, x2, y2, ... of at least three vertices, got "
            f"shape {flat.shape} in object {owner}; drop it or split it into its polygons"
        )
    points = np.trunc(flat.reshape(-1, 2) * _FINER + 0.5).astype(np.int64)
    return np.concatenate([points, points[:1]])


class _Edges(NamedTuple):
    """Edges on the finer grid, each from its low end to its high end along its longer axis.

    Walking every edge the same way makes it round the same for both polygons that share it.
    """

    polygon: np.ndarray
    low: np.ndarray
    high: np.ndarray
    x_is_longer: np.ndarray
    slope: np.ndarray


def _edges(polygons: Sequence[np.ndarray]) -> _Edges:
    vertices = np.concatenate(polygons)
    of_vertex = np.repeat(np.arange(len(polygons)), [len(p) for p in polygons])
    edge = np.flatnonzero(of_vertex[1:] == of_vertex[:-1])
    start, stop = vertices[edge], vertices[edge + 1]
    span = np.abs(stop - start)
    x_is_longer = span[:, 0] >= span[:, 1]
    longer = np.where(x_is_longer, 0, 1)
    every = np.arange(len(edge))
    backwards = (start[every, longer] > stop[every, longer])[:, None]
    low, high = np.where(backwards, stop, start), np.where(backwards, start, stop)
    rise = (high - low)[every, 1 - longer]
    slope = rise / np.maximum(span[every, longer], 1)
    return _Edges(of_vertex[edge], low, high, x_is_longer, slope)


def _crossings(
    polygons: Sequence[np.ndarray], heights: np.ndarray, widths: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where, in column-major pixels, each outline passes a column's centre: polygon, position.

    On the finer grid the centre of column c lies between x = 5c + 2 and 5c + 3.
    """
    edges = _edges(polygons)
    left = np.minimum(edges.low[:, 0], edges.high[:, 0])
    right = np.maximum(edges.low[:, 0], edges.high[:, 0])
    first = np.maximum(-((2 - left) // _FINER), 0)
    last = np.minimum((right - 3) // _FINER, widths[edges.polygon] - 1)
    number = np.maximum(last - first + 1, 0)
    edge = np.repeat(np.arange(len(number)), number)
    column = np.arange(len(edge)) - np.repeat(np.cumsum(number) - number - first, number)
    x = _FINER * column + 2
    y = np.empty_like(x)
    flat = edges.x_is_longer[edge]
    y[flat] = _upper_y_on_flat_edges(edges, edge[flat], x[flat])
    y[~flat] = _upper_y_on_steep_edges(edges, edge[~flat], x[~flat])
    polygon = edges.polygon[edge]
    row = np.ceil(np.clip((y + 0.5) / _FINER - 0.5, 0, heights[polygon])).astype(np.int64)
    return polygon, column * heights[polygon] + row


def _upper_y_on_flat_edges(edges: _Edges, edge: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The smaller y of the outline's points at x and x + 1."""
    x_low, y_low = edges.low[edge].T
    steps = np.stack([x - x_low, x + 1 - x_low])
    return np.asarray(np.trunc(y_low + edges.slope[edge] * steps + 0.5).min(axis=0))


def _upper_y_on_steep_edges(edges: _Edges, edge: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The last y before the outline's rounded x passes from one side of x + 0.5 to the other."""
    x_low, y_low = edges.low[edge].T
    slope = edges.slope[edge]
    guess = np.floor((x + 0.5 - x_low) / slope).astype(np.int64)
    rightwards = slope > 0
    upper = y_low + guess + 1
    for step in (guess - 1, guess, guess + 1):  # rounding may move the crossing by one
        is_right = np.trunc(x_low + slope * step + 0.5) > x
        upper -= is_right == rightwards
    return np.asarray(upper)


def _unite(
    object_of: np.ndarray, polygon: np.ndarray, position: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Boundaries of the union of each object's polygons: object, position, both ascending."""
    stride = int(position.max(initial=0)) + 1
    polygon, position = np.divmod(np.sort(polygon * stride + position), stride)
    begin = np.searchsorted(polygon, np.arange(len(object_of)))
    leaves = (np.arange(len(polygon)) - begin[polygon]) % 2  # crossings enter, leave by turns
    key = np.sort(2 * (object_of[polygon] * stride + position) + leaves)
    place, leaves = key >> 1, key & 1
    at = np.flatnonzero(np.diff(place, prepend=-1))
    depth = np.cumsum(np.add.reduceat(1 - 2 * leaves, at)) if len(at) else at
    changes = np.diff(depth > 0, prepend=False)
    owner, position = np.divmod(place[at][changes], stride)
    return owner, position
