import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from eyespot.data.draws import Draws
from eyespot.data.geometry import (
    Box,
    center_crop,
    cut,
    draw_crop,
    draw_log_crop,
    flip,
    pad_crop,
    resize,
    resize_short_side,
    resized_crop,
    scale_box,
    short_side_crop,
)
from tests.data.pictures import noise_picture, smooth_picture

SIDES = st.integers(1, 400)


def inside(box: Box, height: int, width: int) -> bool:
    return (
        min(box.height, box.width) > 0
        and 0 <= box.top <= height - box.height
        and 0 <= box.left <= width - box.width
    )


@given(seed=st.integers(0, 1 << 30), height=SIDES, width=SIDES)
def test_crops_lie_inside(seed, height, width):
    box = draw_crop(Draws(seed, 0, 0), height, width)
    assert box is None or inside(box, height, width)
    assert inside(draw_log_crop(Draws(seed, 0, 0), height, width, area=(0.05, 0.14)), height, width)


def crops_of(draw, count=6000, side=2000, **ranges):
    boxes = [draw(Draws(5, 0, index), side, side, **ranges) for index in range(count)]
    return np.array([box for box in boxes if box is not None], float)


def test_area_and_aspect_are_uniform_and_sides_are_swapped():
    # With areas this small every first try fits, so what is drawn is what comes out.
    boxes = crops_of(draw_crop, area=(0.1, 0.5))
    assert len(boxes) == 6000
    _, _, height, width = boxes.T
    assert stats.kstest(height * width / 4e6, stats.uniform(0.1, 0.4).cdf).pvalue > 1e-3

    def aspect_cdf(ratio):
        """Half the time the ratio is uniform in [3/4, 4/3], else its inverse is."""
        span = 4 / 3 - 3 / 4
        return ((ratio - 3 / 4) + (4 / 3 - 1 / ratio)) / (2 * span)

    assert stats.kstest(width / height, aspect_cdf).pvalue > 1e-3


def test_log_aspect_is_uniform():
    _, _, height, width = crops_of(draw_log_crop, area=(0.1, 0.5)).T
    logs = np.log(width / height)
    low = math.log(3 / 4)
    assert stats.kstest(logs, stats.uniform(low, -2 * low).cdf).pvalue > 1e-3


@pytest.mark.parametrize("draw", [draw_crop, draw_log_crop])
def test_places_are_uniform_up_to_the_far_edge(draw):
    boxes = crops_of(draw, side=300, area=(0.2, 0.2), aspect=(1.0, 1.0))
    top, left, height, _ = boxes.T.astype(int)
    assert (height == round(math.sqrt(18_000))).all()
    last = 300 - height[0]
    for offsets in (top, left):
        assert (offsets.min(), offsets.max()) == (0, last)
        assert stats.chisquare(np.bincount(offsets, minlength=last + 1)).pvalue > 1e-3


def test_ten_tries_then_none():
    # Of a 1 x 1000 strip an area of at least 0.08 is 80 pixels, 7 or more high: nothing fits.
    draws = Draws(0, 0, 0)
    assert draw_crop(draws, 1, 1000) is None
    fresh = Draws(0, 0, 0)
    for _ in range(30):  # ten tries of area, aspect and swap, and no placing
        fresh.bits()
    assert draws.bits() == fresh.bits()


def test_a_strip_falls_back_to_the_widest_allowed_crop():
    assert draw_log_crop(Draws(0, 0, 0), 60, 1000, area=(0.9, 1.0)) == Box(0, 460, 60, 80)
    assert draw_log_crop(Draws(0, 0, 0), 1000, 60, area=(0.9, 1.0)) == Box(460, 0, 80, 60)


@given(height=SIDES, width=SIDES, new_height=st.integers(1, 200), new_width=st.integers(1, 200))
@settings(max_examples=60)
def test_resize_is_pils_exact_filter_rounded(height, width, new_height, new_width):
    """PIL in float32 says what is exact; its own 8 bits are rounded after each of two passes."""
    image = noise_picture(height, width)
    exact = np.stack(
        [
            Image.fromarray(image[..., channel].astype(np.float32)).resize(
                (new_width, new_height), Image.Resampling.BILINEAR
            )
            for channel in range(3)
        ],
        axis=-1,
    )
    assert np.abs(resize(image, new_height, new_width) - exact).max() <= 1.01


@given(height=SIDES, width=SIDES, new_height=st.integers(1, 200), new_width=st.integers(1, 200))
@settings(max_examples=60)
def test_bicubic_resize_is_pils_exact_filter_rounded(height, width, new_height, new_width):
    """As the bilinear one; of greys whose overshoot nothing cuts off, and which it carries on.

    A level of rounding is half, times 1.25 for the absolute weights of the second pass, and half.
    """
    image = 96 + noise_picture(height, width) // 4
    exact = np.stack(
        [
            Image.fromarray(image[..., channel].astype(np.float32)).resize(
                (new_width, new_height), Image.Resampling.BICUBIC
            )
            for channel in range(3)
        ],
        axis=-1,
    )
    assert np.abs(resize(image, new_height, new_width, filter="bicubic") - exact).max() <= 1.15


