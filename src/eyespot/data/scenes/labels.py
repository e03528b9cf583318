"""Scenes with one label: a large object gives the class, small ones may stand behind it."""

from dataclasses import dataclass, replace
from typing import Literal

from eyespot.data.scenes.layout import RULES, draw_details, draw_object, finish, place
from eyespot.data.scenes.silhouettes import extent
from eyespot.data.scenes.stream import Stream
from eyespot.data.scenes.world import Scene, SceneConfig, SceneObject

By = Literal["shape", "colour", "shape_colour"]

_SIDES = (0.52, 0.78)
_MOST = 0.9  # of the image side, once turned
_LAYOUTS = 25


@dataclass(frozen=True)
class Labelled:
    """A scene and its class.

    Attributes:
        scene: The scene; its last object, the nearest, gives the class.
        label: Number of the class.
        name: Its name, `class_names(...)[label]`.
    """

    scene: Scene
    label: int
    name: str


def class_names(config: SceneConfig, by: By = "shape") -> tuple[str, ...]:
    """Return the names of the classes, in the order of their numbers.

    Args:
        config: The world; its composition decides which pairs of shape and colour exist.
        by: What makes a class: "shape", "colour", or both, as "red cup".
    """
    if by == "shape":
        return config.shapes
    if by == "colour":
        return config.colours
    if by == "shape_colour":
        return tuple(f"{colour} {shape}" for shape, colour in _pairs(config))
    raise ValueError(f"need classes by shape, colour or shape_colour, got {by!r}")


def classify(config: SceneConfig, seed: int, index: int, *, by: By = "shape") -> Labelled:
    """Return labelled scene number `index`.

    Classes come round in turn: any run of as many indices as there are classes holds each once. One
    object takes more than half of the image side; the others of the scene, `config.min_objects - 1`
    to `config.max_objects - 1` of them, are small and behind it; fewer where they find no room.

    Args:
        config: The world.
        seed: 0 to 2**63 - 1.
        index: 0 to 2**63 - 1.
        by: What makes a class: "shape", "colour" or "shape_colour".
    """
    names = class_names(config, by)
    stream = Stream("label", config.split, seed, index)
    label = index % len(names)
    count = config.min_objects + stream.below(config.max_objects - config.min_objects + 1)
    while True:
        for _ in range(_LAYOUTS):
            objects = _throw(stream, config, _choose(stream, config, by, label), count)
            scene = None if objects is None else finish(config, seed, index, objects)
            if scene is not None:
                return Labelled(scene, label, names[label])
        count -= 1  # alone, the main object always fits


def _pairs(config: SceneConfig) -> list[tuple[str, str]]:
    return [
        (shape, colour) for shape in config.shapes for colour in config.choices("colour", shape)
    ]


def _choose(stream: Stream, config: SceneConfig, by: By, label: int) -> SceneObject:
    """The object that gives the class, at the origin."""
    if by == "shape":
        options = [pair for pair in _pairs(config) if pair[0] == config.shapes[label]]
    elif by == "colour":
        options = [pair for pair in _pairs(config) if pair[1] == config.colours[label]]
    else:
        options = [_pairs(config)[label]]
    shape, colour = stream.pick(options)
    main = draw_details(
        stream,
        shape=shape,
        colour=colour,
        size="large",
        material=stream.pick(config.materials),
        side=stream.between(*_SIDES),
    )
    left, top, right, bottom = extent(main)
    return replace(main, side=main.side * min(1.0, _MOST / max(left + right, top + bottom)))


def _throw(
    stream: Stream, config: SceneConfig, main: SceneObject, count: int
) -> list[SceneObject] | None:
    """The main object anywhere in the image and the others around it; None when they do not fit."""
    rules = RULES[config.difficulty]
    placed = place(stream, main, [], rules)
    others: list[SceneObject] = []
    while placed is not None and len(others) < count - 1:
        thing = draw_object(stream, config, rules, others, ("small",))
        spot = place(stream, thing, [*others, placed], rules)
        if spot is None:
            return None
        others.append(spot)
    return None if placed is None else [*others, placed]
