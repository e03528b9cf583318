"""Texts and phrases as callers give them, checked before anything is computed."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from eyespot.ops.spans import Span
from eyespot.predict.chunker import noun_phrases

_ADVICE = "give the characters of your phrases as phrases=[(begin, end), ...]"


def listed_texts(texts: object) -> list[str]:
    """Return texts as a list, be it one or several.

    Raises:
        ValueError: If they are something else, or hold half a character.
    """
    several: list[Any] = list(texts) if isinstance(texts, list | tuple) else [texts]
    for text in several:
        if not isinstance(text, str):
            raise ValueError(f"need a text or a list of texts, got a {type(text).__name__}")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"need a text of whole characters, got half of one at {error.start}"
            ) from None
    return several


def is_span(span: object, text: str) -> bool:
    """Whether these are two whole numbers around more than white space."""
    if not isinstance(span, Sequence | np.ndarray) or len(span) != 2:
        return False
    begin, end = span
    if not (isinstance(begin, int | np.integer) and isinstance(end, int | np.integer)):
        return False
    return bool(0 <= begin < end <= len(text) and text[begin:end].strip())


def find_phrases(text: str, *, advice: str = _ADVICE) -> list[Span]:
    """Return the noun phrases of a text.

    Args:
        text: The text.
        advice: What the error says to do where there are none.

    Raises:
        ValueError: If it is empty or names nothing.
    """
    if not text.strip():
        raise ValueError("need a text that names things, got an empty one")
    spans = noun_phrases(text)
    if not spans:
        shown = text if len(text) <= 60 else text[:57] + "..."
        raise ValueError(
            f"need a text that names things, got {shown!r}, in which no noun phrase was found; "
            + advice
        )
    return spans


def check_phrases(text: str, phrases: Sequence[Span]) -> list[Span]:
    """Return phrases that a caller gave, in order.

    Raises:
        ValueError: If there is none, or one is empty or outside the text.
    """
    wrong = [span for span in phrases if not is_span(span, text)]
    if wrong or not phrases:
        raise ValueError(
            f"need phrases [begin, end) within the {len(text)} characters of the text, got "
            f"{wrong[0] if wrong else 'none'}"
        )
    return sorted((int(begin), int(end)) for begin, end in phrases)


def marked_phrases(text: str, phrases: Sequence[str]) -> list[Span]:
    """Return the characters [begin, end) of every place where one of some phrases stands, in order.

    A phrase stands where its letters do, large or small, and no letter or digit of English
    continues it: "cup" is not in "cupboard".

    Raises:
        ValueError: If a phrase is empty or stands nowhere.
    """
    spans: set[Span] = set()
    for phrase in phrases:
        wanted = phrase.strip()
        whole = rf"(?<![A-Za-z0-9_]){re.escape(wanted)}(?![A-Za-z0-9_])"
        found = [m.span() for m in re.finditer(whole, text, re.IGNORECASE)] if wanted else []
        if not found:
            raise ValueError(f"need phrases that stand in the text {text!r}, got {phrase!r}")
        spans.update(found)
    return sorted(spans)
