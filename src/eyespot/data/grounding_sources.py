"""Where images with captions and boxes come from: annotation files, or the rendered world."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from eyespot.data.annotations import (
    CaptionedImage,
    GroundingAnnotations,
    Region,
    parse_annotations,
)
from eyespot.data.clevr import clevr_questions
from eyespot.data.samples import read_image_file
from eyespot.data.scene_samples import SceneSource, parse_scenes
from eyespot.data.scenes import Scene, caption, make_scene, masks, questions, referring, render
from eyespot.data.scenes.export import DATASET_NAME
from eyespot.data.scenes.text import Phrase
from eyespot.ops import rle


@runtime_checkable
class GroundingSource(Protocol):
    """A data set of images with captions; several captions of one image are several items."""

    def __len__(self) -> int:
        """Return the number of pairs of image and caption."""

    def caption(self, index: int, epoch: int) -> CaptionedImage:
        """Return a pair's caption and boxes."""

    def image(self, index: int, record: CaptionedImage) -> bytes | np.ndarray:
        """Return the image of what `caption` gave: a file's bytes or RGB; ValueError if damaged."""


class AnnotatedImages:
    """The pairs of an annotation file, with their image files.

    Args:
        annotations: The captions and boxes.
        images: Folder that file names start from; or folders by `data_source`, for files that mix
            images of several sets.

    Raises:
        ValueError: If there is no caption; on access, if an image is missing.
    """

    def __init__(
        self, annotations: GroundingAnnotations, images: Path | Mapping[str, Path]
    ) -> None:
        if not len(annotations):
            raise ValueError("need at least one caption, got annotations without images")
        self.annotations = annotations
        self.images = images

    def __len__(self) -> int:
        return len(self.annotations)

    def caption(self, index: int, epoch: int) -> CaptionedImage:
        """Return a pair's caption and boxes, the same in every epoch."""
        return self.annotations[index]

    def image(self, index: int, record: CaptionedImage) -> bytes:
        """Return the file's bytes."""
        return read_image_file(self.path(record))

    def path(self, record: CaptionedImage) -> Path:
        """Return where the image file of a pair is.

        Raises:
            ValueError: If its `data_source` has no folder.
        """
        if isinstance(self.images, Path):
            return self.images / record.file_name
        source = str(record.more.get("data_source"))
        if source not in self.images:
            raise ValueError(
                f"need a data_source of {', '.join(self.images)}, got {source!r}: image "
                f"{record.image_id}"
            )
        return self.images[source] / record.file_name


class JoinedSources:
    """Several sources, one after the other, numbered through.

    Args:
        sources: At least one.
    """

    def __init__(self, sources: Sequence[GroundingSource]) -> None:
        self.sources = tuple(sources)
        self._ends = np.cumsum([len(source) for source in self.sources])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def caption(self, index: int, epoch: int) -> CaptionedImage:
        """Return a pair's caption and boxes, with its place among all as its `image_id`."""
        which, within = self._find(index)
        record = self.sources[which].caption(within, epoch)
        return replace(record, image_id=range(len(self))[index])

    def image(self, index: int, record: CaptionedImage) -> bytes | np.ndarray:
        """Return a pair's image."""
        which, within = self._find(index)
        return self.sources[which].image(within, record)

    def _find(self, index: int) -> tuple[int, int]:
        index = range(len(self))[index]
        which = int(np.searchsorted(self._ends, index, side="right"))
        return which, index - int(self._ends[which]) + len(self.sources[which])


_scene = lru_cache(maxsize=2)(make_scene)  # a pair asks for its scene twice


class GroundedScenes:
    """Rendered scenes with captions, referring expressions or questions.

    The captions of the training split are drawn afresh in every epoch. Where a scene allows no
    expression or question, a scene beyond the count stands for it.

    Args:
        source: The world and its texts.
        split: "train", "val" or "test".
    """

    def __init__(self, source: SceneSource, split: str) -> None:
        self.source = source
        self.split = split
        self._config, self._count = source.split(split)

    def __len__(self) -> int:
        return self._count

    def caption(self, index: int, epoch: int) -> CaptionedImage:
        """Return what is said about a scene in an epoch."""
        index = range(len(self))[index]
        draw = epoch if self.split == "train" else 0
        for place in count(index, len(self)):
            scene = _scene(self._config, self.source.seed, place)
            record = self._tell(scene, index, draw)
            if record is not None:
                return record
        raise AssertionError("scenes have no end")

    def image(self, index: int, record: CaptionedImage) -> np.ndarray:
        """Return the picture of the scene that a record tells of."""
        return render(_scene(self._config, self.source.seed, record.more["original_id"]))

    def _tell(self, scene: Scene, index: int, draw: int) -> CaptionedImage | None:
        wording = self.source.wording
        if self.source.text == "referring":
            expression = referring(scene, draw=draw, wording=wording)
            if expression is None:
                return None
            said = expression.caption
            return _record(scene, index, said.text, said.phrases, target=expression.target)
        if self.source.text == "question":
            asked = questions(scene, draw=draw, count=1, wording=wording)
            if not asked:
                return None
            one = asked[0]
            about = {"answer": one.answer, "question_type": one.answer_type}
            about["question_kind"] = one.kind
            return _record(scene, index, one.text, one.phrases, more=about)
        told = caption(scene, draw=draw, absent=self.source.absent, wording=wording)
        return _record(scene, index, told.text, told.phrases)


