"""Compose pictures with captions, boxes and masks: cut-out photographs on others, as COCO files.

    python examples/stamps.py OUT --photographs FOLDER_OR_RCC

Stamps are PNG files with an alpha channel, beside each a .txt that begins "A frog."; Debian's
tuxpaint-stamps-default holds hundreds. Photographs are a folder of pictures, or one of Qt's .rcc
files; a quarter of them are only used to evaluate. Everything follows from the seed.
docs/own-data.md trains on the result.
"""

import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tyro
from PIL import Image, ImageEnhance
from tyro.conf import Positional

from eyespot.ops import rle

_NOUN = re.compile(r"An? ([a-z]+)\.", re.IGNORECASE)
_SIDES_PX = {"small": (26, 36), "large": (46, 60)}


class Thing(NamedTuple):
    """A stamp in a scene: its noun, what the caption calls it, its box and its mask."""

    noun: str
    phrase: str
    box_xywh_px: tuple[int, int, int, int]
    mask: np.ndarray


Scene = tuple[Image.Image, list[Thing], str]


def read_stamps(folder: Path) -> dict[str, Image.Image]:
    """Return the first stamp of each noun, cropped; solid ones, not too long, and no cartoons."""
    found: dict[str, Image.Image] = {}
    for path in sorted(folder.rglob("*.png")):
        text = path.with_suffix(".txt")
        match = _NOUN.match(text.read_text(encoding="utf-8")) if text.is_file() else None
        if match is None or match[1].lower() in found or "cartoon" in path.parts:
            continue
        picture = Image.open(path).convert("RGBA")
        box = _solid(picture).getbbox() or (0, 0, 1, 1)
        picture = picture.crop(box)
        cover = (np.asarray(_solid(picture)) > 0).mean()
        if 0.25 < cover < 0.99 and 0.5 <= picture.width / picture.height <= 2:
            picture.thumbnail((128, 128))
            found[match[1].lower()] = picture
    return found


def read_photographs(source: Path) -> list[Image.Image]:
    """Return the pictures of a folder, or the WebP pictures inside one of Qt's .rcc files."""
    if source.is_dir():
        files = [path for path in sorted(source.rglob("*")) if path.suffix in (".jpg", ".png")]
        return [Image.open(path).convert("RGB") for path in files]
    data, at, found = source.read_bytes(), 0, []
    while (at := data.find(b"RIFF", at)) >= 0:
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        found.append(Image.open(io.BytesIO(data[at:end])).convert("RGB"))
        at = end
    return found


def compose(
    photographs: list[Image.Image], stamps: dict[str, Image.Image], rng: np.random.Generator,
    size: int,
) -> Scene:  # fmt: skip
    """Paste two to four stamps, their boxes apart, onto a crop of a photograph."""
    photograph = photographs[rng.integers(len(photographs))]
    side = int(rng.uniform(0.5, 1) * min(photograph.size))
    left, top = (int(rng.integers(length - side + 1)) for length in photograph.size)
    picture = photograph.resize((size, size), box=(left, top, left + side, top + side))
    things: list[Thing] = []
    for i in rng.choice(len(stamps), int(rng.integers(2, 5)), replace=False):
        noun, stamp = list(stamps.items())[i]
        word = ("small", "large")[rng.integers(2)]
        scale = rng.integers(*_SIDES_PX[word]) / max(stamp.size)
        cut = stamp.resize([max(1, round(length * scale)) for length in stamp.size])
        if rng.integers(2):
            cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for _ in range(50):
            x, y = (int(rng.integers(size - length + 1)) for length in cut.size)
            alone = Image.new("RGBA", (size, size))
            alone.paste(cut, (x, y))
            mask = np.asarray(_solid(alone)) > 0
            x0, y0, x1, y1 = _solid(alone).getbbox() or (x, y, x + 1, y + 1)
            if all(
                x1 <= b[0] or b[0] + b[2] <= x0 or y1 <= b[1] or b[1] + b[3] <= y0
                for b in (thing.box_xywh_px for thing in things)
            ):
                bright = ImageEnhance.Brightness(cut.convert("RGB")).enhance(rng.uniform(0.8, 1.2))
                picture.paste(bright, (x, y), cut.getchannel("A"))
                phrase = f"the {word + ' ' if rng.integers(2) else ''}{noun}"
                things.append(Thing(noun, phrase, (x0, y0, x1 - x0, y1 - y0), mask))
                break
    return picture, things, caption(things, rng)


