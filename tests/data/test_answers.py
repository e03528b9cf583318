"""Answers as classes: published orders and targets, files, and vocabularies made from data."""

import json

import pytest

from eyespot.data import answers
from eyespot.data.annotations import CaptionedImage
from eyespot.data.answers import CLEVR_WORDS, SCENES_WORDS, AnswerWords
from eyespot.data.scenes import ANSWERS
from tests.reference import read_json

CASE = read_json("mdetr_vectors.json")["clevr_answers"]
GQA = AnswerWords(dict.fromkeys(answers.GQA_TYPE_NAMES, ("yes", "red", "unknown")))


def test_attributes_are_in_published_order():
    assert list(answers.CLEVR_ATTRIBUTES) == CASE["attributes"]


@pytest.mark.parametrize("row", CASE["encode"], ids=lambda row: row["answer"])
def test_clevr_targets_match_reference(row):
    found = CLEVR_WORDS.encode(row["answer"])
    name = CLEVR_WORDS.types[found.type_id]
    assert found.type_id == row["answer_type"]
    assert found.number == row[f"answer_{name}"]
    assert CLEVR_WORDS.words[name][found.number] == row["answer"]


def test_a_word_that_no_head_has_is_refused_and_a_near_one_named():
    with pytest.raises(ValueError, match="unknown answer 'spere'. Did you mean sphere"):
        CLEVR_WORDS.encode("spere")
    with pytest.raises(ValueError, match="unknown answer '20'"):
        CLEVR_WORDS.encode("20")


def test_gqa_answers_are_their_types_and_unknown_where_it_lacks_them():
    assert GQA.encode("red", "rel") == (2, 1)
    assert GQA.encode("mauve", "cat") == (4, 2)
    with pytest.raises(ValueError, match="need a question_type of obj, attr, rel, global, cat"):
        GQA.encode("red")
    with pytest.raises(ValueError, match="got 'object'"):
        GQA.encode("red", "object")


def test_heads_and_back():
    assert CLEVR_WORDS.by_head()["type"] == ("binary", "attr", "reg")
    assert answers.words_of_heads(CLEVR_WORDS.by_head()) == CLEVR_WORDS
    single = AnswerWords({"": ("a", "b")})
    assert single.by_head() == {"": ("a", "b")}
    assert answers.words_of_heads(single.by_head()) == single
    assert single.encode("b", "obj") == (0, 1)


def test_every_answer_of_the_scenes_has_a_class():
    for number, (name, words) in enumerate(ANSWERS.items()):
        for place, word in enumerate(words):
            assert SCENES_WORDS.encode(word, name) == (number, place)


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_published_files_are_read_in_class_order(tmp_path):
    by_type = {f"answer_{n}": {"unknown": 1, "no": 0} for n in ("cat", "rel", "obj", "attr")}
    by_type["answer_global"] = {"indoors": 2, "unknown": 0, "outdoors": 1}
    found = answers.read_answer_words(write(tmp_path / "a.json", by_type))
    assert found.types == ("obj", "attr", "rel", "global", "cat")
    assert found.words["global"] == ("unknown", "outdoors", "indoors")
    assert found.words["obj"] == ("no", "unknown")
    flat = answers.read_answer_words(write(tmp_path / "b.json", {"yes": 1, "no": 0}))
    assert flat.words == {"": ("no", "yes")}
    one = answers.read_answer_words(write(tmp_path / "d.json", {"answer_x": {"a": 0, "b": 1}}))
    assert one.words == {"": ("a", "b")}
    answers.write_answer_words(found, tmp_path / "c.json")
    assert answers.read_answer_words(tmp_path / "c.json") == found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "which holds none"),
        ({}, "which holds none"),
        ({"yes": 1, "no": 2}, "need the numbers 0 to 1"),
        ({"answer_a": {"yes": 0, "no": "1"}}, "need the numbers 0 to 1"),
        ({"answer_a": {"yes": 0, "no": 1}, "b": 3}, "need words with their numbers, got 3"),
        ({"answer_a": {"yes": 0, "no": 1}, "b": {"x": 0}}, "two or more answers .* got .'x'. of"),
    ],
)
def test_what_is_no_vocabulary(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        answers.read_answer_words(write(tmp_path / "a.json", content))
    (tmp_path / "b.json").write_text("no")
    with pytest.raises(ValueError, match="as JSON"):
        answers.read_answer_words(tmp_path / "b.json")


def test_a_vocabulary_of_data_has_frequent_words_first():
    asked = [("obj", "yes"), ("attr", "red"), ("attr", "blue"), ("attr", "blue"), ("zoo", "b")]
    asked += [("attr", "green"), ("attr", "green"), ("attr", "unknown")]
    records = [
        CaptionedImage(i, "a", 1, 1, "q", (), {"question_type": kind, "answer": word})
        for i, (kind, word) in enumerate(asked)
    ]
    found = answers.count_answer_words([*records, CaptionedImage(9, "a", 1, 1, "q", ())])
    assert found.types == ("obj", "attr", "zoo")
    assert found.words["attr"] == ("blue", "green", "red", "unknown")
    assert answers.count_answer_words(records[2:4], least=2).words == {"attr": ("blue", "unknown")}
    with pytest.raises(ValueError, match="got .'unknown'. of the type 'obj'"):
        answers.count_answer_words(records, least=2)
    with pytest.raises(ValueError, match="got none"):
        answers.count_answer_words([])
