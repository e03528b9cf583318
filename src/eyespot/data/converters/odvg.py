"""ODVG, the JSON lines of Grounding DINO's open trainings: detection and grounding in one form."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eyespot.data.annotations import CaptionedImage, Region
from eyespot.data.captions import Span
from eyespot.data.converters.pairs import box_region, listed, one_line, read_json


def from_odvg(lines: Path, label_map: Path | None = None) -> Iterator[CaptionedImage]:
    """Yield a pair for each "grounding" and for each "detection" of a file.

    A phrase names the characters where the caption has it: as `tokens_positive` says, or else its
    first place, in any case. A detection's caption lists its categories.

    Args:
        lines: The .jsonl file; boxes are corners in pixels.
        label_map: JSON of names by label, for detections whose instances have no "category".

    Raises:
        ValueError: If a file is missing, a line is no JSON, or a phrase is not in its caption.
    """
    if not lines.is_file():
        raise ValueError(f"need the file {lines}, got none there")
    names = {} if label_map is None else read_json(label_map)
    with lines.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    row = json.loads(line)
                except json.JSONDecodeError as error:
                    raise ValueError(f"need JSON in line {number} of {lines}: {error}") from error
                yield from _of_line(row, names, f"line {number} of {lines}")


def _of_line(
    row: Mapping[str, Any], names: Mapping[str, str], where: str
) -> Iterator[CaptionedImage]:
    file_name = row["filename"]
    size = (int(row["height"]), int(row["width"]))
    more = {"dataset_name": "odvg"}
    if "grounding" in row:
        text, moved = one_line(row["grounding"]["caption"])
        grounded = tuple(
            region
            for entry in row["grounding"]["regions"]
            for region in _grounded(entry, text, moved, where)
        )
        yield CaptionedImage(0, file_name, *size, text, grounded, more)
    if "detection" in row:
        things = [
            (_category(thing, names, where), box_region(_xywh(thing["bbox"]), []))
            for thing in row["detection"]["instances"]
        ]
        image = CaptionedImage(0, file_name, *size, "", (), more)
        yield from listed(image, [name for name, _ in things], things)


def _grounded(entry: Mapping[str, Any], text: str, moved: Any, where: str) -> Iterator[Region]:
    boxes = entry["bbox"] if isinstance(entry["bbox"][0], Sequence) else [entry["bbox"]]
    listed = entry.get("tokens_positive")
    if listed:
        pairs = [listed] if isinstance(listed[0], int) else listed
        spans = [(moved(begin), moved(end)) for begin, end in pairs]
    else:
        phrases = [entry["phrase"]] if isinstance(entry["phrase"], str) else entry["phrase"]
        spans = [_place(phrase, text, where) for phrase in phrases]
    for box in boxes:
        yield box_region(_xywh(box), spans)


def _place(phrase: str, text: str, where: str) -> Span:
    phrase, _ = one_line(phrase)
    found = re.search(re.escape(phrase), text, re.IGNORECASE)
    if found is None or not phrase:
        raise ValueError(f"need every phrase in its caption, got {phrase!r} of {text!r}: {where}")
    return found.span()


def _category(thing: Mapping[str, Any], names: Mapping[str, str], where: str) -> str:
    name = thing.get("category", names.get(str(thing.get("label"))))
    if not name:
        raise ValueError(
            f"need a category, or a name for label {thing.get('label')} in the label map: {where}"
        )
    return str(name)


def _xywh(box: Sequence[float]) -> list[float]:
    left, top, right, bottom = box
    return [left, top, right - left, bottom - top]