def caption(things: Sequence[Thing], rng: np.random.Generator) -> str:
    """Name everything; half of the captions say where the first is from the second."""
    said = [thing.phrase for thing in things]
    if len(said) > 1 and rng.integers(2):
        a, b = (thing.box_xywh_px for thing in things[:2])
        dx, dy = (a[k] + a[k + 2] / 2 - b[k] - b[k + 2] / 2 for k in (0, 1))
        level = abs(dx) > abs(dy)
        where = ("left of", "right of")[dx > 0] if level else ("above", "below")[dy > 0]
        said[:2] = [f"{said[0]} {where} {said[1]}"]
    return " and ".join(said)


def write_split(out: Path, split: str, scenes: Iterator[Scene], nouns: list[str]) -> None:
    """Write images/SPLIT/*.png, instances_SPLIT.json and captions_SPLIT.json."""
    (out / "images" / split).mkdir(parents=True, exist_ok=True)
    numbers = {noun: i for i, noun in enumerate(nouns, start=1)}
    images, annotations, captions = list[Any](), list[Any](), list[Any]()
    for i, (picture, things, text) in enumerate(scenes):
        name, (width, height) = f"{i:05}.png", picture.size
        picture.save(out / "images" / split / name, compress_level=1)
        images.append({"id": i, "file_name": name, "width": width, "height": height})
        captions.append({"id": i, "image_id": i, "caption": text})
        runs = rle.to_coco(rle.encode(np.stack([thing.mask for thing in things])))
        for thing, run in zip(things, runs, strict=True):
            annotations.append({
                "id": len(annotations) + 1, "image_id": i, "category_id": numbers[thing.noun],
                "bbox": list(thing.box_xywh_px), "area": int(thing.mask.sum()), "iscrowd": 0,
                "segmentation": run,
            })  # fmt: skip
    categories = [{"id": number, "name": noun} for noun, number in numbers.items()]
    instances = {"images": images, "annotations": annotations, "categories": categories}
    said = {"images": images, "annotations": captions}
    (out / f"instances_{split}.json").write_text(json.dumps(instances), encoding="utf-8")
    (out / f"captions_{split}.json").write_text(json.dumps(said), encoding="utf-8")


def build(
    out: Positional[Path],
    photographs: Path,
    stamps: Path = Path("/usr/share/tuxpaint/stamps"),
    nouns: int = 20,
    count: int = 4000,
    val_count: int = 500,
    size: int = 128,
    seed: int = 0,
) -> None:
    """Compose and write both splits; each has photographs of its own."""
    rng = np.random.default_rng(seed)
    known, pictures = read_stamps(stamps), read_photographs(photographs)
    if len(known) < 4 or len(pictures) < 2:
        raise ValueError(
            f"need 4 stamps of one noun and 2 photographs, got {len(known)} in {stamps} and "
            f"{len(pictures)} in {photographs}"
        )
    chosen = sorted(rng.permutation(len(known))[:nouns])
    known = {noun: known[noun] for noun in (list(known)[i] for i in chosen)}
    order, held = rng.permutation(len(pictures)), max(1, len(pictures) // 4)

    def scenes(which: np.ndarray, split: int, many: int) -> Iterator[Scene]:
        mine = [pictures[i] for i in which]
        for i in range(many):
            yield compose(mine, known, np.random.default_rng((seed, split, i)), size)

    write_split(out, "val", scenes(order[:held], 0, val_count), list(known))
    write_split(out, "train", scenes(order[held:], 1, count), list(known))
    print(f"{len(known)} nouns on {len(order) - held} photographs, and on {held} to evaluate")


def _solid(picture: Image.Image) -> Image.Image:
    """Where a picture is not transparent, as 0 and 255."""
    return picture.getchannel("A").point(lambda alpha: 255 * (alpha > 128))


if __name__ == "__main__":
    tyro.cli(build)
