import pytest
from hypothesis import given
from hypothesis import strategies as st

from eyespot.data.noun_phrases import root_phrase


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("the man in a red hat", "the man"),
        ("woman holding an umbrella", "woman"),
        ("left guy", "left guy"),
        ("the brown dog that is lying down.", "the brown dog"),
        ("A half-eaten pizza, next to a fork", "A half-eaten pizza"),
        ("guy's blue shirt", "guy's blue shirt"),
        ("the tall building on the right", "the tall building"),
        ("building behind the tree", "building"),
        ("person 2nd from left", "person 2nd"),
        ("in red", "in red"),
        ("the", "the"),
        (" - the cat!", "the cat"),
        ("wing of the plane", "wing"),
        ("trash can by the door", "trash can"),
        ("ein kleiner Hund", "ein kleiner Hund"),
        ("...", "..."),
    ],
)
def test_the_phrase_a_text_is_about(text, phrase):
    begin, end = root_phrase(text)
    assert text[begin:end] == phrase


@given(st.text(min_size=1, max_size=40))
def test_every_text_has_one(text):
    begin, end = root_phrase(text)
    assert 0 <= begin < end <= len(text)
