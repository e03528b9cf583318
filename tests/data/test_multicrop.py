import numpy as np
import pytest
from scipy import stats

from eyespot.data.distort import Distortion, distort
from eyespot.data.draws import Draws
from eyespot.data.geometry import Box, draw_log_crop, resize
from eyespot.data.multicrop import (
    PRESETS,
    Crops,
    View,
    cut_view,
    draw_view,
    least_side,
    multi_crop,
)
from eyespot.data.policies import Op
from tests.data.pictures import smooth_picture

PICTURE = smooth_picture(200, 260)
PLAIN = Distortion(jitter_probability=0.0, grey_probability=0.0, blur_probability=0.0)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("swav", [224] * 2 + [96] * 6),
        ("swav_2x224", [224] * 2),
        ("swav_wide", [224] * 2 + [96] * 4),
        ("swav_160", [160] * 2 + [96] * 4),
        ("seer", [224] * 2 + [96] * 4),
        ("seer_10b", [160] * 2 + [96] * 4),
        ("six_160", [160] * 6),
        ("byol", [224] * 2),
    ],
)
def test_presets_have_their_sizes(name, sizes):
    views = multi_crop(PICTURE, PRESETS[name], seed=0, epoch=0, index=0)
    assert [view.shape for view in views] == [(size, size, 3) for size in sizes]
    assert all(view.dtype == np.uint8 for view in views)


def test_views_are_a_function_of_seed_epoch_and_index():
    def views(**where):
        return np.concatenate(
            [v.ravel() for v in multi_crop(PICTURE, PRESETS["swav"], **where)]
        ).tobytes()

    base = {"seed": 1, "epoch": 2, "index": 3}
    assert views(**base) == views(**base)
    others = [views(**base | {name: 9}) for name in base]
    assert len({views(**base), *others}) == 4


def test_a_view_does_not_depend_on_the_views_before_it():
    few = multi_crop(PICTURE, (Crops(1, 64, (0.1, 1.0)),) * 2, seed=0, epoch=0, index=0)
    changed = (Crops(1, 32, (0.3, 0.4), PLAIN), Crops(1, 64, (0.1, 1.0)))
    other = multi_crop(PICTURE, changed, seed=0, epoch=0, index=0)
    np.testing.assert_array_equal(few[1], other[1])


def test_the_views_of_a_picture_differ():
    views = multi_crop(PICTURE, (Crops(6, 32, (0.05, 0.14)),), seed=0, epoch=0, index=0)
    assert len({view.tobytes() for view in views}) == 6


def test_areas_are_the_presets():
    large, small = PRESETS["swav"]
    for kind, low, high in ((large, 0.14, 1.0), (small, 0.05, 0.14)):
        areas = [draw_view(Draws(0, 0, index), 1000, 1000, kind).box for index in range(3000)]
        shares = np.array([box.height * box.width / 1e6 for box in areas])
        assert low - 1e-3 < shares.min() < shares.max() < high + 1e-3
        if high < 0.9:  # larger areas are tried again when they do not fit
            assert stats.kstest(shares, stats.uniform(low, high - low).cdf).pvalue > 1e-4


def test_half_the_views_are_mirrored():
    kind = PRESETS["swav"][0]
    mirrored = [draw_view(Draws(0, 0, index), 99, 99, kind).mirrored for index in range(4000)]
    assert stats.binomtest(sum(mirrored), 4000).pvalue > 1e-4


def test_a_view_is_the_cut_resized_mirrored_and_distorted():
    ops = [Op("brightness", 0.5), Op("blur", 1.0)]
    whole = cut_view(PICTURE, View(Box(0, 0, 200, 260), False, []), 32)
    np.testing.assert_array_equal(whole, resize(PICTURE, 32, 32))
    got = cut_view(PICTURE, View(Box(0, 0, 200, 260), True, ops), 32)
    np.testing.assert_array_equal(got, distort(np.ascontiguousarray(whole[:, ::-1]), ops))


def test_no_crop_is_enlarged_at_the_side_that_a_sample_needs():
    kinds, slack = PRESETS["swav"], []
    sizes = [kind.size_px for kind in kinds for _ in range(kind.count)]
    areas = [kind.area for kind in kinds for _ in range(kind.count)]
    for index in range(300):
        side = least_side(1200, 2000, kinds, seed=3, epoch=1, index=index)
        narrowest = []
        for view, (size, area) in enumerate(zip(sizes, areas, strict=True)):
            box = draw_log_crop(Draws(3, 1, index, view), 1200, 2000, area=area)
            narrowest.append(min(box.height, box.width) * side / 1200 - size)
        slack.append(min(narrowest))
    assert min(slack) >= 0
    assert max(slack) <= 1  # and none is larger than it needs to be
