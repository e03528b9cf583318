"""How objects stand to each other, with a third answer for what people would argue about.

A statement about a scene is only made when it is clearly true, and only counted as ruled out when
it is clearly false; whatever lies between is None and no text is built on it.
"""

from collections.abc import Iterable

from eyespot.data.scenes.world import Scene

RELATIONS = ("left", "right", "above", "below", "behind", "front")
OPPOSITE = {
    "left": "right",
    "right": "left",
    "above": "below",
    "below": "above",
    "behind": "front",
    "front": "behind",
}
SUPERLATIVES = ("leftmost", "rightmost", "topmost", "bottommost", "largest", "smallest")

_CLEAR_STEP, _NO_STEP = 0.10, 0.02
_CLEAR_SLANT, _NO_SLANT = 0.6, 0.2
_CLEAR_OVERLAP, _NO_OVERLAP = 0.08, 0.02
_CLEAR_LEAD = 0.05
_CLEAR_RATIO = 1.2


def relation(scene: Scene, first: int, second: int, name: str) -> bool | None:
    """Return whether object `first` is clearly left, right, ..., in front of `second`.

    Sideways and up or down, the step between the centres decides: it is clear from 0.1 of the image
    side on if it is also at least 0.6 of the step across it, and clearly not so up to 0.02 or below
    0.2 of the step across. Behind and in front need silhouettes that overlap: by 8 % of the smaller
    one to be clear, by less than 2 % to be clearly not so.

    Returns:
        True, False, or None where people would argue.
    """
    if name in ("behind", "front"):
        far, near = (first, second) if name == "behind" else (second, first)
        shares = [share for f, n, share in scene.overlaps if (f, n) == (far, near)]
        share = shares[0] if shares else 0.0
        return True if share >= _CLEAR_OVERLAP else False if share < _NO_OVERLAP else None
    here, there = scene.objects[first], scene.objects[second]
    right, down = here.x - there.x, here.y - there.y
    step, across = {
        "left": (-right, down),
        "right": (right, down),
        "above": (-down, right),
        "below": (down, right),
    }[name]
    if step <= _NO_STEP or step < _NO_SLANT * abs(across):
        return False
    return True if step >= _CLEAR_STEP and step >= _CLEAR_SLANT * abs(across) else None


def related(scene: Scene, ids: Iterable[int], anchor: int, name: str) -> frozenset[int] | None:
    """Return which of the objects stand so to the anchor; None if that is arguable for any."""
    found = set()
    for one in ids:
        if one == anchor:
            continue
        answer = relation(scene, one, anchor, name)
        if answer is None:
            return None
        if answer:
            found.add(one)
    return frozenset(found)


def superlative(scene: Scene, ids: Iterable[int], name: str) -> int | None:
    """Return the leftmost, ..., smallest of two or more objects; None if there is no clear one.

    The first by place must lead by 0.05 of the image side, the first by size by a factor of 1.2.
    """
    things = scene.objects
    by_size = name in ("largest", "smallest")
    ranked = sorted(
        ids,
        key=lambda one: {
            "leftmost": things[one].x,
            "rightmost": -things[one].x,
            "topmost": things[one].y,
            "bottommost": -things[one].y,
            "largest": -things[one].side,
            "smallest": things[one].side,
        }[name],
    )
    if len(ranked) < 2:
        return None
    first, second = things[ranked[0]], things[ranked[1]]
    if by_size:
        big, little = max(first.side, second.side), min(first.side, second.side)
        return ranked[0] if big >= _CLEAR_RATIO * little else None
    lead = abs(first.x - second.x) if name in ("leftmost", "rightmost") else abs(first.y - second.y)
    return ranked[0] if lead >= _CLEAR_LEAD else None
