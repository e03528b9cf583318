"""Long texts in parts that a network can read, so that no phrase is silently left out."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from eyespot.ops.spans import Span

_SENTENCE = re.compile(r"[.!?;]\s+|\n+")


class Part(NamedTuple):
    """Some neighbouring phrases of a text, and the characters they are read in."""

    begin: int
    end: int
    phrases: list[int]


def split_text(text: str, phrases: Sequence[Span], fits: Callable[[str], bool]) -> list[Part]:
    """Return parts of a text that fit, each phrase in exactly one.

    A text that fits is one part. Otherwise parts are whole sentences, as many as fit; a sentence
    that does not fit alone is cut between phrases.

    Args:
        text: The text.
        phrases: Characters [begin, end) of its phrases, in order.
        fits: Whether a piece of text can be read at once.

    Raises:
        ValueError: If a phrase does not fit alone.
    """
    if fits(text):
        return [Part(0, len(text), list(range(len(phrases))))]
    cuts = _cuts(text, phrases)
    parts: list[Part] = []
    waiting = list(range(len(phrases)))
    while waiting:
        begin = max(c for c in cuts if c <= phrases[waiting[0]][0])
        taken = 0
        end = begin
        for count in range(1, len(waiting) + 1):
            stop = min(c for c in cuts if c >= phrases[waiting[count - 1]][1])
            if not fits(text[begin:stop]):
                break
            taken, end = count, stop
        if not taken:
            begin, end = phrases[waiting[0]]
            if not fits(text[begin:end]):
                raise ValueError(
                    f"need phrases that the network can read at once, got one of {end - begin} "
                    f"characters: {text[begin : begin + 40]!r}..."
                )
            taken = 1
        parts.append(Part(begin, end, waiting[:taken]))
        waiting = waiting[taken:]
    return parts


def _cuts(text: str, phrases: Sequence[Span]) -> list[int]:
    """Where a text may be cut: between sentences, and before phrases; never inside one."""
    places = {0, len(text), *(m.end() for m in _SENTENCE.finditer(text)), *(b for b, _ in phrases)}
    return sorted(c for c in places if not any(b < c < e for b, e in phrases))
