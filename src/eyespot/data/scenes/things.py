"""The fifteen everyday silhouettes, drawn from boxes, arcs and bends of our own."""

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
    turned,
)


def things() -> dict[str, Outline]:
    """Return the outlines of the everyday things by name."""
    return {
        "cup": _cup(),
        "bottle": _bottle(),
        "key": _key(),
        "umbrella": _umbrella(),
        "house": _house(),
        "tree": _tree(),
        "flower": _flower(),
        "mushroom": _mushroom(),
        "apple": _apple(),
        "fish": _fish(),
        "bird": _bird(),
        "butterfly": _butterfly(),
        "car": _car(),
        "boat": _boat(),
        "rocket": _rocket(),
    }


def _cup() -> Outline:
    body = rounded(corners((-0.8, -0.8), (0.6, -0.8), (0.46, 0.9), (-0.66, 0.9)), 0.2)
    handle = arc(0.56, -0.02, 0.46, 0.5)
    inside = arc(0.56, -0.02, 0.24, 0.28)
    rim = arc(-0.1, -0.66, 0.6, 0.13)
    return Outline((body, handle), (inside,), (("shade", (rim,)),), tilt_deg=14, flips=True)


def _bottle() -> Outline:
    half = joined(
        corners((0, -1.5), (0.2, -1.5), (0.2, -0.95)),
        bend((0.2, -0.95), (0.22, -0.6), (0.56, -0.55), (0.58, -0.1)),
        bend((0.58, 1.2), (0.58, 1.5), (0.4, 1.5), (0.0, 1.5)),
    )
    label = rounded(box(-0.58, 0.18, 0.58, 0.72), 0.04)
    cap = rounded(box(-0.27, -1.6, 0.27, -1.24), 0.07)
    return Outline(
        (mirrored(half), cap), details=(("paper", (label,)), ("shade", (cap,))), tilt_deg=24
    )


def _key() -> Outline:
    head = arc(-0.95, 0, 0.68)
    shaft = box(-0.4, -0.15, 1.5, 0.15)
    teeth = (box(0.72, 0.1, 0.98, 0.58), box(1.2, 0.1, 1.5, 0.7))
    return Outline((head, shaft, *teeth), (arc(-1.05, 0, 0.3),), tilt_deg=40, flips=True)


def _umbrella() -> Outline:
    dome = joined(
        arc(0, 0.1, 1.05, 1.0, 180, 360),
        *(arc(x, 0.12, 0.175, 0.14, 360, 180) for x in (0.875, 0.525, 0.175)),
        *(arc(x, 0.12, 0.175, 0.14, 360, 180) for x in (-0.175, -0.525, -0.875)),
    )
    stick = joined(
        corners((-0.06, -0.05), (0.06, -0.05), (0.06, 0.82)),
        arc(0.24, 0.82, 0.18, 0.18, 180, 0),
        arc(0.48, 0.82, 0.06, 0.06, 180, 360)[1:],
        arc(0.24, 0.82, 0.3, 0.3, 0, 180),
    )
    tip = rounded(box(-0.06, -1.1, 0.06, -0.8), 0.05)
    ribs = (_sliver(-0.35), _sliver(0.35))
    return Outline((dome, stick, tip), details=(("shade", (*ribs, tip)),), tilt_deg=24, flips=True)


def _sliver(x: float) -> Contour:
    there = bend((0, -0.88), (x, -0.6), (x, 0.0))
    return joined(there, bend((x, 0.0), (x * 0.82, -0.6), (0, -0.88)))


def _house() -> Outline:
    walls = box(-0.8, -0.15, 0.8, 0.95)
    roof = rounded(corners((0, -1.0), (1.1, -0.02), (-1.1, -0.02)), 0.12)
    chimney = box(0.45, -0.95, 0.7, -0.4)
    door = rounded(box(-0.17, 0.32, 0.2, 0.95), 0.06)
    panes = (box(-0.62, 0.18, -0.3, 0.52), box(0.34, 0.18, 0.66, 0.52))
    details = (("shade", (roof, chimney)), ("ink", (door,)), ("paper", panes))
    return Outline((walls, roof, chimney), details=details, tilt_deg=10, flips=True)


