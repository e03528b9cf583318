import pytest

from eyespot.data import answers
from tests.reference import read_json

CASE = read_json("mdetr_vectors.json")["clevr_answers"]


def test_attributes_are_in_published_order():
    assert list(answers.CLEVR_ATTRIBUTES) == CASE["attributes"]


@pytest.mark.parametrize("row", CASE["encode"], ids=lambda row: row["answer"])
def test_clevr_targets_match_reference_and_decode_again(row):
    found = answers.encode_clevr_answer(row["answer"])
    names = "answer_type", "answer_binary", "answer_attr", "answer_reg"
    assert list(found) == [row[name] for name in names]
    chosen = found.type_id, found.binary > 0.5, found.attribute, found.number
    assert answers.decode_clevr_answer(*chosen) == row["answer"]


def test_another_word_is_refused():
    with pytest.raises(ValueError, match="got 'maybe'"):
        answers.encode_clevr_answer("maybe")


def test_gqa_targets_sit_in_the_head_of_their_type():
    words = {f"answer_{t}": {"unknown": 0, "red": 1} for t in answers.GQA_TYPE_NAMES}
    found = answers.encode_gqa_answer("red", "rel", words)
    assert found == {"type": 2, "obj": -100, "attr": -100, "rel": 1, "global": -100, "cat": -100}
    assert answers.encode_gqa_answer("mauve", "cat", words)["cat"] == 0
    with pytest.raises(ValueError, match="got 'object'"):
        answers.encode_gqa_answer("red", "object", words)
