"""What all converters share: reading, leaving out, joining, numbering and writing pairs."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from eyespot.data.annotation_checks import Problem, check_annotations
from eyespot.data.annotations import CaptionedImage, Region, write_annotations
from eyespot.data.captions import (
    MAX_CHARACTERS,
    CaptionedBoxes,
    Span,
    combine_captions,
    consolidate_spans,
)
from eyespot.data.sources import lvis_clean_name
from eyespot.ops.boxes import xywh_to_xyxy

_MIXED = "mixed"
_COUNT_CHARACTERS = ("tokens_positive_eval", "phrase_types")
_IRREGULAR = {"person": "people", "man": "men", "woman": "women", "child": "children"}


class Written(NamedTuple):
    """What `write_pairs` wrote and left out.

    Attributes:
        num_pairs: Of image and caption.
        num_images: Different image files.
        num_boxes: Of all pairs.
        num_left_out: Pairs of images that were to be left out.
        problems: What is wrong with the written file.
    """

    num_pairs: int
    num_images: int
    num_boxes: int
    num_left_out: int
    problems: list[Problem]


def write_pairs(
    pairs: Iterable[CaptionedImage],
    out: Path,
    *,
    combine: bool = False,
    without: Sequence[str] = (),
) -> Written:
    """Number pairs from 0, write them as one annotation file, and check it.

    Args:
        pairs: Of a converter.
        out: The file to write.
        combine: Whether captions of one image are joined, as MDETR's pre-training data are.
        without: Names of image files to leave out, such as those of a test set.

    Raises:
        ValueError: If there is no pair, or the source's files are not laid out as its own are.
    """
    unwanted = frozenset(without)
    every = _checked(pairs)
    kept = [pair for pair in every if pair.file_name not in unwanted]
    if not kept:
        raise ValueError(f"need at least one image with a caption to write to {out}, got none")
    left_out = len(every) - len(kept)
    if combine:
        kept = list(combine_pairs(kept))
    kept = [replace(pair, image_id=number) for number, pair in enumerate(kept)]
    out.parent.mkdir(parents=True, exist_ok=True)
    write_annotations(kept, out)
    report = check_annotations(json.loads(out.read_text(encoding="utf-8")))
    names = {pair.file_name for pair in kept}
    return Written(len(kept), len(names), report.num_boxes, left_out, report.problems)


def read_names(path: Path) -> list[str]:
    """Return the image files of an annotation file, or of a text file with a name a line."""
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".json":
        return sorted({image["file_name"] for image in _parse(text, path)["images"]})
    return [line for line in text.splitlines() if line]


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        ValueError: If there is no such file or it is no JSON.
    """
    if not path.is_file():
        raise ValueError(f"need the file {path}, got none there")
    try:
        return _parse(path.read_text(encoding="utf-8-sig"), path)
    except UnicodeDecodeError as error:
        raise ValueError(f"need JSON in UTF-8, got {path}: {error}") from None


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines of a text file that are not blank, each with its number from 1.

    Raises:
        ValueError: If there is no such file or it is no text.
    """
    if not path.is_file():
        raise ValueError(f"need the file {path}, got none there")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"need text in UTF-8, got {path}: {error}") from None
    rows = enumerate(text.splitlines(), 1)
    return [(number, line.strip()) for number, line in rows if line.strip()]


def combine_pairs(pairs: Iterable[CaptionedImage]) -> Iterator[CaptionedImage]:
    """Join the captions of each image as `combine_captions` does, boxes and all.

    Images are told apart by `file_name` and `data_source`. Of the other keys those stay that all
    joined pairs have in common, but for those that count characters; `tokens_negative` becomes the
    spans of the joined captions. Captions of several data sets are of the data set "mixed".
    """
    by_image: dict[tuple[str, str], list[CaptionedImage]] = {}
    for pair in pairs:
        key = pair.file_name, str(pair.more.get("data_source"))
        by_image.setdefault(key, []).append(pair)
    for group in by_image.values():
        for joined in combine_captions([_as_captioned(pair) for pair in group]):
            members = [group[i] for i in joined.members]
            regions = [region for member in members for region in member.regions]
            spans = joined.captioned.spans
            common = _in_common([member.more for member in members])
            yield replace(
                members[0],
                caption=joined.captioned.caption,
                regions=tuple(
                    replace(r, spans=tuple(s)) for r, s in zip(regions, spans, strict=True)
                ),
                more=common | {"tokens_negative": [list(span) for span in joined.sentences]},
            )


def _in_common(mores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The keys that say the same of one joined caption as of each of its parts."""
    common = {
        key: value
        for key, value in mores[0].items()
        if all(key in more and more[key] == value for more in mores)
    }
    if len(mores) > 1:
        common = {key: value for key, value in common.items() if key not in _COUNT_CHARACTERS}
    names = {str(more["dataset_name"]) for more in mores if "dataset_name" in more}
    return common | ({"dataset_name": _MIXED} if len(names) > 1 else {})


