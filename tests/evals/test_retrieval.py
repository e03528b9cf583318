import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from eyespot.evals.retrieval import QueryTruth, rank_database, score_rankings


def walked(ranking, positive, junk):
    """The published definition: walk down the list, add a trapezoid at every image."""
    old_recall, old_precision, area = 0.0, 1.0, 0.0
    found = seen = 0
    for place in ranking:
        if place in junk:
            continue
        found += place in positive
        seen += 1
        recall, precision = found / len(positive), found / seen
        area += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
    return area


def made_up(seed):
    rng = np.random.default_rng(seed)
    kinds = rng.choice(4, 40, p=[0.2, 0.2, 0.2, 0.4])
    easy, hard, junk = (tuple(np.flatnonzero(kinds == k).tolist()) for k in range(3))
    return rng.permutation(40), QueryTruth("q", None, easy, hard, junk)


@given(seed=st.integers(0, 2**32))
def test_average_precision_is_the_area_walked(seed):
    ranking, truth = made_up(seed)
    protocols = {
        "easy": (truth.easy, truth.hard + truth.junk),
        "medium": (truth.easy + truth.hard, truth.junk),
        "hard": (truth.hard, truth.easy + truth.junk),
    }
    for protocol, (positive, junk) in protocols.items():
        if positive:
            found = score_rankings(ranking[None], [truth], protocol)
            assert found.mean_ap == pytest.approx(walked(ranking, positive, junk), abs=1e-12)


def test_precisions_look_no_further_than_the_last_positive_image():
    ranking = np.array([[4, 0, 3, 1, 2]])
    truth = QueryTruth("q", None, (0, 1), (), (3,))
    found = score_rankings(ranking, [truth], "easy")  # without junk: 4, 0, 1, 2
    assert found.precisions == {1: 0.0, 5: pytest.approx(2 / 3), 10: pytest.approx(2 / 3)}
    assert found.mean_ap == pytest.approx(((0 + 1 / 2) / 2 + (1 / 2 + 2 / 3) / 2) / 2)


def test_a_perfect_ranking_and_queries_with_nothing_to_find():
    truths = [QueryTruth("a", None, (2, 0), (), ()), QueryTruth("b", None, (), (1,), ())]
    found = score_rankings(np.array([[0, 2, 1], [1, 0, 2]]), truths, "easy")
    assert found.mean_ap == 1.0
    assert found.num_queries == 1
    with pytest.raises(ValueError, match="need a query with hard images"):
        score_rankings(np.array([[0, 2, 1]]), truths[:1], "hard")


def test_the_database_is_ranked_by_similarity_and_equal_images_stay_in_order():
    database = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    queries = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    ranked = rank_database(queries, database, block=1)
    assert ranked.tolist() == [[0, 2, 3, 1], [1, 3, 0, 2]]
    ranked = rank_database(-queries, database, unknown=(2, 1))
    assert ranked.tolist() == [[3, 0, 1, 2], [0, 3, 1, 2]]


def test_a_database_that_is_too_small_is_said():
    truth = QueryTruth("q", None, (7,), (), ())
    with pytest.raises(ValueError, match="all 8 images that 'q' speaks of, got 3"):
        score_rankings(np.array([[0, 1, 2]]), [truth], "easy")
    with pytest.raises(ValueError, match="each of 1 queries, got 2"):
        score_rankings(np.zeros((2, 3), np.int64), [truth], "easy")
