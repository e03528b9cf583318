"""Scenes for who has no picture at hand: rolled by a seed, each with its caption."""

import io
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from PIL import Image

from eyespot.data.scenes import Scene, caption, make_scene, render
from eyespot.recipes.ground import scenes_small

SIDE_PX = 384
"""Side of a rolled picture; the network sees it smaller, people like it larger."""


class Example(NamedTuple):
    """A scene and a text that suits it."""

    seed: int
    text: str


EXAMPLES = (
    Example(8, "a heart left of a yellow star; a purple car and a red house"),
    Example(24, "A big matte blue heart. A violet disc is left of a key."),
    Example(10, "a fish is to the right of a big red key; a tiny matte mug"),
    Example(2, "two stars and a green square"),
    Example(38, "three matte objects"),
    Example(30, "the highest little thing"),
)


def rolled_text(seed: int) -> str:
    """Return the caption of the scene that a seed gives."""
    return caption(_scene(seed, SIDE_PX)).text


@lru_cache(maxsize=64)
def rolled_png(seed: int, side_px: int = SIDE_PX) -> bytes:
    """Return the picture of the scene that a seed gives, as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(render(_scene(seed, side_px))).save(file, "PNG")
    return file.getvalue()


def _scene(seed: int, side_px: int) -> Scene:
    """A scene that the shipped network has not seen."""
    world = scenes_small().scenes.world
    world = replace(world, split="test", min_objects=2, image_size=side_px)
    return make_scene(world, seed, 0)
