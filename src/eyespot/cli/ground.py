"""`eyespot ground`: find every phrase of a text in images."""

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from PIL import Image

    from eyespot.predict.grounder import EncodedPicture, Grounder


def ground(
    images_and_text: Annotated[Positional[tuple[str, ...]], arg(metavar="IMAGE... TEXT")],
    weights: str = "scenes-small",
    out: Path | None = None,
    min_score: float = 0.5,
    max_iou: float = 0.5,
    masks: bool = False,
    attention: bool = False,
    device: str = "cpu",
    coco: Path | None = None,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Find every phrase of a text in images: boxes, scores, and exact characters.

    Args:
        images_and_text: Image files, then the text: `eyespot ground a.jpg b.jpg "the red cup"`.
        weights: A weights file, a training run's folder, or weights of the package by name.
        out: A folder for pictures with the boxes drawn on them.
        min_score: Least score of a box that is shown, 0 to 1.
        max_iou: Of a phrase's boxes that overlap more, only the most certain is shown; 1 for all.
        masks: Also draw each box's mask and write it (with --json, or beside the picture in --out)
            as COCO's run lengths; needs weights that draw masks.
        attention: Also write to --out where the network looked for each phrase's best box.
        device: Where to run, as torch names it; auto: the GPU if there is one.
        coco: A file for all boxes in COCO's results format; images are numbered from 0, a phrase's
            category is its place in the text.
        as_json: One JSON object an image instead of lines.
    """
    if len(images_and_text) < 2:
        raise ValueError(
            'need image files and then a text, as in `eyespot ground photo.jpg "the red cup"`, got '
            f"{len(images_and_text)} of them"
        )
    *images, text = images_and_text
    if os.path.isfile(text):  # which takes texts too long for a file's name
        raise ValueError(f'need a text after the images, got the file {text}; add "a text"')
    if not (0 <= min_score <= 1 and 0 <= max_iou <= 1):
        raise ValueError(f"need min_score and max_iou of 0 to 1, got {min_score} and {max_iou}")
    if attention and out is None:
        raise ValueError("need --out, a folder for the pictures of --attention")
    if coco is not None and (coco.is_dir() or not coco.parent.is_dir()):
        raise ValueError(f"need a file to write in a folder that is there for --coco, got {coco}")
    drawn_as = Counter(Path(name).stem for name in images)
    twice = [stem for stem, count in drawn_as.items() if count > 1]
    if out is not None and twice:
        raise ValueError(
            f"need images of different names for --out, got {drawn_as[twice[0]]} named "
            f"{twice[0]!r}; ground them one after another, each with its own --out"
        )
    from eyespot.predict.chunker import noun_phrases
    from eyespot.predict.grounder import Grounder
    from eyespot.predict.texts import find_phrases
    from eyespot.report.drawings import DrawnPhrase, draw_phrases

    find_phrases(text)  # refuse the text before the weights are read
    grounder = Grounder.from_pretrained(weights, device=device)
    if masks and not grounder.spec.with_masks:
        raise ValueError(
            f"need weights with a segmentation head for --masks, got {weights}; train them with "
            "`eyespot train ground/scenes_masks`, or import a PhraseCut checkpoint of MDETR"
        )
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    failed = 0
    rows: list[dict[str, object]] = []
    for number, name in enumerate(images):
        try:
            (encoded,) = grounder.encode([name])
            found = grounder(encoded, text, min_score=min_score, max_iou=max_iou)
        except (ValueError, OSError) as error:
            if len(images) == 1:
                raise
            failed += 1
            print(error, file=sys.stderr)
            continue
        rows += found.to_coco(number)
        if as_json:
            print(json.dumps({"image": name, **found.to_dict(masks=masks)}), flush=True)
        else:
            print(f"{name}: {len(noun_phrases(text))} phrases")
            for phrase in found.phrases:
                print(
                    line_of_boxes(
                        phrase.text, phrase.boxes_xyxy_px.tolist(), phrase.scores.tolist()
                    )
                )
            if found.referent is not None:
                meant = found.referent
                box, score = meant.box_xyxy_px.tolist(), meant.score
                print(line_of_boxes("the whole text means", [box], [score]))
        if out is not None:
            drawn = [
                DrawnPhrase(p.span, p.boxes_xyxy_px, p.scores, p.masks if masks else None)
                for p in found.phrases
            ]
            path = out / f"{Path(name).stem}.grounded.png"
            draw_phrases(encoded.pixels, text, drawn).save(path)
            print(f"wrote {path}", file=sys.stderr)
            if masks:
                path = out / f"{Path(name).stem}.masks.json"
                path.write_text(json.dumps(found.to_dict()) + "\n", encoding="utf-8")
                print(f"wrote {path}", file=sys.stderr)
            if attention:
                path = out / f"{Path(name).stem}.attention.png"
                _attention_picture(grounder, encoded, text).save(path)
                print(f"wrote {path}", file=sys.stderr)
    if coco is not None:
        coco.write_text(json.dumps(rows) + "\n", encoding="utf-8")
        print(f"wrote {coco}", file=sys.stderr)
    if failed:
        raise ValueError(f"need images that can be read, got {failed} of {len(images)} that cannot")


def _attention_picture(grounder: "Grounder", picture: "EncodedPicture", text: str) -> "Image.Image":
    import numpy as np

    from eyespot.predict.attention import phrase_attention
    from eyespot.report.drawings import DrawnPhrase, draw_attention

    seen = phrase_attention(grounder, picture, text)
    drawn = [DrawnPhrase(of.span, of.box_xyxy_px[None], np.array([of.score])) for of in seen]
    return draw_attention(picture.pixels, text, drawn, [of.cells for of in seen])


def line_of_boxes(phrase: str, boxes: list[list[float]], scores: list[float]) -> str:
    """Return a phrase and its boxes as a line."""
    if not boxes:
        return f"  {phrase}: not found"
    listed = [
        f"({', '.join(f'{side:.0f}' for side in box)}) {score:.2f}"
        for box, score in zip(boxes, scores, strict=True)
    ]
    return f"  {phrase}: {'; '.join(listed)}"
