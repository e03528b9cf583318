import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from eyespot.data.annotation_checks import check_annotations
from eyespot.data.annotations import GroundingAnnotations, parse_annotations
from eyespot.data.grounding import read_masks
from eyespot.data.tokens import scenes_tokenizer
from eyespot.tasks.ground_predictions import absent_phrases, evaluated_phrases

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
        (lambda _, a: a.update(id=[1]), "bad value", "(id [1]) has the id [1], not a whole number"),
        (lambda i, _: i.update(height="100"), "bad value", "has the height '100', not a whole"),
        (lambda i, _: i.update(width=0), "bad value", "the width 0, not at least one pixel"),
        (lambda i, _: i.update(file_name=None), "bad value", "the file_name None, not a text"),
        (lambda i, _: i.update(caption=CAPTION + " so" * 245), "caption too long",
         "images[0] has a caption of at least 256 tokens, where the network reads 255"),
        (lambda _, a: a.update(area="5"), "bad value", "has the area '5', not a number of pixels"),
        (lambda _, a: a.update(area=-1), "bad value", "has the area -1, not a number of pixels"),
        (lambda _, a: a.update(area=float("nan")), "bad value", "has the area nan"),
        (lambda _, a: a.update(iscrowd="0"), "bad value", "has the iscrowd '0', not 0 or 1"),
        (lambda _, a: a.update(isfinal=2), "bad value", "has the isfinal 2, not 0, 1 or null"),
        (lambda _, a: a.update(category_id="cat"), "bad value", "has the category_id 'cat', not"),
        (lambda _, a: a.update(segmentation=[[1, 2, 3]]), "bad value", "not polygons, each x0, y0"),
        (lambda _, a: a.update(segmentation={"counts": [3]}), "bad value", "not polygons, or run"),
        (lambda _, a: a.update(segmentation={"size": [9, 9], "counts": [81]}), "bad value",
         "not of the image's height and width, 100 and 200"),
        (lambda i, _: i.update(answer=["yes"]), "bad value", "has the answer ['yes'], not a text"),
        (lambda i, _: i.update(question_type=3), "bad value", "has the question_type 3, not a te"),
        (lambda i, _: i.update(caption=CAPTION + "\ud800"), "bad value", "has the caption 'a red"),
        (lambda i, _: i.update(tokens_negative=[[0, 99]]), "span outside the caption",
         "images[0] as tokens_negative has the span [0, 99]"),
        (lambda i, _: i.update(tokens_positive_eval=7), "bad span", "7, not a list of phrases"),
        (lambda i, _: i.update(tokens_positive_eval=[[[0, 5]], [2]]), "bad span",
         "images[0] as phrase 1 of tokens_positive_eval has the span 2, not two whole"),
        (lambda i, _: i.update(tokens_positive_eval=[[]]), "no span", "phrase 0 of tokens_positi"),
        (lambda i, _: i.update(tokens_positive_eval=[[[0, 5]]], phrase_types=[]), "bad value",
         "has the phrase_types [], not a list of types for each phrase"),
        (lambda _, a: a.pop("bbox"), "missing key", "has no 'bbox', only id, image_id, tokens"),
        (lambda i, _: i.pop("caption"), "missing key", "images[0] has no 'caption'"),
    ],
)  # fmt: skip
def test_each_bad_record_gets_one_sentence(change, kind, words):
    report = problems_after(change)
    assert words in report.problems[0].sentence
    assert report.counts == {kind: 1}


def test_two_captions_need_two_ids():
    dataset = copy.deepcopy(GOOD)
    dataset["images"][1]["id"] = 1
    assert check_annotations(dataset).counts == {"duplicate id": 1}


