"""Flickr30k Entities: five captions an image, phrases with the boxes of their entities."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from eyespot.data.annotations import CaptionedImage, Region
from eyespot.data.captions import Span
from eyespot.data.converters.pairs import box_region
from eyespot.data.flickr import parse_sentence, read_entity_boxes
from eyespot.data.sources import flickr_equivalent_boxes


def from_flickr30k(folder: Path, split: str, *, merged: bool = False) -> Iterator[CaptionedImage]:
    """Yield a pair for each of the five captions of the images of a split.

    Boxes of a caption with IoU >= 0.95 become one, the last of them, named by the spans of all.
    `tokens_positive_eval` lists every phrase whose entity has a box, in the order of the caption,
    and `phrase_types` the types of each, such as people.

    Args:
        folder: With `Annotations/ID.xml`, `Sentences/ID.txt`, `train.txt` and the like.
        split: "train", "val" or "test".
        merged: Replace the boxes of an entity by the one around them all (the merged-boxes
            protocol); else they stay apart (any-box).

    Raises:
        ValueError: If a file is missing.
    """
    listed = folder / f"{split}.txt"
    for path in (listed, folder / "Annotations", folder / "Sentences"):
        if not path.exists():
            raise ValueError(
                f"need Annotations, Sentences and {split}.txt in {folder}, got no {path.name}"
            )
    for name in listed.read_text().split():
        yield from _of_image(folder, name, merged)


def _of_image(folder: Path, name: str, merged: bool) -> Iterator[CaptionedImage]:
    annotation, text = folder / "Annotations" / f"{name}.xml", folder / "Sentences" / f"{name}.txt"
    for path in (annotation, text):
        if not path.is_file():
            raise ValueError(f"need the file {path} of an image of the split, got none there")
    size = ET.parse(annotation).getroot().find("size")  # noqa: S314
    if size is None:
        raise ValueError(f"need the size of the image, got none in {annotation}")
    height, width = (int(size.findtext(key, "0")) for key in ("height", "width"))
    boxes = read_entity_boxes(annotation)
    if merged:
        boxes = {
            entity: np.concatenate([rows[:, :2].min(axis=0), rows[:, 2:].max(axis=0)])[None]
            for entity, rows in boxes.items()
        }
    for number, line in enumerate(filter(None, text.read_text(encoding="utf-8").splitlines())):
        caption, phrases = parse_sentence(line)
        boxed = [phrase for phrase in phrases if phrase.entity_id in boxes]
        named = [(phrase.span, boxes[phrase.entity_id]) for phrase in boxed]
        more = {
            "dataset_name": "flickr",
            "original_img_id": int(name) if name.isdecimal() else name,
            "sentence_id": number,
            "tokens_negative": [[0, len(caption)]],
            "tokens_positive_eval": [[list(phrase.span)] for phrase in boxed],
            "phrase_types": [list(phrase.types) for phrase in boxed],
        }
        regions = tuple(_regions(named))
        yield CaptionedImage(0, f"{name}.jpg", height, width, caption, regions, more)


def _regions(named: list[tuple[Span, np.ndarray]]) -> Iterator[Region]:
    spans = [span for span, rows in named for _ in rows]
    corners = np.concatenate([rows for _, rows in named] or [np.zeros((0, 4))])
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    for group in flickr_equivalent_boxes(torch.from_numpy(boxes)):
        yield box_region(boxes[group[-1]].tolist(), sorted({spans[i] for i in group}))
