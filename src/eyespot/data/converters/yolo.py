"""YOLO's data sets as Ultralytics lays them out: data.yaml, images/, and labels/ with text files.

The labels of `images/train/a.jpg` are `labels/train/a.txt`, a row for each object, in shares of
the image's sides: "class cx cy w h", or "class x1 y1 x2 y2 ..." for an outline.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eyespot.data.annotations import CaptionedImage, Region
from eyespot.data.converters.pairs import (
    box_region,
    category_words,
    check_box,
    listed,
    read_lines,
)
from eyespot.data.folders import ImageFolder
from eyespot.data.headers import jpeg_facts, read_header
from eyespot.data.samples import read_image_file
from eyespot.design.plain_data import read_plain, short

_OVER = 0.01  # of a side: tools round
_HEAD_BYTES = 1 << 18  # hold nearly every header


def from_yolo(data: Path, split: str = "train") -> Iterator[CaptionedImage]:
    """Yield for each image of a split a list of what is there, as `from_coco` does.

    An outline becomes the box around it. Images without objects have no caption and are left out.
    Files are named from the set's root, which is `path` in data.yaml, or where there is no such
    folder, the one that data.yaml is in. Rows count in a JPEG as it is seen, turned by EXIF.

    Args:
        data: data.yaml, with `names`, and for each split a folder of images, a .txt list of them,
            or several of these.
        split: The key of the split: "train", "val" or "test".

    Raises:
        ValueError: If data.yaml lacks a key, an image is missing, or a row is wrong.
    """
    settings = _settings(data, split)
    names = _names(settings["names"], data)
    root = _root(settings, data)
    images = _images(settings[split], root, data)
    labelled = [path for path in images if _label_file(path).is_file()]
    if not labelled:
        raise ValueError(
            f"need labels such as {_label_file(images[0])} for the {len(images)} images of "
            f"{split!r} in {data}, got none"
        )
    for path in labelled:
        height, width = _upright_size(path)
        name = path.relative_to(root) if path.is_relative_to(root) else path
        more = {"dataset_name": "yolo"}
        image = CaptionedImage(0, name.as_posix(), height, width, "", (), more)
        things = list(_things(_label_file(path), names, image))
        present = [names[number] for number in sorted({number for number, _ in things})]
        yield from listed(image, present, [(names[number], region) for number, region in things])


def _settings(data: Path, split: str) -> Mapping[str, Any]:
    if not data.is_file():
        raise ValueError(f"need the file {data}, got none there")
    settings = read_plain(data, "data set")
    if not isinstance(settings, Mapping):
        raise ValueError(f"need keys such as train and names in {data}, got {short(settings)}")
    for key in (split, "names"):
        if not settings.get(key):
            known = ", ".join(str(known) for known, value in settings.items() if value)
            raise ValueError(f"need the key {key!r} in {data}, got {known or 'none'}")
    if "kpt_shape" in settings:
        raise ValueError(f"need boxes or outlines, got key points (kpt_shape) in {data}")
    return settings


def _names(given: Any, data: Path) -> dict[int, str]:
    """The words for each class number."""
    rows = list(enumerate(given)) if isinstance(given, list) else given
    rows = list(rows.items()) if isinstance(rows, Mapping) else rows
    if not isinstance(rows, list):
        raise ValueError(f"need a list of names or numbers with names in {data}, got {short(rows)}")
    names = {}
    for number, name in rows:
        words = category_words(str(name)) if isinstance(name, str | int | float) else ""
        if not words or isinstance(name, bool) or not str(number).isdecimal():
            raise ValueError(
                f"need numbers with names that are texts, in quotes if they are words such as yes, "
                f"got {number!r}: {name!r} in the names of {data}"
            )
        names[int(number)] = words
    return names


def _root(settings: Mapping[str, Any], data: Path) -> Path:
    folder = Path(os.path.abspath(data.parent))
    said = Path(os.path.normpath(folder / str(settings.get("path") or "")))
    return said if said.is_dir() else folder


def _images(given: Any, root: Path, data: Path) -> list[Path]:
    """The image files of a split; of folders in the order of their names."""
    found: list[Path] = []
    for entry in given if isinstance(given, list) else [given]:
        place = _place(str(entry), root, data)
        if place.is_dir():
            found += [place / name for name in ImageFolder(place, labelled=False).listing()[0]]
        else:
            found += _of_list(place, root)
    if not found:
        raise ValueError(f"need at least one image in {given} of {data}, got none below {root}")
    return found


def _place(entry: str, root: Path, data: Path) -> Path:
    """The folder or list of a split; "../train" of exporters that mean "train" is found too."""
    tried = [Path(os.path.normpath(root / name)) for name in (entry, entry.removeprefix("../"))]
    for place in tried:
        if place.is_dir() or (place.is_file() and place.suffix == ".txt"):
            return place
    raise ValueError(
        f"need a folder of images or a .txt list for {entry} of {data}, got none at {tried[0]}; is "
        "its path right?"
    )


def _of_list(path: Path, root: Path) -> Iterator[Path]:
    for number, line in read_lines(path):
        tried = [Path(os.path.normpath(folder / line)) for folder in (path.parent, root)]
        there = next((image for image in tried if image.is_file()), None)
        if there is None:
            raise ValueError(f"need the image {tried[0]}, got none there: line {number} of {path}")
        yield there


def _label_file(image: Path) -> Path:
    """The file of an image's rows: in the last folder named images, labels is put instead."""
    parts = list(image.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _upright_size(path: Path) -> tuple[int, int]:
    """Height and width in pixels, of a JPEG as EXIF turns it."""
    with path.open("rb") as file:
        data = file.read(_HEAD_BYTES)
    try:
        header = read_header(data)
    except ValueError:
        data = read_image_file(path)
        try:
            header = read_header(data)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    turned = header.format == "JPEG" and jpeg_facts(data).orientation >= 5
    return (header.width, header.height) if turned else (header.height, header.width)


def _things(
    path: Path, names: Mapping[int, str], image: CaptionedImage
) -> Iterator[tuple[int, Region]]:
    """Class number and box of each row."""
    for line_number, line in read_lines(path):
        where = f"line {line_number} of {path}"
        number, shares = _row(line, names, where)
        if len(shares) == 4:
            centre_x, centre_y, across, down = shares
            left, top = centre_x - across / 2, centre_y - down / 2
        else:
            xs, ys = shares[::2], shares[1::2]
            left, top = min(xs), min(ys)
            across, down = max(xs) - left, max(ys) - top
        width, height = image.width_px, image.height_px
        box = (left * width, top * height, across * width, down * height)
        check_box(box, height, width, where)
        yield number, box_region(box, [], category_id=number)


def _row(line: str, names: Mapping[int, str], where: str) -> tuple[int, list[float]]:
    try:
        number, *shares = (float(value) for value in line.split())
    except ValueError:
        raise ValueError(f"need numbers, got {short(line)}: {where}") from None
    if len(shares) != 4 and (len(shares) < 6 or len(shares) % 2):
        raise ValueError(
            "need a class and four numbers, or a class and three or more points, got "
            f"{len(shares) + 1} numbers: {where}"
        )
    if number not in names:
        raise ValueError(
            f"need a class of the {len(names)} names, {min(names)} to {max(names)}, got "
            f"{number:g}: {where}"
        )
    if not all(-_OVER <= share <= 1 + _OVER for share in shares):
        raise ValueError(
            f"need shares of the image's sides, from 0 to 1, got {short(line)}, which is outside "
            f"the image; are these pixels? {where}"
        )
    return int(number), shares
