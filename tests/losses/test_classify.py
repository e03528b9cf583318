import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch.testing import assert_close

from eyespot.losses.classify import (
    block_partners,
    cutmix,
    cutmix_box,
    mix,
    mixup,
    smooth_one_hot,
    soft_cross_entropy,
)


def batch(size=6, classes=4, height=9, width=12):
    """Every pixel of image i is i, so a pixel tells whose it is."""
    images = torch.arange(float(size)).reshape(-1, 1, 1, 1).expand(size, 3, height, width)
    targets = F.one_hot(torch.arange(size) % classes, classes).double()
    return images.double(), targets


def test_smoothing_spreads_its_weight_over_all_classes():
    targets = smooth_one_hot(torch.tensor([2, 0]), 4, smoothing=0.1, dtype=torch.float64)
    off, on = 0.1 / 4, 1 - 0.1 + 0.1 / 4
    expected = torch.tensor([[off, off, on, off], [on, off, off, off]], dtype=torch.float64)
    assert_close(targets, expected)


def test_soft_cross_entropy_of_smoothed_labels_equals_torchs():
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([0, 6, 3, 3, 1])
    for smoothing in (0.0, 0.1):
        targets = smooth_one_hot(labels, 7, smoothing=smoothing, dtype=torch.float64)
        expected = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        assert_close(soft_cross_entropy(logits, targets), expected)


def test_soft_cross_entropy_is_float32_for_half_logits():
    logits = torch.randn(4, 1000, generator=torch.Generator().manual_seed(0)).bfloat16()
    targets = smooth_one_hot(torch.arange(4), 1000, smoothing=0.1)
    expected = soft_cross_entropy(logits.double(), targets.double()).item()
    assert_close(soft_cross_entropy(logits, targets).item(), expected, rtol=1e-6, atol=0)


def test_mixup_blends_images_and_targets_by_one_share_and_one_permutation():
    images, targets = batch()
    mixed = mixup(images, targets, alpha=0.8, generator=np.random.default_rng(3))
    chances = np.random.default_rng(3)
    share, partner = chances.beta(0.8, 0.8), chances.permutation(6)
    assert mixed.kept == share
    assert_close(mixed.images, share * images + (1 - share) * images[partner])
    assert_close(mixed.targets, share * targets + (1 - share) * targets[partner])


def test_mixups_share_follows_the_beta_distribution():
    images, targets = batch(size=2, height=1, width=1)
    generator = np.random.default_rng(0)
    shares = np.array(
        [mixup(images, targets, alpha=0.5, generator=generator).kept for _ in range(4000)]
    )
    assert abs(shares.mean() - 0.5) < 0.02
    assert abs(shares.var() - 1 / (4 * (2 * 0.5 + 1))) < 0.01  # of Beta(a, a)


@settings(max_examples=60)
@given(height=st.integers(1, 20), width=st.integers(1, 20), seed=st.integers(0, 9999))
def test_cutmix_pastes_one_box_and_weighs_targets_by_area(height, width, seed):
    images, targets = batch(size=5, height=height, width=width)
    mixed = cutmix(images, targets, alpha=1.0, generator=np.random.default_rng(seed))
    chances = np.random.default_rng(seed)
    wanted, partner = chances.beta(1.0, 1.0), chances.permutation(5)
    foreign = mixed.images != images
    for i, j in enumerate(partner):
        if i == j:
            continue
        assert (mixed.images[i][foreign[i]] == float(j)).all()
        assert_close(foreign[i].double().mean().item(), 1 - mixed.kept)
        rows, columns = foreign[i, 0].any(dim=1), foreign[i, 0].any(dim=0)
        assert (foreign[i] == (rows[:, None] & columns)).all()  # a box
        assert rows.sum() <= int(height * np.sqrt(1 - wanted))
        assert columns.sum() <= int(width * np.sqrt(1 - wanted))
    assert_close(mixed.targets, mixed.kept * targets + (1 - mixed.kept) * targets[partner])


