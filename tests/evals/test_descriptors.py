import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from sklearn.decomposition import PCA
from torch.testing import assert_close

from eyespot.evals.descriptors import (
    fit_whitening,
    gem,
    region_maxima,
    rmac,
    rmac_regions,
)


def maps(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).relu()


def test_gem_is_the_average_at_power_1_and_the_maximum_at_a_large_one():
    x = maps(2, 5, 4, 3)
    assert_close(gem(x, power=1.0), x.clamp(min=1e-6).mean((2, 3)))
    assert_close(gem(x, power=500.0), x.amax((2, 3)), rtol=1e-2, atol=1e-6)
    wanted = (x.numpy().clip(1e-6) ** 3).mean((2, 3)) ** (1 / 3)
    assert_close(gem(x), torch.tensor(wanted))


def test_gem_does_not_overflow_in_half_precision():
    assert gem(torch.full((1, 1, 2, 2), 1000.0, dtype=torch.float16)).item() == 1000.0


def test_regions_worked_by_hand():
    # A square: 1, 4 and 9 regions of side 2 n / (l + 1).
    assert rmac_regions(8, 8, levels=1) == [(0, 0, 8)]
    assert rmac_regions(8, 8, levels=2)[1:] == [(0, 0, 5), (0, 3, 5), (3, 0, 5), (3, 3, 5)]
    assert len(rmac_regions(8, 8)) == 14
    # Twice as wide as high: 3 squares overlap by 50 %, 2 not at all; 0.5 is nearer to 0.4.
    assert rmac_regions(8, 16, levels=1) == [(0, 0, 8), (0, 4, 8), (0, 8, 8)]
    assert rmac_regions(16, 8, levels=1) == [(0, 0, 8), (4, 0, 8), (8, 0, 8)]
    assert len(rmac_regions(16, 8)) == 1 * 3 + 2 * 4 + 3 * 5


@given(height=st.integers(1, 40), width=st.integers(1, 40), levels=st.integers(1, 5))
def test_regions_stay_inside_and_touch_all_borders(height, width, levels):
    regions = rmac_regions(height, width, levels=levels)
    assert all(t >= 0 and a >= 0 and t + s <= height and a + s <= width for t, a, s in regions)
    first = [r for r in regions if r[2] == min(height, width)]
    assert min(t for t, _, _ in first) == 0
    assert max(t + s for t, _, s in first) == height
    assert max(a + s for _, a, s in first) == width


def test_rmac_by_loops():
    x = maps(2, 6, 5, 7)
    wanted = np.zeros((2, 6))
    for top, left, side in rmac_regions(5, 7):
        for b in range(2):
            best = x[b, :, top : top + side, left : left + side].numpy().reshape(6, -1).max(1)
            wanted[b] += best / np.linalg.norm(best)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    assert_close(rmac(x), torch.tensor(wanted))


def test_whitening_is_scikit_learns():
    rows = maps(50, 8) @ maps(8, 8, seed=1)
    pca = PCA(5, whiten=True, svd_solver="full").fit(rows.numpy())
    theirs = torch.tensor(pca.transform(rows.numpy()))
    theirs = theirs / theirs.norm(dim=1, keepdim=True)
    ours = fit_whitening(rows, 5)(rows)
    signs = (ours * theirs).sum(0).sign()
    assert_close(ours * signs, theirs)


def test_whitened_regions_are_spread_evenly_and_summed():
    x = maps(40, 4, 6, 6)
    regions = region_maxima(x).flatten(0, 1)
    whitening = fit_whitening(regions)
    plain = (regions - whitening.mean) @ whitening.directions
    assert_close(plain.T @ plain / len(plain), torch.eye(4, dtype=torch.float64))
    descriptor = rmac(x, whitening=whitening)
    wanted = whitening(region_maxima(x)).sum(1)
    assert_close(descriptor * wanted.norm(dim=1, keepdim=True), wanted)
    assert_close(descriptor.norm(dim=1), torch.ones(40, dtype=torch.float64))


def test_too_many_directions_are_refused():
    with pytest.raises(ValueError, match="need 1 to 4 directions, in which 5 descriptors"):
        fit_whitening(maps(5, 8), 6)
    assert fit_whitening(maps(5, 8), 4).directions.shape == (8, 4)
