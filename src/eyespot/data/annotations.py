"""The grounding annotation file: captions of images, and boxes named by spans of the caption.

The format is MDETR's (arXiv 2104.12763), COCO-style JSON: `images` with a `caption` each (one
entry for each image-text pair), `annotations` with `bbox` (left, top, width, height in pixels)
and `tokens_positive`, the [begin, end) characters that name the box (CLEVR files: `tokens`).

A published file has over a million captions. They are kept as a few packed arrays, which
worker processes share without copying, and become objects one at a time.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, overload

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from eyespot.design.plain_data import short
from eyespot.ops.boxes import box_area, clip_xyxy_px, xywh_to_xyxy

Span = tuple[int, int]

_Parsed = TypeVar("_Parsed")
_MOST = 2**63
_IMAGE_KEYS = ("id", "file_name", "height", "width", "caption")
_REGION_KEYS = ("id", "image_id", "bbox", "area", "iscrowd", "tokens_positive", "tokens", "isfinal")


@dataclass(frozen=True)
class Region:
    """A box of an image and the parts of the caption that name it.

    Args:
        box_xywh_px: Left, top, width, height.
        spans: Characters [begin, end) of the caption.
        area_px: As annotated; of the mask where there is one.
        is_crowd: Stands for uncounted objects; not trained on.
        is_final: Whether the caption as a whole means this box (CLEVR-Ref+); None: not said.
        more: Every other key of the file, such as `segmentation` and `category_id`.
    """

    box_xywh_px: tuple[float, float, float, float]
    spans: tuple[Span, ...]
    area_px: float
    is_crowd: bool = False
    is_final: bool | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CaptionedImage:
    """An image, a caption about it, and the boxes it names.

    Args:
        image_id: Of this pair of image and caption.
        file_name: Relative to the folder of images.
        height_px: Of the image file.
        width_px: Of the image file.
        caption: The text that spans count in.
        regions: The boxes; a caption may name none.
        more: Every other key of the file, such as `dataset_name`, `tokens_positive_eval`,
            `question_type` and `answer`.
    """

    image_id: int
    file_name: str
    height_px: int
    width_px: int
    caption: str
    regions: tuple[Region, ...]
    more: Mapping[str, Any] = field(default_factory=dict)


class TrainingBoxes(NamedTuple):
    """The boxes of a caption that are trained on, clipped to the image."""

    boxes_xyxy_px: Float[Tensor, "n 4"]
    areas_px: Float[Tensor, "n"]
    regions: tuple[Region, ...]  # where each came from


class PackedStrings(Sequence[str]):
    """Many strings as one array of bytes."""

    def __init__(self, strings: Iterable[str]) -> None:
        """Pack the strings."""
        encoded = [s.encode() for s in strings]
        self._bytes = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        self._ends = np.cumsum([0, *map(len, encoded)])

    def __len__(self) -> int:
        """How many strings there are."""
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        """Unpack one string, or a list."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"need an index below {len(self)}, got {index}")
        begin, end = self._ends[index % len(self)], self._ends[index % len(self) + 1]
        return self._bytes[begin:end].tobytes().decode()


