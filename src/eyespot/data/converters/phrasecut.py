"""PhraseCut: phrases about Visual Genome images, with boxes and polygons of all they mean."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from eyespot.data.annotations import CaptionedImage
from eyespot.data.converters.pairs import box_region, one_line, read_json, sized


def from_phrasecut(refer: Path, image_data: Path) -> Iterator[CaptionedImage]:
    """Yield a pair for each task; every box is named by the whole phrase.

    An instance keeps its polygons apart. The published data chain them to one polygon, which draws
    lines between them.

    Args:
        refer: `refer_train.json`, `refer_val.json`, `refer_miniv.json` or `refer_test.json`.
        image_data: `image_data_split3000.json`, with the sizes of the images.

    Raises:
        ValueError: If a file is missing, or an image is not in `image_data`.
    """
    images = sized(read_json(image_data), "image_id")
    for task in read_json(refer):
        key = str(task["image_id"])
        if key not in images:
            raise ValueError(f"need image {key} of task {task['task_id']} in {image_data}")
        size = (int(images[key]["height"]), int(images[key]["width"]))
        text, _ = one_line(task["phrase"])
        regions = tuple(
            box_region(box, [(0, len(text))], segmentation=_flat(polygons))
            for box, polygons in zip(task["instance_boxes"], task["Polygons"], strict=True)
        )
        more = {
            "dataset_name": "phrasecut",
            "original_id": task["image_id"],
            "task_id": task["task_id"],
        }
        yield CaptionedImage(0, f"{key}.jpg", *size, text, regions, more)


def _flat(polygons: Sequence[Sequence[Sequence[float]]]) -> list[list[float]]:
    """Polygons as COCO has them: x0, y0, x1, y1, ...; those without area are left out."""
    return [
        [value for point in polygon for value in point] for polygon in polygons if len(polygon) > 2
    ]
