import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch.testing import assert_close

from eyespot.ops import spans
from tests.reference import read_json

VECTORS = read_json("mdetr_vectors.json")
CASES = VECTORS["positive_map"]

words = st.lists(st.text("abc", min_size=1, max_size=6), min_size=1, max_size=6)


def dense(rows, width):
    out = torch.zeros(len(rows), width)
    for row, sparse in zip(out, rows, strict=True):
        row[sparse["tokens"]] = sparse["value"]
    return out


def split_tokens(parts):
    """Offsets of tokens of at most three letters each, between two special tokens."""
    offsets, at = [(0, 0)], 0
    for word in parts:
        starts = range(0, len(word), 3)
        offsets.extend((at + s, at + min(s + 3, len(word))) for s in starts)
        at += len(word) + 1
    return [*offsets, (0, 0)]


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_normalized_rows_match_reference(case):
    rows = spans.positive_rows(case["tokens_positive"], case["offsets"], case["width"])
    expected = dense(case["rows"], case["width"])
    assert torch.equal(rows, expected > 0)
    assert_close(spans.normalize_rows(rows), expected, rtol=1e-6, atol=0)


def test_batched_map_is_binary_and_stacks_all_images():
    cases = [CASES[0], CASES[1]]
    found = spans.positive_map([c["tokens_positive"] for c in cases], [c["offsets"] for c in cases])
    expected = dense(VECTORS["collate"]["positive_map_rows_after_collate"], 256)
    assert torch.equal(found.float(), expected)


@given(words, st.data())
def test_a_span_of_whole_words_is_exactly_their_tokens(parts, data):
    first = data.draw(st.integers(0, len(parts) - 1))
    last = data.draw(st.integers(first, len(parts) - 1))
    begin = sum(len(w) + 1 for w in parts[:first])
    end = sum(len(w) + 1 for w in parts[: last + 1]) - 1
    offsets = split_tokens(parts)
    row = spans.positive_rows([[(begin, end)]], offsets, width=64)[0]
    expected = [b >= begin and e <= end and e > b for b, e in offsets]
    assert row.tolist() == expected + [False] * (64 - len(offsets))
    assert spans.rows_to_spans(row[None], offsets) == [[(begin, end)]]


@given(words, st.integers(0, 40), st.integers(0, 40))
def test_every_span_follows_the_published_rule(parts, begin, end):
    offsets = split_tokens(parts)

    def token(char):
        return next((t for t, (b, e) in enumerate(offsets) if b <= char < e), None)

    first = next((token(c) for c in (begin, begin + 1, begin + 2) if token(c) is not None), None)
    last = next((token(c) for c in (end - 1, end - 2, end - 3) if token(c) is not None), None)
    expected = set() if first is None or last is None else set(range(first, last + 1))
    row = spans.positive_rows([[(begin, end)]], offsets, width=64)[0]
    assert set(row.nonzero().flatten().tolist()) == expected


def test_bytes_of_one_character_belong_to_the_first_token():
    offsets = [(0, 0), (0, 1), (0, 1), (2, 5), (0, 0)]  # an emoji of two byte tokens, a word
    assert spans.char_to_token(offsets).tolist() == [1, -1, 3, 3, 3]


def test_tokens_past_the_width_have_no_column():
    offsets = [(t, t + 1) for t in range(6)]
    assert spans.positive_rows([[(2, 6)]], offsets, width=4)[0].tolist() == [
        False,
        False,
        True,
        True,
    ]


def test_a_token_without_characters_does_not_split_a_phrase():
    offsets = [(0, 0), (0, 3), (4, 4), (5, 9), (0, 0)]
    chosen = torch.tensor([[True, True, False, True, True, True]])
    assert spans.rows_to_spans(chosen, offsets) == [[(0, 9)]]


def test_pieces_of_words_grow_to_whole_words():
    caption = "a t-shirt and skateboarders' shoes"
    assert spans.snap_to_words([(4, 6), (18, 20)], caption) == [(2, 9), (14, 27)]
    assert spans.snap_to_words([(5, 7), (2, 3)], caption) == [(2, 9)]
    assert spans.snap_to_words([(0, 1)], caption) == [(0, 1)]
