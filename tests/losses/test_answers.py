import math

import pytest
import torch
from torch.testing import assert_close

from eyespot.losses import answers
from tests.reference import read_json

VECTORS = read_json("mdetr_vectors.json")
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def split_losses(case, type_ids, dtype=torch.float32):
    logits = {k: torch.tensor(v, dtype=dtype) for k, v in case["outputs"].items()}
    truth = {k: torch.tensor(v) for k, v in case["answers"].items()}
    return answers.split_answer_losses(
        logits["pred_answer_type"],
        {name: logits[f"pred_answer_{name}"] for name in type_ids},
        truth["answer_type"],
        {name: truth[f"answer_{name}"] for name in type_ids},
        type_ids,
    )


def check(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert_close(found[name].item(), value, **TOLERANCE, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", VECTORS["qa_gqa"])
def test_gqa_split_heads_match_reference(case, dtype):
    assert case["type_ids"] == answers.GQA_TYPES
    check(split_losses(case, answers.GQA_TYPES, dtype), case["expected_split"])


@pytest.mark.parametrize("case", VECTORS["qa_gqa"])
def test_gqa_unified_head_matches_reference(case):
    found = answers.unified_answer_losses(
        torch.tensor(case["outputs"]["pred_answer"]), torch.tensor(case["answers"]["answer"])
    )
    check(found, case["expected_unified"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", VECTORS["qa_clevr"])
def test_clevr_heads_match_reference(case, dtype):
    assert case["type_ids"] == answers.CLEVR_TYPES
    check(split_losses(case, answers.CLEVR_TYPES, dtype), case["expected"])


def test_a_head_learns_only_from_its_own_questions():
    logits = torch.zeros(3, 4, requires_grad=True)
    found = answers.split_answer_losses(
        torch.zeros(3, 3),
        {"binary": torch.zeros(3), "attr": logits, "reg": torch.zeros(3, 7)},
        torch.tensor([0, 1, 1]),
        {
            "binary": torch.tensor([1.0, 0, 0]),
            "attr": torch.tensor([2, 2, 3]),
            "reg": torch.full((3,), answers.IGNORED),
        },
        answers.CLEVR_TYPES,
    )
    assert_close(found["loss_answer_binary"].item(), math.log(2))
    assert_close(found["loss_answer_attr"].item(), math.log(4))
    assert found["loss_answer_reg"].item() == 0
    assert found["accuracy_answer_reg"].item() == 1
    found["loss_answer_attr"].backward()
    assert logits.grad[0].abs().sum() == 0
    assert (logits.grad[1:].abs().sum(dim=1) > 0).all()


def test_totals_weigh_as_published():
    losses = {f"loss_answer_{n}": torch.tensor(v) for n, v in [("type", 2.0), ("a", 3.0)]}
    losses["accuracy_answer_total"] = torch.tensor(0.5)
    assert answers.gqa_answer_total(losses, weight=25.0).item() == 125
    assert answers.clevr_answer_total(losses, type_weight=10.0).item() == 23


def test_parts_of_a_step_add_up_to_the_whole():
    torch.manual_seed(0)
    types = torch.tensor([1, 1, 1, 0, 1, 0])  # unevenly, and none of one type
    counts = {"type": torch.tensor(6.0), "binary": torch.tensor(2.0), "attr": torch.tensor(4.0)}
    counts["reg"] = torch.tensor(1.0)  # there is none
    logits = {
        "type": torch.randn(6, 3), "binary": torch.randn(6), "attr": torch.randn(6, 15),
        "reg": torch.randn(6, 20),
    }  # fmt: skip

    def losses(rows, counts=None):
        own = {name: values[rows] for name, values in logits.items()}
        zeros = torch.zeros(len(types[rows]), dtype=torch.long)
        truths = {"binary": zeros + 1, "attr": zeros, "reg": zeros}
        heads = {name: own[name] for name in answers.CLEVR_TYPES}
        return answers.split_answer_losses(
            own["type"], heads, types[rows], truths, answers.CLEVR_TYPES, counts=counts
        )

    whole = losses(slice(0, 6))
    parts = [losses(rows, counts) for rows in (slice(0, 2), slice(2, 6))]
    for name in ("type", "binary", "attr", "reg"):
        key = f"loss_answer_{name}"
        assert_close(parts[0][key] + parts[1][key], whole[key])
    scores, truths = logits["attr"], types
    one = answers.unified_answer_losses(scores, truths)["loss_answer_total"]
    halves = [
        answers.unified_answer_losses(scores[rows], truths[rows], count=counts["type"])
        for rows in (slice(0, 1), slice(1, 6))
    ]
    assert_close(sum(half["loss_answer_total"] for half in halves), one)
