"""`eyespot ground`: find every phrase of a text in images."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from tyro.conf import Positional, UseAppendAction, arg

if TYPE_CHECKING:
    from PIL import Image

    from eyespot.ops.spans import Span
    from eyespot.predict.grounder import EncodedPicture, Grounder
    from eyespot.predict.grounding import Grounding

_IMAGES = 8  # that are read at once
_ADVICE = 'mark the words to look for with --phrase "..."'


class _Output(NamedTuple):
    """What is printed and written of each result."""

    folder: Path | None
    masks: bool
    attention: bool
    as_json: bool
    num_texts: int


def ground(
    images_and_text: Annotated[Positional[tuple[str, ...]], arg(metavar="IMAGE... TEXT")],
    text: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="TEXT")] = (),
    phrase: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="WORDS")] = (),
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
            Options stand before all of them or after.
        text: A text, in place of the one after the images; several may be given, each with --text,
            and all are looked for in every image.
        phrase: Words of the text to look for, in place of the phrases that rules find; several may
            be given, each with --phrase.
        weights: A weights file, a training run's folder, or weights of the package by name.
        out: A folder for pictures with the boxes drawn on them.
        min_score: Least score of a box that is shown, 0 to 1.
        max_iou: Of a phrase's boxes that overlap more, only the most certain is shown; 1 for all.
        masks: Also draw each box's mask and write it (with --json, or beside the picture in --out)
            as COCO's run lengths; needs weights that draw masks.
        attention: Also write to --out where the network looked for each phrase's best box.
        device: Where to run, as torch names it; auto: the GPU if there is one.
        coco: A file for all boxes in COCO's results format; images are numbered from 0, a phrase's
            category is its place in the text, counted on through several texts.
        as_json: One JSON object an image and text instead of lines.
    """
    images, texts = _images_and_texts(images_and_text, text)
    if not (0 <= min_score <= 1 and 0 <= max_iou <= 1):
        raise ValueError(f"need min_score and max_iou of 0 to 1, got {min_score} and {max_iou}")
    _check_places(images, out, coco, attention=attention)
    from eyespot.predict.grounder import Grounder

    phrases = _phrases(texts, phrase)  # refuse texts before the weights are read
    grounder = Grounder.from_pretrained(weights, device=device)
    if masks and not grounder.spec.with_masks:
        raise ValueError(
            f"need weights with a segmentation head for --masks, got {weights}; train them with "
            "`eyespot train ground/scenes_masks`, or import a PhraseCut checkpoint of MDETR"
        )
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    output = _Output(out, masks, attention, as_json, len(texts))
    rows: list[dict[str, object]] = []
    done = 0
    for read in _pictures(grounder, images):
        done += len(read)
        pictures = [picture for _, picture in read for _ in texts]
        found = grounder(
            pictures,
            texts[0] if phrases is not None else texts * len(read),
            phrases=phrases,
            min_score=min_score,
            max_iou=max_iou,
        )
        for i, (number, picture) in enumerate(read):
            results = found[i * len(texts) : (i + 1) * len(texts)]
            rows += _coco_rows(number, results)
            for place, result in enumerate(results):
                _show(grounder, images[number], picture, place, result, output)
    if coco is not None:
        coco.write_text(json.dumps(rows) + "\n", encoding="utf-8")
        print(f"wrote {coco}", file=sys.stderr)
    if done < len(images):
        raise ValueError(
            f"need images that can be read, got {len(images) - done} of {len(images)} that cannot"
        )


