"""What answer heads can say: words in class order, and the class of a word.

Published vocabularies are files: `gqa_answer2id_by_type.json` (for each `answer_TYPE` the number of
each word) and `gqa_answer2id.json` (one head for all words). A word's number is its class.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from eyespot.data.annotations import CaptionedImage
from eyespot.data.scenes import ANSWERS
from eyespot.errors import unknown_name

GQA_TYPE_NAMES = ("obj", "attr", "rel", "global", "cat")
CLEVR_ATTRIBUTES = (
    *("small", "large"),
    *("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow"),
    *("cube", "sphere", "cylinder"),
    *("rubber", "metal"),
)
YES_OR_NO = ("no", "yes")
UNKNOWN = "unknown"
TYPE = "type"
"""Name of the head that chooses the type."""
ONLY = ""
"""Name of the type of a network with one head for all answers."""

_PREFIX = "answer_"


class AnswerClass(NamedTuple):
    """An answer as numbers: its type's class and its own among its type's words."""

    type_id: int
    number: int


@dataclass(frozen=True)
class AnswerWords:
    """All answers of a network.

    Attributes:
        words: For each type, in the class order of the type head, its words in class order; of the
            one type `ONLY` where one head says everything.

    Raises:
        ValueError: If a type has fewer than two words to choose from.
    """

    words: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        poor = [name for name, words in self.words.items() if len(words) < 2]
        if poor:
            raise ValueError(
                f"need two or more answers of every type, got {list(self.words[poor[0]])} of the "
                f"type {poor[0]!r}"
            )

    @cached_property
    def types(self) -> tuple[str, ...]:
        """Types in class order."""
        return tuple(self.words)

    @cached_property
    def _numbers(self) -> dict[str, dict[str, int]]:
        return {name: {w: i for i, w in enumerate(words)} for name, words in self.words.items()}

    def by_head(self) -> dict[str, tuple[str, ...]]:
        """Return each head's words; those of the head `TYPE` are the types."""
        return dict(self.words) if self.types == (ONLY,) else {TYPE: self.types, **self.words}

    def encode(self, answer: str, question_type: str | None = None) -> AnswerClass:
        """Return the class of an answer.

        A word that its type lacks becomes "unknown" if the type has that. Without a type that this
        vocabulary has, as in CLEVR's files, the one type that has the word is taken.

        Args:
            answer: The word.
            question_type: The question's type, as annotated.

        Raises:
            ValueError: If no head can say it, or only the type could tell which one should.
        """
        name = ONLY if self.types == (ONLY,) else question_type
        if name not in self._numbers:
            able = [one for one, numbers in self._numbers.items() if answer in numbers]
            if len(able) > 1:
                raise ValueError(
                    f"need a question_type of {', '.join(able)} for the answer {answer!r}, got "
                    f"{question_type!r}"
                )
            name = able[0] if able else None
        numbers = self._numbers.get(name, {}) if name is not None else {}
        number = numbers.get(answer, numbers.get(UNKNOWN))
        if name is None or number is None:
            known = [word for words in self.words.values() for word in words]
            raise ValueError(unknown_name("answer", answer, known))
        return AnswerClass(self.types.index(name), number)


CLEVR_WORDS = AnswerWords(
    {
        "binary": YES_OR_NO,
        "attr": CLEVR_ATTRIBUTES,
        "reg": tuple(str(number) for number in range(20)),
    }
)
SCENES_WORDS = AnswerWords(ANSWERS)


def words_of_heads(by_head: Mapping[str, Sequence[str]]) -> AnswerWords:
    """Return the vocabulary of heads; the reverse of `AnswerWords.by_head`."""
    types = by_head.get(TYPE, (ONLY,))
    return AnswerWords({name: tuple(by_head[name]) for name in types})


def read_answer_words(path: Path) -> AnswerWords:
    """Read a vocabulary file of either published form.

    The types of GQA take their published class order, others the order of the file; a single type
    needs no head to choose it.

    Raises:
        ValueError: If it is no vocabulary, or its numbers are not 0, 1, 2, ...
        OSError: If it cannot be read.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"need a vocabulary of answers as JSON, got {path}: {error}") from None
    if not isinstance(content, dict) or not content:
        raise ValueError(f"need a vocabulary of answers, got {path}, which holds none")
    if not any(isinstance(numbers, dict) for numbers in content.values()):
        return AnswerWords({ONLY: _in_order(content, path)})
    found = {key.removeprefix(_PREFIX): _in_order(content[key], path) for key in content}
    if len(found) == 1:
        return AnswerWords({ONLY: next(iter(found.values()))})
    if found.keys() == set(GQA_TYPE_NAMES):
        found = {name: found[name] for name in GQA_TYPE_NAMES}
    return AnswerWords(found)


def write_answer_words(words: AnswerWords, path: Path) -> None:
    """Write a vocabulary file, as `read_answer_words` reads it."""
    rows = {
        f"{_PREFIX}{name}": {word: number for number, word in enumerate(listed)}
        for name, listed in words.words.items()
    }
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def count_answer_words(records: Iterable[CaptionedImage], *, least: int = 1) -> AnswerWords:
    """Make a vocabulary of the answers of a data set.

    Types: GQA's in their order, others by name. Words: the most frequent first, then by name, then
    "unknown" for all others.

    Args:
        records: Questions with `answer` and `question_type`.
        least: How often a word must be an answer to be in it.

    Raises:
        ValueError: If no question has both, or a type has no frequent word.
    """
    counts: dict[str, Counter[str]] = {}
    for record in records:
        more = record.more
        if "answer" in more and "question_type" in more:
            counts.setdefault(str(more["question_type"]), Counter())[str(more["answer"])] += 1
    if not counts:
        raise ValueError("need questions with an answer and a question_type, got none")
    known = [name for name in GQA_TYPE_NAMES if name in counts]
    return AnswerWords(
        {
            name: (*_frequent(counts[name], least), UNKNOWN)
            for name in (*known, *sorted(counts.keys() - set(known)))
        }
    )


def _frequent(counts: Counter[str], least: int) -> list[str]:
    words = [word for word, count in counts.items() if count >= least and word != UNKNOWN]
    return sorted(words, key=lambda word: (-counts[word], word))


def _in_order(numbers: Any, path: Path) -> tuple[str, ...]:
    """Words by their numbers."""
    if not isinstance(numbers, dict):
        raise ValueError(f"need words with their numbers, got {numbers!r} in {path}")
    if sorted(numbers.values(), key=str) != sorted(range(len(numbers)), key=str):
        raise ValueError(
            f"need the numbers 0 to {len(numbers) - 1} for the {len(numbers)} words of a head in "
            f"{path}, got others"
        )
    return tuple(sorted(numbers, key=lambda word: int(numbers[word])))
