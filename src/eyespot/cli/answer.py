"""`eyespot answer`: answer a question about images."""

import json
import os
import sys
from typing import Annotated

from tyro.conf import Positional, arg

from eyespot.cli.ground import line_of_boxes


def answer(
    images_and_question: Annotated[Positional[tuple[str, ...]], arg(metavar="IMAGE... QUESTION")],
    weights: str = "",
    min_score: float = 0.5,
    max_iou: float = 0.5,
    device: str = "cpu",
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Answer a question about images: the answer, how sure it is, and what the question speaks of.

    Args:
        images_and_question: Image files, then the question: `eyespot answer a.jpg "how many cups
            are there?"`. Options stand before all of them or after.
        weights: A run's folder or weights file of `eyespot train answer/...`, or a published
            network that was imported.
        min_score: Least score of a box that is shown, 0 to 1.
        max_iou: Of a phrase's boxes that overlap more, only the most certain is shown; 1 for all.
        device: Where to run, as torch names it.
        as_json: One JSON object an image instead of lines.
    """
    if len(images_and_question) < 2:
        raise ValueError(
            "need image files and then a question, as in `eyespot answer photo.jpg "
            f'"what color is the cup?"`, got {len(images_and_question)} of them'
        )
    *images, question = images_and_question
    if os.path.isfile(question):  # which takes texts too long for a file's name
        raise ValueError(
            f'need a question after the images, got the file {question}; add "a question"'
        )
    if not question.strip():
        raise ValueError("need a question, got an empty one")
    if not (0 <= min_score <= 1 and 0 <= max_iou <= 1):
        raise ValueError(f"need min_score and max_iou of 0 to 1, got {min_score} and {max_iou}")
    if not weights:
        raise ValueError(
            "need --weights of a network that answers, got none; train one with `eyespot train "
            "answer/scenes_small`, or import a published one with `eyespot weights import-mdetr`"
        )
    from eyespot.predict.answerer import Answerer

    answerer = Answerer.from_pretrained(weights, device=device)
    answerer.check(question)
    failed = 0
    for name in images:
        try:
            said = answerer(name, question, min_score=min_score, max_iou=max_iou)
        except (ValueError, OSError) as error:
            if len(images) == 1:
                raise
            failed += 1
            print(error, file=sys.stderr)
            continue
        if as_json:
            print(json.dumps({"image": name, **said.to_dict()}), flush=True)
            continue
        print(f"{name}: {said.answer} ({said.confidence:.0%})")
        for phrase in said.grounding.phrases:
            boxes, scores = phrase.boxes_xyxy_px.tolist(), phrase.scores.tolist()
            print(line_of_boxes(phrase.text, boxes, scores))
    if failed:
        raise ValueError(f"need images that can be read, got {failed} of {len(images)} that cannot")
