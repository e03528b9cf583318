"""Health numbers against closed forms, and the sentence that each illness gets."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from eyespot.tasks.health import (
    advice,
    code_health,
    embedding_health,
    queue_health,
    worst_of,
)
from eyespot.tasks.online_knn import effective_rank, leave_one_out_error
from tests.distributed import run_ranks

WELL = {"loss": 3.0, "likeness": 0.1, "dimensions": 20.0, "prototypes_used": 0.5,
        "code_entropy": 0.3, "code_usage_entropy": 0.9, "greatest_score": 0.9,
        "queue_drift": 0.1}  # fmt: skip
RUN = {"step": 1000, "chance_loss": math.log(3000), "settled": 500, "width": 128}


def test_equal_embeddings_are_alike_and_axes_use_every_direction():
    alike = embedding_health(torch.ones(1, 6, 4, dtype=torch.float64) / 2)
    assert_close(alike["likeness"].item(), 1.0)
    axes = torch.cat([torch.eye(8), -torch.eye(8)])[None]
    spread = embedding_health(axes)
    assert_close(spread["dimensions"].item(), 8.0)
    assert_close(spread["likeness"].item(), -1 / 15)


def halves():
    generator = torch.Generator().manual_seed(0)
    rows = F.normalize(torch.randn(1, 12, 5, generator=generator, dtype=torch.float64), dim=-1)
    scores = torch.randn(3, 12, 7, generator=generator, dtype=torch.float64)
    codes = scores[:2].softmax(-1)
    return rows, scores, codes


def health_of_a_part():
    size, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
    rows, scores, codes = (t.chunk(size, dim=1)[rank] for t in halves())
    return {**embedding_health(rows), **code_health(scores, codes, temperature=0.1)}


def test_health_is_that_of_all_ranks():
    rows, scores, codes = halves()
    one = {**embedding_health(rows), **code_health(scores, codes, temperature=0.1)}
    cosines = rows[0] @ rows[0].t()
    assert_close(one["likeness"], (cosines.sum() - 12) / (12 * 11))
    variances = torch.linalg.eigvalsh(torch.cov(rows[0].t()))
    assert_close(one["dimensions"], variances.sum() ** 2 / variances.square().sum())
    mean = codes.flatten(0, 1).mean(0)
    assert_close(one["code_usage_entropy"].item(), -(mean * mean.log()).sum().item() / math.log(7))
    own = -(codes * codes.log()).sum(-1).mean().item() / math.log(7)
    assert_close(one["code_entropy"].item(), own)
    assert own < one["code_usage_entropy"] - 0.05
    for part in run_ranks(health_of_a_part):
        assert part.keys() == one.keys()
        for name, value in one.items():
            assert_close(part[name], value)


def test_codes_and_predictions_by_hand():
    scores = torch.zeros(2, 3, 4)
    codes = F.one_hot(torch.tensor([[0, 1, 2], [3, 0, 1]]), 4).float()
    found = code_health(scores, codes, temperature=0.1)
    assert found["code_entropy"] == 0
    shares = torch.tensor([2, 2, 1, 1], dtype=torch.float64) / 6  # of prototypes 0, 1, 2, 3
    assert_close(found["code_usage_entropy"].item(), -(shares * shares.log2()).sum().item() / 2)
    one_code = code_health(scores, codes[:1, :1].expand(2, 3, 4), temperature=0.1)
    assert one_code["code_usage_entropy"] == 0
    assert_close(found["prototypes_used"].item(), 1.0)
    sharp = code_health(torch.eye(4)[0].expand(2, 3, 4), codes * 0 + 0.25, temperature=0.01)
    assert_close(sharp["code_entropy"].item(), 1.0)
    assert_close(sharp["prototypes_used"].item(), 0.25)


def test_a_queue_on_other_prototypes_has_drifted():
    rows = torch.eye(4)[[0, 0, 0, 1, 1]][None]  # three queued on prototype 0, two new on 1
    assert_close(queue_health(rows, 2, 0.01)["queue_drift"].item(), 1.0)
    assert queue_health(rows, 5, 0.01)["queue_drift"] == 0
    assert_close(queue_health(rows[:, [0, 3, 0, 3]], 2, 0.01)["queue_drift"].item(), 0.0)


def test_of_several_sets_the_worst_number_is_told():
    well = {name: torch.tensor(value) for name, value in WELL.items() if "_" in name}
    ill = {name: 1.5 * value for name, value in well.items()}
    found = worst_of([ill, well, ill])
    low = {"prototypes_used", "code_usage_entropy"}
    assert found == {name: (well if name in low else ill)[name] for name in well}
    assert worst_of([well]) == well


def test_a_healthy_run_hears_nothing():
    assert advice(WELL, **RUN) == []
    assert advice({"loss": 3.0, "likeness": 0.2, "dimensions": 9.0}, **RUN) == []


@pytest.mark.parametrize(
    ("ill", "words"),
    [
        ({"loss": 8.0}, "loss is 8.000, that of a network that knows nothing (8.006)"),
        ({"greatest_score": 3.2}, "scores reach 3.20 where cosines end at 1"),
        ({"queue_drift": 0.7}, "the queue is stale: 70% of it falls on other"),
        ({"likeness": 0.99}, "mean cosine of 0.99: they have collapsed"),
        ({"dimensions": 1.2}, "along 1.2 of 128 directions"),
        ({"code_usage_entropy": 0.3}, "mean code has 30% of the entropy of equal use"),
        ({"code_entropy": 0.995}, "codes say nothing about the images"),
    ],
)
def test_each_illness_is_named_with_a_remedy(ill, words):
    (sentence,) = advice(WELL | ill, **RUN)
    assert words in sentence
    assert "ake " in sentence or "ormalise" in sentence


def test_a_young_run_is_given_time_but_not_for_overflow():
    young = RUN | {"step": 10}
    assert advice(WELL | {"loss": 8.0, "likeness": 0.99}, **young) == []
    assert len(advice(WELL | {"greatest_score": 2.0}, **young)) == 1


def test_neighbours_vote_by_hand():
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(3, 6, generator=generator)
    labels = torch.arange(60) % 3
    features = centres[labels] + 1.5 * torch.randn(60, 6, generator=generator)
    unit = F.normalize(features.double(), dim=1)
    wrong = 0
    for i in range(60):
        cosines = unit @ unit[i]
        cosines[i] = -9
        near = cosines.argsort(descending=True)[:5]
        votes = [sum(math.exp(cosines[j] / 0.07) for j in near if labels[j] == k) for k in range(3)]
        wrong += votes.index(max(votes)) != labels[i]
    found = leave_one_out_error(features, labels, neighbours=5)
    assert 0 < wrong < 60
    assert found == pytest.approx(100 * wrong / 60)
    with pytest.raises(ValueError, match="got 5; take"):
        leave_one_out_error(features[:5], labels[:5], neighbours=5)


def test_ranks_by_hand():
    assert effective_rank(torch.ones(6, 4)) == pytest.approx(1.0)
    assert effective_rank(torch.eye(4).repeat(3, 1)) == pytest.approx(4.0)
    two = torch.diag(torch.tensor([3.0, 1.0]))
    expected = math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    assert effective_rank(two) == pytest.approx(expected)
