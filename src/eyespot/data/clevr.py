"""CLEVR's and CLEVR-Humans' own question files: questions without boxes.

CLEVR: arXiv 1612.06890. MDETR's annotation files of CLEVR, with boxes, are read as any other
(`data.annotations`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from eyespot.data.annotations import CaptionedImage

HEIGHT_PX, WIDTH_PX = 320, 480
"""Of every image of CLEVR."""

_KINDS = {
    "count": "count",
    "exist": "exist",
    **dict.fromkeys(("equal_integer", "less_than", "greater_than"), "compare_number"),
    **dict.fromkeys([f"query_{name}" for name in ("color", "material", "shape", "size")], "query"),
    **dict.fromkeys(
        [f"equal_{name}" for name in ("color", "material", "shape", "size")], "compare_attribute"
    ),
}
"""What a program ends with, and the family of questions that the papers' tables count it in."""


def clevr_questions(dataset: Mapping[str, Any]) -> Iterator[CaptionedImage]:
    """Yield the questions of a parsed file, in its order; only test files lack answers.

    Raises:
        ValueError: If a row is no question.
    """
    for number, row in enumerate(dataset["questions"]):
        missing = [key for key in ("question", "image_filename") if key not in row]
        if missing:
            raise ValueError(
                f"need question and image_filename in every row of a question file, got row "
                f"{number} without {missing[0]}"
            )
        more = {"dataset_name": "clevr"}
        if "answer" in row:
            more["answer"] = str(row["answer"])
        kind = _kind(row.get("program") or ())
        if kind is not None:
            more["question_kind"] = kind
        if "split" in row:
            more["split"] = row["split"]
        name = row["image_filename"]
        yield CaptionedImage(number, name, HEIGHT_PX, WIDTH_PX, row["question"], (), more)


def _kind(program: Sequence[Mapping[str, Any]]) -> str | None:
    """The family of a question, by its program's last step."""
    if not program:
        return None
    last = program[-1]
    return _KINDS.get(str(last.get("function", last.get("type"))))
