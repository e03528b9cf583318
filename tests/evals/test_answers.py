import math

import pytest
import torch

from eyespot.data.answers import CLEVR_WORDS, GQA_TYPE_NAMES, AnswerWords
from eyespot.evals import answers
from tests.reference import read_json

VECTORS = read_json("mdetr_vectors.json")


def accuracy_of(case, words):
    """Share of a reference case's questions with the right type and the right word."""
    logits = {
        name.removeprefix("pred_answer_"): torch.tensor(values)
        for name, values in case["outputs"].items()
        if name != "pred_answer"
    }
    said = answers.choose_answers(logits, words)
    found = {i: f"{one.type} {one.word}" for i, one in enumerate(said)}
    truths = {}
    for row, type_id in enumerate(case["answers"]["answer_type"]):
        name = words.types[type_id]
        number = int(case["answers"][f"answer_{name}"][row])
        truths[row] = f"{name} {words.words[name][number]}"
    return answers.answer_accuracy(found, truths)["all"]


@pytest.mark.parametrize("case", VECTORS["qa_clevr"])
def test_clevr_words_have_the_reference_accuracy(case):
    expected = case["expected"]["accuracy_answer_total"]
    assert accuracy_of(case, CLEVR_WORDS) == pytest.approx(expected)


@pytest.mark.parametrize("case", VECTORS["qa_gqa"])
def test_gqa_words_have_the_reference_accuracy(case):
    sizes = {n: len(case["outputs"][f"pred_answer_{n}"][0]) for n in GQA_TYPE_NAMES}
    words = AnswerWords({n: tuple(f"{n}{i}" for i in range(sizes[n])) for n in GQA_TYPE_NAMES})
    expected = case["expected_split"]["accuracy_answer_total"]
    assert accuracy_of(case, words) == pytest.approx(expected)


def test_the_type_decides_which_head_answers_and_confidences_multiply():
    logits = {
        "type": torch.tensor([[0.0, 0.0, math.log(2)], [9.0, 0.0, 0.0], [0.0, 9.0, 0.0]]),
        "binary": torch.tensor([-5.0, -math.log(3), 5.0]),
        "attr": torch.eye(15)[:3] * 4,
        "reg": torch.zeros(3, 20).index_fill(1, torch.tensor([7]), math.log(19)),
    }
    first, second, third = answers.choose_answers(logits, CLEVR_WORDS)
    assert first[:2] == ("reg", "7")
    assert first.confidence == pytest.approx(2 / 4 * 19 / 38)
    assert second[:2] == ("binary", "no")
    assert second.confidence == pytest.approx(math.exp(9) / (math.exp(9) + 2) * 3 / 4)
    assert third[:2] == ("attr", "gray")


def test_one_head_for_all_answers():
    logits = {"": torch.tensor([[0.0, math.log(3)], [math.log(4), 0.0]])}
    one, other = answers.choose_answers(logits, AnswerWords({"": ("no", "a cup")}))
    assert one == ("", "a cup", pytest.approx(0.75))
    assert other == ("", "no", pytest.approx(0.8))


def test_accuracy_is_the_share_of_right_answers_of_each_kind():
    found = {1: "yes", 2: "no", 3: "4", 4: "5"}
    truths = {1: "yes", 2: "yes", 3: "4", 4: "5"}
    families = {1: "exist", 2: "exist", 3: "count", 4: "count"}
    expected = {"all": 0.75, "exist": 0.5, "count": 1.0}
    assert answers.answer_accuracy(found, truths, families) == expected


def test_an_unanswered_question_is_named():
    with pytest.raises(ValueError, match="none to 1 of 2, the first being 'q2'"):
        answers.answer_accuracy({"q1": "yes"}, {"q1": "yes", "q2": "no"})
    with pytest.raises(ValueError, match="at least one question"):
        answers.answer_accuracy({}, {})
