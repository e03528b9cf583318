import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from sklearn.metrics import average_precision_score

from eyespot.evals.binary_ap import binary_average_precision


def made_up(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 12, 30) / 7  # many ties
    relevant = rng.random(30) < 0.4
    relevant[rng.integers(30)] = True
    return scores, relevant


@given(seed=st.integers(0, 2**32))
def test_steps_are_scikit_learns(seed):
    scores, relevant = made_up(seed)
    got = binary_average_precision(torch.tensor(scores), torch.tensor(relevant))
    assert got == pytest.approx(average_precision_score(relevant, scores), abs=1e-12)


def curve(scores, relevant):
    """Precision and recall at every threshold, by counting."""
    points = []
    for threshold in sorted(set(scores), reverse=True):
        taken = scores >= threshold
        hits = (taken & relevant).sum()
        points.append((hits / taken.sum(), hits, relevant.sum()))
    return points


@given(seed=st.integers(0, 2**32))
def test_interpolated_areas_by_counting(seed):
    scores, relevant = made_up(seed)
    points = curve(scores, relevant)
    # Every relevant sample counts the best precision at its recall or beyond.
    total = int(relevant.sum())
    each = [max(p for p, hits, _ in points if hits >= n) for n in range(1, total + 1)]
    eleven = [max(p for p, hits, all_ in points if 10 * hits >= t * all_) for t in range(11)]
    as_tensors = torch.tensor(scores), torch.tensor(relevant)
    got = binary_average_precision(*as_tensors, "interpolated")
    assert got == pytest.approx(np.mean(each), abs=1e-12)
    got = binary_average_precision(*as_tensors, "11-point")
    assert got == pytest.approx(np.mean(eleven), abs=1e-12)


def test_worked_by_hand():
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6])
    relevant = torch.tensor([False, True, False, True])
    assert binary_average_precision(scores, relevant) == pytest.approx(0.5)
    second = torch.tensor([False, True, True, False])
    assert binary_average_precision(scores, second) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert binary_average_precision(scores, second, "interpolated") == pytest.approx(2 / 3)


def test_what_cannot_be_ranked_is_said():
    with pytest.raises(ValueError, match="got none among 2"):
        binary_average_precision(torch.zeros(2), torch.tensor([False, False]))
    with pytest.raises(ValueError, match="NaN"):
        binary_average_precision(torch.tensor([torch.nan, 0]), torch.tensor([True, False]))