def _tree() -> Outline:
    tiers = tuple(
        rounded(corners((0, top), (half, bottom), (-half, bottom)), 0.12)
        for top, half, bottom in ((-1.25, 0.5, -0.42), (-0.85, 0.68, 0.14), (-0.45, 0.86, 0.75))
    )
    folds = tuple(
        joined(corners((-half, y), (half, y)), bend((half, y), (0.0, y + 0.2), (-half, y)))
        for half, y in ((0.4, -0.42), (0.58, 0.14))
    )
    trunk = box(-0.17, 0.7, 0.17, 1.2)
    return Outline((*tiers, trunk), details=(("shade", (*folds, trunk)),), tilt_deg=10)


def _flower() -> Outline:
    petals = tuple(turned(arc(0, -0.62, 0.3, 0.42), 60 * k) for k in range(6))
    heart = arc(0, 0, 0.36)
    details = (("ink", (heart,)), ("paper", (arc(0, 0, 0.25),)))
    return Outline((*petals, heart), details=details, tilt_deg=180)


def _mushroom() -> Outline:
    cap = joined(arc(0, 0.05, 1.0, 0.95, 180, 360), bend((1, 0.05), (0.95, 0.34), (0, 0.2)))
    cap = joined(cap, bend((0, 0.2), (-0.95, 0.34), (-1, 0.05)))
    stem = mirrored(
        joined(corners((0, 0.1), (0.26, 0.1)), bend((0.26, 0.2), (0.26, 0.6), (0.44, 0.98), (0, 1)))
    )
    return Outline((cap, stem), details=(("tint", (stem,)),), tilt_deg=14)


def _apple() -> Outline:
    half = joined(
        bend((0, -0.5), (0.3, -0.86), (1.02, -0.7), (0.96, 0.06), count=12),
        bend((0.96, 0.06), (0.9, 0.7), (0.42, 1.12), (0.0, 0.9), count=12),
    )
    stem = corners((-0.05, -0.4), (-0.02, -0.7), (0.12, -1.0), (0.2, -0.94), (0.06, -0.4))
    leaf = joined(
        bend((0.12, -0.66), (0.2, -1.02), (0.7, -0.98)),
        bend((0.7, -0.98), (0.6, -0.6), (0.12, -0.66)),
    )
    return Outline(
        (mirrored(half), stem, leaf),
        details=(("shade", (leaf,)), ("ink", (stem,))),
        tilt_deg=18,
        flips=True,
    )


def _fish() -> Outline:
    body = joined(
        bend((0.5, 0), (0.1, -0.66), (-0.7, -0.62), (-1, 0), count=12),
        bend((-1, 0), (-0.7, 0.62), (0.1, 0.66), (0.5, 0), count=12),
    )
    tail = rounded(corners((0.28, 0), (1.0, -0.52), (0.82, 0), (1.0, 0.52)), 0.14)
    fin = joined(bend((-0.3, -0.4), (-0.05, -0.9), (0.3, -0.62)), corners((0.2, -0.2)))
    side = joined(bend((-0.22, 0.06), (0.1, -0.1), (0.2, 0.2)), corners((-0.02, 0.3)))
    eye = (("paper", (arc(-0.6, -0.12, 0.15),)), ("ink", (arc(-0.62, -0.12, 0.08),)))
    return Outline(
        (body, tail, fin), details=(("shade", (tail, fin, side)), *eye), tilt_deg=20, flips=True
    )


def _bird() -> Outline:
    body = joined(
        bend((-0.55, -0.3), (-0.5, 0.9), (0.4, 0.86), (0.72, -0.02), count=12),
        bend((0.72, -0.02), (0.3, 0.05), (0.0, -0.1), (-0.1, -0.4)),
    )
    head = arc(-0.38, -0.42, 0.4)
    beak = corners((-0.7, -0.6), (-1.1, -0.36), (-0.7, -0.22))
    tail = rounded(corners((0.4, 0.1), (1.1, -0.32), (1.12, 0.02), (0.6, 0.36)), 0.1)
    wing = joined(
        bend((-0.2, 0.02), (0.1, -0.12), (0.6, 0.1)), bend((0.6, 0.1), (0.2, 0.62), (-0.2, 0.02))
    )
    legs = (box(-0.12, 0.5, -0.04, 0.95), box(0.14, 0.5, 0.22, 0.95))
    eye = (("paper", (arc(-0.46, -0.5, 0.13),)), ("ink", (*legs, arc(-0.48, -0.5, 0.07))))
    return Outline(
        (body, head, beak, tail, *legs),
        details=(("shade", (wing, beak)), *eye),
        tilt_deg=16,
        flips=True,
    )


