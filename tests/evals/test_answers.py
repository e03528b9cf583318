import pytest
import torch

from eyespot.data.answers import CLEVR_ATTRIBUTES, encode_clevr_answer
from eyespot.evals import answers
from tests.reference import read_json

VECTORS = read_json("mdetr_vectors.json")


def words_of(case):
    """Right answers of a CLEVR case as words."""
    rows = zip(
        *(case["answers"][f"answer_{n}"] for n in ("type", "binary", "attr", "reg")), strict=True
    )
    return [
        [("no", "yes")[int(binary)], CLEVR_ATTRIBUTES[max(attribute, 0)], str(number)][type_id]
        for type_id, binary, attribute, number in rows
    ]


@pytest.mark.parametrize("case", VECTORS["qa_clevr"])
def test_clevr_words_have_the_reference_accuracy(case):
    logits = [
        torch.tensor(case["outputs"][f"pred_answer_{n}"]) for n in ("type", "binary", "attr", "reg")
    ]
    found = dict(enumerate(answers.clevr_answers(*logits)))
    truths = dict(enumerate(words_of(case)))
    families = {q: str(encode_clevr_answer(word).type_id) for q, word in truths.items()}
    accuracy = answers.answer_accuracy(found, truths, families)
    assert accuracy["all"] == pytest.approx(case["expected"]["accuracy_answer_total"])


@pytest.mark.parametrize("case", VECTORS["qa_gqa"])
def test_gqa_words_have_the_reference_accuracy(case):
    logits = {k: torch.tensor(v) for k, v in case["outputs"].items()}
    names = answers.GQA_TYPE_NAMES
    sizes = {n: logits[f"pred_answer_{n}"].shape[1] for n in names}
    vocabularies = {f"answer_{n}": {f"{n}{i}": i for i in range(sizes[n])} for n in names}
    found = answers.gqa_answers(
        logits["pred_answer_type"], {n: logits[f"pred_answer_{n}"] for n in names}, vocabularies
    )
    truths = [
        f"{names[t]}{case['answers'][f'answer_{names[t]}'][row]}"
        for row, t in enumerate(case["answers"]["answer_type"])
    ]
    accuracy = answers.answer_accuracy(dict(enumerate(found)), dict(enumerate(truths)))
    assert accuracy["all"] == pytest.approx(case["expected_split"]["accuracy_answer_total"])


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
