import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from eyespot.ops import rle
from eyespot.ops.polygons import fill_polygons, polygons_to_rles
from tests.reference import read_json

TASKS = read_json("mdetr_vectors.json")["phrasecut_eval"]["tasks"]


def rectangle(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


@pytest.mark.parametrize("task", TASKS, ids=range(len(TASKS)))
def test_filled_polygons_match_reference(task):
    mask = fill_polygons(task["gt_polygons"], task["height"], task["width"])
    assert ["".join("01"[p] for p in row) for row in mask.astype(int)] == task["gt_mask_rows"]


def test_a_polygon_of_one_vertex_draws_nothing():
    assert not fill_polygons([[[2.0, 3.0]], []], 5, 6).any()


@given(*[st.tuples(st.integers(0, 9), st.integers(0, 9)) for _ in range(2)])
def test_a_whole_pixel_rectangle_covers_its_pixels(xs, ys):
    (left, right), (top, bottom) = sorted(xs), sorted(ys)
    rles = polygons_to_rles([[rectangle(left, top, right, bottom)]], [9], [9])
    expected = np.zeros((9, 9), dtype=bool)
    expected[top:bottom, left:right] = True
    np.testing.assert_array_equal(rle.decode(rles)[0], expected)


def test_an_object_is_the_union_of_its_polygons():
    parts = [rectangle(0, 0, 4, 4), rectangle(2, 2, 6, 6), rectangle(7, 0, 9, 2)]
    union = rle.decode(polygons_to_rles([parts], [8], [9]))[0]
    single = rle.decode(polygons_to_rles([[p] for p in parts], [8] * 3, [9] * 3))
    np.testing.assert_array_equal(union, single.any(axis=0))
    assert union.sum() == 16 + 16 - 4 + 4


def test_an_object_without_polygons_is_empty():
    rles = polygons_to_rles([[], [rectangle(1, 1, 3, 3)], []], [4, 5, 6], [7, 8, 9])
    assert rle.area_px(rles).tolist() == [0, 4, 0]
    assert rles.counts.tolist() == [28, 6, 2, 3, 2, 27, 54]


@pytest.mark.parametrize("polygon", [[1.0, 2.0, 3.0, 4.0], [1.0] * 7])
def test_half_a_polygon_is_refused(polygon):
    with pytest.raises(ValueError, match=r"at least three vertices, got shape .* in object 1"):
        polygons_to_rles([[], [polygon]], [4, 4], [4, 4])


def test_equals_the_coco_api_on_random_polygons():
    oracle = pytest.importorskip("pycocotools.mask", reason="the oracle is an extra")
    rng = np.random.default_rng(1)
    heights, widths = rng.integers(1, 60, (2, 200))
    objects = []
    for size in zip(widths, heights, strict=True):
        steps = rng.choice([1e-3, 0.5, 1.0])  # fractions, halves and whole pixels
        corners = [rng.uniform(-0.2, 1.2, (k, 2)) * size for k in rng.integers(3, 9, 3)]
        objects.append([(np.round(c / steps) * steps).ravel().tolist() for c in corners])
    mine = rle.to_coco(polygons_to_rles(objects, heights, widths))
    for polygons, height, width, found in zip(objects, heights, widths, mine, strict=True):
        expected = oracle.merge(oracle.frPyObjects(polygons, int(height), int(width)))
        assert found["counts"].encode() == expected["counts"]
