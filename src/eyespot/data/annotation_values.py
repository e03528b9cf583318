"""What is wrong with a value of a grounding annotation file: what it should have been, or "".

The keys are those that parsing, training and evaluation read beside boxes, spans and sizes.
"""

from collections.abc import Mapping
from typing import Any

from eyespot.ops import rle

MOST_PX = 1e9


def is_whole(value: object) -> bool:
    """Whether a value is a whole number that fits 64 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def is_text(value: object) -> bool:
    """Whether a value is a text of more than white space that UTF-8 can write."""
    if not isinstance(value, str) or not value.strip():
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def wanted_of_image(key: str, value: Any) -> str:
    """Return what a value of an image should have been; "" if it is that."""
    if key in ("id", "height", "width") and not is_whole(value):
        return "a whole number"
    if key in ("height", "width") and value < 1:
        return "at least one pixel"
    if key in ("file_name", "caption", "question_type") and not is_text(value):
        return "a text"
    if key == "answer" and not (is_text(value) or is_whole(value)):
        return "a text or a whole number"
    if key == "category_id" and not is_whole(value):
        return "a whole number"
    return ""


def wanted_of_annotation(key: str, value: Any, image: Mapping[str, Any]) -> str:
    """Return what a value of a box should have been; "" if it is that.

    Args:
        key: Of the value.
        value: As the file has it.
        image: The record of the box's image; empty if the file has none.
    """
    if key == "id" and not is_whole(value):
        return "a whole number"
    if key == "area" and not (_is_number(value) and 0 <= value < MOST_PX**2):
        return "a number of pixels, 0 or more"
    if key == "iscrowd" and not (_is_number(value) and value in (0, 1)):
        return "0 or 1"
    if key == "isfinal" and not (value is None or (_is_number(value) and value in (0, 1))):
        return "0, 1 or null"
    if key == "category_id" and not (value is None or is_whole(value)):
        return "a whole number or null"
    if key == "segmentation":
        return _wanted_of_segmentation(value, image)
    return ""


def wanted_of_phrase_types(value: Any, image: Mapping[str, Any]) -> str:
    """Return what `phrase_types` should have been: a list of texts for each evaluated phrase."""
    phrases = image.get("tokens_positive_eval")
    if not isinstance(value, list) or not isinstance(phrases, list) or len(value) != len(phrases):
        return "a list of types for each phrase of tokens_positive_eval"
    if not all(isinstance(types, list) and all(map(is_text, types)) for types in value):
        return "lists of texts"
    return ""


def _wanted_of_segmentation(value: Any, image: Mapping[str, Any]) -> str:
    if value is None or value == []:
        return ""
    if isinstance(value, list):
        flat = all(isinstance(one, list) and len(one) >= 6 and len(one) % 2 == 0 for one in value)
        if flat and all(_is_number(side) and abs(side) < MOST_PX for one in value for side in one):
            return ""
        return "polygons, each x0, y0, x1, y1, ... of three corners or more"
    try:
        runs = rle.from_coco([value])
    except (AttributeError, KeyError, IndexError, OverflowError, TypeError, ValueError):
        return "polygons, or run lengths of a size that they cover"
    size = image.get("height"), image.get("width")
    if all(map(is_whole, size)) and (int(runs.heights_px[0]), int(runs.widths_px[0])) != size:
        return f"of the image's height and width, {size[0]} and {size[1]}"
    return ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and value == value
