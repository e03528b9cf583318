"""A user's own folder of images, boxes and captions, as it comes, as a source for grounding.

Found in a folder: annotation files of ours (`train.json`, `val.json`), COCO's (`instances_*.json`
with `captions_*.json`, in the folder or in `annotations/`), those that labelling tools write
(`train/_annotations.coco.json`), or a single one of these (`instances.json`, `annotations.json`).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eyespot.data.annotations import (
    CaptionedImage,
    GroundingAnnotations,
    parse_annotations,
)
from eyespot.data.clevr import clevr_questions
from eyespot.data.converters.coco import from_coco
from eyespot.data.grounding_sources import AnnotatedImages
from eyespot.data.held_out import hold_out_indices

HELD_OUT = 0.1
"""Share of the images that are evaluated on where no file is for that."""

_NAMES = {"train": ("train",), "val": ("val", "valid", "validation", "test")}
_WHOLE = ("annotations.json", "instances.json", "_annotations.coco.json", "captions.json")


class Found(NamedTuple):
    """The captions of one split.

    Attributes:
        annotations: Images with captions and boxes.
        images: Where their files are.
        path: The file they were read from.
        held_out: Whether the other split is a part of the same file.
    """

    annotations: GroundingAnnotations
    images: Path
    path: Path
    held_out: bool


def read_split(source: Path, split: str, images: Path | None = None) -> Found:
    """Return a split of a folder or of an annotation file.

    Where nothing is there to evaluate on, a tenth of the images, the same on every machine, is held
    out of the training split with all its captions.

    Args:
        source: The folder, or one file, ours or COCO's instances.
        split: "train" or "val".
        images: The folder of the images; found if not given.

    Raises:
        ValueError: If there is no such file, or its images are nowhere near.
    """
    held = not source.is_dir() or _find(source, "val") is None
    path = split_file(source, "train" if held else split)
    folder = source if source.is_dir() else source.parent
    records = read_any(path)
    if not records:
        raise ValueError(f"need at least one caption, got none in {path}")
    if held:
        records = _part(records, path, inside=split == "val")
    return Found(
        GroundingAnnotations(records), images or _images(records, path, folder, split), path, held
    )


def split_file(source: Path, split: str) -> Path:
    """Return the annotation file of a split of a folder; of a file, the file.

    Raises:
        ValueError: If there is none.
    """
    if source.is_file():
        return source
    if not source.exists():
        raise ValueError(f"need a folder or annotation file, got {source}: none there")
    path = _find(source, split) or _whole(source)
    if path is None:
        raise ValueError(
            f"need annotations in {source}: train.json, instances_train.json with "
            "captions_train.json, train/_annotations.coco.json, instances.json or "
            "annotations.json, got none of them; see docs/data.md"
        )
    return path


def open_annotated(
    source: Path, split: str, images: Path | Mapping[str, Path] | None = None
) -> AnnotatedImages:
    """Open all captions of a split of a folder, or of one file, with their images.

    Args:
        source: The folder or the file.
        split: "train" or "val".
        images: The folder of the images, or folders by `data_source`; found near the file if not
            given.

    Raises:
        ValueError: If there is no such file, it is neither, or its images are not there.
    """
    if not source.exists():
        raise ValueError(f"need a folder or annotation file, or 'scenes', got {source}: none there")
    path = split_file(source, split)
    records = read_any(path)
    if not records:
        raise ValueError(f"need at least one caption, got none in {path}")
    if images is None:
        folder = source if source.is_dir() else source.parent
        images = _images(records, path, folder, split)
    opened = AnnotatedImages(GroundingAnnotations(records), images)
    firsts = {str(record.more.get("data_source")): record for record in reversed(records)}
    for record in firsts.values():
        file = opened.path(record)
        if not file.is_file():
            raise ValueError(
                f"need the images of {path} in {file.parent}, got no {record.file_name}"
            )
    return opened


def folder_of_images(path: Path, file_names: Sequence[str]) -> Path | None:
    """Return the first folder, of those where training looks, that has one of the images.

    Args:
        path: The annotation file.
        file_names: Of the first images in it; training looks for the very first.
    """
    tops = [path.parent, *([path.parent.parent] if path.parent.name == "annotations" else [])]
    places = [place for top in tops for split in _NAMES for place in _places(path, top, split)]
    for name in file_names:
        for place in places:
            if (place / name).is_file():
                return place
    return None


def read_any(path: Path) -> list[CaptionedImage]:
    """Return the captions of an annotation file, ours or COCO's, numbered from 0 where COCO's.

    CLEVR's questions are captions too.

    Beside COCO's `instances*.json` its `captions*.json` is read if it is there.

    Raises:
        ValueError: If it is neither.
    """
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        if "questions" in data:
            return list(clevr_questions(data))
        rows = list(data["images"])
        ours = bool(rows) and "caption" in rows[0]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"need a JSON file of images and annotations, got {path}: {error}"
        ) from None
    if ours:
        return list(parse_annotations(data))
    if "categories" not in data:
        raise ValueError(
            f"need captions, or categories as COCO has them, got {path} with neither; "
            "`eyespot data convert --help` lists what can be read"
        )
    captions = _captions_beside(path)
    return [replace(pair, image_id=i) for i, pair in enumerate(from_coco(path, captions))]


def _captions_beside(path: Path) -> Path | None:
    names = {path.name.replace("instances", "captions"), f"captions_{path.name}"} - {path.name}
    there = [path.with_name(name) for name in sorted(names) if path.with_name(name).is_file()]
    return there[0] if there else None


def _find(folder: Path, split: str) -> Path | None:
    """The annotation file of a split, if it has its own."""
    for name in _NAMES[split]:
        for place in (folder, folder / "annotations"):
            files = [place / f"{name}.json", *sorted(place.glob(f"instances_{name}*.json"))]
            for path in (*files, place / name / "_annotations.coco.json"):
                if path.is_file():
                    return path
    return None


def _whole(folder: Path) -> Path | None:
    """The one annotation file of a folder that has no splits."""
    places = [place / name for name in _WHOLE for place in (folder, folder / "annotations")]
    return next((path for path in places if path.is_file()), None)


def _images(records: Sequence[CaptionedImage], path: Path, folder: Path, split: str) -> Path:
    """The first folder that has the first image."""
    first = records[0].file_name
    tried = list(dict.fromkeys(_places(path, folder, split)))
    for place in tried:
        if (place / first).is_file():
            return place
    shown = ", ".join(str(place) for place in tried[:4])
    raise ValueError(
        f"need the images of {path} in one of {shown}, ..., got no {first} in any of them"
    )


def _places(path: Path, folder: Path, split: str) -> Iterator[Path]:
    for base in (path.parent, folder):
        yield base / "images"
        yield base
        for name in _NAMES[split]:
            yield from (base / name, base / "images" / name, base / f"{name}2017")
            yield path.parent.parent / "images" / name  # as CLEVR has its questions
    beside = [path.parent.parent] if path.parent.name == "annotations" else []
    for base in (folder, folder / "images", *beside):
        yield from sorted(place for place in base.glob("*") if place.is_dir())


def _part(records: list[CaptionedImage], path: Path, *, inside: bool) -> list[CaptionedImage]:
    """The captions of the held-out images, or those of all others."""
    names = list(dict.fromkeys(record.file_name for record in records))
    if len(names) < 2:
        raise ValueError(
            f"need at least 2 images, to hold one out for evaluation, got {len(names)} in {path}"
        )
    chosen = {names[i] for i in np.asarray(hold_out_indices(len(names), HELD_OUT)).tolist()}
    return [record for record in records if (record.file_name in chosen) == inside]