def test_crops_and_test_views_are_pils_bicubic():
    image = noise_picture(300, 320)
    crop = Image.fromarray(image).crop((20, 10, 210, 160))
    got = resized_crop(image, Box(10, 20, 150, 190), 384, filter="bicubic")
    expected = np.asarray(crop.resize((384, 384), Image.Resampling.BICUBIC))
    assert (got != expected).mean() < 0.02
    assert (resized_crop(image, Box(10, 20, 150, 190), 384) != expected).mean() > 0.5
    small = np.asarray(Image.fromarray(image).resize((102, 96), Image.Resampling.BICUBIC))
    middle = short_side_crop(image, resize_to=96, crop=96, filter="bicubic")
    assert (middle != small[:, 3:99]).mean() < 0.02


def test_resize_of_a_usual_crop_equals_pil_nearly_everywhere():
    image = noise_picture(300, 320)
    expected = np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.BILINEAR))
    assert (resize(image, 224, 224) != expected).mean() < 0.01


def test_resize_of_a_cut_is_that_of_its_copy():
    image = noise_picture(100, 90)
    box = Box(3, 5, 61, 47)
    whole = np.ascontiguousarray(cut(image, box))
    small = resize(cut(image, box), 30, 31)
    np.testing.assert_array_equal(small, resize(whole, 30, 31))
    assert small.flags.c_contiguous


def test_without_antialias_four_neighbours_are_read():
    image = noise_picture(101, 64)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(image).permute(2, 0, 1)[None].double(), (33, 20), mode="bilinear"
    )[0].permute(1, 2, 0)
    got = resize(image, 33, 20, antialias=False)
    assert np.abs(got - expected.numpy()).max() <= 1


@pytest.mark.parametrize(
    ("height", "width", "size", "expected"),
    [
        (375, 500, 256, (256, 341)),
        (500, 375, 256, (341, 256)),
        (64, 64, 64, (64, 64)),
        (7, 99, 5, (5, 70)),
    ],
)
def test_the_short_side_gets_the_size(height, width, size, expected):
    assert resize_short_side(smooth_picture(height, width), size).shape[:2] == expected


@pytest.mark.parametrize(("side", "offset"), [(256, 16), (257, 17), (224, 0), (225, 1)])
def test_centre_crop_rounds_half_the_margin_up(side, offset):
    rows = np.arange(side, dtype=np.uint8)
    image = np.broadcast_to(rows[:, None, None], (side, 224, 3))
    crop = center_crop(image, 224)
    assert crop.shape == (224, 224, 3)
    assert crop[0, 0, 0] == rows[offset]
    assert crop[-1, 0, 0] == rows[offset + 223]


def test_a_picture_smaller_than_the_crop_is_refused():
    with pytest.raises(ValueError, match="at least 224x224, got 200x300"):
        center_crop(noise_picture(200, 300), 224)


def test_no_crop_means_the_middle_of_the_resized_picture():
    image = smooth_picture(40, 100)
    view = resized_crop(image, None, 20)
    np.testing.assert_array_equal(view, short_side_crop(image, resize_to=20, crop=20))
    np.testing.assert_array_equal(view, resize(image, 20, 50)[:, 15:35])
    np.testing.assert_array_equal(
        resized_crop(image, Box(1, 2, 30, 31), 16), resize(image[1:31, 2:33], 16, 16)
    )


def test_flip_mirrors_left_and_right():
    image = noise_picture(7, 9)
    np.testing.assert_array_equal(flip(image), image[:, ::-1])


@pytest.mark.parametrize(("top", "left"), [(0, 0), (4, 4), (7, 3)])
def test_pad_crop_moves_the_picture(top, left):
    image = noise_picture(32, 32)
    got = pad_crop(image, pad=4, top=top, left=left)
    expected = np.zeros_like(image)
    for y in range(32):
        for x in range(32):
            if 0 <= y + top - 4 < 32 and 0 <= x + left - 4 < 32:
                expected[y, x] = image[y + top - 4, x + left - 4]
    np.testing.assert_array_equal(got, expected)


def test_of_a_line_of_pixels_only_the_middle_is_resized():
    line = np.random.default_rng(0).integers(0, 256, (1, 3001, 3), dtype=np.uint8)
    view = short_side_crop(line, resize_to=8, crop=8)
    np.testing.assert_array_equal(view, short_side_crop(line[:, 1450:1550], resize_to=8, crop=8))
    turned = short_side_crop(line.transpose(1, 0, 2), resize_to=8, crop=8)
    np.testing.assert_allclose(turned.transpose(1, 0, 2), view.astype(int), atol=1)


@settings(deadline=None)
@given(SIDES, SIDES, st.sampled_from([1, 2, 8 / 3, 4, 8]), st.integers(0, 10**6))
def test_a_scaled_crop_stays_inside_and_near(height, width, shrink, index):
    small = math.ceil(height / shrink), math.ceil(width / shrink)
    box = draw_log_crop(Draws(0, 0, index), height, width, area=(0.05, 1.0))
    scaled = scale_box(box, (height, width), small)
    assert inside(scaled, *small)
    for edge, wanted, ours, theirs in (
        (scaled.top, box.top, small[0], height),
        (scaled.top + scaled.height, box.top + box.height, small[0], height),
        (scaled.left, box.left, small[1], width),
        (scaled.left + scaled.width, box.left + box.width, small[1], width),
    ):
        assert abs(edge - wanted * ours / theirs) <= 1.0  # half a pixel, or the one that it keeps
