"""Compose pictures with captions, boxes and masks: cut-out stamps on photographs, as COCO files.

    python examples/stamps.py OUT --photographs FOLDER_OR_RCC [--stamps /usr/share/tuxpaint/stamps]

Stamps are PNG files with an alpha channel, each beside a .txt whose first line is "A frog."; Debian's
`tuxpaint-stamps-default` holds 700. Photographs are any pictures; a quarter of them are kept for
the validation split. Everything follows from the seed. docs/own-data.md trains on the result.
"""

import argparse
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageEnhance

from eyespot.ops import rle

_NOUN = re.compile(r"An? ([a-z]+)\.", re.IGNORECASE)
_SIDES_PX = {"small": (26, 36), "large": (46, 60)}


class Stamp(NamedTuple):
    """A cut-out picture, cropped to what is not transparent, and the noun it is called by."""

    noun: str
    picture: Image.Image


class Scene(NamedTuple):
    """A composed picture; a box [left, top, width, height] and a mask for each noun."""

    picture: Image.Image
    caption: str
    nouns: list[str]
    boxes: list[list[int]]
    masks: np.ndarray


def read_stamps(folder: Path) -> list[Stamp]:
    """Return the stamps called by one noun, one a noun, that are solid and not too long."""
    found: dict[str, Stamp] = {}
    for path in sorted(folder.rglob("*.png")):
        text = path.with_suffix(".txt")
        lines = text.read_text(encoding="utf-8").splitlines() if text.is_file() else []
        match = _NOUN.fullmatch(lines[0].strip()) if lines else None
        if match is None or match[1].lower() in found:
            continue
        picture = Image.open(path).convert("RGBA")
        box = picture.getchannel("A").point(lambda alpha: 255 * (alpha > 128)).getbbox()
        if box is None or not 0.5 <= (box[2] - box[0]) / (box[3] - box[1]) <= 2:
            continue
        picture = picture.crop(box)
        cover = (np.asarray(picture.getchannel("A")) > 128).mean()
        if 0.25 < cover < 0.99:  # a full rectangle was not cut out
            found[match[1].lower()] = Stamp(match[1].lower(), picture)
    return list(found.values())


def read_photographs(source: Path) -> list[Image.Image]:
    """Return the pictures of a folder, or the WebP pictures inside one of Qt's .rcc files."""
    if source.is_dir():
        files = [p for p in sorted(source.rglob("*")) if p.suffix.lower() in (".jpg", ".png")]
        return [Image.open(path).convert("RGB") for path in files]
    data, at, found = source.read_bytes(), 0, []
    while (at := data.find(b"RIFF", at)) >= 0:
        size = 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        found.append(Image.open(io.BytesIO(data[at : at + size])).convert("RGB"))
        at += size
    return found


def compose(
    photographs: Sequence[Image.Image], stamps: Sequence[Stamp], rng: np.random.Generator, size: int
) -> Scene:
    """Paste two to four stamps, apart from each other, onto a crop of a photograph."""
    photograph = photographs[rng.integers(len(photographs))]
    side = int(rng.uniform(0.5, 1) * min(photograph.size))
    left, top = (int(rng.integers(length - side + 1)) for length in photograph.size)
    picture = photograph.resize((size, size), box=(left, top, left + side, top + side))
    chosen = rng.choice(len(stamps), int(rng.integers(2, 5)), replace=False)
    nouns, sizes, boxes, masks = [], [], [], []
    for stamp in (stamps[i] for i in chosen):
        word = ("small", "large")[rng.integers(2)]
        scale = rng.integers(*_SIDES_PX[word]) / max(stamp.picture.size)
        cut = stamp.picture.resize(tuple(max(1, round(s * scale)) for s in stamp.picture.size))
        if rng.integers(2):
            cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        alpha = cut.getchannel("A")
        place = _free_place(boxes, cut.size, rng, size)
        if place is None:
            continue
        picture.paste(
            ImageEnhance.Brightness(cut.convert("RGB")).enhance(rng.uniform(0.8, 1.2)), place, alpha
        )
        solid = Image.new("L", (size, size))
        solid.paste(alpha.point(lambda value: 255 * (value > 128)), place)
        x0, y0, x1, y1 = solid.getbbox() or (*place, place[0] + 1, place[1] + 1)
        nouns.append(stamp.noun)
        sizes.append(word)
        boxes.append([x0, y0, x1 - x0, y1 - y0])
        masks.append(np.asarray(solid) > 0)
    return Scene(picture, _caption(nouns, sizes, boxes, rng), nouns, boxes, np.stack(masks))