def open_grounding(
    source: str, images: Path | Mapping[str, Path] | None = None, *, split: str = "train"
) -> GroundingSource:
    """Open an annotation file, CLEVR's questions, or `scenes:KEY=VALUE,...` (`parse_scenes`).

    Args:
        source: The file, or the string that names the scenes.
        images: As for `AnnotatedImages`; default the folder `images` beside the file, or else the
            file's own; of CLEVR's question files `images/SPLIT` beside the file or its folder.
        split: Of the scenes: "train", "val" or "test"; a file is one split.

    Raises:
        ValueError: If the file or folder is missing, or the file is none of annotations.
    """
    if source == "scenes" or source.startswith("scenes:"):
        return GroundedScenes(parse_scenes(source), split)
    path = Path(source)
    if not path.is_file():
        raise ValueError(f"need an annotation file or 'scenes', got {source}: no such file")
    annotations = _read(path)
    if images is None:
        images = _folder_beside(path, annotations)
    for folder in images.values() if isinstance(images, Mapping) else (images,):
        if not folder.is_dir():
            raise ValueError(f"need a folder of images, got {folder}: no such folder")
    return AnnotatedImages(annotations, images)


def _read(path: Path) -> GroundingAnnotations:
    """A file of annotations, or of CLEVR's questions."""
    try:
        dataset = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"need an annotation file of JSON, got {path}: {error}") from None
    missing = {"images", "annotations"} - set(dataset if isinstance(dataset, dict) else ())
    if missing and not (isinstance(dataset, dict) and "questions" in dataset):
        raise ValueError(f"need an annotation file, got no {min(missing)} in it: {path}")
    if "questions" in dataset:
        return GroundingAnnotations(clevr_questions(dataset))
    return GroundingAnnotations(parse_annotations(dataset))


def _folder_beside(path: Path, annotations: GroundingAnnotations) -> Path:
    """The folder `images` beside a file or its folder, and there that of the file's split."""
    split = str(annotations[0].more.get("split", "")) if len(annotations) else ""
    for folder in (path.parent / "images", path.parent.parent / "images"):
        if split and (folder / split).is_dir():
            return folder / split
    return path.parent / "images" if (path.parent / "images").is_dir() else path.parent


def _record(
    scene: Scene,
    index: int,
    text: str,
    phrases: Sequence[Phrase],
    *,
    target: int | None = None,
    more: Mapping[str, Any] | None = None,
) -> CaptionedImage:
    """A scene's text as an annotation file would have it."""
    size = scene.config.image_size
    runs = rle.encode(masks(scene))
    named = sorted({one for phrase in phrases for one in phrase.object_ids})
    segmentations = rle.to_coco(rle.take(runs, np.array(named, np.int64)), compressed=False)
    areas = rle.area_px(runs)
    regions = []
    for one, segmentation in zip(named, segmentations, strict=True):
        left, top, right, bottom = scene.objects[one].box_xyxy_px
        regions.append(
            Region(
                (float(left), float(top), float(right - left), float(bottom - top)),
                tuple(phrase.span for phrase in phrases if one in phrase.object_ids),
                float(areas[one]),
                is_final=None if target is None else one == target,
                more={"original_id": one, "segmentation": segmentation},
            )
        )
    details = {
        "dataset_name": DATASET_NAME,
        "original_id": scene.index,
        "tokens_negative": [list(p.span) for p in phrases if not p.object_ids],
        "tokens_positive_eval": [[list(p.span)] for p in phrases if p.object_ids],
        **(more or {}),
    }
    name = f"scenes/{scene.config.split}/{scene.index}"
    return CaptionedImage(index, name, size, size, text, tuple(regions), details)
