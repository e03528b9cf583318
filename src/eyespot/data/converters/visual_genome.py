"""Visual Genome: descriptions of regions, with the objects of their region graphs.

Many images are also COCO's; told of COCO's files, the converters name those and scale the boxes.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from eyespot.data.annotations import CaptionedImage
from eyespot.data.captions import Span
from eyespot.data.converters.pairs import box_region, one_line, read_json, sized, tidy_spans
from eyespot.data.noun_phrases import root_phrase
from eyespot.ops.boxes import box_iou, xywh_to_xyxy, xyxy_to_xywh

_ONE_BOX_IOU = 0.7  # of a phrase's boxes that are one object
_SAME_REGION_IOU = 0.5
_SAME_OBJECT_IOU = 0.75  # over regions that say the same
_DUPLICATE_IOU = 0.1
_LEAST_CHARACTERS = 3
_BARE = frozenset(("wall", "side", "building"))


@dataclass(frozen=True)
class ImageFile:
    """An image file, and how far boxes of Visual Genome are stretched to fit it."""

    name: str
    height_px: int
    width_px: int
    across: float
    down: float
    data_source: str

    def box(self, xywh: Sequence[float]) -> list[float]:
        """Return a box of Visual Genome in pixels of the file."""
        left, top, width, height = xywh
        return [left * self.across, top * self.down, width * self.across, height * self.down]


def image_files(image_data: Path, coco: Sequence[Path] = ()) -> dict[str, ImageFile]:
    """Return the file of each image of Visual Genome, by its id.

    Args:
        image_data: `image_data.json`.
        coco: COCO's `instances_*.json`; images in them are taken from COCO.
    """
    of_coco = {key: row for path in coco for key, row in sized(read_json(path)["images"]).items()}
    files = {}
    for row in read_json(image_data):
        width, height = int(row["width"]), int(row["height"])
        name, source = f"{row['image_id']}.jpg", "vg"
        across = down = 1.0
        other = of_coco.get(str(row.get("coco_id")))
        if other is not None:
            name, source = other["file_name"], "coco"
            across, down = other["width"] / width, other["height"] / height
            width, height = int(other["width"]), int(other["height"])
        files[str(row["image_id"])] = ImageFile(name, height, width, across, down, source)
    return files


def from_visual_genome(
    region_graphs: Path, image_data: Path, *, coco: Sequence[Path] = ()
) -> Iterator[CaptionedImage]:
    """Yield a pair for each different region description of an image.

    The objects whose words overlap the root noun phrase are its boxes, the region's own box if
    there are none; other objects keep their words. Boxes of one phrase are clustered at IoU 0.7
    and averaged. Of regions with the same text that overlap by IoU 0.5 one is kept, with the
    objects of both; the boxes of equal texts elsewhere are put together (those with IoU 0.75 are
    one). One without objects is dropped where it overlaps a box of an equal text by IoU 0.1.
    Texts of less than three characters, and bare "wall", "side" and "building" are left out.

    Args:
        region_graphs: `region_graphs.json`.
        image_data: `image_data.json`.
        coco: As for `image_files`.

    Raises:
        ValueError: If a file is missing, or an image is not in `image_data`.
    """
    files = image_files(image_data, coco)
    for image in read_json(region_graphs):
        key = str(image["image_id"] if "image_id" in image else image["id"])
        if key not in files:
            raise ValueError(f"need image {key} of {region_graphs} in {image_data}")
        yield from _of_image(key, image["regions"], files[key])


class _Described(NamedTuple):
    """A text about a region: the boxes (corners) of each of its phrases."""

    text: str
    region: Float[Tensor, "1 4"]
    has_objects: bool
    boxes: dict[Span, Float[Tensor, "n 4"]]


def _of_image(
    key: str, regions: Sequence[Mapping[str, Any]], file: ImageFile
) -> Iterator[CaptionedImage]:
    groups: dict[str, list[_Described]] = {}
    for region in regions:
        text, _ = one_line(region["phrase"])
        bare = text.lower().strip(" .,!?")
        if len(bare) >= _LEAST_CHARACTERS and bare not in _BARE:
            groups.setdefault(bare, []).append(_describe(region, file))
    for group in groups.values():
        for text, boxes in _merge(group):
            found = tuple(
                box_region(box, tidy_spans([span], text))
                for span, rows in boxes.items()
                for box in xyxy_to_xywh(rows).tolist()
            )
            more = {
                "dataset_name": "vg",
                "data_source": file.data_source,
                "original_id": int(key) if key.isdecimal() else key,
                "tokens_negative": [[0, len(text)]],
            }
            yield CaptionedImage(0, file.name, file.height_px, file.width_px, text, found, more)


def _describe(region: Mapping[str, Any], file: ImageFile) -> _Described:
    text, moved = one_line(region["phrase"])
    sides = [region[key] for key in ("x", "y", "width", "height")]
    whole = xywh_to_xyxy(torch.tensor([file.box(sides)]))
    root = root_phrase(text)
    named: dict[Span, list[Tensor]] = {}
    for (begin, end), box in _objects(region, file):
        span = (moved(begin), moved(end))
        if span[0] < root[1] and root[0] < span[1]:
            span = root
        if span[0] < span[1]:
            named.setdefault(span, []).append(box)
    boxes = {span: cluster_boxes(torch.stack(rows), _ONE_BOX_IOU) for span, rows in named.items()}
    return _Described(text, whole, bool(boxes), {root: whole} | boxes)


def _objects(region: Mapping[str, Any], file: ImageFile) -> Iterator[tuple[Span, Tensor]]:
    """Objects and their words: those of one synset that stands once in the text."""
    count = Counter(row["synset_name"] for row in region.get("synsets", ()))
    words = {
        row["synset_name"]: (int(row["entity_idx_start"]), int(row["entity_idx_end"]))
        for row in region.get("synsets", ())
        if count[row["synset_name"]] == 1
    }
    for thing in region.get("objects", ()):
        synsets = thing.get("synsets", ())
        if len(synsets) == 1 and synsets[0] in words:
            box = torch.tensor(file.box([thing[key] for key in ("x", "y", "w", "h")]))
            yield words[synsets[0]], xywh_to_xyxy(box)


def _merge(group: Sequence[_Described]) -> Iterator[tuple[str, dict[Span, Tensor]]]:
    """Join descriptions that say the same; those of other spelling keep apart."""
    kept: list[_Described] = []
    for one in sorted(group, key=lambda described: not described.has_objects):
        near = [k for k in kept if k.has_objects and _reach(one.region, k) >= _DUPLICATE_IOU]
        if not one.has_objects and near:
            continue
        same = [i for i, k in enumerate(kept) if _iou(one.region, k.region) >= _SAME_REGION_IOU]
        if same:
            first = kept[same[0]]
            if first.text == one.text and one.has_objects:
                kept[same[0]] = first._replace(boxes=_together(first.boxes, one.boxes))
        else:
            kept.append(one)
    by_text: dict[str, dict[Span, Tensor]] = {}
    for one in kept:
        by_text[one.text] = _together(by_text.get(one.text, {}), one.boxes)
    yield from by_text.items()


def _together(boxes: Mapping[Span, Tensor], others: Mapping[Span, Tensor]) -> dict[Span, Tensor]:
    joined = dict(boxes)
    for span, rows in others.items():
        every = torch.cat([joined[span], rows]) if span in joined else rows
        joined[span] = cluster_boxes(every, _SAME_OBJECT_IOU) if span in joined else rows
    return joined


def _iou(one: Tensor, other: Tensor) -> float:
    return float(box_iou(one, other).max())


def _reach(region: Tensor, described: _Described) -> float:
    """How much a region overlaps any box of a description."""
    return max(_iou(region, rows) for rows in described.boxes.values())


def cluster_boxes(boxes_xyxy: Float[Tensor, "n 4"], least_iou: float) -> Float[Tensor, "m 4"]:
    """Return the means of groups of boxes that overlap, directly or through others."""
    linked = (box_iou(boxes_xyxy, boxes_xyxy) >= least_iou) | torch.eye(len(boxes_xyxy)).bool()
    for _ in range(len(boxes_xyxy).bit_length()):  # paths double in length each time
        linked = (linked.float() @ linked.float()) > 0
    rows = dict.fromkeys(tuple(row) for row in linked.tolist())
    return torch.stack([boxes_xyxy[torch.tensor(row)].mean(dim=0) for row in rows])
