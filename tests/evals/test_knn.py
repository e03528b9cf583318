import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from sklearn.neighbors import KNeighborsClassifier
from torch.testing import assert_close

from eyespot import dist
from eyespot.evals.knn import knn_votes, nearest
from tests.distributed import run_ranks


def made_up(seed, queries=37, bank=211, width=8, classes=5, dtype=torch.float64):
    rng = np.random.default_rng(seed)
    q = torch.tensor(rng.normal(size=(queries, width)), dtype=dtype)
    b = torch.tensor(rng.normal(size=(bank, width)) * rng.uniform(0.1, 9, (bank, 1)), dtype=dtype)
    return q, b, torch.tensor(rng.integers(0, classes, bank))


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_votes_equal_scikit_learns(temperature):
    queries, bank, labels = made_up(0)
    classifier = KNeighborsClassifier(
        20, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / temperature)
    ).fit(bank.numpy(), labels.numpy())
    found = nearest(queries, bank, 20)
    votes = knn_votes(found, labels, 5, temperature=temperature)
    assert_close(votes, torch.tensor(classifier.predict_proba(queries.numpy())))


def test_equal_votes_at_an_infinite_temperature():
    queries, bank, labels = made_up(1)
    votes = knn_votes(nearest(queries, bank, 10), labels, 5, temperature=float("inf"))
    assert_close((votes * 10).round(), votes * 10)


def brute(queries, bank, k):
    """The rule, said in another way: sort by (-similarity, place)."""
    table = (queries @ bank.T).tolist()
    rows = [sorted(range(len(bank)), key=lambda i, row=row: (-row[i], i))[:k] for row in table]
    return torch.tensor(rows)


@settings(max_examples=50)
@given(
    seed=st.integers(0, 2**32),
    k=st.integers(1, 30),
    blocks=st.tuples(st.integers(1, 20), st.integers(1, 40)),
)
def test_ties_and_blocks_change_nothing(seed, k, blocks):
    rng = np.random.default_rng(seed)
    queries = torch.tensor(rng.integers(-2, 3, (9, 3)), dtype=torch.float32)
    bank = torch.tensor(rng.integers(-2, 3, (30, 3)), dtype=torch.float32)
    found = nearest(
        queries, bank, k, unit_length=False, query_block=blocks[0], bank_block=blocks[1]
    )
    assert torch.equal(found.places, brute(queries, bank, k))
    assert torch.equal(found.similarities, (queries @ bank.T).gather(1, found.places))


def test_leaving_one_out_is_a_bank_without_the_query():
    _, bank, _ = made_up(2, bank=40)
    ids = torch.arange(40) * 7
    found = nearest(bank, bank, 5, query_ids=ids, bank_ids=ids, bank_block=9)
    for i in range(40):
        others = torch.cat([bank[:i], bank[i + 1 :]])
        places = nearest(bank[i : i + 1], others, 5).places[0]
        assert torch.equal(found.places[i], places + (places >= i))


def test_half_precision_features_are_compared_in_single():
    queries, bank, _ = made_up(3, dtype=torch.float16)
    assert nearest(queries, bank, 3).similarities.dtype == torch.float32
    wanted = nearest(queries.float(), bank.float(), 3)
    assert torch.equal(nearest(queries, bank, 3).places, wanted.places)


def neighbours_on_ranks(leave_out):
    queries, bank, _ = made_up(4, dtype=torch.float32)
    parts = [slice(0, 100), slice(100, 103), slice(103, 211)]
    query_parts = [slice(0, 30), slice(30, 30), slice(30, 37)]
    mine, my_queries = parts[dist.rank()], query_parts[dist.rank()]
    options = {}
    if leave_out:
        queries = bank[:37]
        ids = torch.arange(211)
        options = {"query_ids": ids[:37][my_queries], "bank_ids": ids[mine]}
    found = nearest(queries[my_queries], bank[mine], 20, query_block=8, bank_block=50, **options)
    return tuple(found)


@pytest.mark.parametrize("leave_out", [False, True])
def test_ranks_with_unequal_parts_find_what_one_finds(leave_out):
    results = run_ranks(neighbours_on_ranks, leave_out, world_size=3)
    queries, bank, _ = made_up(4, dtype=torch.float32)
    ids = torch.arange(211)
    options = {"query_ids": ids[:37], "bank_ids": ids} if leave_out else {}
    wanted = nearest(bank[:37] if leave_out else queries, bank, 20, **options)
    similarities, places = (torch.cat(parts) for parts in zip(*results, strict=True))
    assert torch.equal(places, wanted.places)
    assert_close(similarities, wanted.similarities)


def test_bad_questions_are_answered_with_one_sentence():
    queries, bank, labels = made_up(5)
    with pytest.raises(ValueError, match="k of 1 to 211, the features in the bank, got 212"):
        nearest(queries, bank, 212)
    ids = torch.arange(211)
    with pytest.raises(ValueError, match="1 to 210, .* besides the query itself, got 211"):
        nearest(bank, bank, 211, query_ids=ids, bank_ids=ids)
    with pytest.raises(ValueError, match="one width, got 7 and 8"):
        nearest(queries[:, :7], bank, 3)
    with pytest.raises(ValueError, match="ids of both"):
        nearest(queries, bank, 3, query_ids=torch.arange(37))
    found = nearest(queries, bank, 3)
    with pytest.raises(ValueError, match=r"at least two classes to tell apart, got labels \[2\]"):
        knn_votes(found, torch.full_like(labels, 2), 5)
    with pytest.raises(ValueError, match="got -1; a probe needs labelled images"):
        knn_votes(found, torch.full_like(labels, -1), 5)
    with pytest.raises(ValueError, match="k of 1 to 3, got 0.07 and 4"):
        knn_votes(found, labels, 5, k=4)
    with pytest.raises(ValueError, match="temperature above 0"):
        knn_votes(found, labels, 5, temperature=0.0)


@pytest.mark.parametrize("k", [1, 3, 20])
@pytest.mark.parametrize("length", [640, 700])
def test_long_rows_are_searched_whole(k, length):
    rng = np.random.default_rng(k * length)
    queries = torch.tensor(rng.integers(-3, 4, (7, 4)), dtype=torch.float32)
    bank = torch.tensor(rng.integers(-3, 4, (length, 4)), dtype=torch.float32)  # many are equal
    found = nearest(queries, bank, k, unit_length=False)
    assert torch.equal(found.places, brute(queries, bank, k))
    bank = torch.tensor(rng.normal(size=(length, 4)), dtype=torch.float32)  # none are
    found = nearest(queries, bank, k, unit_length=False)
    assert torch.equal(found.places, brute(queries, bank, k))


def test_a_bank_that_does_not_fit_gives_the_same(monkeypatch):
    queries, bank, _ = made_up(5)
    whole = nearest(queries, bank, 9)
    monkeypatch.setattr("eyespot.evals.knn._RESIDENT", 0)
    blocks = nearest(queries, bank, 9, bank_block=50)
    assert torch.equal(blocks.places, whole.places)
    assert_close(blocks.similarities, whole.similarities)
