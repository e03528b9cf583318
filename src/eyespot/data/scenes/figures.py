"""The nine geometric shapes."""

import numpy as np

from eyespot.data.scenes.outline import (
    Contour,
    Outline,
    arc,
    bend,
    box,
    corners,
    joined,
    mirrored,
    rounded,
)


def figures() -> dict[str, Outline]:
    """Return the outlines of the geometric shapes by name."""
    return {
        "circle": Outline((arc(0, 0, 1),), tilt_deg=180),
        "square": Outline((rounded(box(-1, -1, 1, 1), 0.16),), tilt_deg=24),
        "triangle": Outline((rounded(_spokes(3), 0.14),), tilt_deg=180),
        "hexagon": Outline((rounded(_spokes(6), 0.06),), tilt_deg=180),
        "star": Outline((rounded(_spokes(5, inner=0.47), 0.1),), tilt_deg=180),
        "cross": Outline((rounded(_plus(0.36), 0.12),), tilt_deg=18),
        "ring": Outline((arc(0, 0, 1),), holes=(arc(0, 0, 0.52),), tilt_deg=180),
        "heart": Outline((mirrored(_half_heart()),), tilt_deg=28),
        "crescent": Outline((_crescent(),), tilt_deg=60, flips=True),
    }


def _spokes(count: int, inner: float | None = None) -> Contour:
    """Corners on the unit circle, the first on top; with `inner`, others between them."""
    steps = count if inner is None else 2 * count
    angles = 2 * np.pi * np.arange(steps) / steps - np.pi / 2
    radii = np.ones(steps)
    if inner is not None:
        radii[1::2] = inner
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def _plus(half: float) -> Contour:
    arm = corners((half, -1), (half, -half), (1, -half))
    quarter = joined(arm, arm[::-1] * (1.0, -1.0))
    return mirrored(quarter)


def _half_heart() -> Contour:
    lobe = bend((0, -0.52), (0.1, -1.02), (0.98, -1.08), (1.0, -0.3), count=12)
    side = bend((1.0, -0.3), (1.0, 0.16), (0.42, 0.5), (0.0, 0.95), count=12)
    return joined(lobe, side[1:])


def _crescent() -> Contour:
    return joined(arc(0, 0, 1, start_deg=48, stop_deg=312), arc(0.47, 0, 0.78, None, 288, 72))
