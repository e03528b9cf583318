"""Texts and phrases as callers give them, checked before anything is computed."""

from collections.abc import Sequence
from typing import Any

import numpy as np


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
