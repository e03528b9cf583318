"""Drawings: boxes where they belong, in the colours of their words."""

import numpy as np
import pytest
from PIL import ImageColor

from eyespot.report.drawings import PALETTE, DrawnPhrase, draw_phrases

TEXT = "a cup and a star"


def phrase(span, *boxes):
    return DrawnPhrase(span, np.array(boxes, float).reshape(-1, 4), np.full(len(boxes), 0.5))


def colours_in(image, box):
    pixels = np.asarray(image.crop(box)).reshape(-1, 3)
    return {tuple(int(v) for v in p) for p in np.unique(pixels, axis=0)}


def test_each_phrase_has_its_colour_in_picture_and_text():
    pixels = np.full((60, 60, 3), 128, np.uint8)
    phrases = [phrase((0, 5), (5, 5, 20, 25)), phrase((10, 16), (30, 30, 50, 50))]
    drawn = draw_phrases(pixels, TEXT, phrases)
    scale = 8
    assert drawn.width == 60 * scale
    first, second = (ImageColor.getrgb(c) for c in PALETTE[:2])
    left_edge = (5 * scale, 10 * scale, 5 * scale + 2, 20 * scale)
    assert colours_in(drawn, left_edge) == {first}
    inside = (35 * scale, 35 * scale, 45 * scale, 45 * scale)
    assert colours_in(drawn, inside) == {(128, 128, 128)}
    below = colours_in(drawn, (0, 60 * scale, drawn.width, drawn.height))
    assert {first, second, (255, 255, 255)} <= below


def test_large_pictures_become_smaller_and_long_texts_wrap():
    pixels = np.zeros((1000, 3200, 3), np.uint8)
    drawn = draw_phrases(pixels, "a cup " * 100, [])
    assert drawn.width == 1600
    assert drawn.height > 500 + 3 * 24


@pytest.mark.parametrize("hw", [(1, 1), (1, 4000), (4000, 1)])
@pytest.mark.parametrize("text", [TEXT, "x", "a\n\ncup and a star"])
def test_odd_pictures_and_texts(hw, text):
    box = phrase((0, 5), (-5.0, -5.0, 9999.0, 9999.0), (0.0, 0.0, 0.0, 0.0))
    drawn = draw_phrases(np.zeros((*hw, 3), np.uint8), text, [box])
    assert drawn.height > drawn.width * 0 + 24


def test_masks_are_tinted():
    pixels = np.full((60, 60, 3), 100, np.uint8)
    mask = np.zeros((1, 60, 60), bool)
    mask[0, 40:, 40:] = True
    drawn = draw_phrases(pixels, TEXT, [phrase((0, 5), (1, 1, 9, 9))._replace(masks=mask)])
    red, green, blue = ImageColor.getrgb(PALETTE[0])
    half = tuple((v + 100) // 2 for v in (red, green, blue))
    assert colours_in(drawn, (400, 400, 470, 470)) == {half}
    assert colours_in(drawn, (200, 200, 300, 300)) == {(100, 100, 100)}
