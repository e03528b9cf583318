"""Texts and phrases of callers who do not check their types."""

import numpy as np
import pytest

from eyespot.predict.texts import is_span, listed_texts, marked_phrases


def test_one_text_or_several():
    assert listed_texts("a cup") == ["a cup"]
    assert listed_texts(("a cup", "\U0001f600")) == ["a cup", "\U0001f600"]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (None, "got a NoneType"),
        (b"a cup", "got a bytes"),
        (["a cup", 5], "got a int"),
        ("a red \ud800 cup", "half of one at 6"),
    ],
)
def test_what_is_no_text_is_explained(texts, message):
    with pytest.raises(ValueError, match=message):
        listed_texts(texts)


@pytest.mark.parametrize(
    "span", [(0.0, 3.0), 0, "cup", (0, 3, 4), (0, 10), (3, 3), (5, 2), (1, 2), (-1, 3), (0, None)]
)
def test_what_is_no_phrase(span):
    assert not is_span(span, "a red cup")


def test_phrases_are_any_whole_numbers():
    assert is_span((0, 9), "a red cup")
    assert is_span([np.int64(2), 5], "a red cup")
    assert is_span(np.array([2, 5]), "a red cup")


def test_marked_phrases_are_whole_words_wherever_they_stand():
    assert marked_phrases("A cup by the cups, CUP", ["cup"]) == [(2, 5), (19, 22)]
    assert marked_phrases("cup (red) and cup", ["cup (red)", "red"]) == [(0, 9), (5, 8)]
    assert marked_phrases("桌上的红杯子", ["红杯"]) == [(3, 5)]  # a script without spaces
    with pytest.raises(ValueError, match="stand in the text 'cups', got 'cup'"):
        marked_phrases("cups", ["cup"])
