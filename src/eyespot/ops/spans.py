"""Character spans to token rows, and token choices back to character spans.

A span is [begin, end) in characters of a caption. `offsets` are the [begin, end) characters of
each token as a fast tokenizer reports them; a token without characters (special, padding, a
lone space) has begin = end. Whitespace belongs to no token.

Shapes: N boxes of an image, T width of a token row (256 in the published models, the last
column being "no object").
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

Span = tuple[int, int]
NO_TOKEN = -1


def char_to_token(offsets: Sequence[Sequence[int]]) -> np.ndarray:
    """Return the token of every character, `NO_TOKEN` for characters of none.

    Where tokens share a character (the bytes of an emoji), the first of them has it.
    """
    length = max((end for _, end in offsets), default=0)
    token_of = np.full(length, NO_TOKEN, dtype=np.int64)
    for token in reversed(range(len(offsets))):
        begin, end = offsets[token]
        token_of[begin:end] = token
    return token_of


def span_to_tokens(span: Sequence[int], token_of: np.ndarray) -> tuple[int, int] | None:
    """Return the first and last token of a span, or None if it has none.

    The published rule (MDETR): a span that begins on a character of no token is tried one,
    then two characters later; one that ends on such a character, one, then two earlier.

    Args:
        span: Characters [begin, end).
        token_of: From `char_to_token`.
    """
    begin, end = span
    first = _first_token(token_of, (begin, begin + 1, begin + 2))
    last = _first_token(token_of, (end - 1, end - 2, end - 3))
    return None if NO_TOKEN in (first, last) else (first, last)


def positive_rows(
    spans: Sequence[Sequence[Sequence[int]]],
    offsets: Sequence[Sequence[int]],
    width: int = 256,
) -> Bool[Tensor, "n t"]:
    """Return which tokens each box of one caption is named by.

    A row is all False when the box has no span or no span has a token. Tokens at `width` and
    beyond have no column: a caption that long cannot be aligned there.

    Args:
        spans: For each box, its character spans.
        offsets: Characters of each token of the caption.
        width: Number of columns T.
    """
    token_of = char_to_token(offsets)
    rows = np.zeros((len(spans), width), dtype=bool)
    for row, box_spans in zip(rows, spans, strict=True):
        for span in box_spans:
            tokens = span_to_tokens(span, token_of)
            if tokens is not None:
                row[tokens[0] : tokens[1] + 1] = True
    return torch.from_numpy(rows)


def positive_map(
    spans: Sequence[Sequence[Sequence[Sequence[int]]]],
    offsets: Sequence[Sequence[Sequence[int]]],
    width: int = 256,
) -> Bool[Tensor, "total t"]:
    """Stack the token rows of all boxes of a batch: the map the published models trained with.

    The paper describes rows that sum to one; in the published code batching makes every
    positive token exactly 1. `normalize_rows` gives the paper's form.

    Args:
        spans: For each image, for each of its boxes, its character spans.
        offsets: For each image, the characters of each token of its caption.
        width: Number of columns T.
    """
    rows = [positive_rows(s, o, width) for s, o in zip(spans, offsets, strict=True)]
    return torch.cat(rows) if rows else torch.zeros(0, width, dtype=torch.bool)


def normalize_rows(
    rows: Bool[Tensor, "n t"], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "n t"]:
    """Spread each box evenly over its tokens, as the paper describes (section 2.2.2).

    Each row is divided by its sum plus 1e-6 (the published constant); empty rows stay zero.
    """
    weights = rows.to(dtype)
    return weights / (weights.sum(dim=-1, keepdim=True) + 1e-6)


def rows_to_spans(rows: Bool[Tensor, "n t"], offsets: Sequence[Sequence[int]]) -> list[list[Span]]:
    """Return the character spans of the chosen tokens of each row, in caption order.

    Neighbouring chosen tokens make one span, the space between them included. Columns without
    a token (beyond the caption, "no object") are ignored.

    Args:
        rows: Chosen tokens, for example token probability > 0.1.
        offsets: Characters of each token of the caption.
    """
    columns = [t for t, (begin, end) in enumerate(offsets[: rows.shape[1]]) if end > begin]
    chosen = rows.cpu().numpy()[:, columns]
    limits = [offsets[t] for t in columns]
    return [_join_neighbours(limits, np.flatnonzero(row).tolist()) for row in chosen]


def snap_to_words(spans: Iterable[Sequence[int]], caption: str) -> list[Span]:
    """Grow spans to whole words and merge those that then touch.

    A word is a run of letters and digits, with single apostrophes, hyphens or underscores
    inside, so that a span over one piece of a word never shows a garbled phrase.
    """
    grown: list[Span] = []
    for begin, end in sorted((s[0], s[1]) for s in spans):
        while 0 < begin < len(caption) and _same_word(caption, begin - 1, begin):
            begin -= 1
        while 0 < end < len(caption) and _same_word(caption, end - 1, end):
            end += 1
        if grown and begin <= grown[-1][1]:
            grown[-1] = (grown[-1][0], max(end, grown[-1][1]))
        else:
            grown.append((begin, end))
    return grown


def _first_token(token_of: np.ndarray, chars: Iterable[int]) -> int:
    for char in chars:
        if 0 <= char < len(token_of) and token_of[char] != NO_TOKEN:
            return int(token_of[char])
    return NO_TOKEN


def _join_neighbours(limits: Sequence[Sequence[int]], chosen: Iterable[int]) -> list[Span]:
    spans: list[Span] = []
    previous = None
    for token in chosen:
        begin, end = limits[token]
        if previous is not None and token == previous + 1:
            begin = spans.pop()[0]
        spans.append((begin, end))
        previous = token
    return spans


def _same_word(caption: str, left: int, right: int) -> bool:
    return _in_word(caption, left) and _in_word(caption, right)


def _in_word(caption: str, char: int) -> bool:
    if caption[char] in "'’-_":
        return caption[char - 1 : char].isalnum() and caption[char + 1 : char + 2].isalnum()
    return caption[char].isalnum()