def test_files_of_another_size_are_named(tmp_path):
    width, height = GOOD["images"][0]["width"], GOOD["images"][0]["height"]
    Image.new("RGB", (width, height)).save(tmp_path / "one.jpg")
    assert not check_annotations(GOOD, tmp_path).problems
    Image.new("RGB", (height, width)).save(tmp_path / "one.jpg")  # EXIF may turn it
    assert not check_annotations(GOOD, tmp_path).problems
    Image.new("RGB", (width, height + 1)).save(tmp_path / "one.jpg")
    report = check_annotations(GOOD, tmp_path)
    assert report.counts == {"another size": 2}  # of its two captions
    assert f"{width} x {height + 1} pixels, not {width} x {height}" in report.problems[0].sentence


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


FULL = {
    "images": [
        {
            **GOOD["images"][0],
            "tokens_positive_eval": [[[2, 10]], [[20, 34]]],
            "phrase_types": [["toys"], ["toys", "other"]],
            "tokens_negative": [[0, 34]],
            "question_type": "attr",
            "answer": "red",
        }
    ],
    "annotations": [
        {**GOOD["annotations"][0], "area": 9.5, "iscrowd": 0, "isfinal": 1, "category_id": 3}
        | {"segmentation": [[0, 0, 50, 0, 50, 50]]},
        {**GOOD["annotations"][1], "segmentation": {"size": [100, 200], "counts": [20000]}},
    ],
}
NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 1, 2, 10**30, -(10**400), 2**63])
PLAIN = st.none() | st.booleans() | NUMBERS | st.sampled_from(["", "5", "ab", "x\ud800", "cat"])
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["size", "counts", "a"]), inner, max_size=2)
    ),
    max_leaves=6,
)


def places(value, path=()):
    """Every place in a record, as the keys that lead there."""
    yield path
    if isinstance(value, list | dict):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


PLACES = [place for place in places(FULL) if len(place) > 1]


def changed(place, value, *, drop):
    dataset = copy.deepcopy(FULL)
    owner = dataset
    for key in place[:-1]:
        owner = owner[key]
    if drop:
        del owner[place[-1]]
    else:
        owner[place[-1]] = value
    return dataset


def refused_or_usable(dataset):
    """Whether records are refused; their flaw is told then, and else they can be used."""
    explained = check_annotations(dataset).problems
    try:
        records = list(GroundingAnnotations(parse_annotations(dataset)))
    except ValueError as error:
        assert "eyespot data check FILE" in str(error) or "does not have" in str(error)
        assert explained, error
        return True
    for record in records:
        evaluated_phrases(record)
        absent_phrases(record)
        {int(r.more["category_id"]) for r in record.regions if r.more.get("category_id")}
        if not explained:
            drawn = [r for r in record.regions if r.more.get("segmentation")]
            assert len(read_masks(drawn, record.height_px, record.width_px)) == len(drawn)
    return False


NASTY = [
    *(None, True, 0, -1, 2, 1.5, float("nan"), float("inf"), 2**63, 10**400),
    *("", "5", "ab", "x\ud800", [], {}, [1], [[1]], [[0, 5]], [[[0, 5]]], [None], ["a"], {"a": 1}),
    *([[1, 2, 3, 4, 5, None]], {"size": [100, 200], "counts": "?"}, {"size": [100, 200]}),
]


def test_whatever_is_refused_is_explained():
    """Every place of a record with every kind of value."""
    cases = [(place, value) for place in PLACES for value in NASTY]
    refused = [
        place for place, value in cases if refused_or_usable(changed(place, value, drop=False))
    ]
    refused += [place for place in PLACES if refused_or_usable(changed(place, None, drop=True))]
    keys = {key for place in refused for key in place if isinstance(key, str)}
    assert keys >= {"bbox", "area", "category_id", "question_type", "phrase_types", "height", "id"}
    assert keys >= {"tokens_positive", "tokens_positive_eval", "tokens_negative", "image_id"}


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(PLACES), VALUES)
def test_any_value_is_refused_and_explained_or_usable(place, value):
    refused_or_usable(changed(place, value, drop=False))


def test_the_full_file_is_good():
    assert check_annotations(FULL).problems == []
