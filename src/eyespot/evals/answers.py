"""Question answering: predicted words, and accuracy overall and by kind of question.

Paper: MDETR (arXiv 2104.12763), sections 4.3 (GQA) and appendix A (CLEVR).

Shapes: B questions, K answers of a head.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from torch import Tensor

from eyespot.data.answers import ONLY, TYPE, AnswerWords
from eyespot.ops.matching import at_least_float32

_Question = TypeVar("_Question", bound=Hashable)


class ChosenAnswer(NamedTuple):
    """What a network answers.

    Attributes:
        type: Of the question; "" from a network with one head for all answers.
        word: The answer.
        confidence: Probability of the type times that of the word in its head, 0 to 1.
    """

    type: str
    word: str
    confidence: float


def choose_answers(logits: Mapping[str, Tensor], words: AnswerWords) -> list[ChosenAnswer]:
    """Return an answer to each question: the head of the likeliest type decides.

    Args:
        logits: For each head its scores: [B, K], or [B] for yes or no, where yes is above
            probability 0.5. The head `TYPE` scores the types.
        words: What the classes mean.
    """
    if words.types == (ONLY,):
        return [ChosenAnswer(ONLY, *said) for said in _said(logits[ONLY], words.words[ONLY])]
    types = _said(logits[TYPE], words.types)
    said = {name: _said(logits[name], words.words[name]) for name in words.types}
    return [
        ChosenAnswer(name, said[name][row][0], certainty * said[name][row][1])
        for row, (name, certainty) in enumerate(types)
    ]


def _said(logits: Tensor, words: Sequence[str]) -> list[tuple[str, float]]:
    """The likeliest word of each row, and its probability."""
    logits = at_least_float32(logits)
    if logits.ndim == 1:
        numbers = (logits > 0).long()
        likely = logits.abs().sigmoid()
    else:
        likely, numbers = logits.softmax(dim=-1).max(dim=-1)
    return [(words[i], p) for i, p in zip(numbers.tolist(), likely.tolist(), strict=True)]


def answer_accuracy(
    found: Mapping[_Question, str],
    truths: Mapping[_Question, str],
    families: Mapping[_Question, str] | None = None,
) -> dict[str, float]:
    """Return the share of right answers: "all", and one entry for each kind of question.

    Args:
        found: Predicted word of each question.
        truths: Right word of each question.
        families: Kind of each question, such as "count" or "exist".

    Raises:
        ValueError: If a question was not answered, or there is none.
    """
    if not truths:
        raise ValueError("need at least one question to score, got none")
    missing = [q for q in truths if q not in found]
    if missing:
        raise ValueError(
            f"need an answer to every question, got none to {len(missing)} of {len(truths)}, "
            f"the first being {missing[0]!r}"
        )
    groups: dict[str, list[bool]] = {"all": []}
    for question, truth in truths.items():
        right = found[question] == truth
        groups["all"].append(right)
        if families is not None:
            groups.setdefault(families[question], []).append(right)
    return {name: _mean(rights) for name, rights in groups.items()}


def _mean(values: Sequence[bool]) -> float:
    return sum(values) / len(values)
