"""The pictures and sentences that the quickstart grounds: held-out scenes, and photographs."""

import io
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from eyespot.data.decode import decode_image
from eyespot.data.open import open_samples
from eyespot.data.scenes import SceneConfig, caption, make_scene, referring, render

STAMPS = Path("/usr/share/tuxpaint/stamps")
"""Where Debian's tuxpaint-stamps-default keeps cut-out photographs."""

_SIDE_PX = 256
_SEEDS = (3, 5, 8)
_FRUITS = (  # photograph, corner and longer side as shares of the picture
    ("food/fruit/apple_red.png", (0.08, 0.14), 0.36),
    ("food/fruit/lemon.png", (0.5, 0.56), 0.4),
    ("food/fruit/apple_green.png", (0.56, 0.1), 0.36),
)
_FRUITS_TEXT = "a red circle left of a green circle, and a yellow thing"


class Asked(NamedTuple):
    """A picture on disk and what is asked of it.

    Attributes:
        path: Of the picture.
        text: What to ground in it.
        about: What it shows, for the page.
    """

    path: Path
    text: str
    about: str


def write_pictures(world: SceneConfig, folder: Path) -> list[Asked]:
    """Write scenes of the test split, and a scene of photographs where the stamps are installed.

    Args:
        world: Of the network's training; its test split is used.
        folder: Where to; it is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    world = replace(world, split="test", min_objects=min(3, world.max_objects), image_size=_SIDE_PX)
    asked = []
    for seed in _SEEDS:
        scene = make_scene(world, seed, 0)
        text = caption(scene).text
        asked.append(Asked(folder / f"scene-{seed}.png", text, "a scene it never saw"))
        Image.fromarray(render(scene)).save(asked[-1].path)
    scene, expressed = next(
        (scene, found)
        for scene in (make_scene(world, _SEEDS[-1] + 1, i) for i in range(1000))
        if (found := referring(scene)) is not None
    )
    about = "a scene it never saw; the text means one thing in it"
    asked.append(Asked(folder / "expression.png", expressed.caption.text, about))
    Image.fromarray(render(scene)).save(asked[-1].path)
    if all((STAMPS / name).is_file() for name, _, _ in _FRUITS):
        about = "photographs of fruit: drawings are all it was trained on"
        asked.append(Asked(folder / "photographs.png", _FRUITS_TEXT, about))
        _fruits().save(asked[-1].path)
    return asked


def _fruits() -> Image.Image:
    """Photographs of fruit before a wall that is darker below."""
    shade = Image.linear_gradient("L").resize((_SIDE_PX, _SIDE_PX))
    picture = Image.composite(
        Image.new("RGB", shade.size, "#a9a59d"), Image.new("RGB", shade.size, "#d8d4cc"), shade
    )
    for name, (left, top), share in _FRUITS:
        with Image.open(STAMPS / name) as file:
            fruit = file.convert("RGBA")
        scale = share * _SIDE_PX / max(fruit.size)
        size = (round(fruit.width * scale), round(fruit.height * scale))
        fruit = fruit.resize(size, Image.Resampling.LANCZOS)
        picture.paste(fruit, (round(left * _SIDE_PX), round(top * _SIDE_PX)), fruit)
    return picture


def montage(shards: str, columns: int = 8, rows: int = 4) -> bytes:
    """Return the first pictures of a data set, side by side, as a PNG file."""
    samples = open_samples(shards, split="train", labelled=False).samples
    found = [samples[i].image for i in range(columns * rows)]
    images = [decode_image(one) if isinstance(one, bytes) else one for one in found]
    lines = [np.concatenate(images[i * columns : (i + 1) * columns], 1) for i in range(rows)]
    file = io.BytesIO()
    Image.fromarray(np.concatenate(lines)).save(file, "PNG")
    return file.getvalue()
