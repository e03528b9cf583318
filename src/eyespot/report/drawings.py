"""Pictures with boxes on them, and the text below in the boxes' colours."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageColor, ImageDraw, ImageFont

PALETTE = (
    *("#e6194b", "#0082c8", "#2a9d3a", "#f58231", "#911eb4", "#008080", "#d6249f", "#8a5a00"),
    *("#4363d8", "#c0392b", "#5b8c00", "#6a5acd"),
)
"""Colours of phrases, in turn; each reads on white."""

_LEAST_SIDE = 480
_MOST_SIDE = 1600
_MARGIN = 10
_DIM = 0.25  # of a pixel's light, where no attention goes


class DrawnPhrase(NamedTuple):
    """A phrase of a text and its boxes."""

    span: tuple[int, int]
    boxes_xyxy_px: Float[np.ndarray, "n 4"]
    scores: Float[np.ndarray, " n"]
    masks: Bool[np.ndarray, "n h w"] | None = None


def draw_phrases(
    pixels: UInt8[np.ndarray, "h w 3"], text: str, phrases: Sequence[DrawnPhrase]
) -> Image.Image:
    """Draw each phrase's boxes in a colour of its own, and the text below in these colours.

    Small pictures are enlarged by a whole factor, large ones made smaller, so that lines and
    letters can be read.

    Args:
        pixels: The picture.
        text: What was looked for.
        phrases: Its phrases, in order.
    """
    scale = _scale(*pixels.shape[:2])
    picture = Image.fromarray(_tinted(pixels, phrases))
    how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BILINEAR
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, how)
    font = ImageFont.load_default(size=16)
    draw = ImageDraw.Draw(picture)
    for place, phrase in enumerate(phrases):
        colour = PALETTE[place % len(PALETTE)]
        for box, score in zip(phrase.boxes_xyxy_px, phrase.scores, strict=True):
            _draw_box(draw, [float(side) * scale for side in box], colour, size)
            _draw_label(draw, box * scale, f"{score:.2f}", colour, font, size)
    return _with_text(picture, text, phrases, font)


def draw_attention(
    pixels: UInt8[np.ndarray, "h w 3"],
    text: str,
    phrases: Sequence[DrawnPhrase],
    cells: Sequence[Float[np.ndarray, "rows columns"]],
) -> Image.Image:
    """Draw the picture once for each phrase, bright where attention goes, two in a row.

    Args:
        pixels: The picture.
        text: What was looked for.
        phrases: Its phrases, in order.
        cells: For each, its attention to each cell of a grid over the picture.
    """
    panels = []
    for place, (phrase, shares) in enumerate(zip(phrases, cells, strict=True)):
        light = shares / max(float(shares.max()), 1e-12)
        size = (pixels.shape[1], pixels.shape[0])
        smooth = Image.fromarray(light.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
        lit = pixels * (_DIM + (1 - _DIM) * np.asarray(smooth)[..., None])
        others = [DrawnPhrase((0, 0), np.zeros((0, 4)), np.zeros(0))] * place  # for its colour
        panels.append(draw_phrases(lit.astype(np.uint8), text, [*others, phrase]))
    width, height = max(p.width for p in panels), max(p.height for p in panels)
    columns = min(2, len(panels))
    page = Image.new("RGB", (width * columns, height * -(-len(panels) // columns)), "white")
    for place, panel in enumerate(panels):
        page.paste(panel, (place % columns * width, place // columns * height))
    return page


def _tinted(
    pixels: UInt8[np.ndarray, "h w 3"], phrases: Sequence[DrawnPhrase]
) -> UInt8[np.ndarray, "h w 3"]:
    """Mix each phrase's colour into the pixels of its masks, half and half."""
    tinted = pixels.astype(np.float32)
    for place, phrase in enumerate(phrases):
        if phrase.masks is not None and len(phrase.masks):
            inside = phrase.masks.any(axis=0)
            colour = ImageColor.getrgb(PALETTE[place % len(PALETTE)])
            tinted[inside] = (tinted[inside] + np.array(colour, np.float32)) / 2
    return tinted.astype(np.uint8)


def _scale(height: int, width: int) -> float:
    if max(height, width) < _LEAST_SIDE:
        return float(max(1, round(_LEAST_SIDE / max(height, width))))
    return min(1.0, _MOST_SIDE / max(height, width))


def _draw_box(
    draw: ImageDraw.ImageDraw, box: Sequence[float], colour: str, size: tuple[int, int]
) -> None:
    left, top = max(0.0, box[0]), max(0.0, box[1])
    right, bottom = min(box[2], size[0] - 1), min(box[3], size[1] - 1)
    if right >= left and bottom >= top:
        draw.rectangle((left, top, right, bottom), outline=colour, width=3)


def _draw_label(
    draw: ImageDraw.ImageDraw,
    box: Float[np.ndarray, "4"],
    label: str,
    colour: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    size: tuple[int, int],
) -> None:
    """Write a score on a plate of the box's colour, above the box or inside it."""
    width, height = draw.textlength(label, font) + 6, 20
    left = min(max(0.0, float(box[0])), max(0.0, size[0] - width))
    top = float(box[1]) - height if box[1] >= height else max(0.0, float(box[1]))
    draw.rectangle((left, top, left + width, top + height), fill=colour)
    draw.text((left + 3, top + 1), label, fill="white", font=font)


def _with_text(
    picture: Image.Image,
    text: str,
    phrases: Sequence[DrawnPhrase],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> Image.Image:
    """Put the text below the picture, wrapped; phrases without a box are struck through."""
    width = max(picture.width, _LEAST_SIDE)
    measure = ImageDraw.Draw(picture)
    placed, x, y = [], float(_MARGIN), float(_MARGIN)
    cuts = {edge for phrase in phrases for edge in phrase.span}
    for begin, end in _pieces(text, cuts):
        length = measure.textlength(text[begin:end], font)
        if x + length > width - _MARGIN and x > _MARGIN:
            x, y = float(_MARGIN), y + 24
        placed.append((begin, end, x, y, length))
        x += length
    page = Image.new("RGB", (width, picture.height + round(y) + 24 + _MARGIN), "white")
    page.paste(picture, (0, 0))
    draw = ImageDraw.Draw(page)
    for begin, end, x, y, length in placed:
        mine = [i for i, p in enumerate(phrases) if p.span[0] <= begin < p.span[1]]
        colour = PALETTE[mine[0] % len(PALETTE)] if mine else "#333333"
        top = picture.height + y
        draw.text((x, top), text[begin:end], fill=colour, font=font)
        if mine and text[begin:end].strip():
            found = len(phrases[mine[0]].scores) > 0
            line = top + (20 if found else 11)
            draw.line((x, line, x + length, line), fill=colour, width=2)
    return page


def _pieces(text: str, cuts: set[int]) -> list[tuple[int, int]]:
    """Words and the spaces between them, as characters of the text, cut at phrases' ends too."""
    pieces: list[tuple[int, int]] = []
    begin = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or end in cuts or text[end].isspace() != text[begin].isspace():
            pieces.append((begin, end))
            begin = end
    return [(b, e) for b, e in pieces if "\n" not in text[b:e]]
