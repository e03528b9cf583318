"""The two kinds of file of Flickr30k Entities: sentences with marked phrases, and boxes.

Paper: Flickr30k Entities (arXiv 1505.04870).
"""

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_PHRASE = re.compile(r"\[/EN#(?P<entity>\d+)(?P<types>(?:/[^\s/\]]+)+) (?P<text>[^\]]*)\]")


class Phrase(NamedTuple):
    """A phrase of a sentence that names an entity."""

    text: str
    entity_id: str
    types: tuple[str, ...]  # such as people, clothing, scene
    first_word: int  # place of its first word in the sentence
    span: tuple[int, int]  # its characters in the sentence


def parse_sentence(line: str) -> tuple[str, list[Phrase]]:
    """Return the plain sentence and its phrases, of a line of a Flickr30k Entities file.

    `[/EN#11/people A man] runs .` is the sentence `A man runs .` with one phrase.
    """
    plain, phrases, at = "", [], 0
    for match in _PHRASE.finditer(line):
        plain += line[at : match.start()]
        text = match["text"]
        phrases.append(
            Phrase(
                text,
                match["entity"],
                tuple(match["types"][1:].split("/")),
                len(plain.split()),
                (len(plain), len(plain) + len(text)),
            )
        )
        plain += text
        at = match.end()
    return plain + line[at:], phrases


def read_entity_boxes(path: Path) -> dict[str, Float[np.ndarray, "_ 4"]]:
    """Return the boxes of each entity of an image, of a Flickr30k Entities XML file.

    Boxes are left, top, right, bottom as the file says, as in MDETR's annotation files and its
    evaluator; the evaluator of Flickr30k Entities itself subtracts 1. Entities without a box are
    left out.
    """
    boxes: dict[str, list[list[int]]] = {}
    for item in ET.parse(path).getroot().findall("object"):  # noqa: S314
        box = item.find("bndbox")
        if box is not None:
            corners = [int(box.findtext(k, "")) for k in ("xmin", "ymin", "xmax", "ymax")]
            for name in item.findall("name"):
                boxes.setdefault(name.text or "", []).append(corners)
    return {entity: np.array(rows, dtype=np.float64) for entity, rows in boxes.items()}
