"""GQA: questions about Visual Genome images, with the scene graph's boxes of what they name."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eyespot.data.annotations import CaptionedImage, Region
from eyespot.data.captions import Span
from eyespot.data.converters.pairs import box_region, read_json, tidy_spans
from eyespot.data.converters.visual_genome import ImageFile, image_files

_SELECTED = re.compile(r"^(?P<name>.*?)\s*\((?P<id>[^)]*)\)$")
_ASKING = re.compile(r"\b(?:what|who|where)\b", re.IGNORECASE)


def from_gqa(
    questions: Path,
    scene_graphs: Path | None = None,
    image_data: Path | None = None,
    *,
    coco: Sequence[Path] = (),
) -> Iterator[CaptionedImage]:
    """Yield a pair for each question, with its answer.

    Objects are named by the words that the question's annotation gives. One that the program
    selects but the annotation lacks is found by its name. One that only the answer has is named by
    the word what, who or where.

    Args:
        questions: `train_balanced_questions.json` and the like.
        scene_graphs: `train_sceneGraphs.json` and the like, with boxes and sizes; None for test
            sets, which have none.
        image_data: Visual Genome's `image_data.json`: sizes without scene graphs, and COCO's names.
        coco: As for `visual_genome.image_files`; needs `image_data`.

    Raises:
        ValueError: If a file is missing, or the size of an image is in neither file.
    """
    if coco and image_data is None:
        raise ValueError("need image_data to find COCO's names of images, got none")
    graphs = {} if scene_graphs is None else read_json(scene_graphs)
    files = {} if image_data is None else image_files(image_data, coco)
    for number, row in read_json(questions).items():
        key = row["imageId"]
        graph = graphs.get(key)
        file = files.get(key)
        if file is None and graph is not None:
            file = ImageFile(f"{key}.jpg", int(graph["height"]), int(graph["width"]), 1, 1, "vg")
        if file is None:
            raise ValueError(
                f"need the size of image {key} in the scene graphs or the image data, got it in "
                "neither"
            )
        objects = {} if graph is None else graph["objects"]
        text = row["question"]
        more = {
            "dataset_name": "gqa",
            "data_source": file.data_source,
            "original_id": key,
            "questionId": number,
            "tokens_negative": [[0, len(text)]],
        }
        if "answer" in row:
            more["answer"] = row["answer"]
        if "types" in row:
            more["question_type"] = row["types"]["semantic"]
        regions = tuple(_regions(row, objects, file))
        yield CaptionedImage(0, file.name, file.height_px, file.width_px, text, regions, more)


def _regions(
    row: Mapping[str, Any], objects: Mapping[str, Any], file: ImageFile
) -> Iterator[Region]:
    text = row["question"]
    spans: dict[str, list[Span]] = {}
    annotated = row.get("annotations", {})
    for words, thing in annotated.get("question", {}).items():
        spans.setdefault(thing, []).append(_characters(words, text))
    for step in row.get("semantic", ()):
        selected = _SELECTED.match(step["argument"]) if step["operation"] == "select" else None
        if selected is not None and selected["id"] not in spans:
            found = re.search(rf"\b{re.escape(selected['name'])}", text, re.IGNORECASE)
            if found is not None:
                spans[selected["id"]] = [found.span()]
    asking = _ASKING.search(text)
    for thing in annotated.get("answer", {}).values():
        if thing not in spans and asking is not None:
            spans[thing] = [asking.span()]
    for thing, named in spans.items():
        tidy = tidy_spans(named, text)
        if thing in objects and tidy:
            sides = [objects[thing][key] for key in ("x", "y", "w", "h")]
            yield box_region(file.box(sides), tidy, original_id=thing)


def _characters(words: str, text: str) -> Span:
    """Characters of the words "4", or "5:7" up to the seventh, counted from 0."""
    begin, _, end = words.partition(":")
    places = [match.span() for match in re.finditer(r"\S+", text)]
    chosen = places[int(begin) : int(end or int(begin) + 1)]
    return chosen[0][0], chosen[-1][1]