def test_cutmix_box_has_its_full_side_inside_and_is_clipped_at_the_border():
    # sqrt(1 - 0.36) = 0.8: sides of int(0.8 * 10) = 8 and int(0.8 * 21) = 16
    assert cutmix_box(10, 21, 0.36, (5, 10)) == (1, 9, 2, 18)
    assert cutmix_box(10, 21, 0.36, (0, 20)) == (0, 4, 12, 20 + 1)
    assert cutmix_box(10, 10, 1.0, (5, 5)) == (5, 5, 5, 5)
    assert cutmix_box(9, 9, 0.51, (4, 4)) == (1, 7, 1, 7)  # int(0.7 * 9) = 6
    # half a side on either hand of the middle: int(0.7 * 10) = 7 and int(0.7 * 8) = 5 lose one
    assert cutmix_box(10, 8, 0.51, (5, 3)) == (2, 8, 1, 5)


def test_cutmix_centers_are_uniform_over_the_image():
    images, targets = batch(size=2, height=4, width=4)
    generator = np.random.default_rng(0)
    covered = torch.zeros(4, 4)
    for _ in range(2000):
        mixed = cutmix(images, targets, alpha=1.0, generator=generator)
        covered += (mixed.images[0, 0] != images[0, 0]).float()
    assert_close(covered, covered.t(), rtol=0.15, atol=20.0)
    assert covered.min() > 0


def test_a_fair_coin_picks_one_when_both_are_on():
    images, targets = batch()
    generator = np.random.default_rng(0)
    blends = 0
    for _ in range(400):
        mixed = mix(images, targets, mixup_alpha=0.8, cutmix_alpha=1.0, generator=generator)
        blends += bool((mixed.images != mixed.images.round()).any())
    assert 160 < blends < 240


def test_one_alpha_or_none():
    images, targets = batch()
    for seed in range(20):
        generator = np.random.default_rng(seed)
        mixed = mix(images, targets, mixup_alpha=0.0, cutmix_alpha=1.0, generator=generator)
        assert (mixed.images == mixed.images.round()).all()
        generator = np.random.default_rng(seed)
        mixed = mix(images, targets, mixup_alpha=0.8, cutmix_alpha=0.0, generator=generator)
        expected = mixup(images, targets, alpha=0.8, generator=np.random.default_rng(seed))
        assert_close(mixed.images, expected.images)
    same = mix(images, targets, mixup_alpha=0.0, cutmix_alpha=0.0, generator=generator)
    assert same.kept == 1.0
    assert same.images is images


def test_the_batch_itself_is_left_alone():
    images, targets = batch()
    before = images.clone(), targets.clone()
    for alphas in ((0.8, 0.0), (0.0, 1.0)):
        generator = np.random.default_rng(0)
        mix(images, targets, mixup_alpha=alphas[0], cutmix_alpha=alphas[1], generator=generator)
    assert torch.equal(images, before[0])
    assert torch.equal(targets, before[1])


def test_a_negative_alpha_is_refused():
    images, targets = batch()
    with pytest.raises(ValueError, match=r"got mixup_alpha=-0\.1, cutmix_alpha=1\.0"):
        mix(
            images,
            targets,
            mixup_alpha=-0.1,
            cutmix_alpha=1.0,
            generator=np.random.default_rng(0),
        )


@pytest.mark.parametrize(("batch_size", "part"), [(16, 8), (16, 4), (12, 2), (128, 16), (192, 8)])
def test_a_part_has_the_partners_of_the_whole_batch(batch_size, part):
    for seed in range(20):
        whole, some = (
            block_partners(count, np.random.default_rng(seed), batch_size=batch_size)
            for count in (batch_size, part)
        )
        assert sorted(whole.tolist()) == list(range(batch_size))
        assert (whole != torch.arange(batch_size)).all()
        for first in range(0, batch_size, part):
            assert_close(whole[first : first + part], some + first)
