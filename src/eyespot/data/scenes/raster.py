"""Polygons to pixels: the exact share of every pixel that a polygon covers.

Every edge adds, to the pixels it crosses, the signed area between itself and the right end of the
pixel row; a running sum along the row then gives each pixel's covered share. All polygons of a
scene go through one pass. Letters: K layers, P side of a square patch in pixels, E edges, F pieces.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int

_UNIT = 2.0**18


def coverage(
    start: Float[np.ndarray, "e 2"],
    stop: Float[np.ndarray, "e 2"],
    layer: Int[np.ndarray, " e"],
    num_layers: int,
    side_px: int,
) -> Float32[np.ndarray, "k p p"]:
    """Return how much of each pixel each layer covers, 0 to 1, in steps of 2**-18.

    Sums run over whole numbers that float32 holds exactly, so the result does not depend on the
    order in which a machine adds.

    Contours of one layer that run the same way round are united; one that runs the other way
    round takes away what it encloses, once. Only a pixel that two borders cross may come out
    fuller than it is: there the covered shares are added.

    Args:
        start: First end (x, y) of every edge in pixels, within 0 and `side_px`.
        stop: Second end; the edges of a layer must form closed contours.
        layer: The layer each edge belongs to.
        num_layers: K.
        side_px: P.
    """
    slanted = start[:, 1] != stop[:, 1]  # a level edge has no area beside it
    (x0, y0), (x1, y1), layer = start[slanted].T, stop[slanted].T, layer[slanted]
    rows = _cut(y0, y1, x0, x1)
    columns = _cut(rows.b0, rows.b1, rows.a0, rows.a1)
    rise = columns.b0 - columns.b1
    beyond = rise * ((columns.a0 + columns.a1) / 2 - columns.cell)
    band = layer[rows.source][columns.source] * side_px + rows.cell[columns.source]
    place = band * (side_px + 1) + columns.cell
    length = num_layers * side_px * (side_px + 1) + 1
    area = np.bincount(place, rise - beyond, length)
    area[1:] += np.bincount(place, beyond, length)[:-1]
    steps = np.rint(area[:-1] * _UNIT).astype(np.float32)
    sums = steps.reshape(num_layers * side_px, side_px + 1) @ _running_sum(side_px)
    covered = np.minimum(np.abs(sums) * np.float32(1 / _UNIT), 1)
    shaped: Float32[np.ndarray, "k p p"] = covered.reshape(num_layers, side_px, side_px)
    return shaped


@cache
def _running_sum(side_px: int) -> Float32[np.ndarray, "q p"]:
    """The matrix that sums a row up to each pixel; twice as fast as `cumsum` at these sizes."""
    matrix: Float32[np.ndarray, "q p"] = np.triu(np.ones((side_px + 1, side_px), dtype=np.float32))
    return matrix


class _Pieces(NamedTuple):
    """Edges cut at whole numbers of their coordinate a; `cell` is the whole number below."""

    a0: Float[np.ndarray, " f"]
    a1: Float[np.ndarray, " f"]
    b0: Float[np.ndarray, " f"]
    b1: Float[np.ndarray, " f"]
    cell: Int[np.ndarray, " f"]
    source: Int[np.ndarray, " f"]


def _cut(
    a0: Float[np.ndarray, " e"],
    a1: Float[np.ndarray, " e"],
    b0: Float[np.ndarray, " e"],
    b1: Float[np.ndarray, " e"],
) -> _Pieces:
    """Cut every edge where its coordinate a passes a whole number."""
    first = np.floor(np.minimum(a0, a1)).astype(np.int64)
    last = np.ceil(np.maximum(a0, a1)).astype(np.int64)
    count = np.maximum(last - first, 1)
    source = np.repeat(np.arange(len(a0)), count)
    cell = np.arange(len(source)) + (first - np.cumsum(count) + count)[source]
    flat = a0 == a1
    slope = (b1 - b0) / np.where(flat, 1.0, a1 - a0)
    begin, slope, b_begin = a0[source], slope[source], b0[source]
    near = np.minimum(np.maximum(begin, cell), cell + 1)
    far = np.minimum(np.maximum(a1[source], cell), cell + 1)
    b_far = np.where(flat[source], b1[source], b_begin + (far - begin) * slope)
    return _Pieces(near, far, b_begin + (near - begin) * slope, b_far, cell, source)
