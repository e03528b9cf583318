"""COCO's instances, or anybody's in that form, with or without captions."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eyespot.data.annotations import CaptionedImage, Region
from eyespot.data.captions import Span
from eyespot.data.converters.pairs import (
    box_region,
    category_words,
    listed,
    mentions,
    one_line,
    read_json,
    sized,
)

_REGION_KEYS = ("area", "iscrowd", "category_id", "segmentation")


def from_coco(
    instances: Path, captions: Path | None = None, *, dataset_name: str = "coco"
) -> Iterator[CaptionedImage]:
    """Yield a pair for each caption, or for each image a list of what is there.

    With captions, a box is named by every mention of its category, in singular or plural; boxes of
    categories that a caption does not mention are left out of it. Without, the caption lists the
    categories of the image, "cat. traffic light.", and names every box.

    Args:
        instances: `instances_*.json`: images, annotations with bbox, categories.
        captions: `captions_*.json`: annotations with a caption and the id of an image.
        dataset_name: Written to every pair.

    Raises:
        ValueError: If a file is missing, or a caption is of an unknown image.
    """
    data = read_json(instances)
    images = sized(data["images"])
    categories = {row["id"]: category_words(row["name"]) for row in data["categories"]}
    boxes: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in data["annotations"]:
        boxes[str(row["image_id"])].append(row)
    if captions is None:
        for key, image in images.items():
            yield from _listed(image, boxes[key], categories, dataset_name)
        return
    for row in read_json(captions)["annotations"]:
        key = str(row["image_id"])
        if key not in images:
            raise ValueError(
                f"need captions of the images of {instances}, got one of image {key}, which it "
                f"does not have: {captions}"
            )
        text, _ = one_line(row["caption"])
        said = {number: mentions(name, text) for number, name in categories.items()}
        regions = _regions(boxes[key], said)
        yield _pair(images[key], text, regions, dataset_name, {"sentence_id": row.get("id")})


def _listed(
    image: Mapping[str, Any],
    rows: list[Mapping[str, Any]],
    categories: Mapping[int, str],
    dataset_name: str,
) -> Iterator[CaptionedImage]:
    present = sorted({row["category_id"] for row in rows if not row.get("iscrowd")})
    things = [(categories[row["category_id"]], _region(row, [])) for row in rows]
    names = [categories[number] for number in present]
    yield from listed(_pair(image, "", [], dataset_name, {}), names, things)


def _regions(rows: list[Mapping[str, Any]], said: Mapping[int, list[Span]]) -> list[Region]:
    return [_region(row, said[row["category_id"]]) for row in rows if said.get(row["category_id"])]


def _region(row: Mapping[str, Any], spans: list[Span]) -> Region:
    more = {key: row[key] for key in _REGION_KEYS if key in row}
    return box_region(row["bbox"], spans, **more)


def _pair(
    image: Mapping[str, Any],
    text: str,
    regions: list[Region],
    dataset_name: str,
    more: Mapping[str, Any],
) -> CaptionedImage:
    details = {"dataset_name": dataset_name, "original_id": image["id"], **more}
    size = (int(image["height"]), int(image["width"]))
    return CaptionedImage(0, image["file_name"], *size, text, tuple(regions), details)
