"""What is wrong with a grounding annotation file: one sentence for each bad record.

The file is read raw, so that a record too broken to be parsed is explained as well.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from eyespot.data.tokens import Tokenizer
from eyespot.design.plain_data import short

MAX_TOKENS = 255
"""Of a caption that the published networks can name every box of."""

_EDGE_PX = 1.0  # files round their boxes
_MOST_PX = 1e9
_IMAGE_KEYS = ("id", "file_name", "height", "width", "caption")
_WORD = re.compile(r"\w+|[^\w\s]")


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
    dataset: Mapping[str, Any],
    image_folder: Path | None = None,
    tokenizer: Tokenizer | None = None,
) -> AnnotationReport:
    """Check every record of a parsed annotation file.

    Kinds: "bad record" (no object of keys and values), "missing key", "bad value", "duplicate id",
    "missing file", "caption too long", "no such image", "bad box", "box outside the image", "box
    over the edge" (it will be clipped), "no span" (the box can be trained to be found but not
    named), "bad span", "span outside the caption" and "span on whitespace" (it begins or ends on a
    space, which belongs to no token).

    Args:
        dataset: With `images` and `annotations`.
        image_folder: Where the image files should be; None: not checked.
        tokenizer: Of the network to be trained, to say exactly which captions are too long; None:
            those with more words and marks than the published networks read tokens.

    Raises:
        ValueError: If `images` or `annotations` is no list.
    """
    for name in ("images", "annotations"):
        if not isinstance(dataset[name], list):
            raise ValueError(f"need a list of {name}, got {short(dataset[name])}")
    problems: list[Problem] = []
    images: dict[int, Mapping[str, Any]] = {}
    names_in = cache(_names_in)  # one listing of a folder is faster than a look at each file
    for place, image in enumerate(dataset["images"]):
        if not isinstance(image, Mapping):
            problems.append(_bad_record(f"images[{place}]", image, _IMAGE_KEYS))
            continue
        problems += _check_image(image, place, images, tokenizer)
        file_name = image.get("file_name")
        if image_folder is not None and isinstance(file_name, str):
            path = image_folder / file_name
            if path.name not in names_in(path.parent):
                sentence = f"image {image.get('id')}: its file {path} does not exist"
                problems.append(Problem("missing file", sentence))
        if _is_whole(image.get("id")):
            images.setdefault(image["id"], image)
    seen: set[int] = set()
    for place, row in enumerate(dataset["annotations"]):
        if not isinstance(row, Mapping):
            keys = ("id", "image_id", "bbox", "tokens_positive")
            problems.append(_bad_record(f"annotations[{place}]", row, keys))
            continue
        problems += _check_annotation(row, place, images, seen)
        if _is_whole(row.get("id")):
            seen.add(row["id"])
    return AnnotationReport(len(dataset["images"]), len(dataset["annotations"]), problems)


def _names_in(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()} if folder.is_dir() else set()


def _bad_record(name: str, value: object, keys: tuple[str, ...]) -> Problem:
    return Problem("bad record", f"{name} is {short(value)}, not an object with {', '.join(keys)}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _check_image(
    image: Mapping[str, Any],
    place: int,
    images: Mapping[int, Any],
    tokenizer: Tokenizer | None,
) -> Iterator[Problem]:
    name = f"images[{place}]"
    for key in _IMAGE_KEYS:
        if key not in image:
            known = ", ".join(map(str, image))
            sentence = f"{name} has no {key!r}, only {known}; every image needs {_IMAGE_KEYS}"
            yield Problem("missing key", sentence)
    for key, value in image.items():
        wanted = ""
        if key in ("id", "height", "width") and not _is_whole(value):
            wanted = "a whole number"
        elif key in ("height", "width") and value < 1:
            wanted = "at least one pixel"
        elif key in ("file_name", "caption") and not (isinstance(value, str) and value.strip()):
            wanted = "a text"
        if wanted:
            yield Problem("bad value", f"{name} has the {key} {short(value)}, not {wanted}")
    if _is_whole(image.get("id")) and image["id"] in images:
        sentence = (
            f"{name} has the id {image['id']} of an earlier image; number every pair of "
            "image and caption, also those of one file"
        )
        yield Problem("duplicate id", sentence)
    caption = image.get("caption")
    if isinstance(caption, str):
        yield from _check_length(name, caption, tokenizer)


def _check_length(name: str, caption: str, tokenizer: Tokenizer | None) -> Iterator[Problem]:
    least = len(_WORD.findall(caption)) + 2
    limit = MAX_TOKENS if tokenizer is None else tokenizer.max_tokens
    too_long = least > limit if tokenizer is None else not tokenizer.fits(caption)
    if too_long:
        count = f"at least {least}" if tokenizer is None else f"more than {limit}"
        sentence = (
            f"{name} has a caption of {count} tokens, where the network reads {limit}; boxes that "
            f"are named beyond cannot be trained; split it: {short(caption)}"
        )
        yield Problem("caption too long", sentence)


def _check_annotation(
    row: Mapping[str, Any], place: int, images: Mapping[int, Mapping[str, Any]], seen: set[int]
) -> Iterator[Problem]:
    name = f"annotations[{place}] (id {short(row.get('id'))})"
    for key in ("id", "image_id", "bbox"):
        if key not in row:
            sentence = f"{name} has no {key!r}, only {', '.join(map(str, row))}"
            yield Problem("missing key", sentence)
    if "id" in row and not _is_whole(row["id"]):
        yield Problem("bad value", f"{name} has an id that is not a whole number")
    elif row.get("id") in seen:
        yield Problem("duplicate id", f"{name} has the id of an earlier annotation; number them")
    owner = row.get("image_id")
    image = images.get(owner) if isinstance(owner, int) else None
    if image is None:
        sentence = f"{name} is of image {short(owner)}, which the file does not have"
        yield Problem("no such image", sentence)
        return
    if "bbox" in row:
        yield from _check_box(name, row["bbox"], image)
    spans = row.get("tokens_positive", row.get("tokens"))
    if not spans:
        sentence = f"{name} names no characters of the caption, so its box cannot be named"
        yield Problem("no span", sentence)
    elif not isinstance(spans, list | tuple):
        sentence = f"{name} has the spans {short(spans)}, not a list of [begin, end]"
        yield Problem("bad span", sentence)
    elif isinstance(image.get("caption"), str):
        for span in spans:
            yield from _check_span(name, span, image["caption"])


def _check_box(name: str, box: Any, image: Mapping[str, Any]) -> Iterator[Problem]:
    numbers = isinstance(box, list | tuple) and all(isinstance(v, int | float) for v in box)
    if not numbers or len(box) != 4 or not all(abs(v) < _MOST_PX for v in box):
        shown = short(box)
        sentence = f"{name} has the box {shown}, not four finite numbers left, top, width, height"
        yield Problem("bad box", sentence)
        return
    left, top, width, height = box
    if width <= 0 or height <= 0:
        sentence = (
            f"{name} has the box {box} of no area; boxes are left, top, width, height, not corners"
        )
        yield Problem("bad box", sentence)
        return
    if not all(_is_whole(image.get(side)) and image[side] > 0 for side in ("height", "width")):
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
    if not pair or not all(_is_whole(v) for v in span) or span[0] >= span[1]:
        sentence = f"{name} has the span {short(span)}, not two whole numbers begin < end"
        yield Problem("bad span", sentence)
        return
    begin, end = span
    if begin < 0 or end > len(caption):
        sentence = (
            f"{name} has the span {list(span)} outside its caption {short(caption)} of "
            f"{len(caption)} characters; spans count characters, not bytes or words"
        )
        yield Problem("span outside the caption", sentence)
    elif caption[begin].isspace() or caption[end - 1].isspace():
        sentence = (
            f"{name} has the span {list(span)} on {caption[begin:end]!r}, which begins or ends on "
            "whitespace; is it off by one?"
        )
        yield Problem("span on whitespace", sentence)
