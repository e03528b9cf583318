import math

import pytest
import torch
from torch.testing import assert_close

from eyespot.losses import answers
from tests.distributed import run_ranks
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


def mean_losses(logits, types):
    """Losses of this rank's rows, and the gradient that both ranks' mean loss gives them."""
    from eyespot import dist

    mine = slice(dist.rank() * 3, dist.rank() * 3 + 3) if dist.world_size() > 1 else slice(0, 6)
    rows = {name: values[mine].clone().requires_grad_() for name, values in logits.items()}
    kinds = types[mine]
    answers_of = {name: torch.zeros(len(kinds)).long() for name in ("attr", "reg")}
    found = answers.split_answer_losses(
        rows["type"],
        {name: rows[name] for name in answers.CLEVR_TYPES},
        kinds,
        {"binary": torch.ones(len(kinds)), **answers_of},
        answers.CLEVR_TYPES,
    )
    total = answers.clevr_answer_total(found, type_weight=2.0)
    total.backward()
    return total.detach() / dist.world_size(), rows["attr"].grad / dist.world_size()


def test_two_processes_learn_as_one_does():
    torch.manual_seed(0)
    logits = {
        "type": torch.randn(6, 3), "binary": torch.randn(6), "attr": torch.randn(6, 15),
        "reg": torch.randn(6, 20),
    }  # fmt: skip
    types = torch.tensor([1, 1, 1, 0, 1, 0])  # unevenly, and one type on neither
    whole, gradient = mean_losses(logits, types)
    parts = run_ranks(mean_losses, logits, types)
    assert_close(torch.stack([total for total, _ in parts]).sum(), whole)
    assert_close(torch.cat([grad for _, grad in parts]), gradient)
