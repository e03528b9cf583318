import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch.testing import assert_close

from eyespot import dist
from eyespot.evals.lowshot import best_penalty, fit_logistic, fit_standardizer, label_subset
from tests.distributed import run_ranks


def clouds(seed, rows=90, width=6, classes=3):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    labels[:classes] = np.arange(classes)
    centres = np.random.default_rng(99).normal(size=(classes, width))
    features = 5 + (centres[labels] + rng.normal(size=(rows, width))) * np.arange(1, width + 1)
    return torch.tensor(features), torch.tensor(labels)


@pytest.mark.parametrize("penalty", [1e-4, 1e-2, 1.0])
def test_the_fit_is_scikit_learns(penalty):
    features, labels = clouds(0)
    scaled = StandardScaler().fit_transform(features.numpy())
    rows = fit_standardizer(features)(features)
    assert_close(rows, torch.tensor(scaled))
    theirs = LogisticRegression(C=1 / (penalty * len(rows)), tol=1e-12, max_iter=10_000)
    theirs.fit(scaled, labels.numpy())
    ours = fit_logistic(rows, labels, 3, penalty=penalty, tolerance=1e-10)
    assert_close(ours.weight, torch.tensor(theirs.coef_), rtol=1e-4, atol=1e-5)
    wanted = torch.tensor(theirs.predict_proba(scaled))
    assert_close(ours.scores(rows).softmax(1), wanted, rtol=1e-4, atol=1e-6)
    assert ours.error < 1e-8


def test_constant_features_become_zeros():
    features = torch.cat([torch.full((7, 1), 0.1), torch.arange(7.0)[:, None]], 1)
    rows = fit_standardizer(features)(features)
    assert rows[:, 0].abs().max() < 1e-12
    assert rows[:, 1].std(correction=0).item() == pytest.approx(1.0)


def test_a_class_that_the_subset_lacks_gets_the_lowest_scores():
    features, labels = clouds(1)
    model = fit_logistic(features - features.mean(0), labels, 4, penalty=1e-2)
    scores = model.scores(features - features.mean(0))
    assert scores.argmax(1).max() == 2


def fitted_on_ranks():
    features, labels = clouds(2)
    mine = [slice(0, 50), slice(50, 57), slice(57, 90)][dist.rank()]
    scale = fit_standardizer(features[mine])
    model = fit_logistic(scale(features[mine]), labels[mine], 3, penalty=1e-2, tolerance=1e-9)
    return model.weight, model.bias


def test_ranks_with_unequal_parts_fit_what_one_fits():
    features, labels = clouds(2)
    alone = fit_logistic(
        fit_standardizer(features)(features), labels, 3, penalty=1e-2, tolerance=1e-9
    )
    results = run_ranks(fitted_on_ranks, world_size=3)
    for weight, bias in results:
        assert torch.equal(weight, results[0][0])
        assert_close(weight, alone.weight, rtol=1e-5, atol=1e-6)
        assert_close(bias, alone.bias, rtol=1e-5, atol=1e-6)


labels_of_classes = st.lists(st.integers(0, 5), min_size=12, max_size=80).map(np.array)


@given(labels=labels_of_classes, seed=st.integers(0, 2**32), fraction=st.floats(0.01, 1.0))
def test_subsets_have_their_share_of_each_class_and_are_nested(labels, seed, fraction):
    small = label_subset(labels, fraction=fraction / 2, seed=seed)
    large = label_subset(labels, fraction=fraction, seed=seed)
    assert set(small) <= set(large)
    assert (np.diff(large) > 0).all()
    for label in np.unique(labels):
        count = (labels == label).sum()
        assert (labels[large] == label).sum() == max(1, round(fraction * count))


def test_subsets_per_class_of_everything_and_of_other_seeds():
    labels = np.arange(300) % 3
    few = label_subset(labels, per_class=4)
    assert np.bincount(labels[few]).tolist() == [4, 4, 4]
    assert set(few) != set(label_subset(labels, per_class=4, seed=1))
    assert label_subset(labels, fraction=1.0).tolist() == list(range(300))
    some = label_subset(labels, fraction=0.1, balanced=False)
    assert len(some) == 30
    assert set(some) <= set(label_subset(labels, fraction=0.3, balanced=False))


def test_the_subset_of_a_seed_is_always_the_same():
    chosen = label_subset(np.arange(40) % 4, per_class=2, seed=5)
    assert chosen.tolist() == label_subset(np.arange(40) % 4, per_class=2, seed=5).tolist()
    shuffled = label_subset((np.arange(40) % 4)[::-1].copy(), per_class=2, seed=5)
    assert len(shuffled) == len(chosen)


def test_the_penalty_is_the_one_that_does_best_on_what_it_did_not_see():
    features = torch.randn(120, 3, generator=torch.Generator().manual_seed(0))
    labels = (torch.arange(120) % 4 == 0).long()
    features[:, 0] += 4 * labels
    # Under a penalty of 1000 the bias alone decides, for the larger class.
    assert best_penalty(features, labels, 2, penalties=(1e3, 1e-2)) == 1e-2
    assert best_penalty(features[3:5], labels[3:5], 2, penalties=(1.0, 2.0, 3.0)) == 2.0


def test_what_cannot_be_chosen_or_fitted_is_said():
    labels = np.arange(10) % 2
    for options in ({}, {"fraction": 0.1, "per_class": 1}, {"per_class": 1, "balanced": False}):
        with pytest.raises(ValueError, match="need a fraction, or a number per class"):
            label_subset(labels, **options)
    with pytest.raises(ValueError, match="above 0 and up to 1, got 1.5"):
        label_subset(labels, fraction=1.5)
    with pytest.raises(ValueError, match="need 6 samples of every class, got 5 of class 0"):
        label_subset(labels, per_class=6)
    with pytest.raises(ValueError, match=r"at least two classes .* got labels \[1\]"):
        fit_logistic(torch.zeros(3, 2), torch.ones(3, dtype=torch.int64), 2, penalty=1.0)
    with pytest.raises(ValueError, match="penalty above 0, got 0"):
        fit_logistic(torch.zeros(2, 2), torch.arange(2), 2, penalty=0.0)
