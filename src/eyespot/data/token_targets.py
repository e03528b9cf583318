"""From spans of characters to rows of tokens: what a grounding network is trained with.

Shapes: B captions, K tokens, N boxes of an image, T token columns, "total" boxes of all images one
after the other.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from eyespot.data.tokens import TokenBatch, Tokenizer
from eyespot.ops.spans import Span, positive_rows


class TokenTargets(NamedTuple):
    """Captions as tokens, and which of them name each box.

    Attributes:
        tokens: The captions.
        positive_map: One row a box that is kept.
        keep: Which boxes are: those that still have a phrase, and those that never had one.
        num_boxes: How many each image keeps.
        dropped: Phrases that lie beyond the longest caption, as (caption, phrase).
    """

    tokens: TokenBatch
    positive_map: Bool[Tensor, "kept t"]
    keep: Bool[Tensor, "total"]
    num_boxes: tuple[int, ...]
    dropped: tuple[tuple[str, str], ...]


def token_targets(
    captions: Sequence[str],
    spans: Sequence[Sequence[Sequence[Span]]],
    tokenizer: Tokenizer,
    width: int,
) -> TokenTargets:
    """Tokenize captions and their boxes' spans.

    A box whose every phrase is beyond the longest caption cannot be named, so it is left out and
    its phrases are reported.

    Args:
        captions: Of each image.
        spans: For each image, for each of its boxes, the characters [begin, end) that name it.
        tokenizer: Of the network.
        width: Columns T of the token rows.
    """
    encoded = [
        tokenizer.encode(caption, [(b, e) for box in boxes for b, e in box])
        for caption, boxes in zip(captions, spans, strict=True)
    ]
    keep: list[bool] = []
    rows, counts = [], []
    dropped: list[tuple[str, str]] = []
    for caption, tokens, boxes in zip(captions, encoded, spans, strict=True):
        gone = set(tokens.dropped)
        kept = [not box or any((b, e) not in gone for b, e in box) for box in boxes]
        named = [box for box, has_phrase in zip(boxes, kept, strict=True) if has_phrase]
        rows.append(positive_rows(named, tokens.offsets, width))
        keep += kept
        counts.append(len(named))
        dropped += [(caption, caption[b:e]) for b, e in sorted(gone)]
    return TokenTargets(
        tokenizer.pad(encoded),
        torch.cat(rows),
        torch.tensor(keep, dtype=torch.bool),
        tuple(counts),
        tuple(dropped),
    )
