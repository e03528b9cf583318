import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from eyespot.ops import rle


@st.composite
def mask_batches(draw):
    shape = draw(st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(1, 9)))
    return draw(arrays(bool, shape))


def filled(masks, axis):
    return np.flatnonzero(masks.any(axis=axis))


def coco_mask():
    return pytest.importorskip("pycocotools.mask", reason="the oracle is an extra")


@given(mask_batches())
def test_decoding_undoes_encoding(masks):
    rles = rle.encode(masks)
    np.testing.assert_array_equal(rle.decode(rles).reshape(masks.shape), masks)
    np.testing.assert_array_equal(rle.area_px(rles), masks.sum(axis=(1, 2)))
    for compressed in (True, False):
        again = rle.from_coco(rle.to_coco(rles, compressed=compressed))
        for mine, expected in zip(again, rles, strict=True):
            np.testing.assert_array_equal(mine, expected)


@given(mask_batches())
def test_box_is_the_smallest_around(masks):
    for mask, box in zip(masks, rle.boxes_xywh_px(rle.encode(masks)), strict=True):
        rows, columns = filled(mask, 1), filled(mask, 0)
        if mask.any():
            left, top = columns[0], rows[0]
            expected = [left, top, columns[-1] - left + 1, rows[-1] - top + 1]
        else:
            expected = [0, 0, 0, 0]
        assert box.tolist() == expected


@given(arrays(bool, (3, 5, 6)), arrays(bool, (2, 5, 6)), arrays(bool, 2))
def test_iou_counts_pixels(masks, others, is_crowd):
    found = rle.mask_iou(rle.encode(masks), rle.encode(others), is_crowd)
    both = (masks[:, None] & others).sum(axis=(2, 3))
    either = (masks[:, None] | others).sum(axis=(2, 3))
    union = np.where(is_crowd, masks.sum(axis=(1, 2))[:, None], either)
    np.testing.assert_allclose(found, np.where(union > 0, both / np.maximum(union, 1), 0))


def test_iou_does_not_depend_on_how_many_runs_are_taken_at_once(monkeypatch):
    masks = np.random.default_rng(0).random((5, 9, 11)) < 0.4
    rles = rle.encode(masks)
    whole = rle.mask_iou(rles, rles)
    monkeypatch.setattr(rle, "_RUNS_AT_ONCE", 7)
    np.testing.assert_array_equal(rle.mask_iou(rles, rles), whole)
    assert np.diag(whole).tolist() == [1] * 5


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ([1, 2, 3], "123"),
        ([1, 2, 3, 4], "1232"),  # the fourth is written minus the second
        ([9, 9, 9, 2], "999I"),  # -7 is 11001 in five bits, 25 + 48 = "I"
        ([100], "T3"),  # 00100 and "more follows", then 00011
        ([16], "`0"),  # bit 5 is the sign, so 16 needs a second group
    ],
)
def test_text_form_worked_by_hand(counts, text):
    (parsed,) = rle.to_coco(
        rle.from_coco([{"size": [1, sum(counts)], "counts": text}]), compressed=False
    )
    assert parsed["counts"] == counts
    (written,) = rle.to_coco(rle.from_coco([parsed]))
    assert written["counts"] == text


def test_bytes_and_lists_mix():
    texts = [{"size": [1, 3], "counts": b"12"}, {"size": [3, 1], "counts": [0, 3]}]
    rles = rle.from_coco(texts)
    assert rle.area_px(rles).tolist() == [2, 3]


def test_any_number_of_texts_parses_as_one_by_one(monkeypatch):
    masks = np.random.default_rng(0).random((7, 6, 5)) < 0.5
    texts = rle.to_coco(rle.encode(masks))
    monkeypatch.setattr(rle, "_TEXTS_AT_ONCE", 3)
    np.testing.assert_array_equal(rle.decode(rle.from_coco(texts)), masks)


def test_masks_of_several_sizes_decode_one_by_one_only():
    rles = rle.from_coco([{"size": [1, 3], "counts": [3]}, {"size": [2, 3], "counts": [6]}])
    with pytest.raises(ValueError, match=r"got sizes \[\[1, 3\], \[2, 3\]\]"):
        rle.decode(rles)


@pytest.mark.parametrize("counts", [[1, 2], [3, 4], [9, -2]])
def test_runs_that_do_not_fit_are_refused(counts):
    good = {"size": [2, 3], "counts": [6]}
    with pytest.raises(ValueError, match=r"cover 2 x 3 pixels, got .* in mask 1"):
        rle.from_coco([good, {"size": [2, 3], "counts": counts}])


def test_equals_the_coco_api_on_random_masks():
    oracle = coco_mask()
    rng = np.random.default_rng(0)
    for _ in range(50):
        height, width = rng.integers(1, 60, 2)
        share = rng.choice([0.02, 0.5, 0.97])
        masks, others = rng.random((2, 4, height, width)) < share
        mine, mine_others = rle.encode(masks), rle.encode(others)
        theirs, theirs_others = (
            [oracle.encode(np.asfortranarray(m.astype(np.uint8))) for m in batch]
            for batch in (masks, others)
        )
        assert [c["counts"].encode() for c in rle.to_coco(mine)] == [c["counts"] for c in theirs]
        np.testing.assert_array_equal(rle.boxes_xywh_px(mine), oracle.toBbox(theirs))
        is_crowd = rng.random(4) < 0.5
        expected = oracle.iou(theirs, theirs_others, is_crowd.tolist())
        np.testing.assert_allclose(rle.mask_iou(mine, mine_others, is_crowd), expected)
