import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch.testing import assert_close

from eyespot.losses.swav import swapped_prediction_loss
from eyespot.ops.sinkhorn import hard_codes, sinkhorn
from tests.reference import read_json

VECTORS = read_json("swav_vectors.json")["swav_loss"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_loss_and_gradient_match_the_reference(case, dtype):
    num_views, batch = case["num_crops"], case["batch_size"]
    rows = torch.tensor(VECTORS["scores"], dtype=dtype, requires_grad=True)
    scores = rows.reshape(num_views, batch, -1)
    codes = torch.stack(
        [
            sinkhorn(scores[view], epsilon=case["epsilon"], iters=case["iterations"])
            for view in case["crops_for_assign"]
        ]
    )
    if case["hard_assignment"]:
        codes = torch.stack([hard_codes(c) for c in codes])
    loss = swapped_prediction_loss(scores, codes, temperature=case["temperature"])
    loss.backward()
    assert_close(loss.item(), case["loss"], rtol=0, atol=case["tol"])
    expected = torch.tensor(case["grad_scores"], dtype=dtype)
    assert_close(rows.grad, expected, rtol=0, atol=case["tol"])


@given(views=st.integers(2, 5), coded=st.integers(1, 2), protos=st.integers(2, 9))
def test_equal_scores_cost_ln_k(views, coded, protos):
    scores = torch.zeros(views, 3, protos, dtype=torch.float64)
    codes = torch.rand(coded, 3, protos, dtype=torch.float64).softmax(dim=-1)
    loss = swapped_prediction_loss(scores, codes, temperature=0.1)
    assert_close(loss.item(), math.log(protos))


@settings(max_examples=30)
@given(
    views=st.integers(2, 5),
    coded=st.integers(1, 5),
    batch=st.integers(1, 4),
    protos=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_equals_the_sum_over_pairs(views, coded, batch, protos, seed):
    generator = torch.Generator().manual_seed(seed)
    coded = min(coded, views)
    scores = torch.rand(views, batch, protos, generator=generator, dtype=torch.float64)
    codes = torch.rand(coded, batch, protos, generator=generator, dtype=torch.float64)
    codes /= codes.sum(dim=-1, keepdim=True)
    pairs = [
        torch.nn.functional.cross_entropy(scores[v] / 0.2, codes[a]).item()
        for a in range(coded)
        for v in range(views)
        if v != a
    ]
    loss = swapped_prediction_loss(scores, codes, temperature=0.2)
    assert_close(loss.item(), sum(pairs) / len(pairs))


def test_half_precision_scores_are_lifted_to_float32():
    scores = torch.rand(3, 4, 200, generator=torch.Generator().manual_seed(0)).bfloat16()
    codes = sinkhorn(scores[0], epsilon=0.05, iters=3).unsqueeze(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = swapped_prediction_loss(scores, codes, temperature=0.1)
    expected = swapped_prediction_loss(scores.double(), codes.double(), temperature=0.1)
    assert_close(loss.item(), expected.item(), rtol=1e-6, atol=0)


def test_no_gradient_reaches_the_codes():
    scores = torch.rand(2, 3, 4, requires_grad=True)
    codes = torch.rand(1, 3, 4, requires_grad=True)
    swapped_prediction_loss(scores, codes, temperature=0.1).backward()
    assert codes.grad is None


def test_view_counts_are_refused_with_their_values():
    scores = torch.zeros(1, 4, 3)
    with pytest.raises(ValueError, match="got 1 views and 1 codes"):
        swapped_prediction_loss(scores, scores, temperature=0.1)
    with pytest.raises(ValueError, match="got 2 views and 3 codes"):
        swapped_prediction_loss(torch.zeros(2, 4, 3), torch.zeros(3, 4, 3), temperature=0.1)
    with pytest.raises(ValueError, match="got 2 views and 0 codes"):
        swapped_prediction_loss(torch.zeros(2, 4, 3), torch.zeros(0, 4, 3), temperature=0.1)
