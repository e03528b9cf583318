"""Batches against `distort`, which is held to PIL and SciPy; the hue is held to colorsys."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from eyespot.data.distort import Distortion, distort, draw_distortion
from eyespot.data.distort_batch import distort_batch, encode_ops
from eyespot.data.draws import Draws
from eyespot.data.multicrop import Crops, draw_steps, multi_crop, without_colours
from eyespot.data.policies import Op
from tests.data.pictures import noise_picture, smooth_picture
from tests.data.test_distort import turned

KINDS = (Crops(2, 48, (0.3, 1.0)), Crops(3, 32, (0.1, 0.3)))


def batch_of(pictures, many_ops):
    """Distort in one batch; pictures [N, h, w, 3], as numbers."""
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    steps = torch.from_numpy(np.stack([encode_ops(ops) for ops in many_ops]))
    return distort_batch(images, steps).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(
    ("name", "values", "limit"),
    [
        ("brightness", (0.2, 0.77, 1.0, 1.8), 1.0),
        ("contrast", (0.2, 0.77, 1.0, 1.8), 1.0),
        ("saturation", (0.2, 0.77, 1.0, 1.8), 2.0),  # the grey of `distort` is rounded
        ("grey", (0.0,), 1.0),
        ("blur", (0.1, 0.5, 1.3, 2.0), 0.51),
        ("solarize", (128.0,), 0.0),
    ],
)
def test_each_step_is_that_of_single_pictures(name, values, limit):
    pictures = [make(31, 37, 5) for make in (noise_picture, smooth_picture) for _ in values]
    ops = [[Op(name, value)] for value in values] * 2
    wanted = np.stack([distort(p, o) for p, o in zip(pictures, ops, strict=True)]).astype(float)
    assert np.abs(batch_of(pictures, ops) - wanted).max() <= limit + 1e-3


@pytest.mark.parametrize("turn", [-0.2, -3 / 256, 0.0, 0.1, 1 / 3])
def test_the_hue_is_turned_exactly(turn):
    picture = noise_picture(40, 40)
    found = batch_of([picture], [[Op("hue", turn)]])[0]
    np.testing.assert_allclose(found, turned(picture, round(turn * 256) / 256), atol=2e-3)
    assert np.abs(found - distort(picture, [Op("hue", turn)])).max() <= 10


def test_blur_is_a_gaussian_of_each_ones_width():
    pictures = [noise_picture(50, 60, seed) for seed in range(3)]
    sigmas = (0.4, 1.1, 2.0)
    found = batch_of(pictures, [[Op("blur", sigma)] for sigma in sigmas])
    for picture, sigma, blurred in zip(pictures, sigmas, found, strict=True):
        reach = int(np.ceil(3 * sigma))
        expected = ndimage.gaussian_filter(
            picture.astype(float), (sigma, sigma, 0), mode="nearest", radius=(reach, reach, 0)
        )
        np.testing.assert_allclose(blurred, expected, atol=1e-3)


def test_many_views_are_distorted_as_one_by_one():
    settings = Distortion(solarize_probability=0.2)
    pictures = [smooth_picture(40, 40, seed) for seed in range(40)]
    ops = [draw_distortion(Draws(0, 0, index), settings) for index in range(40)]
    wanted = np.stack([distort(p, o) for p, o in zip(pictures, ops, strict=True)]).astype(float)
    found = batch_of(pictures, ops)
    plain = [all(op.name != "solarize" for op in each) for each in ops]  # 127 and 128 part ways
    difference = np.abs(found - wanted)[plain]
    assert difference.mean() < 1.0
    assert np.quantile(difference, 0.99) < 8
    alone = np.concatenate([batch_of([p], [o]) for p, o in zip(pictures, ops, strict=True)])
    np.testing.assert_allclose(found, alone, atol=2e-3)


def test_no_step_changes_nothing():
    picture = noise_picture(9, 8)
    np.testing.assert_array_equal(batch_of([picture], [[]])[0], picture)


def test_crops_and_draws_are_those_of_the_loader():
    picture = smooth_picture(90, 120, 3)
    where = {"seed": 4, "epoch": 2, "index": 17}
    whole = multi_crop(picture, KINDS, **where)
    plain = multi_crop(picture, without_colours(KINDS), **where)
    steps = draw_steps(90, 120, KINDS, **where)
    assert steps.shape == (5, 7, 2)
    for wanted, view, own in zip(whole, plain, steps, strict=True):
        images = torch.from_numpy(view.copy()).permute(2, 0, 1)[None]
        found = distort_batch(images, torch.from_numpy(own)[None])[0].permute(1, 2, 0).numpy()
        assert np.abs(found - wanted).mean() < 1.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_does_the_same():
    pictures = [noise_picture(32, 32, seed) for seed in range(16)]
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    drawn = [encode_ops(draw_distortion(Draws(0, 0, i), Distortion())) for i in range(16)]
    steps = torch.from_numpy(np.stack(drawn))
    found = distort_batch(images.cuda(), steps).cpu()
    torch.testing.assert_close(found, distort_batch(images, steps), atol=1e-2, rtol=1e-4)
