import pickle

import numpy as np
import pytest

from eyespot.data.draws import Draws
from eyespot.data.geometry import draw_crop, resize, resized_crop, short_side_crop
from eyespot.data.policies import apply_ops, draw_autoaugment
from eyespot.data.views import PaddedView, TestView, TrainView, WholeView
from tests.data.pictures import smooth_picture

PICTURE = smooth_picture(70, 90)


def test_the_training_view_is_crop_flip_and_policy():
    mirrored = 0
    for index in range(20):
        draws = Draws(1, 2, index)
        expected = resized_crop(PICTURE, draw_crop(draws, 70, 90), 32)
        if draws.coin():
            expected, mirrored = expected[:, ::-1], mirrored + 1
        (view,) = TrainView(32)(PICTURE, seed=1, epoch=2, index=index)
        np.testing.assert_array_equal(view, expected)
        expected = apply_ops(np.ascontiguousarray(expected), draw_autoaugment(draws))
        (view,) = TrainView(32, policy="AutoAugment")(PICTURE, seed=1, epoch=2, index=index)
        np.testing.assert_array_equal(view, expected)
    assert 3 < mirrored < 17


def test_the_test_view_is_the_middle():
    (view,) = TestView(64, 56)(PICTURE, seed=0, epoch=0, index=0)
    np.testing.assert_array_equal(view, short_side_crop(PICTURE, resize_to=64, crop=56))
    (other,) = TestView(64, 56, antialias=False)(PICTURE, seed=3, epoch=4, index=5)
    np.testing.assert_array_equal(
        other, short_side_crop(PICTURE, resize_to=64, crop=56, antialias=False)
    )


def test_views_resize_with_their_filter():
    draws = Draws(1, 2, 3)
    expected = resized_crop(PICTURE, draw_crop(draws, 70, 90), 32, filter="bicubic")
    if draws.coin():
        expected = expected[:, ::-1]
    (view,) = TrainView(32, filter="bicubic")(PICTURE, seed=1, epoch=2, index=3)
    np.testing.assert_array_equal(view, expected)
    (view,) = TestView(64, 56, filter="bicubic")(PICTURE, seed=0, epoch=0, index=0)
    expected = short_side_crop(PICTURE, resize_to=64, crop=56, filter="bicubic")
    np.testing.assert_array_equal(view, expected)


def test_the_whole_view_keeps_everything_but_the_proportion():
    (view,) = WholeView(48)(PICTURE, seed=0, epoch=0, index=0)
    np.testing.assert_array_equal(view, resize(PICTURE, 48, 48))
    (view,) = WholeView(48, "bicubic")(PICTURE, seed=0, epoch=0, index=0)
    np.testing.assert_array_equal(view, resize(PICTURE, 48, 48, filter="bicubic"))


def test_the_padded_view_never_uses_the_last_offset():
    square = np.full((32, 32, 3), 255, np.uint8)
    offsets = set()
    for index in range(2000):
        (view,) = PaddedView()(square, seed=0, epoch=0, index=index)
        rows, columns = (view.any(axis=(axis, 2)).nonzero()[0] for axis in (1, 0))
        offsets.add((4 - rows[0] if rows[0] else 36 - rows[-1] - 1, columns[0]))
    tops = {top for top, _ in offsets}
    assert tops == set(range(8))  # 8 would fit too
    assert len({left for _, left in offsets}) == 5  # 0..4 to one side; mirrored, 0..3 and the other


def test_views_can_be_sent_to_processes():
    for view in (TrainView(policy="RandAugment_N2_M0.5"), TestView(), PaddedView(), WholeView()):
        assert pickle.loads(pickle.dumps(view)) == view


def test_an_unknown_policy_is_refused():
    with pytest.raises(ValueError, match=r"unknown .* 'AutoAugmnt'. Did you mean AutoAugment"):
        TrainView(policy="AutoAugmnt")
