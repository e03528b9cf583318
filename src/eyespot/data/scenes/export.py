"""Writes scenes as files: images with MDETR's annotations, or a folder of images for each class."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image

from eyespot.data.scenes.captions import caption
from eyespot.data.scenes.grammar import Wording
from eyespot.data.scenes.labels import By, classify
from eyespot.data.scenes.layout import make_scene
from eyespot.data.scenes.paint import render
from eyespot.data.scenes.questions import questions
from eyespot.data.scenes.referring import referring
from eyespot.data.scenes.silhouettes import masks
from eyespot.data.scenes.text import Phrase
from eyespot.data.scenes.world import Scene, SceneConfig

DATASET_NAME = "eyespot_scenes"


def write_grounding(
    folder: Path,
    config: SceneConfig,
    *,
    seed: int,
    count: int,
    first: int = 0,
    absent: int = 0,
    questions_each: int = 5,
    wording: Wording = "varied",
) -> None:
    """Write images and, as MDETR reads them, captions, referring expressions and questions.

    The folder gets `images/` with one PNG a scene, and captions.json, referring.json and
    questions.json in COCO's form with MDETR's fields: the text as `caption`, for each object meant
    its box (x, y, width, height), mask (uncompressed COCO RLE) and `tokens_positive`, the character
    spans [begin, end) of the phrases that mean it. Spans of things that are not there are
    `tokens_negative`. Referring expressions mark the target `isfinal`; questions carry `answer`,
    `question_type` and `question_kind`.

    Args:
        folder: Where to write; made if missing.
        config: The world.
        seed: Names it.
        count: Number of scenes.
        first: Index of the first scene.
        absent: Things that are not there in each caption.
        questions_each: Questions of each scene.
        wording: "plain" or "varied".
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    captions, expressions, asked = _Records(), _Records(), _Records()
    for index in range(first, first + count):
        scene = make_scene(config, seed, index)
        name = f"{index:08d}.png"
        _save(scene, folder / "images" / name)
        runs = [_run_lengths(mask) for mask in masks(scene)]
        told = caption(scene, absent=absent, wording=wording)
        captions.add(scene, runs, name, told.text, told.phrases)
        expression = referring(scene, wording=wording)
        if expression is not None:
            said, target = expression.caption, expression.target
            expressions.add(scene, runs, name, said.text, said.phrases, target=target)
        for question in questions(scene, count=questions_each, wording=wording):
            about = {"answer": question.answer, "question_type": question.answer_type}
            about["question_kind"] = question.kind
            asked.add(scene, runs, name, question.text, question.phrases, extra=about)
    for stem, records in (
        ("captions", captions),
        ("referring", expressions),
        ("questions", asked),
    ):
        (folder / f"{stem}.json").write_text(json.dumps(records.as_coco()))


def write_classes(
    folder: Path,
    config: SceneConfig,
    *,
    seed: int,
    count: int,
    first: int = 0,
    by: By = "shape",
) -> None:
    """Write labelled scenes as PNG, a folder for each class: `red_cup/00000017.png`.

    Args:
        folder: Where to write; made if missing.
        config: The world.
        seed: Names it.
        count: Number of images; a multiple of the number of classes gives each the same share.
        first: Index of the first image.
        by: What makes a class: "shape", "colour" or "shape_colour".
    """
    for index in range(first, first + count):
        labelled = classify(config, seed, index, by=by)
        place = folder / labelled.name.replace(" ", "_")
        place.mkdir(parents=True, exist_ok=True)
        _save(labelled.scene, place / f"{index:08d}.png")


class _Records:
    """The images and annotations of one file, numbered as they come."""

    def __init__(self) -> None:
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add(
        self,
        scene: Scene,
        runs: Sequence[list[int]],
        file_name: str,
        text: str,
        phrases: Sequence[Phrase],
        *,
        target: int | None = None,
        extra: dict[str, str] | None = None,
    ) -> None:
        """Add one image-text pair."""
        size, image_id = scene.config.image_size, len(self.images)
        self.images.append(
            {
                "id": image_id,
                "file_name": file_name,
                "height": size,
                "width": size,
                "caption": text,
                "dataset_name": DATASET_NAME,
                "original_id": scene.index,
                "tokens_negative": [
                    list(phrase.span) for phrase in phrases if not phrase.object_ids
                ],
                "tokens_positive_eval": [
                    [list(phrase.span)] for phrase in phrases if phrase.object_ids
                ],
                **(extra or {}),
            }
        )
        for one in sorted({one for phrase in phrases for one in phrase.object_ids}):
            x0, y0, x1, y1 = scene.objects[one].box_xyxy_px
            record = {
                "id": len(self.annotations),
                "image_id": image_id,
                "original_id": one,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": sum(runs[one][1::2]),
                "segmentation": {"size": [size, size], "counts": runs[one]},
                "tokens_positive": [list(p.span) for p in phrases if one in p.object_ids],
            }
            if target is not None:
                record["isfinal"] = int(one == target)
            self.annotations.append(record)

    def as_coco(self) -> dict[str, Any]:
        """Return the file's content."""
        return {
            "info": {"description": DATASET_NAME},
            "images": self.images,
            "annotations": self.annotations,
            "categories": [{"id": 1, "name": "object"}],
        }


def _run_lengths(mask: Bool[np.ndarray, "h w"]) -> list[int]:
    """COCO's uncompressed run lengths: down the columns, the first run empty pixels."""
    flat = mask.T.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff([0, *edges, len(flat)]).tolist()
    return [0, *runs] if flat[0] else runs


def _save(scene: Scene, path: Path) -> None:
    Image.fromarray(render(scene)).save(path, compress_level=1)
