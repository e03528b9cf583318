"""LVIS: each category that an image is annotated for, as a text of its own."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from eyespot.data.annotations import CaptionedImage
from eyespot.data.converters.lvis_subset import few_images
from eyespot.data.converters.pairs import box_region, category_words, read_json


def from_lvis(annotations: Path, share: float = 1.0) -> Iterator[CaptionedImage]:
    """Yield a pair for each category that is in an image, and for each that is verified not to be.

    The caption is the category's name and names all its boxes; absent categories have none. Each
    pair says what LVIS' evaluation needs: `category_id`, `frequency`, and whether objects may lack
    a box (`not_exhaustive`).

    Args:
        annotations: `lvis_v1_train.json`, `lvis_v1_val.json`, or a part of one.
        share: Of the images, those that `few_images` chooses.

    Raises:
        ValueError: If the file is missing, or the share leaves a category without an image.
    """
    data = read_json(annotations)
    chosen = few_images(data, share)
    categories = {row["id"]: row for row in data["categories"]}
    boxes: dict[int, dict[int, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in data["annotations"]:
        boxes[row["image_id"]][row["category_id"]].append(row)
    for image in (row for row in data["images"] if row["id"] in chosen):
        of_image = boxes[image["id"]]
        for number in sorted({*of_image, *image["neg_category_ids"]}):
            yield _pair(image, categories[number], of_image.get(number, []))


def _pair(
    image: Mapping[str, Any], category: Mapping[str, Any], rows: list[Mapping[str, Any]]
) -> CaptionedImage:
    text = category_words(category["name"])
    regions = tuple(
        box_region(
            row["bbox"],
            [(0, len(text))],
            area=row["area"],
            category_id=category["id"],
            segmentation=row["segmentation"],
        )
        for row in rows
    )
    more = {
        "dataset_name": "lvis",
        "original_id": image["id"],
        "category_id": category["id"],
        "frequency": category["frequency"],
        "not_exhaustive": category["id"] in image["not_exhaustive_category_ids"],
    }
    size = int(image["height"]), int(image["width"])
    return CaptionedImage(0, _file_name(image), *size, text, regions, more)


def _file_name(image: Mapping[str, Any]) -> str:
    """The file below COCO's root, such as `val2017/000000000139.jpg`, which only the URL says."""
    if "file_name" in image:
        return str(image["file_name"])
    return "/".join(PurePosixPath(image["coco_url"]).parts[-2:])
