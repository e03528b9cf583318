import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from matplotlib.path import Path
from numpy.testing import assert_allclose

from eyespot.data.scenes.outline import turned
from eyespot.data.scenes.raster import coverage
from eyespot.data.scenes.silhouettes import outlines
from eyespot.data.scenes.vocabulary import SHAPES


def cover(*contours, side=16):
    """Coverage of one layer made of the given contours."""
    start = np.concatenate(contours)
    stop = np.concatenate([np.roll(contour, -1, axis=0) for contour in contours])
    return coverage(start, stop, np.zeros(len(start), dtype=np.int64), np.array([side]))[0]


def square(left, top, right, bottom):
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=np.float64)


def area(contour):
    x, y = contour.T
    return np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2


def test_rectangle_between_pixels_covers_the_product_of_its_shares():
    shares_x = np.zeros(16)
    shares_x[2:6] = (0.75, 1, 1, 0.5)
    shares_y = np.zeros(16)
    shares_y[3:5] = (0.4, 0.9)
    covered = cover(square(2.25, 3.6, 5.5, 4.9))
    assert_allclose(covered, np.outer(shares_y, shares_x), atol=1e-6)


def test_triangle_halves_the_pixels_on_its_diagonal():
    covered = cover(np.array([(0.0, 0.0), (4.0, 0.0), (0.0, 4.0)]), side=4)
    expected = np.triu(np.ones((4, 4)), 1)[:, ::-1] + 0.5 * np.eye(4)[:, ::-1]
    assert_allclose(covered, expected, atol=1e-6)


@given(
    points=st.lists(
        st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=3, max_size=12, unique=True
    ),
    scale=st.floats(0.5, 7.5),
)
def test_covered_area_is_the_polygon_area(points, scale):
    x, y = np.array(points).T
    order = np.argsort(np.arctan2(y - y.mean(), x - x.mean()))
    contour = np.stack([x, y], axis=1)[order] * scale + 8  # star-shaped: it never crosses itself
    assert_allclose(cover(contour).sum(), abs(area(contour)), atol=1e-3)


def test_contours_unite_and_holes_take_away():
    one, two = square(1, 1, 9, 9), square(5, 5, 14, 13)
    assert_allclose(cover(one, two).sum(), 64 + 72 - 16, atol=1e-4)
    assert_allclose(cover(one, square(3, 3, 6, 6)[::-1]).sum(), 64 - 9, atol=1e-4)
    assert_allclose(cover(one[::-1]), cover(one))


def count_inside(contours, side, fine):
    """Share of a fine grid of points of each pixel inside the contours, how often each."""
    line = (np.arange(side * fine) + 0.5) / fine
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    return [
        Path(contour).contains_points(points).astype(int).reshape(side, fine, side, fine)
        for contour in contours
    ]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_agrees_with_points_counted_inside(shape):
    side = 32
    outline = outlines()[shape]
    body, holes = (
        [turned(contour * 0.33 * side, 17) + side / 2 for contour in contours]
        for contours in (outline.body, outline.holes)
    )
    inside = count_inside(body + holes, side, fine=8)
    shares = [one.mean(axis=(1, 3)) for one in inside]
    for contour, share in zip(body + holes, shares, strict=True):
        assert np.abs(cover(contour, side=side) - share).max() < 0.1
        assert abs(cover(contour, side=side).sum() - share.sum()) < 0.15 + 0.005 * share.sum()
    united = sum(inside[: len(body)]) - sum(inside[len(body) :])
    expected = (united > 0).mean(axis=(1, 3))
    wrong = np.abs(cover(*body, *holes, side=side) - expected)
    two_borders = sum((share > 0) & (share < 1) for share in shares) > 1
    assert wrong[~two_borders].max() < 0.1
    assert wrong.max() < 0.55
    assert wrong.sum() < 0.02 * expected.sum()
