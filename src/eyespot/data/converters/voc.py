"""Pascal VOC's detection sets: Annotations/*.xml, JPEGImages, and lists in ImageSets/Main."""

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.parsers import expat

from eyespot.data.annotations import CaptionedImage, Region
from eyespot.data.converters.pairs import (
    box_region,
    category_words,
    check_box,
    listed,
    read_lines,
)
from eyespot.data.samples import IMAGE_ENDINGS

_LISTS = Path("ImageSets") / "Main"
_ENDINGS = (".jpg", *sorted(IMAGE_ENDINGS - {".jpg"}))  # other tools' sets have others


def from_voc(folder: Path, split: str = "train") -> Iterator[CaptionedImage]:
    """Yield for each image of a split a list of what is there, as `from_coco` does.

    Corners are pixels counted from 1, the last one inside the box: (1, 1) to (10, 10) is ten
    pixels wide. Objects marked as difficult are kept, since they are there, and say so
    (`difficult`); COCO's crowds are others, which stand for uncounted objects. Parts of objects
    are not read. Images without objects have no caption and are left out. VOC does not number its
    categories: each `category_id` is the place in the alphabet among those of the split, from 1.

    Args:
        folder: Such as VOCdevkit/VOC2012; files are named from its JPEGImages.
        split: The name of a list in ImageSets/Main: "train", "val", "trainval" or "test".

    Raises:
        ValueError: If a file is missing or no plain XML, or a size, a name or a box is wrong.
    """
    path = folder / _LISTS / f"{split}.txt"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.txt") if "_" not in p.stem))
        raise ValueError(f"need the list {path}, got {known or 'none'} in {path.parent}")
    found = [_read(folder, name, f"line {number} of {path}") for number, name in read_lines(path)]
    classes = sorted({name for _, things in found for name, _ in things})
    numbers = {name: number for number, name in enumerate(classes, 1)}
    for image, things in found:
        named = [
            (name, replace(region, more={**region.more, "category_id": numbers[name]}))
            for name, region in things
        ]
        yield from listed(image, sorted({name for name, _ in things}), named)


def _read(folder: Path, name: str, where: str) -> tuple[CaptionedImage, list[tuple[str, Region]]]:
    """An image of a list without a caption, and the words and boxes of its objects."""
    images = [folder / "JPEGImages" / f"{name}{ending}" for ending in _ENDINGS]
    path = next((image for image in images if image.is_file()), None)
    if path is None:
        raise ValueError(f"need the image {images[0]}, got none there: {where}")
    annotation = folder / "Annotations" / f"{name}.xml"
    if not annotation.is_file():
        raise ValueError(f"need the file {annotation}, got none there: {where}")
    root = _parse(annotation)
    size = root.find("size")
    if size is None:
        raise ValueError(f"need the size of the image, got none in {annotation}")
    height, width = (int(_number(size, key, annotation)) for key in ("height", "width"))
    if height < 1 or width < 1:
        raise ValueError(
            f"need an image of at least 1x1 pixels, got {width}x{height}: {_line(size, annotation)}"
        )
    more = {"dataset_name": "voc", "original_id": name}
    image = CaptionedImage(0, path.name, height, width, "", (), more)
    return image, [_thing(thing, image, annotation) for thing in root.findall("object")]


def _thing(thing: ET.Element, image: CaptionedImage, path: Path) -> tuple[str, Region]:
    where = _line(thing, path)
    words = category_words(thing.findtext("name", ""))
    if not words:
        raise ValueError(f"need the name of an object, got none: {where}")
    bounds = thing.find("bndbox")
    if bounds is None:
        raise ValueError(f"need the bndbox of an object, got none: {where}")
    left, top, right, bottom = (
        _number(bounds, key, path) for key in ("xmin", "ymin", "xmax", "ymax")
    )
    box = (left - 1, top - 1, right - left + 1, bottom - top + 1)
    check_box(box, image.height_px, image.width_px, where)
    return words, box_region(box, [], difficult=int(thing.findtext("difficult", "").strip() == "1"))


def _number(element: ET.Element, key: str, path: Path) -> float:
    text = element.findtext(key)
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"need a number as {key}, got {text!r}: {_line(element, path)}")
    return value


def _line(element: ET.Element, path: Path) -> str:
    return f"line {element.get('line')} of {path}"


def _parse(path: Path) -> ET.Element:
    """Read XML without entities; in place of its attributes, elements have their line."""
    builder, parser = ET.TreeBuilder(), expat.ParserCreate()

    def start(tag: str, attributes: Any) -> None:
        builder.start(tag, {"line": str(parser.CurrentLineNumber)})

    def refuse(*declared: Any) -> None:
        raise ValueError(f"a DOCTYPE in line {parser.CurrentLineNumber}")

    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(path.read_bytes(), True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise ValueError(f"need XML without a DOCTYPE, got {path}: {error}") from None
    return builder.close()