def list_names(
    names: Sequence[str], *, max_characters: int = MAX_CHARACTERS
) -> Iterator[tuple[str, dict[str, Span]]]:
    """Yield captions that list names, "cat. traffic light.", each with the span of every name."""
    text, spans = "", dict[str, Span]()
    for name in names:
        if text and len(text) + len(name) + 2 > max_characters:
            yield text, spans
            text, spans = "", {}
        start = len(text) + (1 if text else 0)
        text += (" " if text else "") + name + "."
        spans[name] = (start, start + len(name))
    if text:
        yield text, spans


def listed(
    image: CaptionedImage, names: Iterable[str], things: Sequence[tuple[str, Region]]
) -> Iterator[CaptionedImage]:
    """Yield an image that has no captions with those that list names, as `list_names` does.

    Args:
        image: Without caption and boxes.
        names: What the captions list, each once.
        things: The boxes, each with the name that names it; those of other names are left out.
    """
    for text, spans in list_names(list(dict.fromkeys(names))):
        regions = tuple(
            replace(region, spans=(spans[name],)) for name, region in things if name in spans
        )
        yield replace(image, caption=text, regions=regions)


def category_words(name: str) -> str:
    """Return a category's name as captions say it: `traffic_light`, `bow_(weapon)` -> `bow`."""
    return one_line(lvis_clean_name(name))[0]


def mentions(name: str, text: str) -> list[Span]:
    """Return where a text says a name as whole words, in any case, in singular or plural."""
    forms = {name, f"{name}s", f"{name}es", re.sub("y$", "ies", name)}
    head, _, last = name.rpartition(" ")
    if last in _IRREGULAR:
        forms.add(f"{head} {_IRREGULAR[last]}".strip())
    listed = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    return [m.span() for m in re.finditer(rf"(?<!\w)(?:{listed})(?!\w)", text, re.IGNORECASE)]


def one_line(text: str) -> tuple[str, Callable[[int], int]]:
    """Return a text with each run of white space as one blank, and where its places went."""
    places, clean = [], ""
    for char in text:
        if char.isspace():
            if clean and not clean.endswith(" "):
                clean += " "
            places.append(max(len(clean) - 1, 0))
        else:
            places.append(len(clean))
            clean += char
    clean = clean.rstrip()
    places.append(len(clean))

    def moved(place: int) -> int:
        return min(places[min(place, len(text))], len(clean))

    return clean, moved


def tidy_spans(spans: Iterable[Sequence[int]], text: str) -> tuple[Span, ...]:
    """Return spans merged and trimmed to words, as `consolidate_spans` does."""
    return tuple(consolidate_spans(spans, text))


def box_region(box_xywh: Sequence[float], spans: Iterable[Span], **more: Any) -> Region:
    """Return a region of a box; its area is the box's unless `area` is given."""
    left, top, width, height = (float(value) for value in box_xywh)
    area = float(more.pop("area", width * height))
    crowd = bool(more.pop("iscrowd", 0))
    return Region((left, top, width, height), tuple(spans), area, crowd, more=more)


def check_box(box_xywh: Sequence[float], height_px: int, width_px: int, where: str) -> None:
    """Refuse a box without area or wholly outside its image; one over the edge may stay.

    Raises:
        ValueError: If it is such a box, with its place in the source's files.
    """
    left, top, width, height = box_xywh
    if not (width > 0 and height > 0):
        raise ValueError(
            f"need a box of some width and height, got {width:g} x {height:g}: {where}"
        )
    if left >= width_px or top >= height_px or left + width <= 0 or top + height <= 0:
        raise ValueError(
            f"need a box inside the image of {width_px}x{height_px} pixels, got one from "
            f"({left:g}, {top:g}) to ({left + width:g}, {top + height:g}): {where}"
        )


def _as_captioned(pair: CaptionedImage) -> CaptionedBoxes:
    boxes = torch.tensor([r.box_xywh_px for r in pair.regions], dtype=torch.float32).reshape(-1, 4)
    spans = [list(region.spans) for region in pair.regions]
    return CaptionedBoxes(pair.caption, xywh_to_xyxy(boxes), spans)


def _checked(pairs: Iterable[CaptionedImage]) -> list[CaptionedImage]:
    """Collect pairs; say in a sentence which record has another layout."""
    found: list[CaptionedImage] = []
    try:
        found.extend(pairs)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        last = f"after the pair of {found[-1].file_name}" if found else "in the first record"
        what = f"no {error}" if isinstance(error, KeyError) else "another nesting of JSON"
        raise ValueError(
            f"need files laid out as the dataset's own, got {what} {last}; is it another file?"
        ) from error
    return found


def _parse(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"need JSON, got {path} with an error: {error}") from error


def sized(images: Iterable[Mapping[str, Any]], key: str = "id") -> dict[str, Mapping[str, Any]]:
    """Return records of images by id, as a string."""
    return {str(image[key]): image for image in images}
