import copy

import pytest

from eyespot.data.annotation_checks import check_annotations
from eyespot.data.tokens import scenes_tokenizer

CAPTION = "a red ball, left of two blue cubes"
GOOD = {
    "images": [
        {"id": 1, "file_name": "one.jpg", "height": 100, "width": 200, "caption": CAPTION},
        {"id": 2, "file_name": "one.jpg", "height": 100, "width": 200, "caption": "nothing"},
    ],
    "annotations": [
        {"id": 5, "image_id": 1, "bbox": [0, 0, 50, 50], "tokens_positive": [[2, 10]]},
        {"id": 6, "image_id": 1, "bbox": [60.5, 10, 140, 90], "tokens": [[20, 34]]},
    ],
}


def problems_after(change, folder=None):
    dataset = copy.deepcopy(GOOD)
    change(dataset["images"][0], dataset["annotations"][1])
    return check_annotations(dataset, folder)


def test_a_good_file_has_no_problem():
    report = check_annotations(GOOD)
    assert report == (2, 2, [])
    assert report.counts == {}


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda _, a: a.update(tokens=[[20, 35]]), "span outside the caption",
         "annotations[1] (id 6) has the span [20, 35] outside its caption"),
        (lambda _, a: a.update(tokens=[[19, 34]]), "span on whitespace", "on ' two blue cubes'"),
        (lambda _, a: a.update(tokens=[[5, 5]]), "bad span", "the span [5, 5]"),
        (lambda _, a: a.update(tokens=[[5, 6, 7]]), "bad span", "the span [5, 6, 7]"),
        (lambda _, a: a.pop("tokens"), "no span", "names no characters"),
        (lambda _, a: a.update(bbox=[200, 0, 5, 5]), "box outside the image", "200 x 100 pixels"),
        (lambda _, a: a.update(bbox=[190, 0, 15, 5]), "box over the edge", "5 pixels over"),
        (lambda _, a: a.update(bbox=[9, 9, -1, 5]), "bad box", "not corners"),
        (lambda _, a: a.update(bbox=[9, 9, 5]), "bad box", "[9, 9, 5], not four"),
        (lambda _, a: a.update(bbox=[9, float("nan"), 5, 5]), "bad box", "finite"),
        (lambda _, a: a.update(image_id=3), "no such image", "is of image 3"),
        (lambda _, a: a.update(id=5), "duplicate id", "an earlier annotation"),
        (lambda _, a: a.update(tokens=7), "bad span", "has the spans 7, not a list"),
        (lambda _, a: a.update(id=[1]), "bad value", "(id [1]) has an id that is not a whole"),
        (lambda i, _: i.update(height="100"), "bad value", "has the height '100', not a whole"),
        (lambda i, _: i.update(width=0), "bad value", "the width 0, not at least one pixel"),
        (lambda i, _: i.update(file_name=None), "bad value", "the file_name None, not a text"),
        (lambda i, _: i.update(caption=CAPTION + " so" * 245), "caption too long",
         "images[0] has a caption of at least 256 tokens, where the network reads 255"),
        (lambda _, a: a.pop("bbox"), "missing key", "has no 'bbox', only id, image_id, tokens"),
        (lambda i, _: i.pop("caption"), "missing key", "images[0] has no 'caption'"),
    ],
)  # fmt: skip
def test_each_bad_record_gets_one_sentence(change, kind, words):
    report = problems_after(change)
    assert report.counts == {kind: 1}
    assert words in report.problems[0].sentence


def test_two_captions_need_two_ids():
    dataset = copy.deepcopy(GOOD)
    dataset["images"][1]["id"] = 1
    assert check_annotations(dataset).counts == {"duplicate id": 1}


def test_missing_files_are_named(tmp_path):
    report = check_annotations(GOOD, tmp_path)
    assert report.counts == {"missing file": 2}
    assert str(tmp_path / "one.jpg") in report.problems[0].sentence
    (tmp_path / "one.jpg").touch()
    assert check_annotations(GOOD, tmp_path).counts == {}


def test_counts_are_by_kind_most_frequent_first():
    dataset = copy.deepcopy(GOOD)
    for row in dataset["annotations"]:
        row.update(tokens_positive=[[0, 99], [0, 98]], bbox=[0, 0, 0, 0])
    report = check_annotations(dataset)
    assert list(report.counts.items()) == [("span outside the caption", 4), ("bad box", 2)]


def test_any_value_anywhere_gives_sentences():
    """Every place of a file, filled with every kind of JSON value."""
    values = [
        None,
        "x",
        -1,
        1.5,
        float("nan"),
        [],
        {},
        [[1]],
        True,
        10**30,
        {"a": 1},
        [[0, 5], None],
    ]
    for where in ("images", "annotations"):
        for key in [None, *GOOD[where][0]]:
            for value in values:
                dataset = copy.deepcopy(GOOD)
                if key is None:
                    dataset[where][0] = value
                else:
                    dataset[where][0][key] = value
                report = check_annotations(dataset)
                assert all(len(problem.sentence) < 400 for problem in report.problems)
                if key is None:
                    assert report.problems
    with pytest.raises(ValueError, match="need a list of images, got 5"):
        check_annotations({"images": 5, "annotations": []})


def test_a_tokenizer_says_exactly_which_captions_are_too_long():
    image = {**GOOD["images"][0], "caption": "a red cup left of a house"}
    dataset = {"images": [image], "annotations": []}
    for limit, kinds in ((9, {}), (8, {"caption too long": 1})):  # two mark begin and end
        found = check_annotations(dataset, tokenizer=scenes_tokenizer(max_tokens=limit))
        assert found.counts == kinds
