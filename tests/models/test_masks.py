import math

import pytest
import torch
from torch.testing import assert_close

from eyespot.models.masks import AttentionMap, MaskHead
from tests.reference import read_json

VECTORS = read_json("mdetr_vectors.json")
ATTENTION, MASK = VECTORS["mh_attention_map"], VECTORS["mask_head"]
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_attention_maps_match_reference(dtype):
    queries, features = (torch.tensor(ATTENTION[k], dtype=dtype) for k in ("q_BQD", "k_BDHW"))
    module = AttentionMap(features.shape[1], ATTENTION["heads"])
    module.load_state_dict({k: torch.tensor(v) for k, v in ATTENTION["state_dict"].items()})
    pad_mask = torch.tensor(ATTENTION["mask_BHW"], dtype=torch.bool)
    found = module.to(dtype)(queries, features, pad_mask)
    assert_close(found, torch.tensor(ATTENTION["expected_BQNHW"], dtype=dtype), **TOLERANCE)
    assert_close(found.sum(dim=(-2, -1)), torch.ones(found.shape[:3], dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mask_head_matches_reference(dtype):
    feature, attention = (torch.tensor(MASK[k], dtype=dtype) for k in ("x_BCHW", "bbox_mask_BQNHW"))
    pyramid = [torch.tensor(level, dtype=dtype) for level in MASK["fpns"]]
    head = MaskHead(feature.shape[1], attention.shape[2], MASK["fpn_dims"], dim=MASK["context_dim"])
    state = head.state_dict()
    assert set(state) == set(MASK["parameter_order"])
    for j, name in enumerate(MASK["parameter_order"]):
        i = torch.arange(state[name].numel(), dtype=torch.float64)
        value = 0.12 * (0.7 * i + 0.3 * j).sin() + ("gn" in name and "weight" in name)
        state[name].copy_(value.view(state[name].shape))
    found = head.to(dtype)(feature, attention, pyramid)
    expected = torch.tensor(MASK["expected"], dtype=dtype)
    assert_close(found.flatten(0, 1).unsqueeze(1), expected, **TOLERANCE)


def test_a_query_keeps_its_own_mask():
    torch.manual_seed(0)
    head = MaskHead(128, 8, (5, 4, 3), dim=128).double()
    feature = torch.randn(2, 128, 2, 3, dtype=torch.float64)
    attention = torch.rand(2, 3, 8, 2, 3, dtype=torch.float64)
    sizes = (5, 4, 6), (4, 8, 12), (3, 16, 24)
    pyramid = [torch.randn(2, *size, dtype=torch.float64) for size in sizes]
    together = head(feature, attention, pyramid)
    assert together.shape == (2, 3, 16, 24)
    alone = head(feature[1:], attention[1:, 2:], [level[1:] for level in pyramid])
    assert_close(alone[0, 0], together[1, 2])


def test_maps_of_equal_scores_are_flat():
    maps = AttentionMap(8, 2)(
        torch.zeros(1, 3, 8), torch.zeros(1, 8, 2, 5), torch.zeros(1, 2, 5, dtype=torch.bool)
    )
    assert_close(maps, torch.full((1, 3, 2, 2, 5), 0.1))
    assert math.isclose(maps.sum().item(), 6, rel_tol=1e-6)
