"""Captions and their spans: tidy spans, join the captions of one image, swap left and right.

A span is [begin, end) in characters of a caption.
Paper: MDETR (arXiv 2104.12763), section 3 ("data combination").
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from eyespot.ops.boxes import box_iou

Span = tuple[int, int]

MAX_CHARACTERS = 250
"""Longest joined caption, so that its tokens fit the 256 columns of the token map."""

_SWAPPED = {"left": "right", "right": "left"}
_LEFT_OR_RIGHT = re.compile(r"\b(?:left|right)(?=(?:most|ward|wards|hand)?\b)")


class CaptionedBoxes(NamedTuple):
    """A caption of an image with its boxes; row i of `boxes_xyxy_px` is named by `spans[i]`."""

    caption: str
    boxes_xyxy_px: Float[Tensor, "n 4"]
    spans: list[list[Span]]


class JoinedCaption(NamedTuple):
    """Captions of one image joined to one text."""

    captioned: CaptionedBoxes
    sentences: list[Span]  # characters of each joined caption; the "tokens_negative" of files
    members: list[int]  # which of the captions, in the order they are joined


def consolidate_spans(spans: Iterable[Sequence[int]], caption: str) -> list[Span]:
    """Merge overlapping spans, trim them to letters and digits, complete hyphenated words.

    Applied twice, as published: completing a word may make spans overlap. Spans without a
    letter or digit vanish, and "self" of "self- portrait" ends behind the space.
    """
    tidy = [(s[0], s[1]) for s in spans]
    for _ in range(2):
        tidy = [_to_words(span, caption) for span in _merge_overlaps(tidy)]
        tidy = [(begin, end) for begin, end in tidy if begin < end]
    return tidy


def combine_captions(
    captions: Sequence[CaptionedBoxes],
    *,
    max_characters: int = MAX_CHARACTERS,
    max_iou: float = 0.5,
) -> list[JoinedCaption]:
    """Join the captions of one image so that no joined text names the same box twice.

    A graph colouring: captions conflict if any of their boxes overlap by IoU > `max_iou`.
    They are visited by falling number of conflicts (the last of equals first), and each joins
    the first text where it has no conflict and enough room. Each gets a full stop unless it
    ends in one or in a question mark; they are joined by spaces, their spans moved along.

    Args:
        captions: All captions of the image, boxes in its pixels.
        max_characters: Room of a text: the lengths of its captions plus 2 for the new one.
        max_iou: Overlap up to which two boxes may stand in one text.
    """
    conflicts = _conflicts(captions, max_iou)
    order = sorted(range(len(captions)), key=lambda i: (len(conflicts[i]), i), reverse=True)
    texts: list[list[int]] = []
    for i in order:
        for text in texts:
            length = sum(len(captions[j].caption) for j in text) + len(captions[i].caption) + 2
            if length <= max_characters and not conflicts[i].intersection(text):
                text.append(i)
                break
        else:
            texts.append([i])
    return [_join(captions, text) for text in texts]


def swap_left_right(caption: str, spans: Sequence[Sequence[Span]]) -> tuple[str, list[list[Span]]]:
    """Swap the words left and right, for a mirrored image, and move the spans along.

    Also in leftmost, leftward and lefthand. The published code swaps the letters anywhere, which
    makes "bleft" of "bright".
    """
    matches = list(_LEFT_OR_RIGHT.finditer(caption))
    swapped = _LEFT_OR_RIGHT.sub(lambda match: _SWAPPED[match[0]], caption)

    def move(char: int, *, is_end: bool) -> int:
        grown = 0
        for match in matches:
            if match.end() <= char or (is_end and match.start() < char):
                grown += len(_SWAPPED[match[0]]) - len(match[0])
        return char + grown

    moved = [[(move(b, is_end=False), move(e, is_end=True)) for b, e in box] for box in spans]
    return swapped, moved


def _merge_overlaps(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for begin, end in sorted(spans):
        if merged and begin < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _to_words(span: Span, caption: str) -> Span:
    """Trim to letters and digits; where a hyphen touches, go on to the space beyond it.

    As published: the space after a hyphenated word is taken in too, to be trimmed the next time,
    and a hyphen that nothing follows counts like any other. An empty span has begin >= end.
    """
    begin, end = span[0], min(span[1], len(caption))
    while begin < len(caption) and not caption[begin].isalnum():
        begin += 1
    while end > 0 and not caption[end - 1].isalnum():
        end -= 1
    if caption[end : end + 1] == "-":
        end = caption.find(" ", end) + 1 or len(caption)
    if begin > 0 and caption[begin - 1 : begin] == "-":
        begin = caption.rfind(" ", 0, begin) + 1
    return begin, end


def _conflicts(captions: Sequence[CaptionedBoxes], max_iou: float) -> list[set[int]]:
    """For each caption, the others with a box that overlaps one of its own too much."""
    boxes = [c.boxes_xyxy_px for c in captions if len(c.boxes_xyxy_px)]
    owner = [i for i, c in enumerate(captions) for _ in c.boxes_xyxy_px]
    conflicts: list[set[int]] = [set() for _ in captions]
    if boxes:
        everything = torch.cat(boxes)
        for row, column in (box_iou(everything, everything) > max_iou).nonzero().tolist():
            if owner[row] != owner[column]:
                conflicts[owner[row]].add(owner[column])
    return conflicts


def _join(captions: Sequence[CaptionedBoxes], members: list[int]) -> JoinedCaption:
    text, sentences = "", []
    spans: list[list[Span]] = []
    for caption, _, caption_spans in (captions[i] for i in members):
        start = len(text) + 1 if text else 0
        stop = "" if caption.endswith((".", "?")) else "."
        text += (" " if text else "") + caption + stop
        moved = [[(start + b, start + e) for b, e in box] for box in caption_spans]
        spans += [consolidate_spans(box, text) for box in moved]
        sentences += consolidate_spans([(start, start + len(caption))], text)
    boxes = torch.cat([captions[i].boxes_xyxy_px for i in members])
    return JoinedCaption(CaptionedBoxes(text, boxes, spans), sentences, members)
