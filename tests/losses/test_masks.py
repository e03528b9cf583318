import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from eyespot.losses.masks import dice_loss, focal_loss, mask_losses
from eyespot.ops.matching import Matches
from tests.reference import read_json

CASE = read_json("mdetr_vectors.json")["mask_losses"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matches_reference(dtype):
    logits, targets = (torch.tensor(CASE[k], dtype=dtype) for k in ("inputs", "targets"))
    focal = focal_loss(logits, targets, num_boxes=CASE["num_boxes"])
    dice = dice_loss(logits, targets, num_boxes=CASE["num_boxes"])
    assert_close(focal.item(), CASE["focal_alpha0.25_gamma2"], rtol=1e-4, atol=1e-5)
    assert_close(dice.item(), CASE["dice"], rtol=1e-4, atol=1e-5)


@given(st.integers(1, 5), st.integers(1, 9))
def test_undecided_masks_have_closed_forms(masks, pixels):
    logits = torch.zeros(masks, pixels, dtype=torch.float64)
    inside = torch.ones_like(logits)
    assert_close(focal_loss(logits, inside, num_boxes=1.0).item(), masks * math.log(2) / 16)
    assert_close(focal_loss(logits, 0 * inside, num_boxes=1.0).item(), masks * math.log(2) * 3 / 16)
    expected = masks * (1 - (pixels + 1) / (1.5 * pixels + 1))
    assert_close(dice_loss(logits, inside, num_boxes=1.0).item(), expected)


def test_the_last_layers_queries_are_compared_at_the_annotated_size():
    logits = torch.full((1, 3, 2, 2), -50.0)
    logits[0, 2] = 50.0
    index = torch.tensor([[0], [1]])
    matches = Matches(torch.zeros_like(index), torch.tensor([[0], [2]]), torch.zeros_like(index))
    focal, dice = mask_losses(logits, matches, torch.ones(1, 6, 4, dtype=torch.bool), num_boxes=1.0)
    assert focal.item() == pytest.approx(0)
    assert dice.item() == pytest.approx(0)


def test_no_matched_mask_costs_nothing():
    empty = torch.empty(3, 1, 0, dtype=torch.long)
    found = mask_losses(
        torch.zeros(1, 3, 2, 2),
        Matches(*empty),
        torch.zeros(0, 4, 4, dtype=torch.bool),
        num_boxes=1.0,
    )
    assert [loss.item() for loss in found] == [0, 0]
