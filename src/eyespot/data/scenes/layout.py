"""Draws a scene: which objects, where, and on which ground.

Objects are thrown one after another, the farthest first, each onto the first spot that keeps its
distance; then the silhouettes decide whether every object is seen well enough. That check runs on a
grid of its own, so a scene is the same whatever its image size.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from eyespot.data.scenes.backdrop import draw_backdrop
from eyespot.data.scenes.colour import draw_colour
from eyespot.data.scenes.silhouettes import (
    cut_patches,
    extent,
    outlines,
    tight_boxes,
    visible_masks,
    whole,
)
from eyespot.data.scenes.stream import Stream
from eyespot.data.scenes.vocabulary import ATTRIBUTES, SIZES
from eyespot.data.scenes.world import Scene, SceneConfig, SceneObject

_GRID_PX = 96
_EDGE = 0.015
_LEAST_OVERLAP = 1e-3
_THROWS = 24
_LAYOUTS = 40


class Rules(NamedTuple):
    """What a difficulty means for where objects go.

    Attributes:
        distance: Least distance of two centres, as a share of the sum of their half sides.
        visible: Least visible share of an object.
        alike: Chance that an object takes shape, colour, size or material from an earlier one.
    """

    distance: float
    visible: float
    alike: float


RULES = {
    "easy": Rules(1.15, 0.98, 0.2),
    "medium": Rules(0.75, 0.5, 0.35),
    "hard": Rules(0.55, 0.35, 0.5),
}


def make_scene(config: SceneConfig, seed: int, index: int) -> Scene:
    """Return scene number `index` of the world that `seed` names.

    Args:
        config: The world.
        seed: 0 to 2**63 - 1.
        index: 0 to 2**63 - 1; there is no end.

    Raises:
        ValueError: If not even `min_objects` of the smallest of `sizes` find room; never with all
            sizes.
    """
    stream = Stream("layout", config.split, seed, index)
    rules = RULES[config.difficulty]
    wanted = config.min_objects + stream.below(config.max_objects - config.min_objects + 1)
    for attempt in range(_LAYOUTS):
        small, few = attempt >= _LAYOUTS // 4, attempt >= _LAYOUTS // 2
        sizes = (min(config.sizes, key=lambda size: SIZES[size]),) if small else config.sizes
        count = config.min_objects if few else wanted
        objects: list[SceneObject] = []
        while len(objects) < count:
            thing = draw_object(stream, config, rules, objects, sizes)
            placed = place(stream, thing, objects, rules)
            if placed is None:
                break
            objects.append(placed)
        scene = finish(config, seed, index, objects) if len(objects) == count else None
        if scene is not None:
            return scene
    raise ValueError(
        f"need room for {config.min_objects} objects of size {sizes[0]} at difficulty "
        f"{config.difficulty!r}, found none in {_LAYOUTS // 2} tries; lower min_objects"
    )


def draw_object(
    stream: Stream,
    config: SceneConfig,
    rules: Rules,
    earlier: list[SceneObject],
    sizes: tuple[str, ...],
) -> SceneObject:
    """Return an object at the origin, perhaps in part like an earlier one.

    Args:
        stream: Where choices come from.
        config: The world.
        rules: How often objects are alike.
        earlier: The objects already placed.
        sizes: Sizes to choose from.
    """
    model = stream.pick(earlier) if earlier and stream.chance(rules.alike) else None
    copied = stream.shuffled(ATTRIBUTES)[: 1 + stream.below(len(ATTRIBUTES) - 1)]

    def name(attribute: str, choices: tuple[str, ...]) -> str:
        if model is not None and attribute in copied and getattr(model, attribute) in choices:
            return str(getattr(model, attribute))
        return stream.pick(choices)

    shape = name("shape", config.shapes)
    size = name("size", sizes)
    return draw_details(
        stream,
        shape=shape,
        colour=name("colour", config.choices("colour", shape)),
        size=size,
        material=name("material", config.materials),
        side=stream.between(*SIZES[size]),
    )


def draw_details(
    stream: Stream, *, shape: str, colour: str, size: str, material: str, side: float
) -> SceneObject:
    """Return an object at the origin with a turn and a shade of its own."""
    outline = outlines()[shape]
    return SceneObject(
        shape=shape,
        colour=colour,
        size=size,
        material=material,
        x=0.0,
        y=0.0,
        side=side,
        angle_deg=stream.between(-outline.tilt_deg, outline.tilt_deg),
        flipped=outline.flips and stream.chance(0.5),
        rgb=draw_colour(stream, colour),
    )


def place(
    stream: Stream, thing: SceneObject, others: list[SceneObject], rules: Rules
) -> SceneObject | None:
    """Return the object on the first spot far enough from the others; None when there is none."""
    left, top, right, bottom = (reach + _EDGE for reach in extent(thing))
    half = thing.side / 2
    if left + right > 1 or top + bottom > 1:
        return None
    for _ in range(_THROWS):
        x, y = stream.between(left, 1 - right), stream.between(top, 1 - bottom)
        if all(
            math.hypot(x - other.x, y - other.y) >= rules.distance * (half + other.side / 2)
            for other in others
        ):
            return replace(thing, x=x, y=y)
    return None


def finish(config: SceneConfig, seed: int, index: int, objects: list[SceneObject]) -> Scene | None:
    """Return the scene of the placed objects, with what only their silhouettes tell.

    Returns:
        The scene; None when some object is hidden more than the difficulty allows.
    """
    shares = whole(cut_patches(objects, _GRID_PX, details=False), _GRID_PX)
    solid = np.rint(shares * 256).astype(np.int32)  # whole numbers: sums without rounding
    areas, left = solid.sum(axis=(1, 2)), solid.copy()
    overlaps = []
    for near in range(1, len(objects)):
        shared = (solid[:near] * solid[near]).sum(axis=(1, 2)) / 256
        shared /= np.minimum(areas[:near], areas[near])
        left[:near] = left[:near] * (256 - solid[near]) >> 8
        overlaps += [
            (far, near, float(share)) for far, share in enumerate(shared) if share >= _LEAST_OVERLAP
        ]
    visible = left.sum(axis=(1, 2)) / areas
    if visible.min() < RULES[config.difficulty].visible:
        return None
    size = config.image_size
    masks = visible_masks(whole(cut_patches(objects, size, details=False), size))
    seen = tuple(
        replace(thing, visible=float(share), box_xyxy_px=box)
        for thing, share, box in zip(objects, visible, tight_boxes(masks), strict=True)
    )
    return Scene(config, seed, index, seen, draw_backdrop(config, seed, index), tuple(overlaps))
