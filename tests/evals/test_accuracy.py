import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from sklearn.metrics import top_k_accuracy_score

from eyespot import dist
from eyespot.evals.accuracy import TopK, in_top_k
from tests.distributed import run_ranks


def made_up(seed, rows=101, classes=7):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.normal(size=(rows, classes))), torch.tensor(
        rng.integers(0, classes, rows)
    )


@given(seed=st.integers(0, 2**32), k=st.integers(1, 6))
def test_equals_scikit_learn(seed, k):
    scores, labels = made_up(seed)
    wanted = top_k_accuracy_score(labels.numpy(), scores.numpy(), k=k, labels=np.arange(7))
    counted = TopK((k,))
    for part in torch.arange(101).split(13):
        counted.add(scores[part], labels[part])
    assert counted.result() == {f"top{k}": pytest.approx(wanted, abs=1e-12)}


def test_a_network_that_says_nothing_is_right_about_class_0_alone():
    labels = torch.tensor([0, 1, 2, 3])
    assert in_top_k(torch.zeros(4, 4), labels, 1).tolist() == [True, False, False, False]
    assert in_top_k(torch.zeros(4, 4), labels, 3).tolist() == [True, True, True, False]


def test_minus_infinity_is_the_worst_score():
    scores = torch.tensor([[-torch.inf, 0.0, 1.0]])
    assert not in_top_k(scores, torch.tensor([0]), 2).item()


def counted_on_ranks():
    scores, labels = made_up(3)
    mine = torch.arange(101) % 3 == dist.rank()
    if dist.rank() == 1:
        mine &= torch.arange(101) < 20
    counted = TopK((1, 3))
    counted.add(scores[mine], labels[mine])
    return counted.result(), mine


def test_ranks_of_unequal_size_count_as_one():
    results = run_ranks(counted_on_ranks, world_size=3)
    scores, labels = made_up(3)
    alone = TopK((1, 3))
    used = torch.stack([mine for _, mine in results]).any(0)
    alone.add(scores[used], labels[used])
    assert all(result == alone.result() for result, _ in results)


@pytest.mark.parametrize(
    ("labels", "k", "says"),
    [
        ([0, -1], 1, "got -1; are the samples labelled"),
        ([0, 3], 1, "need labels of 0..2 .* got 3"),
        ([0, 1], 4, "at least 4 classes for top-4 accuracy, got 3"),
    ],
)
def test_what_cannot_be_measured_is_said(labels, k, says):
    with pytest.raises(ValueError, match=says):
        TopK((k,)).add(torch.zeros(2, 3), torch.tensor(labels))


def test_nan_is_no_score():
    with pytest.raises(ValueError, match="NaN"):
        in_top_k(torch.tensor([[0.0, torch.nan]]), torch.tensor([0]), 1)


def test_nothing_is_no_result():
    with pytest.raises(ValueError, match="at least one sample"):
        TopK().result()
    with pytest.raises(ValueError, match=r"got \[0\]"):
        TopK((0,))
