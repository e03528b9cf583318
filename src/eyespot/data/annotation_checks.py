"""What is wrong with a grounding annotation file: one sentence for each bad record.

The file is read raw, so that a record too broken to be parsed is explained as well.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

_EDGE_PX = 1.0  # files round their boxes


class Problem(NamedTuple):
    """One bad record."""

    kind: str
    sentence: str


class AnnotationReport(NamedTuple):
    """What `check_annotations` found."""

    num_images: int
    num_boxes: int
    problems: list[Problem]

    @property
    def counts(self) -> dict[str, int]:
        """How many problems there are of each kind, the most frequent first."""
        return dict(Counter(p.kind for p in self.problems).most_common())


def check_annotations(
    dataset: Mapping[str, Any], image_folder: Path | None = None
) -> AnnotationReport:
    """Check every record of a parsed annotation file.

    Kinds: "missing key", "duplicate id", "missing file", "no such image", "bad box", "box
    outside the image", "box over the edge" (it will be clipped), "no span" (the box can be
    trained to be found but not named), "bad span", "span outside the caption" and "span on
    whitespace" (it begins or ends on a space, which belongs to no token).

    Args:
        dataset: With `images` and `annotations`.
        image_folder: Where the image files should be; None: not checked.
    """
    problems: list[Problem] = []
    images: dict[Any, Mapping[str, Any]] = {}
    names_in = cache(_names_in)  # one listing of a folder is faster than a look at each file
    for place, image in enumerate(dataset["images"]):
        problems += _check_image(image, place, images)
        if image_folder is not None and "file_name" in image:
            path = image_folder / image["file_name"]
            if path.name not in names_in(path.parent):
                sentence = f"image {image.get('id')}: its file {path} does not exist"
                problems.append(Problem("missing file", sentence))
        images.setdefault(image.get("id"), image)
    seen: set[Any] = set()
    for place, row in enumerate(dataset["annotations"]):
        problems += _check_annotation(row, place, images, seen)
        seen.add(row.get("id"))
    return AnnotationReport(len(dataset["images"]), len(dataset["annotations"]), problems)


def _names_in(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()} if folder.is_dir() else set()


def _check_image(
    image: Mapping[str, Any], place: int, images: Mapping[Any, Any]
) -> Iterator[Problem]:
    keys = ("id", "file_name", "height", "width", "caption")
    for key in keys:
        if key not in image:
            known = ", ".join(image)
            sentence = f"images[{place}] has no {key!r}, only {known}; every image needs {keys}"
            yield Problem("missing key", sentence)
    if "id" in image and image["id"] in images:
        sentence = (
            f"images[{place}] has the id {image['id']} of an earlier image; number every pair of "
            "image and caption, also those of one file"
        )
        yield Problem("duplicate id", sentence)


def _check_annotation(
    row: Mapping[str, Any], place: int, images: Mapping[Any, Mapping[str, Any]], seen: set[Any]
) -> Iterator[Problem]:
    name = f"annotations[{place}] (id {row.get('id')})"
    for key in ("id", "image_id", "bbox"):
        if key not in row:
            sentence = f"{name} has no {key!r}, only {', '.join(row)}"
            yield Problem("missing key", sentence)
    if "id" in row and row["id"] in seen:
        yield Problem("duplicate id", f"{name} has the id of an earlier annotation; number them")
    image = images.get(row.get("image_id"))
    if image is None:
        sentence = f"{name} is of image {row.get('image_id')}, which the file does not have"
        yield Problem("no such image", sentence)
        return
    if "bbox" in row:
        yield from _check_box(name, row["bbox"], image)
    spans = row.get("tokens_positive", row.get("tokens"))
    if not spans:
        sentence = f"{name} names no characters of the caption, so its box cannot be named"
        yield Problem("no span", sentence)
    elif isinstance(image.get("caption"), str):
        for span in spans:
            yield from _check_span(name, span, image["caption"])


def _check_box(name: str, box: Any, image: Mapping[str, Any]) -> Iterator[Problem]:
    numbers = isinstance(box, list | tuple) and all(isinstance(v, int | float) for v in box)
    if not numbers or len(box) != 4 or not all(math.isfinite(v) for v in box):
        sentence = f"{name} has the box {box}, not four finite numbers left, top, width, height"
        yield Problem("bad box", sentence)
        return
    left, top, width, height = box
    if width <= 0 or height <= 0:
        sentence = (
            f"{name} has the box {box} of no area; boxes are left, top, width, height, not corners"
        )
        yield Problem("bad box", sentence)
        return
    if "height" not in image or "width" not in image:
        return
    over = max(-left, -top, left + width - image["width"], top + height - image["height"])
    where = f"the image of {image['width']} x {image['height']} pixels"
    if left >= image["width"] or top >= image["height"] or left + width <= 0 or top + height <= 0:
        sentence = f"{name} has the box {box} outside {where}; were sizes or boxes rescaled?"
        yield Problem("box outside the image", sentence)
    elif over > _EDGE_PX:
        sentence = f"{name} has the box {box}, {over:g} pixels over the edge of {where}"
        yield Problem("box over the edge", sentence)


def _check_span(name: str, span: Any, caption: str) -> Iterator[Problem]:
    pair = isinstance(span, list | tuple) and len(span) == 2
    if not pair or not all(isinstance(v, int) for v in span) or span[0] >= span[1]:
        sentence = f"{name} has the span {span}, not two whole numbers begin < end"
        yield Problem("bad span", sentence)
        return
    begin, end = span
    if begin < 0 or end > len(caption):
        sentence = (
            f"{name} has the span {list(span)} outside its caption {caption!r} of {len(caption)} "
            "characters; spans count characters, not bytes or words"
        )
        yield Problem("span outside the caption", sentence)
    elif caption[begin].isspace() or caption[end - 1].isspace():
        sentence = (
            f"{name} has the span {list(span)} on {caption[begin:end]!r}, which begins or ends on "
            "whitespace; is it off by one?"
        )
        yield Problem("span on whitespace", sentence)
