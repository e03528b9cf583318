"""CLEVR's own question files: families, missing answers, and where the images are."""

import json

import pytest

from eyespot.data.clevr import clevr_questions
from eyespot.data.grounding_sources import open_grounding


def row(number, **more):
    return {
        "question": f"Question {number}?",
        "image_filename": f"CLEVR_val_{number:06d}.png",
        "split": "val",
        **more,
    }


def step(name):
    return [{"function": "scene", "inputs": []}, {"function": name, "inputs": [0]}]


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        ("count", "count"),
        ("exist", "exist"),
        ("less_than", "compare_number"),
        ("equal_integer", "compare_number"),
        ("query_color", "query"),
        ("equal_shape", "compare_attribute"),
    ],
)
def test_the_last_step_tells_the_family(last, kind):
    for key in ("function", "type"):
        program = [{key: one["function"]} for one in step(last)]
        (found,) = clevr_questions({"questions": [row(0, program=program, answer="2")]})
        assert found.more["question_kind"] == kind


def test_a_question_as_a_record():
    found = list(clevr_questions({"questions": [row(0, answer=3), row(1)]}))
    assert [one.image_id for one in found] == [0, 1]
    assert (found[0].height_px, found[0].width_px) == (320, 480)
    assert found[0].caption == "Question 0?"
    assert found[0].more == {"dataset_name": "clevr", "answer": "3", "split": "val"}
    assert "answer" not in found[1].more
    assert found[0].regions == ()


def test_a_row_that_is_no_question_is_named():
    with pytest.raises(ValueError, match="row 1 without image_filename"):
        list(clevr_questions({"questions": [row(0), {"question": "What?"}]}))


@pytest.mark.parametrize("place", ["images/val", "questions/images/val"])
def test_images_of_the_split_are_found_where_clevr_puts_them(tmp_path, place):
    (tmp_path / "questions").mkdir()
    (tmp_path / place).mkdir(parents=True)
    path = tmp_path / "questions" / "CLEVR_val_questions.json"
    path.write_text(json.dumps({"info": {}, "questions": [row(4, answer="yes")]}))
    (tmp_path / place / "CLEVR_val_000004.png").write_bytes(b"here")
    source = open_grounding(str(path))
    assert len(source) == 1
    assert source.image(0, source.caption(0, 0)) == b"here"
