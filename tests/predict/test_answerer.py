"""The answerer: what the heads say, pairs, boxes of its grounder, and bad input explained."""

import json

import numpy as np
import pytest
import torch

from eyespot.data.answers import CLEVR_WORDS, SCENES_WORDS
from eyespot.evals.answers import choose_answers
from eyespot.models.answer_heads import heads_for
from eyespot.models.mdetr import CLEVR_HEADS
from eyespot.predict.answerer import Answerer
from eyespot.predict.grounder import Grounder
from eyespot.weights.grounders import save_grounder
from tests.predict.grounders import small_grounder

HEADS = heads_for(SCENES_WORDS.by_head())
QUESTIONS = ["Is the red cup left of a star?", "How many green fish are there?", "What is it like?"]


@pytest.fixture(scope="module")
def answerer():
    return Answerer(small_grounder(answer_heads=HEADS))


def pictures(*sizes):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in sizes]


def test_an_answer_is_what_the_heads_of_the_whole_network_say(answerer):
    """Against one pass through all of the network, which knows nothing of encoded pictures."""
    (picture,) = pictures((64, 80))
    said = answerer(picture, QUESTIONS[0])
    grounder = answerer.grounder
    tokens = grounder.tokenizer.pad([grounder.tokenizer.encode(QUESTIONS[0])])
    images = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    mean, std = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    images = (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    mask = torch.zeros(1, 64, 80, dtype=torch.bool)
    output = grounder.model(images, mask, tokens.ids, tokens.pad_mask)
    (expected,) = choose_answers(output.answer_logits, SCENES_WORDS)
    assert (said.answer_type, said.answer) == expected[:2]
    assert said.confidence == pytest.approx(expected.confidence, rel=1e-4)
    assert 0 < said.confidence < 1
    assert said.question == QUESTIONS[0]


def test_boxes_are_the_grounders(answerer):
    (picture,) = pictures((70, 90))
    found = answerer(picture, QUESTIONS[0], min_score=0.0, max_iou=1.0).grounding
    grounder = answerer.grounder
    same = grounder(picture, QUESTIONS[0], min_score=0.0, max_iou=1.0)
    assert [p.text for p in found.phrases] == ["the red cup", "a star"]
    for one, other in zip(found.phrases, same.phrases, strict=True):
        assert np.allclose(one.boxes_xyxy_px, other.boxes_xyxy_px, atol=1e-3)
    assert found.size_hw_px == (70, 90)


def test_a_question_that_names_nothing_has_an_answer_and_no_boxes(answerer):
    (picture,) = pictures((64, 64))
    said = answerer(picture, QUESTIONS[2])
    assert said.grounding.phrases == ()
    assert said.answer in SCENES_WORDS.words[said.answer_type]


def test_pairs_equal_one_by_one(answerer):
    images = pictures((64, 64), (80, 100), (64, 64))
    together = answerer(images, QUESTIONS)
    assert len(together) == 3
    many = answerer(images[0], QUESTIONS)
    for image, question, said, of_first in zip(images, QUESTIONS, together, many, strict=True):
        alone = answerer(image, question)
        assert said.answer == alone.answer
        assert said.confidence == pytest.approx(alone.confidence, rel=1e-4)
        assert of_first.answer == answerer(images[0], question).answer
    encoded = answerer.grounder.encode(images)
    assert [a.answer for a in answerer(encoded, QUESTIONS)] == [a.answer for a in together]
    assert len(answerer(images, [QUESTIONS[0]])) == 3
    with pytest.raises(ValueError, match="got 3 pictures and 2 texts"):
        answerer(images, QUESTIONS[:2])


def test_plain_data(answerer):
    said = answerer(pictures((64, 64))[0], QUESTIONS[1], min_score=0.0)
    row = json.loads(json.dumps(said.to_dict()))
    assert row["question"] == QUESTIONS[1]
    assert row["answer"] == said.answer
    assert row["type"] == said.answer_type
    assert row["confidence"] == pytest.approx(said.confidence, abs=1e-4)
    assert row["phrases"][0]["phrase"] == "green fish"


def test_from_a_file(tmp_path):
    loaded = small_grounder(answer_heads=heads_for(CLEVR_WORDS.by_head(), like=CLEVR_HEADS))
    save_grounder(loaded.model, loaded.spec, loaded.tokenizer, tmp_path / "a.safetensors")
    answerer = Answerer.from_pretrained(tmp_path / "a.safetensors")
    assert answerer.words == CLEVR_WORDS
    (picture,) = pictures((64, 64))
    assert answerer(picture, QUESTIONS[0]).answer == Answerer(loaded)(picture, QUESTIONS[0]).answer


@pytest.mark.parametrize("question", ["", "  \n"])
def test_an_empty_question(answerer, question):
    with pytest.raises(ValueError, match="need a question, got an empty one"):
        answerer(pictures((9, 9))[0], question)


def test_a_question_too_long_to_be_read_at_once(answerer):
    with pytest.raises(ValueError, match="at most 40 tokens, got one of 5,000 characters"):
        answerer(pictures((9, 9))[0], ("is it red " * 500))


def test_weights_that_do_not_answer():
    with pytest.raises(ValueError, match="got a network without answer heads"):
        Answerer(small_grounder())
    wordless = tuple(head._replace(words=()) for head in HEADS)
    with pytest.raises(ValueError, match="know the words of their answers"):
        Answerer(small_grounder(answer_heads=wordless))
    assert Grounder(small_grounder(answer_heads=wordless)).spec.answer_heads == wordless
