"""Heads for a vocabulary: their sizes, their order, and the header that keeps their words."""

import json

from eyespot.design.by_name import to_spec
from eyespot.models.answer_heads import heads_for
from eyespot.models.grounder import GrounderSpec, grounder_from_dict, grounder_to_dict
from eyespot.models.mdetr import CLEVR_HEADS, AnswerHead

WORDS = {
    "type": ("binary", "attr", "reg"),
    "binary": ("no", "yes"),
    "attr": tuple("abc"),
    "reg": tuple("01234"),
}


def test_published_order_and_hidden_layers_are_taken_over():
    assert heads_for(WORDS, like=CLEVR_HEADS) == (
        AnswerHead("type", 3, False, WORDS["type"]),
        AnswerHead("binary", 1, False, ("no", "yes")),
        AnswerHead("reg", 5, True, WORDS["reg"]),
        AnswerHead("attr", 3, False, WORDS["attr"]),
    )


def test_other_names_have_the_order_of_the_words():
    heads = heads_for({"type": ("x", "y"), "x": ("yes", "no"), "y": ("no", "yes")}, CLEVR_HEADS)
    assert heads == (
        AnswerHead("type", 2, False, ("x", "y")),
        AnswerHead("x", 2, False, ("yes", "no")),
        AnswerHead("y", 1, False, ("no", "yes")),
    )
    assert heads_for({"": tuple("ab")})[0].num_answers == 2


def test_a_header_keeps_the_words():
    spec = GrounderSpec(to_spec("ResNet-18"), answer_heads=heads_for(WORDS, like=CLEVR_HEADS))
    stored = json.loads(json.dumps(grounder_to_dict(spec)))
    assert grounder_from_dict(stored) == spec
    del stored["answer_heads"][0]["words"]  # of a file from before heads had words
    assert grounder_from_dict(stored).answer_heads[0] == AnswerHead("type", 3)
