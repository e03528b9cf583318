import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.svm import LinearSVC
from torch.testing import assert_close

from eyespot.evals.binary_ap import binary_average_precision
from eyespot.evals.linear_svm import fit_linear_svms
from eyespot.evals.svm import (
    draw_shots,
    low_shot_svm,
    one_against_rest,
    stratified_folds,
    svm_mean_ap,
    unit_rows,
)


def clouds(seed, rows, width=12, classes=4, spread=1.2):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, width))
    labels = np.arange(rows) % classes
    rows_ = centres[labels] + spread * rng.normal(size=(rows, width))
    return torch.tensor(rows_), torch.tensor(labels)


def liblinear(cost, tol=1e-10, weight=2.0):
    return LinearSVC(C=cost, class_weight={1: weight, -1: 1.0}, tol=tol, max_iter=1_000_000)


@pytest.mark.parametrize("width", [5, 80])
def test_solutions_are_liblinears(width):
    features, labels = clouds(0, 60, width)
    targets = one_against_rest(labels, 4).T.double()
    costs = torch.tensor([0.01, 1.0, 10.0, 100.0])
    svms = fit_linear_svms(unit_rows(features), targets, costs)
    for k, cost in enumerate(costs.tolist()):
        theirs = liblinear(cost).fit(unit_rows(features).numpy(), targets[k].numpy())
        assert_close(svms.weights[k], torch.tensor(theirs.coef_[0]), rtol=1e-3, atol=1e-4)
        assert_close(svms.biases[k].item(), theirs.intercept_[0], rtol=1e-3, atol=1e-4)
    assert svms.errors.max() <= 1e-5


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32), cost=st.sampled_from([0.01, 1.0, 50.0, 1000.0]))
def test_no_step_away_from_a_solution_gains(seed, cost):
    features, labels = clouds(seed, 40, width=7)
    targets = one_against_rest(labels, 4)[:, :1].T.double()
    targets[0, :5] = 0
    svm = fit_linear_svms(features, targets, torch.tensor([cost]))

    def value(weights, bias):
        margins = targets[0] * (features @ weights + bias)
        share = torch.where(targets[0] > 0, 2.0, 1.0) * (targets[0] != 0)
        return (weights.square().sum() + bias**2) / 2 + cost * (
            share * (1 - margins).clamp(min=0).square()
        ).sum()

    weights = svm.weights[0].clone().requires_grad_()
    bias = svm.biases[0].clone().requires_grad_()
    value(weights, bias).backward()
    length = max(1.0, torch.cat([weights, bias[None]]).norm().item())
    assert torch.cat([weights.grad, bias.grad[None]]).norm() <= 1.01e-5 * length


def test_samples_of_target_0_are_as_if_absent():
    features, labels = clouds(1, 50)
    targets = one_against_rest(labels, 4)[:, :1].T.double()
    targets[0, ::3] = 0
    with_zeros = fit_linear_svms(features, targets, torch.tensor([2.0]), tolerance=1e-9)
    kept = targets[0] != 0
    without = fit_linear_svms(features[kept], targets[:, kept], torch.tensor([2.0]), tolerance=1e-9)
    assert_close(with_zeros.weights, without.weights, rtol=1e-6, atol=1e-8)


@given(seed=st.integers(0, 2**32), rows=st.integers(12, 40))
def test_folds_are_scikit_learns(seed, rows):
    truth = np.random.default_rng(seed).choice([1, -1], rows)
    truth[:8] = [-1, 1, 1, 1, -1, -1, 1, -1]
    folds = stratified_folds(torch.tensor(truth, dtype=torch.int8))
    wanted = StratifiedKFold(3).split(np.zeros((rows, 1)), truth)
    for fold, (_, test) in zip(folds, wanted, strict=True):
        assert torch.nonzero(fold)[:, 0].tolist() == test.tolist()


def test_the_protocol_is_scikit_learns_run_by_hand():
    train, train_labels = clouds(2, 90)
    test, test_labels = clouds(3, 60)
    costs = (0.1, 1.0, 10.0)
    truths, test_truths = one_against_rest(train_labels, 4), one_against_rest(test_labels, 4)
    result = svm_mean_ap(train, truths, test, test_truths, costs=costs)
    for k in range(4):
        x, y = unit_rows(train).numpy(), truths[:, k].numpy()
        scores = [
            cross_val_score(liblinear(c, 1e-8), x, y, cv=3, scoring="average_precision").mean()
            for c in costs
        ]
        assert result.costs[k] == costs[int(np.argmax(scores))]
        decided = liblinear(result.costs[k]).fit(x, y).decision_function(unit_rows(test).numpy())
        ap = binary_average_precision(torch.tensor(decided), test_truths[:, k] == 1, "interpolated")
        assert result.ap[k] == pytest.approx(ap, abs=1e-6)
    assert result.mean_ap == pytest.approx(np.mean(result.ap))


def test_few_shots_are_drawn_in_their_numbers_and_fewer_are_among_more():
    _, labels = clouds(4, 200)
    truths = one_against_rest(labels, 4)
    few, more = (draw_shots(truths, k, seed=7, draw=0) for k in (2, 8))
    for drawn, k in ((few, 2), (more, 8)):
        assert ((drawn == 1).sum(0) == k).all()
        assert ((drawn == -1).sum(0) == 3 * k).all()
        assert ((drawn == 0) | (drawn == truths)).all()
    assert (more[few != 0] == few[few != 0]).all()
    assert not torch.equal(few, draw_shots(truths, 2, seed=7, draw=1))
    assert torch.equal(few, draw_shots(truths, 2, seed=7, draw=0))


def test_more_shots_are_better_and_all_draws_count():
    train, train_labels = clouds(5, 240)
    test, test_labels = clouds(6, 120)
    truths, test_truths = one_against_rest(train_labels, 4), one_against_rest(test_labels, 4)
    one, many = low_shot_svm(
        train, truths, test, test_truths, shots=(1, 32), draws=3, costs=(0.1, 1.0)
    )
    assert one.mean < many.mean
    assert one.lowest <= one.mean <= one.highest
    assert one.std > 0
    everything = svm_mean_ap(train, truths, test, test_truths, costs=(0.1, 1.0))
    assert many.mean == pytest.approx(everything.mean_ap, abs=0.05)


def test_what_cannot_be_fitted_is_said():
    features, labels = clouds(7, 40)
    truths = one_against_rest(labels, 4)
    with pytest.raises(ValueError, match="got 40 positive and 0 negative"):
        fit_linear_svms(features, torch.ones(1, 40), torch.ones(1))
    with pytest.raises(ValueError, match="costs above 0, got 0"):
        fit_linear_svms(features, truths.T.double(), torch.zeros(4))
    with pytest.raises(ValueError, match="at least 96 positive images .* got 10 and 30"):
        low_shot_svm(features, truths, features, truths)
    with pytest.raises(ValueError, match="test images of each class, got none of class 3"):
        svm_mean_ap(features, truths, features[labels < 3], truths[labels < 3])