def _images_and_texts(given: Sequence[str], texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands on the command line, apart."""
    if texts:
        if not given:
            raise ValueError("need image files beside --text, got none")
        return list(given), list(texts)
    if len(given) < 2:
        raise ValueError(
            'need image files and then a text, as in `eyespot ground photo.jpg "the red cup"`, got '
            f"{len(given)} of them"
        )
    *images, text = given
    if os.path.isfile(text):  # which takes texts too long for a file's name
        raise ValueError(f'need a text after the images, got the file {text}; add "a text"')
    return images, [text]


def _check_places(
    images: Sequence[str], out: Path | None, coco: Path | None, *, attention: bool
) -> None:
    """Refuse places to write to that will not do, before anything is computed."""
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


def _phrases(texts: Sequence[str], marked: Sequence[str]) -> "list[Span] | None":
    """The characters of the phrases that were marked; None if rules find them."""
    from eyespot.predict.texts import find_phrases, marked_phrases

    if not marked:
        for text in texts:
            find_phrases(text, advice=_ADVICE)
        return None
    if len(texts) > 1:
        raise ValueError(f"need one text for --phrase, got {len(texts)}; ground one after another")
    return marked_phrases(texts[0], marked)


def _pictures(
    grounder: "Grounder", images: Sequence[str]
) -> "Iterator[list[tuple[int, EncodedPicture]]]":
    """Read and encode several images at a time, each with its number; say which cannot be read.

    The only image of a call is an error.
    """
    from eyespot.predict.images import read_picture

    for first in range(0, len(images), _IMAGES):
        numbers, pixels = [], []
        for number in range(first, min(first + _IMAGES, len(images))):
            try:
                pixels.append(read_picture(images[number], max_pixels=grounder.max_pixels))
                numbers.append(number)
            except (ValueError, OSError) as error:
                if len(images) == 1:
                    raise
                print(error, file=sys.stderr)
        if numbers:
            yield list(zip(numbers, grounder.encode(pixels), strict=True))


def _coco_rows(number: int, results: "Sequence[Grounding]") -> list[dict[str, object]]:
    """An image's boxes; the categories of a text follow those of the text before."""
    rows: list[dict[str, object]] = []
    before = 0
    for result in results:
        rows += [
            row | {"category_id": before + row["category_id"]} for row in result.to_coco(number)
        ]
        before += len(result.phrases)
    return rows


def _show(
    grounder: "Grounder",
    name: str,
    picture: "EncodedPicture",
    place: int,
    found: "Grounding",
    output: _Output,
) -> None:
    """Print and write what was found of one text in one image."""
    if output.as_json:
        print(json.dumps({"image": name, **found.to_dict(masks=output.masks)}), flush=True)
    else:
        print("\n".join(_lines(name, found, several=output.num_texts > 1)), flush=True)
    if output.folder is None:
        return
    from eyespot.report.drawings import DrawnPhrase, draw_phrases

    number = f".{place + 1}" if output.num_texts > 1 else ""
    start = output.folder / f"{Path(name).stem}{number}"
    drawn = [
        DrawnPhrase(p.span, p.boxes_xyxy_px, p.scores, p.masks if output.masks else None)
        for p in found.phrases
    ]
    path = Path(f"{start}.grounded.png")
    draw_phrases(picture.pixels, found.text, drawn).save(path)
    print(f"wrote {path}", file=sys.stderr)
    if output.masks:
        path = Path(f"{start}.masks.json")
        path.write_text(json.dumps(found.to_dict()) + "\n", encoding="utf-8")
        print(f"wrote {path}", file=sys.stderr)
    if output.attention:
        path = Path(f"{start}.attention.png")
        _attention_picture(grounder, picture, found).save(path)
        print(f"wrote {path}", file=sys.stderr)


def _lines(name: str, found: "Grounding", *, several: bool) -> list[str]:
    """What was found, in words."""
    text = f' in "{found.text}"' if several else ""
    count = len(found.phrases)
    lines = [f"{name}: {count} {'phrase' if count == 1 else 'phrases'}{text}"]
    lines += [
        line_of_boxes(phrase.text, phrase.boxes_xyxy_px.tolist(), phrase.scores.tolist())
        for phrase in found.phrases
    ]
    if found.referent is not None:
        box, score = found.referent.box_xyxy_px.tolist(), found.referent.score
        lines.append(line_of_boxes("the whole text means", [box], [score]))
    return lines


def _attention_picture(
    grounder: "Grounder", picture: "EncodedPicture", found: "Grounding"
) -> "Image.Image":
    import numpy as np

    from eyespot.predict.attention import phrase_attention
    from eyespot.report.drawings import DrawnPhrase, draw_attention

    spans = [phrase.span for phrase in found.phrases]
    seen = phrase_attention(grounder, picture, found.text, phrases=spans)
    drawn = [DrawnPhrase(of.span, of.box_xyxy_px[None], np.array([of.score])) for of in seen]
    return draw_attention(picture.pixels, found.text, drawn, [of.cells for of in seen])


def line_of_boxes(phrase: str, boxes: list[list[float]], scores: list[float]) -> str:
    """Return a phrase and its boxes as a line."""
    if not boxes:
        return f"  {phrase}: not found"
    listed = [
        f"({', '.join(f'{side:.0f}' for side in box)}) {score:.2f}"
        for box, score in zip(boxes, scores, strict=True)
    ]
    return f"  {phrase}: {'; '.join(listed)}"