class GroundingAnnotations(Sequence[CaptionedImage]):
    """All captions of a file, in its order."""

    def __init__(self, images: Iterable[CaptionedImage]) -> None:
        """Pack the captions."""
        rows = list(images)
        regions = [region for row in rows for region in row.regions]
        self._numbers = _integers([(r.image_id, r.height_px, r.width_px) for r in rows], 3)
        self._file_names = PackedStrings(r.file_name for r in rows)
        self._captions = PackedStrings(r.caption for r in rows)
        self._more = PackedStrings(json.dumps(r.more) for r in rows)
        self._first_region = np.cumsum([0, *(len(r.regions) for r in rows)])
        self._boxes = np.array(
            [(*r.box_xywh_px, r.area_px) for r in regions], dtype=np.float64
        ).reshape(-1, 5)
        self._flags = _integers(
            [(r.is_crowd, -1 if r.is_final is None else r.is_final) for r in regions], 2
        )
        self._region_more = PackedStrings(json.dumps(r.more) for r in regions)
        self._first_span = np.cumsum([0, *(len(r.spans) for r in regions)])
        self._spans = _integers([span for r in regions for span in r.spans], 2)

    def __len__(self) -> int:
        """How many captions there are."""
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> CaptionedImage: ...
    @overload
    def __getitem__(self, index: slice) -> list[CaptionedImage]: ...
    def __getitem__(self, index: int | slice) -> CaptionedImage | list[CaptionedImage]:
        """Unpack one caption with its boxes, or a list."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        caption = self._captions[index]  # refuses an index out of range
        index %= len(self)
        image_id, height, width = self._numbers[index].tolist()
        region = range(self._first_region[index], self._first_region[index + 1])
        return CaptionedImage(
            image_id,
            self._file_names[index],
            height,
            width,
            caption,
            tuple(self._region(i) for i in region),
            json.loads(self._more[index]),
        )

    def _region(self, index: int) -> Region:
        left, top, width, height, area = self._boxes[index].tolist()
        is_crowd, is_final = self._flags[index].tolist()
        spans = self._spans[self._first_span[index] : self._first_span[index + 1]]
        return Region(
            (left, top, width, height),
            tuple((begin, end) for begin, end in spans.tolist()),
            area,
            bool(is_crowd),
            None if is_final < 0 else bool(is_final),
            json.loads(self._region_more[index]),
        )


def read_annotations(path: Path) -> GroundingAnnotations:
    """Read an annotation file; `data.annotation_checks` says what is wrong with a bad one."""
    with path.open(encoding="utf-8-sig") as file:
        return GroundingAnnotations(parse_annotations(json.load(file)))


def parse_annotations(dataset: Mapping[str, Any]) -> Iterator[CaptionedImage]:
    """Yield the captions of a parsed annotation file, each with its boxes.

    Raises:
        ValueError: If a record is broken, or a box belongs to no image of the file, or to several.
    """
    images = [_parse_record(image, _parse_image) for image in dataset["images"]]
    by_image: dict[int, list[Region]] = {image.image_id: [] for image in images}
    times = Counter(image.image_id for image in images)
    for row in dataset["annotations"]:
        owner, region = _parse_record(row, _parse_region)
        if owner not in by_image:
            raise ValueError(
                f"need every annotation's image in the file, got annotation {row.get('id')} of "
                f"image {owner}, which it does not have"
            )
        if times[owner] > 1:
            raise ValueError(
                f"need an id of its own for every pair of image and caption, got annotation "
                f"{row.get('id')} of image {owner}, which several are; `eyespot data check FILE` "
                "names them"
            )
        by_image[owner].append(region)
    for image in images:
        yield replace(image, regions=tuple(by_image[image.image_id]))


def write_annotations(images: Iterable[CaptionedImage], path: Path) -> None:
    """Write captions as an annotation file; boxes are numbered from 1 in order."""
    rows: list[dict[str, Any]] = []
    regions: list[dict[str, Any]] = []
    for image in images:
        values = (image.image_id, image.file_name, image.height_px, image.width_px, image.caption)
        rows.append({**dict(zip(_IMAGE_KEYS, values, strict=True)), **image.more})
        for region in image.regions:
            final = {} if region.is_final is None else {"isfinal": int(region.is_final)}
            regions.append(
                {
                    "id": len(regions) + 1,
                    "image_id": image.image_id,
                    "bbox": list(region.box_xywh_px),
                    "area": region.area_px,
                    "iscrowd": int(region.is_crowd),
                    "tokens_positive": [list(span) for span in region.spans],
                    **final,
                    **region.more,
                }
            )
    temporary = path.with_name(path.name + ".part")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump({"images": rows, "annotations": regions}, file)
    temporary.replace(path)


def training_boxes(image: CaptionedImage) -> TrainingBoxes:
    """Return the boxes to train on: crowds left out, clipped to the image, none without area."""
    regions = [r for r in image.regions if not r.is_crowd]
    boxes = torch.tensor([r.box_xywh_px for r in regions], dtype=torch.float32).reshape(-1, 4)
    boxes = clip_xyxy_px(xywh_to_xyxy(boxes), image.height_px, image.width_px)
    keep = (box_area(boxes) > 0) & (boxes[:, 2] > boxes[:, 0])
    kept = tuple(r for r, k in zip(regions, keep.tolist(), strict=True) if k)
    areas = torch.tensor([r.area_px for r in kept], dtype=torch.float32)
    return TrainingBoxes(boxes[keep], areas, kept)


def _parse_record(record: Any, parse: Callable[[Mapping[str, Any]], _Parsed]) -> _Parsed:
    try:
        return parse(record)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(
            f"need the records of an annotation file, got {what} in {short(record)}; `eyespot data "
            "check FILE` explains every bad record"
        ) from None


def _parse_image(row: Mapping[str, Any]) -> CaptionedImage:
    more = {k: v for k, v in row.items() if k not in _IMAGE_KEYS}
    height, width = _whole(row["height"]), _whole(row["width"])
    texts = row["file_name"], row["caption"]
    if not all(isinstance(text, str) for text in texts) or min(height, width) < 1:
        raise ValueError("no file name and caption, or no height and width of a pixel or more,")
    for text in texts:
        text.encode()  # half of a surrogate pair, which JSON can write, is no character
    _check_evaluated(row)
    return CaptionedImage(_whole(row["id"]), texts[0], height, width, texts[1], (), more)


def _check_evaluated(row: Mapping[str, Any]) -> None:
    """Refuse what evaluation could not read, before hours are spent on training.

    Raises:
        ValueError: If there is such a value; also TypeError and OverflowError.
    """
    phrases = row.get("tokens_positive_eval", ())
    for spans in phrases:
        _spans(spans)
    _spans(row.get("tokens_negative", ()))
    types = row.get("phrase_types")
    if types is not None and (
        len(types) != len(phrases)
        or not all(isinstance(one, list) and all(isinstance(t, str) for t in one) for one in types)
    ):
        raise ValueError("phrase_types that are no list of texts for each evaluated phrase")
    kind = row.get("question_type")
    if kind is not None and not isinstance(kind, str):
        raise ValueError("a question_type that is no text")


def _parse_region(row: Mapping[str, Any]) -> tuple[int, Region]:
    """The id of a box's image, and the box."""
    spans = row.get("tokens_positive", row.get("tokens", ()))
    if row.get("category_id") is not None:
        _whole(row["category_id"])
    left, top, width, height = (float(side) for side in row["bbox"])
    final = row.get("isfinal")
    return _whole(row["image_id"]), Region(
        (left, top, width, height),
        _spans(spans),
        float(row.get("area", width * height)),
        bool(row.get("iscrowd", 0)),
        None if final is None else bool(final),
        {k: v for k, v in row.items() if k not in _REGION_KEYS},
    )


def _spans(spans: Any) -> tuple[Span, ...]:
    return tuple((_whole(begin), _whole(end)) for begin, end in spans)


def _whole(value: Any) -> int:
    number = int(value)
    if abs(number) >= _MOST:
        raise OverflowError(f"the number {number:.3g}")
    return number


def _integers(rows: Sequence[Sequence[int]], columns: int) -> Int[np.ndarray, "n c"]:
    return np.array(rows, dtype=np.int64).reshape(-1, columns)