def _butterfly() -> Outline:
    upper = bend((0, -0.1), (0.2, -1.15), (1.3, -1.0), (0.95, -0.1), count=12)
    lower = bend((0.95, -0.1), (0.75, 0.05), (0.4, 0.05), (0.1, 0.0), count=6)
    under = bend((0.1, 0.0), (1.0, 0.0), (0.95, 0.95), (0.4, 0.85), count=12)
    wings = mirrored(joined(upper, lower, under, bend((0.4, 0.85), (0.2, 0.8), (0, 0.3), count=4)))
    spots = (arc(0.58, -0.46, 0.17), arc(-0.58, -0.46, 0.17))
    body = arc(0, 0, 0.1, 0.62)
    return Outline((wings, body), details=(("paper", spots), ("ink", (body,))), tilt_deg=30)


def _car() -> Outline:
    body = rounded(
        corners(
            (-1.1, 0.36),
            (-1.08, -0.05),
            (-0.72, -0.12),
            (-0.4, -0.56),
            (0.36, -0.56),
            (0.66, -0.12),
            (1.08, 0.0),
            (1.1, 0.36),
        ),
        0.16,
    )
    wheels = (arc(-0.6, 0.36, 0.26), arc(0.6, 0.36, 0.26))
    hubs = (arc(-0.6, 0.36, 0.11), arc(0.6, 0.36, 0.11))
    panes = (
        rounded(corners((-0.52, -0.12), (-0.3, -0.42), (-0.04, -0.42), (-0.04, -0.12)), 0.04),
        rounded(corners((0.06, -0.12), (0.06, -0.42), (0.3, -0.42), (0.48, -0.12)), 0.04),
    )
    return Outline(
        (body, *wheels),
        details=(("ink", wheels), ("paper", (*panes, *hubs))),
        tilt_deg=10,
        flips=True,
    )


def _boat() -> Outline:
    hull = joined(bend((1.05, 0.42), (0.85, 0.95), (0.6, 0.95)), corners((-0.6, 0.95)))
    hull = joined(hull, bend((-0.6, 0.95), (-0.9, 0.95), (-1.05, 0.42)))
    mast = box(-0.08, -1.1, 0.04, 0.42)
    big = joined(corners((0.12, 0.26)), bend((0.12, -1.0), (0.9, -0.4), (0.9, 0.26)))
    small = joined(bend((-0.16, -0.85), (-0.6, -0.3), (-0.8, 0.26)), corners((-0.16, 0.26)))
    deck = box(-1.05, 0.42, 1.05, 0.54)
    details = (("tint", (big, small)), ("ink", (mast,)), ("shade", (deck,)))
    return Outline((hull, mast, big, small), details=details, tilt_deg=10, flips=True)


def _rocket() -> Outline:
    hull = mirrored(
        joined(bend((0, -1.3), (0.5, -0.9), (0.56, -0.1), (0.3, 0.8), count=12), corners((0, 0.8)))
    )
    fin = joined(
        bend((0.42, 0.15), (0.9, 0.4), (0.82, 1.05)), bend((0.82, 1.05), (0.6, 0.7), (0.3, 0.8))
    )
    fins = (fin, (fin * (-1.0, 1.0))[::-1])
    nozzle = box(-0.2, 0.78, 0.2, 0.98)
    window = (("ink", (arc(0, -0.34, 0.25),)), ("paper", (arc(0, -0.34, 0.17),)))
    return Outline(
        (hull, *fins, nozzle), details=(("shade", (*fins, nozzle)), *window), tilt_deg=40
    )
