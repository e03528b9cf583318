import colorsys
from collections import Counter

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image, ImageEnhance, ImageFilter
from scipy import ndimage, stats

from eyespot.data.distort import (
    Distortion,
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    blur,
    distort,
    draw_distortion,
    to_grey,
)
from eyespot.data.draws import Draws
from eyespot.data.policies import Op
from tests.data.pictures import noise_picture, smooth_picture

ENHANCE = [
    (adjust_brightness, ImageEnhance.Brightness),
    (adjust_contrast, ImageEnhance.Contrast),
    (adjust_saturation, ImageEnhance.Color),
]


@pytest.mark.parametrize(("function", "oracle"), ENHANCE, ids=["brightness", "contrast", "color"])
@given(factor=st.floats(0.0, 1.8), seed=st.integers(0, 99), smooth=st.booleans())
@settings(max_examples=60)
def test_jitter_equals_pil_to_a_level_or_two(function, oracle, factor, seed, smooth):
    picture = (smooth_picture if smooth else noise_picture)(31, 37, seed)
    expected = np.asarray(oracle(Image.fromarray(picture)).enhance(factor)).astype(int)
    limit = 2 if function is adjust_saturation else 1
    assert np.abs(function(picture, factor) - expected).max() <= limit


@pytest.mark.parametrize(("function", "oracle"), ENHANCE, ids=["brightness", "contrast", "color"])
def test_jitter_equals_pil_nearly_everywhere(function, oracle):
    picture = noise_picture(224, 224)
    for factor in (0.2, 0.77, 1.0, 1.37, 1.8):
        expected = np.asarray(oracle(Image.fromarray(picture)).enhance(factor))
        assert (function(picture, factor) != expected).mean() < 0.002


def test_grey_equals_pil_nearly_everywhere():
    picture = noise_picture(300, 300)
    expected = np.asarray(Image.fromarray(picture).convert("L"))[..., None].astype(int)
    difference = np.abs(to_grey(picture) - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.002


def turned(picture: np.ndarray, turn: float) -> np.ndarray:
    """The hue turned in float64, colour by colour."""
    rows = []
    for red, green, blue in picture.reshape(-1, 3) / 255:
        hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
        rows.append(colorsys.hsv_to_rgb((hue + turn) % 1.0, saturation, value))
    return np.array(rows).reshape(picture.shape) * 255


@pytest.mark.parametrize("turn", [-0.2, -3 / 256, 0.0, 0.1, 1 / 3])
def test_hue_is_closer_to_the_exact_turn_than_pil(turn):
    picture = noise_picture(40, 40)
    exact = turned(picture, round(turn * 256) / 256)
    error = np.abs(adjust_hue(picture, turn) - exact)
    hue, saturation, value = Image.fromarray(picture).convert("HSV").split()
    shifted = Image.fromarray(np.asarray(hue) + np.uint8(round(turn * 256) % 256))
    pil = Image.merge("HSV", (shifted, saturation, value)).convert("RGB")
    pil_error = np.abs(np.asarray(pil) - exact)
    assert error.mean() <= pil_error.mean()
    # 1.5 of 256 steps, at a slope of 6 * 255 levels a turn, and a level of saturation.
    assert error.max() <= 1.5 / 256 * 6 * 255 + 1


def test_hue_leaves_grey_alone_and_goes_round():
    grey = to_grey(noise_picture(16, 16))
    np.testing.assert_array_equal(adjust_hue(grey, 0.17), grey)
    picture = noise_picture(16, 16)
    np.testing.assert_array_equal(adjust_hue(picture, 0.25), adjust_hue(picture, -0.75))


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 1.7, 2.0])
def test_blur_is_a_gaussian(sigma):
    picture = noise_picture(50, 60)
    radius = int(np.ceil(3 * sigma))
    expected = ndimage.gaussian_filter(
        picture.astype(float), (sigma, sigma, 0), mode="nearest", radius=(radius, radius, 0)
    )
    assert np.abs(blur(picture, sigma) - expected).max() <= 0.501
    # PIL approximates the Gaussian by boxes: near, not equal.
    pil = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma))).astype(int)
    assert np.abs(blur(picture, sigma) - pil).mean() < 4


def test_what_is_drawn_has_the_recipes_shares_and_ranges():
    count = 10_000
    names: Counter[str] = Counter()
    values: dict[str, list[float]] = {}
    first: Counter[str] = Counter()
    for index in range(count):
        ops = draw_distortion(Draws(0, 0, index), Distortion(solarize_probability=0.1))
        names.update(op.name for op in ops)
        if ops and len(ops) >= 4:
            first[ops[0].name] += 1
        for name, value in ops:
            values.setdefault(name, []).append(value)
    shares = {"brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.8}
    shares |= {"grey": 0.2, "blur": 0.5, "solarize": 0.1}
    for name, share in shares.items():
        assert stats.binomtest(names[name], count, share).pvalue > 1e-4, name
    assert stats.chisquare(list(first.values())).pvalue > 1e-4
    for name in ("brightness", "contrast", "saturation"):
        assert stats.kstest(values[name], stats.uniform(0.2, 1.6).cdf).pvalue > 1e-4, name
    assert stats.kstest(values["hue"], stats.uniform(-0.2, 0.4).cdf).pvalue > 1e-4
    assert stats.kstest(values["blur"], stats.uniform(0.1, 1.9).cdf).pvalue > 1e-4


def test_strong_factors_do_not_go_below_zero():
    settings = Distortion(brightness=1.5, jitter_probability=1.0)
    for index in range(300):
        for name, value in draw_distortion(Draws(0, 0, index), settings):
            assert name == "hue" or value >= 0.0


def test_grey_blur_and_solarize_come_last_and_in_this_order():
    settings = Distortion(grey_probability=1.0, blur_probability=1.0, solarize_probability=1.0)
    for index in range(20):
        ops = draw_distortion(Draws(0, 0, index), settings)
        assert [op.name for op in ops[-3:]] == ["grey", "blur", "solarize"]


def test_operations_are_applied_in_order():
    picture = noise_picture(20, 20)
    ops = [Op("brightness", 1.7), Op("contrast", 0.4), Op("grey", 0.0), Op("solarize", 128.0)]
    expected = to_grey(adjust_contrast(adjust_brightness(picture, 1.7), 0.4))
    expected = np.where(expected < 128, expected, 255 - expected)
    np.testing.assert_array_equal(distort(picture, ops), expected)
