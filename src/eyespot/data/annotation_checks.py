"""What is wrong with a grounding annotation file: one sentence for each bad record.

The file is read raw, so that a record too broken to be parsed is explained as well.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from eyespot.data.annotation_values import (
    MOST_PX,
    is_whole,
    wanted_of_annotation,
    wanted_of_image,
    wanted_of_phrase_types,
)
from eyespot.data.headers import read_header
from eyespot.data.tokens import Tokenizer
from eyespot.design.plain_data import short

MAX_TOKENS = 255
"""Of a caption that the published networks can name every box of."""

_EDGE_PX = 1.0  # files round their boxes
_HEADER_BYTES = 128 * 1024  # a camera's JPEG has its thumbnail before its size
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
    images: Path | Mapping[str, Path] | None = None,
    tokenizer: Tokenizer | None = None,
) -> AnnotationReport:
    """Check every record of a parsed annotation file.

    Kinds: "bad record" (no object of keys and values), "missing key", "bad value", "duplicate id",
    "missing file", "another size" (boxes are read in pixels of the file, whatever the annotations
    say of it), "caption too long", "no such image", "bad box", "box outside the image", "box over
    the edge" (it will be clipped), "no span" (the box can be trained to be found but not named),
    "bad span", "span outside the caption" and "span on whitespace" (it begins or ends on a space,
    which belongs to no token).

    Args:
        dataset: With `images` and `annotations`.
        images: The folder where the image files should be, or folders by `data_source`; None: they
            are not looked for.
        tokenizer: Of the network to be trained, to say exactly which captions are too long; None:
            those with more words and marks than the published networks read tokens.

    Raises:
        ValueError: If `images` or `annotations` is no list.
    """
    for name in ("images", "annotations"):
        if not isinstance(dataset[name], list):
            raise ValueError(f"need a list of {name}, got {short(dataset[name])}")
    problems: list[Problem] = []
    by_id: dict[int, Mapping[str, Any]] = {}
    names_in = cache(_names_in)  # one listing of a folder is faster than a look at each file
    size_of = cache(_size_of)  # an image has several captions
    for place, image in enumerate(dataset["images"]):
        if not isinstance(image, Mapping):
            problems.append(_bad_record(f"images[{place}]", image, _IMAGE_KEYS))
            continue
        problems += _check_image(image, place, by_id, tokenizer)
        if images is not None:
            problems += _check_file(image, place, images, names_in, size_of)
        if is_whole(image.get("id")):
            by_id.setdefault(image["id"], image)
    seen: set[int] = set()
    for place, row in enumerate(dataset["annotations"]):
        if not isinstance(row, Mapping):
            keys = ("id", "image_id", "bbox", "tokens_positive")
            problems.append(_bad_record(f"annotations[{place}]", row, keys))
            continue
        problems += _check_annotation(row, place, by_id, seen)
        if is_whole(row.get("id")):
            seen.add(row["id"])
    return AnnotationReport(len(dataset["images"]), len(dataset["annotations"]), problems)


def _check_file(
    image: Mapping[str, Any],
    place: int,
    images: Path | Mapping[str, Path],
    names_in: Callable[[Path], set[str]],
    size_of: Callable[[Path], tuple[int, int] | None],
) -> Iterator[Problem]:
    """Whether the file of an image is where it should be, and as large, lying or upright."""
    if isinstance(images, Mapping):
        source = image.get("data_source")
        if not isinstance(source, str) or source not in images:
            sentence = f"images[{place}] has the data_source {short(source)}, not one of "
            yield Problem("bad value", sentence + ", ".join(images))
            return
        images = images[source]
    file_name = image.get("file_name")
    if isinstance(file_name, str):
        path = images / file_name
        if path.name not in names_in(path.parent):
            sentence = f"image {short(image.get('id'))}: its file {path} does not exist"
            yield Problem("missing file", sentence)
            return
        size = size_of(path)
        said = image.get("width"), image.get("height")
        if size is not None and all(map(is_whole, said)) and said not in (size, size[::-1]):
            sentence = (
                f"image {short(image.get('id'))}: its file {path} has {size[0]} x {size[1]} "
                f"pixels, not {said[0]} x {said[1]}; boxes are read in pixels of the file"
            )
            yield Problem("another size", sentence)


def _size_of(path: Path) -> tuple[int, int] | None:
    """Width and height as stored; None where the first of the file does not tell."""
    with suppress(OSError, ValueError), path.open("rb") as file:
        header = read_header(file.read(_HEADER_BYTES))
        return header.width, header.height
    return None


def _names_in(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()} if folder.is_dir() else set()


def _bad_record(name: str, value: object, keys: tuple[str, ...]) -> Problem:
    return Problem("bad record", f"{name} is {short(value)}, not an object with {', '.join(keys)}")


def _check_image(
    image: Mapping[str, Any],
    place: int,
    images: Mapping[int, Any],
    tokenizer: Tokenizer | None,
) -> Iterator[Problem]:
    name = f"images[{place}]"
    for key in _IMAGE_KEYS:
        if key not in image:
            known, needed = ", ".join(map(str, image)), ", ".join(_IMAGE_KEYS)
            sentence = f"{name} has no {key!r}, only {known}; every image needs {needed}"
            yield Problem("missing key", sentence)
    for key, value in image.items():
        wanted = wanted_of_image(key, value)
        if key == "phrase_types":
            wanted = wanted_of_phrase_types(value, image)
        if wanted:
            yield Problem("bad value", f"{name} has the {key} {short(value)}, not {wanted}")
    if is_whole(image.get("id")) and image["id"] in images:
        sentence = (
            f"{name} has the id {image['id']} of an earlier image; number every pair of "
            "image and caption, also those of one file"
        )
        yield Problem("duplicate id", sentence)
    caption = image.get("caption")
    if isinstance(caption, str):
        yield from _check_length(name, caption, tokenizer)
    yield from _check_named(name, image, caption if isinstance(caption, str) else None)


def _check_named(name: str, image: Mapping[str, Any], caption: str | None) -> Iterator[Problem]:
    """The spans of an image: of what is evaluated, and of what is not trained on."""
    if "tokens_negative" in image:
        where = f"{name} as tokens_negative"
        for problem in _check_spans(where, image["tokens_negative"], caption):
            if problem.kind != "span on whitespace":  # it is all of the caption, often
                yield problem
    if "tokens_positive_eval" not in image:
        return
    phrases = image["tokens_positive_eval"]
    if not isinstance(phrases, list):
        sentence = f"{name} has the tokens_positive_eval {short(phrases)}, not a list of phrases"
        yield Problem("bad span", sentence)
        return
    for number, spans in enumerate(phrases):
        where = f"{name} as phrase {number} of tokens_positive_eval"
        if isinstance(spans, list) and not spans:
            yield Problem("no span", f"{where} names no characters of the caption")
        yield from _check_spans(where, spans, caption)


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
    owner = row.get("image_id")
    image = images.get(owner) if isinstance(owner, int) else None
    for key, value in row.items():
        wanted = wanted_of_annotation(key, value, image or {})
        if wanted:
            yield Problem("bad value", f"{name} has the {key} {short(value)}, not {wanted}")
    if is_whole(row.get("id")) and row["id"] in seen:
        yield Problem("duplicate id", f"{name} has the id of an earlier annotation; number them")
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
    else:
        caption = image.get("caption")
        yield from _check_spans(name, spans, caption if isinstance(caption, str) else None)


def _check_spans(name: str, spans: Any, caption: str | None) -> Iterator[Problem]:
    if not isinstance(spans, list | tuple):
        sentence = f"{name} has the spans {short(spans)}, not a list of [begin, end]"
        yield Problem("bad span", sentence)
        return
    for span in spans:
        yield from _check_span(name, span, caption)


def _check_box(name: str, box: Any, image: Mapping[str, Any]) -> Iterator[Problem]:
    numbers = isinstance(box, list | tuple) and all(isinstance(v, int | float) for v in box)
    if not numbers or len(box) != 4 or not all(abs(v) < MOST_PX for v in box):
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
    if not all(is_whole(image.get(side)) and image[side] > 0 for side in ("height", "width")):
        return
    over = max(-left, -top, left + width - image["width"], top + height - image["height"])
    where = f"the image of {image['width']} x {image['height']} pixels"
    if left >= image["width"] or top >= image["height"] or left + width <= 0 or top + height <= 0:
        sentence = f"{name} has the box {box} outside {where}; were sizes or boxes rescaled?"
        yield Problem("box outside the image", sentence)
    elif over > _EDGE_PX:
        sentence = f"{name} has the box {box}, {over:g} pixels over the edge of {where}"
        yield Problem("box over the edge", sentence)


def _check_span(name: str, span: Any, caption: str | None) -> Iterator[Problem]:
    pair = isinstance(span, list | tuple) and len(span) == 2
    if not pair or not all(is_whole(v) for v in span) or span[0] >= span[1]:
        sentence = f"{name} has the span {short(span)}, not two whole numbers begin < end"
        yield Problem("bad span", sentence)
        return
    if caption is None:
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