def _free_place(
    boxes: Sequence[Sequence[int]], cut: tuple[int, int], rng: np.random.Generator, size: int
) -> tuple[int, int] | None:
    """A place that overlaps no box; None if none was found."""
    for _ in range(50):
        x, y = (int(rng.integers(size - side + 1)) for side in cut)
        if all(
            x + cut[0] <= b[0] or b[0] + b[2] <= x or y + cut[1] <= b[1] or b[1] + b[3] <= y
            for b in boxes
        ):
            return x, y
    return None


def _caption(
    nouns: Sequence[str],
    sizes: Sequence[str],
    boxes: Sequence[Sequence[int]],
    rng: np.random.Generator,
) -> str:
    """Name everything; half of the captions say where the first is from the second."""
    said = [f"the {word + ' ' if rng.integers(2) else ''}{noun}"
            for noun, word in zip(nouns, sizes, strict=True)]  # fmt: skip
    if len(said) < 2 or rng.integers(2):
        return " and ".join(said)
    dx, dy = (boxes[0][k] + boxes[0][k + 2] / 2 - boxes[1][k] - boxes[1][k + 2] / 2 for k in (0, 1))
    words = ("left of", "right of") if abs(dx) > abs(dy) else ("above", "below")
    where = words[(dx if abs(dx) > abs(dy) else dy) > 0]
    return " and ".join([f"{said[0]} {where} {said[1]}", *said[2:]])


def write_split(out: Path, split: str, scenes: Iterator[Scene], nouns: Sequence[str]) -> None:
    """Write images/SPLIT/*.png, instances_SPLIT.json and captions_SPLIT.json."""
    folder = out / "images" / split
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {noun: i for i, noun in enumerate(nouns, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    captions: list[dict[str, Any]] = []
    for i, scene in enumerate(scenes):
        name, (width, height) = f"{i:05}.png", scene.picture.size
        scene.picture.save(folder / name, compress_level=1)
        images.append({"id": i, "file_name": name, "width": width, "height": height})
        captions.append({"id": i, "image_id": i, "caption": scene.caption})
        runs = rle.to_coco(rle.encode(scene.masks), compressed=True)
        for noun, box, mask, run in zip(scene.nouns, scene.boxes, scene.masks, runs, strict=True):
            annotations.append({"id": len(annotations) + 1, "image_id": i, "bbox": box,
                                "category_id": numbers[noun], "area": int(mask.sum()),
                                "iscrowd": 0, "segmentation": run})  # fmt: skip
    categories = [{"id": number, "name": noun} for noun, number in numbers.items()]
    instances = {"images": images, "annotations": annotations, "categories": categories}
    (out / f"instances_{split}.json").write_text(json.dumps(instances))
    (out / f"captions_{split}.json").write_text(
        json.dumps({"images": images, "annotations": captions})
    )


def main() -> None:
    """Read stamps and photographs, share them out, and write both splits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--stamps", type=Path, default=Path("/usr/share/tuxpaint/stamps"))
    parser.add_argument("--nouns", type=int, default=40)
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--val-count", type=int, default=500)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    build(**vars(args))


def build(
    out: Path, photographs: Path, stamps: Path, nouns: int, count: int, val_count: int, size: int,
    seed: int,
) -> None:  # fmt: skip
    """Compose and write both splits; the validation split has photographs of its own."""
    rng = np.random.default_rng(seed)
    known, pictures = read_stamps(stamps), read_photographs(photographs)
    if len(known) < 4 or len(pictures) < 2:
        raise ValueError(
            f"need 4 stamps of one noun and 2 photographs, got {len(known)} in {stamps} and "
            f"{len(pictures)} in {photographs}"
        )
    known = [known[i] for i in sorted(rng.permutation(len(known))[:nouns])]
    order = rng.permutation(len(pictures))
    held = max(1, len(pictures) // 4)
    for number, (split, many, which) in enumerate(
        (("val", val_count, order[:held]), ("train", count, order[held:]))
    ):
        mine = [pictures[i] for i in which]
        draws = (np.random.default_rng((seed, number, i)) for i in range(many))
        write_split(out, split, (compose(mine, known, draw, size) for draw in draws),
                    [stamp.noun for stamp in known])  # fmt: skip
        print(f"{split}: {many} pictures of {len(known)} nouns on {len(mine)} photographs")


if __name__ == "__main__":
    main()
