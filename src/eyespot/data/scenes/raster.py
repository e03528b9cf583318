"""Polygons to pixels: the exact share of every pixel that a polygon covers.

Every edge adds, to the pixels it crosses, the signed area between itself and the right end of the
pixel row; a running sum along the row then gives each pixel's covered share. All polygons of a
scene go through one pass. Letters: K layers, E edges, F pieces of edges.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int


def coverage(
    start: Float[np.ndarray, "e 2"],
    stop: Float[np.ndarray, "e 2"],
    layer: Int[np.ndarray, " e"],
    sides_px: Int[np.ndarray, " k"],
) -> list[Float32[np.ndarray, "_ _"]]:
    """Return how much of each pixel of each layer's square patch is covered, 0 to 1, exactly.

    Contours of one layer that run the same way round are united; one that runs the other way
    round takes away what it encloses, once. Only a pixel that two borders cross may come out
    fuller than it is: there the covered shares are added.

    Args:
        start: First end (x, y) of every edge in pixels, within its layer's patch.
        stop: Second end; the edges of a layer must form closed contours.
        layer: The layer each edge belongs to.
        sides_px: Side of each layer's patch.
    """
    slanted = start[:, 1] != stop[:, 1]  # a level edge has no area beside it
    (x0, y0), (x1, y1), layer = start[slanted].T, stop[slanted].T, layer[slanted]
    rows = _cut(y0, y1, x0, x1)
    columns = _cut(rows.b0, rows.b1, rows.a0, rows.a1)
    rise = columns.b0 - columns.b1
    beyond = rise * ((columns.a0 + columns.a1) / 2 - columns.cell)
    # Patches lie one after another, a row of each one pixel longer than its side.
    ends = np.cumsum(sides_px * (sides_px + 1))
    own = layer[rows.source][columns.source]
    row_start = rows.cell[columns.source] * (sides_px[own] + 1)
    place = (ends - sides_px * (sides_px + 1))[own] + row_start + columns.cell
    area = np.bincount(place, rise - beyond, ends[-1] + 1)
    area[1:] += np.bincount(place, beyond, ends[-1] + 1)[:-1]
    covered = np.minimum(np.abs(np.cumsum(area[:-1])), 1).astype(np.float32)
    return [
        patch.reshape(side, side + 1)[:, :side]
        for patch, side in zip(np.split(covered, ends[:-1]), sides_px.tolist(), strict=True)
    ]


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
