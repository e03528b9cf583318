import itertools

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch.testing import assert_close

from eyespot.ops.matching import match_queries, matched, matching_cost
from tests.reference import read_json

CASES = read_json("mdetr_vectors.json")["matcher"]


def stacked(case, dtype):
    boxes = [torch.tensor(b, dtype=dtype).reshape(-1, 4) for b in case["target_boxes_cxcywh"]]
    weights = {
        name: float(case[f"cost_{old}"])
        for name, old in [("class_cost", "class"), ("box_cost", "bbox"), ("giou_cost", "giou")]
    }
    tensors = {
        "logits": torch.tensor(case["pred_logits"], dtype=dtype),
        "boxes_cxcywh": torch.tensor(case["pred_boxes_cxcywh"], dtype=dtype),
        "target_boxes_cxcywh": torch.cat(boxes),
        "positive_map": torch.tensor(case["positive_map"], dtype=dtype).reshape(
            -1, len(case["pred_logits"][0][0])
        ),
    }
    return tensors, [len(b) for b in boxes], weights


def random_problem(seed, counts, layers=2, queries=4, classes=6):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.rand(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    total = sum(counts)
    return {
        "logits": draw(layers, len(counts), queries, classes) * 4,
        "boxes_cxcywh": draw(layers, len(counts), queries, 4),
        "target_boxes_cxcywh": draw(total, 4),
        "positive_map": draw(total, classes) > 0.5,
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_cost_matches_reference(case, dtype):
    tensors, _, weights = stacked(case, dtype)
    cost = matching_cost(**tensors, **weights)
    assert_close(
        cost, torch.tensor(case["expected_cost_matrix"], dtype=dtype), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_assignment_matches_reference(case, dtype):
    tensors, counts, weights = stacked(case, dtype)
    for name in ("logits", "boxes_cxcywh"):
        tensors[name] = torch.stack([tensors[name]] * 2)
    matches = match_queries(**tensors, num_targets=counts, **weights)
    first = 0
    for image, (queries, targets) in enumerate(case["expected_indices"]):
        for layer in range(2):
            mine = matches.image[layer] == image
            assert matches.query[layer, mine].tolist() == queries
            assert (matches.target[layer, mine] - first).tolist() == targets
        first += counts[image]


@given(st.integers(0, 10**6), st.lists(st.integers(0, 5), min_size=1, max_size=3))
def test_no_other_assignment_is_cheaper(seed, counts):
    problem = random_problem(seed, counts)
    matches = match_queries(**problem, num_targets=counts)
    cost = matching_cost(**problem)  # every image against every box
    firsts = [sum(counts[:i]) for i in range(len(counts))]
    for layer, (image, count) in itertools.product(range(2), enumerate(counts)):
        mine = matches.image[layer] == image
        pairs = matches.query[layer, mine], matches.target[layer, mine]
        paid = cost[layer, image][pairs].sum().item()
        table = cost[layer, image, :, firsts[image] : firsts[image] + count]
        wide = table if count <= 4 else table.T
        few = range(wide.shape[1])
        best = min(
            sum(wide[row, column].item() for column, row in zip(few, rows, strict=True))
            for rows in itertools.permutations(range(wide.shape[0]), len(few))
        )
        assert paid == pytest.approx(best)
        assert mine.sum() == min(4, count)


def test_bfloat16_under_autocast_costs_what_float32_costs():
    problem = random_problem(3, [2, 3])
    half = {name: problem[name].bfloat16() for name in ("logits", "boxes_cxcywh")}
    exact = {name: half[name].float() for name in half}
    rest = {name: problem[name] for name in ("target_boxes_cxcywh", "positive_map")}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cost = matching_cost(**half, **rest)
    assert cost.dtype == torch.float32
    assert_close(cost, matching_cost(**exact, **rest), rtol=0, atol=0)


def test_a_nan_is_refused_with_its_place():
    problem = random_problem(0, [1, 2])
    problem["logits"][1, 0, 2, 3] = torch.nan
    with pytest.raises(ValueError, match="decoder layer 1, image 0"):
        match_queries(**problem, num_targets=[1, 2])


def test_counts_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match=r"summing to 3 boxes, got \[1, 1\]"):
        match_queries(**random_problem(0, [1, 2]), num_targets=[1, 1])


def test_matched_takes_each_layers_own_queries():
    problem = random_problem(1, [2, 0, 3])
    matches = match_queries(**problem, num_targets=[2, 0, 3])
    values = problem["boxes_cxcywh"]
    for layer, found in enumerate(matched(values, matches)):
        pairs = zip(matches.image[layer].tolist(), matches.query[layer].tolist(), strict=True)
        assert torch.equal(found, torch.stack([values[layer, i, q] for i, q in pairs]))
