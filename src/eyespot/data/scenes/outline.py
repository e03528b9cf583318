"""What an outline is, and the few strokes it is drawn with.

Outlines live on a unit canvas: x to the right, y down, the silhouette's longer side from -1 to 1.
A contour is an array of corners [_, 2]; curves are corners close enough that no one sees them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

Contour = Float[np.ndarray, "_ 2"]
"""The corners of a closed line."""

Number = float | int
"""A coordinate; shape checkers at run time do not take one for the other."""


@dataclass(frozen=True)
class Outline:
    """The drawing of one shape.

    Attributes:
        body: Contours of the silhouette; where several overlap they are united.
        holes: Contours that each take one layer of the body away.
        details: Tone ("ink", "paper", "shade" or "tint") and contours, painted in this order.
        tilt_deg: How far either way the shape may be turned and keep its name.
        flips: Whether its mirror image differs and is as good.
    """

    body: tuple[Contour, ...]
    holes: tuple[Contour, ...] = ()
    details: tuple[tuple[str, tuple[Contour, ...]], ...] = ()
    tilt_deg: Number = 15.0
    flips: bool = False


def corners(*points: tuple[Number, Number]) -> Contour:
    """Return the contour through the given points."""
    return np.array(points, dtype=np.float64)


def box(left: Number, top: Number, right: Number, bottom: Number) -> Contour:
    """Return an upright rectangle."""
    return corners((left, top), (right, top), (right, bottom), (left, bottom))


def arc(
    x: Number,
    y: Number,
    width: Number,
    height: Number | None = None,
    start_deg: Number = 0.0,
    stop_deg: Number = 360.0,
    tilt_deg: Number = 0.0,
) -> Contour:
    """Return points of an ellipse around (x, y), clockwise on the screen from `start_deg`.

    Args:
        x: Centre.
        y: Centre.
        width: Half the width.
        height: Half the height; the width when not given.
        start_deg: 0 is to the right, 90 is down.
        stop_deg: Where to stop; less than the start runs the other way round.
        tilt_deg: Turns the whole ellipse clockwise.
    """
    height = width if height is None else height
    whole = abs(stop_deg - start_deg) >= 360
    count = max(3, round(abs(stop_deg - start_deg) / 11.25))
    angles = np.deg2rad(np.linspace(start_deg, stop_deg, count + (not whole), endpoint=not whole))
    points = np.stack([width * np.cos(angles), height * np.sin(angles)], axis=1)
    contour: Contour = turned(points, tilt_deg) + np.array((x, y))
    return contour


def bend(*controls: tuple[Number, Number], count: int = 8) -> Contour:
    """Return points of the Bezier curve with the given control points (three or four of them)."""
    points = np.array(controls, dtype=np.float64)[:, None]
    steps = np.linspace(0.0, 1.0, count + 1)[:, None]
    while len(points) > 1:
        points = points[:-1] + (points[1:] - points[:-1]) * steps
    curve: Contour = points[0]
    return curve


def joined(*parts: Contour) -> Contour:
    """Return one contour that runs through the parts in turn."""
    return np.concatenate(parts)


def mirrored(half: Contour) -> Contour:
    """Return the contour of a right half, given top to bottom, and its mirror image."""
    return np.concatenate([half, half[::-1] * (-1.0, 1.0)])


def rounded(contour: Contour, radius: Number) -> Contour:
    """Return the contour with every corner cut by a curve that starts `radius` before it."""
    parts = []
    for before, corner, after in zip(
        np.roll(contour, 1, axis=0), contour, np.roll(contour, -1, axis=0), strict=True
    ):
        enter, leave = before - corner, after - corner
        enter *= min(radius / np.hypot(*enter), 0.5)
        leave *= min(radius / np.hypot(*leave), 0.5)
        parts.append(bend(tuple(corner + enter), tuple(corner), tuple(corner + leave), count=5))
    return np.concatenate(parts)


def turned(contour: Contour, angle_deg: Number) -> Contour:
    """Return the contour turned clockwise around the origin."""
    angle = np.deg2rad(angle_deg)
    sin, cos = np.sin(angle), np.cos(angle)
    x, y = contour.T
    return np.stack([x * cos - y * sin, x * sin + y * cos], axis=1)


def fitted(outline: Outline) -> Outline:
    """Return the outline with its longer side from -1 to 1, contours clockwise, holes not."""
    points = np.concatenate(outline.body)
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, (high - low).max() / 2

    def fit(contours: Sequence[Contour], sign: int = 1) -> tuple[Contour, ...]:
        return tuple(
            (contour - middle)[:: sign * _way_round(contour)] / half for contour in contours
        )

    return replace(
        outline,
        body=fit(outline.body),
        holes=fit(outline.holes, -1),
        details=tuple((tone, fit(contours)) for tone, contours in outline.details),
    )


def _way_round(contour: Contour) -> int:
    """1 when the contour runs clockwise on the screen, else -1."""
    x, y = contour.T
    return 1 if np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) > 0 else -1
