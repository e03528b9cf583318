"""Answers of question sets as numbers, and numbers as answers."""

from collections.abc import Mapping
from typing import NamedTuple

IGNORED = -100
"""Target of a question in the answer heads of other types."""

CLEVR_ATTRIBUTES = (
    *("small", "large"),
    *("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow"),
    *("cube", "sphere", "cylinder"),
    *("rubber", "metal"),
)
CLEVR_BINARY, CLEVR_ATTRIBUTE, CLEVR_COUNT = 0, 1, 2
GQA_TYPE_NAMES = ("obj", "attr", "rel", "global", "cat")
UNKNOWN = "unknown"


class ClevrAnswer(NamedTuple):
    """Targets of the four CLEVR heads for one question."""

    type_id: int
    binary: float  # 1 for yes; read only where the type is binary
    attribute: int
    number: int


def encode_clevr_answer(answer: str) -> ClevrAnswer:
    """Return the targets of "yes", "no", an attribute or a whole number.

    Raises:
        ValueError: If the answer is none of these.
    """
    if answer in ("yes", "no"):
        return ClevrAnswer(CLEVR_BINARY, float(answer == "yes"), IGNORED, IGNORED)
    if answer in CLEVR_ATTRIBUTES:
        return ClevrAnswer(CLEVR_ATTRIBUTE, 0.0, CLEVR_ATTRIBUTES.index(answer), IGNORED)
    if answer.isdecimal():
        return ClevrAnswer(CLEVR_COUNT, 0.0, IGNORED, int(answer))
    raise ValueError(
        f"need yes, no, a number or one of {', '.join(CLEVR_ATTRIBUTES)}, got {answer!r}"
    )


def decode_clevr_answer(type_id: int, binary: bool, attribute: int, number: int) -> str:
    """Return the word for what the heads chose; only the head of the type is read."""
    if type_id == CLEVR_BINARY:
        return "yes" if binary else "no"
    return CLEVR_ATTRIBUTES[attribute] if type_id == CLEVR_ATTRIBUTE else str(number)


def encode_gqa_answer(
    answer: str, type_name: str, vocabularies: Mapping[str, Mapping[str, int]]
) -> dict[str, int]:
    """Return the target of the type head ("type") and of each answer head.

    Args:
        answer: The word; one that the type's vocabulary lacks becomes "unknown".
        type_name: One of `GQA_TYPE_NAMES`.
        vocabularies: `gqa_answer2id_by_type.json`: for each `answer_TYPE` the word's number.

    Raises:
        ValueError: If the type is unknown.
    """
    if type_name not in GQA_TYPE_NAMES:
        raise ValueError(f"need a type of {', '.join(GQA_TYPE_NAMES)}, got {type_name!r}")
    words = vocabularies[f"answer_{type_name}"]
    targets = dict.fromkeys(GQA_TYPE_NAMES, IGNORED)
    targets[type_name] = words[answer] if answer in words else words[UNKNOWN]
    return {"type": GQA_TYPE_NAMES.index(type_name), **targets}
