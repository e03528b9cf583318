import numpy as np
import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from eyespot.data.draws import Draws
from eyespot.data.normalize import IMAGENET_MEAN, IMAGENET_STD, normalize, pca_shift

VECTORS = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normalize_is_its_formula(dtype):
    images = torch.randint(0, 256, (4, 3, 5, 6), dtype=torch.uint8)
    shift = torch.randn(4, 3, dtype=torch.float64) * 0.1
    mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float64)[:, None, None]
    std = torch.tensor(IMAGENET_STD, dtype=torch.float64)[:, None, None]
    plain = (images.double() / 255 - mean) / std
    assert_close(normalize(images, dtype=dtype), plain.to(dtype), rtol=1e-5, atol=2e-6)
    shifted = (images.double() / 255 + shift[..., None, None] - mean) / std
    got = normalize(images, shift=shift.to(dtype), dtype=dtype)
    assert_close(got, shifted.to(dtype), rtol=1e-5, atol=2e-6)
    assert_close(normalize(images[0], shift=shift[0], dtype=dtype), got[0], rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("format", [torch.channels_last, torch.contiguous_format])
def test_the_result_is_channels_last(format):
    images = torch.randint(0, 256, (2, 3, 8, 9), dtype=torch.uint8)
    got = normalize(images.contiguous(memory_format=format))
    assert got.is_contiguous(memory_format=torch.channels_last)
    assert_close(got, normalize(images.clone()), rtol=0, atol=0)


def test_pca_shift_has_the_covariance_of_its_components():
    shifts = np.array([pca_shift(Draws(0, 0, index)) for index in range(20_000)])
    weights = shifts @ np.linalg.inv(VECTORS).T  # back to the components
    for component, value in enumerate((0.2175, 0.0188, 0.0045)):
        assert stats.kstest(weights[:, component], stats.norm(0, 0.1 * value).cdf).pvalue > 1e-3
    assert np.abs(np.corrcoef(weights.T) - np.eye(3)).max() < 0.03


def test_pca_shift_of_given_numbers_is_the_formula():
    class Ones(Draws):
        def normal(self, std: float = 1.0) -> float:
            return std

    expected = VECTORS @ (0.5 * np.array([0.2175, 0.0188, 0.0045]))
    np.testing.assert_allclose(pca_shift(Ones(0, 0, 0), std=0.5), expected, rtol=1e-12)
