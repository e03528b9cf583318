"""Noun phrases: of every kind of text of the built-in world, and of captions by hand."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from eyespot.data.scenes import SceneConfig, caption, make_scene, referring
from eyespot.predict.chunker import noun_phrases

# Marked by hand: what a reader would draw boxes around.
SENTENCES = """
[A man] in [a red hat] holds [two small dogs] on [a leash].
[Two young women] are playing with [a ball] near [the water]
[a black and white dog] chases [a cat]
[The leftmost cup] is to the left of [the big bottle]
[man] wearing [sunglasses] and [a blue shirt]
[three people] standing in front of [a large brick building]
[A woman's purse] lies on [the wooden table] next to [the window]
[a group of people] riding [bicycles] down [a street]
[the second person] from the left
[the dog]
[red cup]
[a swimming pool] behind [the house]
He throws [the ball] to [her brother]
There is [a tall, green tree] in the top left corner of [the picture]
[cats] and [dogs] sleep on [the couch]
[A little girl] climbing into [a wooden playhouse].
[a snowboarder] in [the air] over [the snow]
[the man] on the right
[pizza] with [cheese] and [mushrooms]
which [cup] is red?
[A brown horse] jumps over [a white fence] while [a crowd] watches.
[the left shoe] of [the boy]
[Several cars] are parked along [the road]
[a pair of scissors] and [a pen]
there are [a pair of crosses] and [a little dull red heart]
Is there [a cup] behind [the bottle]?
[The biggest key] that is not below [the small house]
[two circles], [three squares] and [a star]
[A chef] slices [a tomato] with [a large knife].
[Construction workers] repair [the broken road].
[Three dogs] with [a black one] jumping over [a log]
[giraffe] closest to [the camera]
[the closest giraffe] to the right of [the man's glasses]
[woman] in [white dress] on the far right
[left zebra]
[bottom right donut] with [sprinkles]
[the half eaten sandwich]
[a plate of food] ...
""".replace("[a plate of food] ...", "[a slice of cake] with [a fork]")


def marked(line):
    text, spans, begin = "", [], 0
    for letter in line:
        if letter == "[":
            begin = len(text)
        elif letter == "]":
            spans.append((begin, len(text)))
        else:
            text += letter
    return text, spans


@pytest.mark.parametrize("line", SENTENCES.strip().splitlines())
def test_sentences(line):
    text, spans = marked(line)
    found = noun_phrases(text)
    assert [text[b:e] for b, e in found] == [text[b:e] for b, e in spans]
    assert found == spans


@pytest.mark.parametrize("wording", ["plain", "varied"])
@pytest.mark.parametrize("difficulty", ["easy", "medium", "hard"])
def test_all_kinds_of_texts_of_scenes(wording, difficulty):
    config = SceneConfig(difficulty=difficulty, split="test")
    for index in range(80):
        scene = make_scene(config, 11, index)
        texts = [caption(scene, draw=d, absent=d, wording=wording) for d in range(3)]
        expression = referring(scene, wording=wording)
        texts += [expression.caption] if expression else []
        for text in texts:
            assert noun_phrases(text.text) == [p.span for p in text.phrases], text.text


@given(st.text(max_size=80))
def test_any_text_gives_ordered_spans_of_it(text):
    end_before = 0
    for begin, end in noun_phrases(text):
        assert end_before <= begin < end <= len(text)
        assert text[begin:end] == text[begin:end].strip()
        end_before = end


TEXT = "a the red cup left of is and , . with stripes pair two behind in front holding it"
ANY_WORDS = TEXT.split()


@given(st.lists(st.sampled_from(ANY_WORDS), max_size=12))
def test_no_phrase_begins_or_ends_with_a_word_that_cannot(words):
    text = " ".join(words)
    for begin, end in noun_phrases(text):
        phrase = text[begin:end].split()
        assert phrase[0] not in {"of", "is", "and", ",", ".", "with", "in", "holding", "it"}
        assert phrase[-1] not in {"of", "is", "and", ",", ".", "with", "in", "it"}
