import json
import os
import pickle

import pytest

from eyespot.data.converters.refcoco import from_refcoco
from tests.data.converters.files import coco_instances, found, put

REFS = [
    {
        "ref_id": 1, "ann_id": 2, "category_id": 1, "image_id": 9, "split": "val",
        "file_name": "COCO_train2014_000000000009_2.jpg", "sent_ids": [4, 5],
        "sentences": [
            {"sent_id": 4, "raw": "Man in", "sent": "man in red", "tokens": ["man", "in", "red"]},
            {"sent_id": 5, "raw": "left guy", "sent": "left  guy", "tokens": ["left", "guy"]},
        ],
    },
    {
        "ref_id": 2, "ann_id": 5, "category_id": 18, "image_id": 25, "split": "train",
        "file_name": "COCO_train2014_000000000025_5.jpg", "sent_ids": [6],
        "sentences": [{"sent_id": 6, "raw": "dog", "sent": "dog", "tokens": ["dog"]}],
    },
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "refcoco+"
    coco_instances(folder / "instances.json")
    (folder / "refs(unc).p").write_bytes(pickle.dumps(REFS, protocol=0))
    return folder


def test_expressions(folder):
    pairs = list(from_refcoco(folder, "val"))
    assert found(pairs) == [
        ("man in red", [((50, 2, 30, 40), ["man"])]),
        ("left guy", [((50, 2, 30, 40), ["left guy"])]),
    ]
    assert pairs[0].file_name == "000000000009.jpg"  # not the name in refs, which has no file
    assert pairs[1].more["dataset_name"] == "refcoco+"
    assert (pairs[1].more["original_id"], pairs[1].more["sentence_id"]) == (9, 5)
    assert pairs[0].regions[0].more["original_id"] == 2
    assert pairs[0].regions[0].more["segmentation"] == [[1, 1, 9, 1, 9, 9]]


def test_text_of_python_2_and_json_are_read(folder):
    old = b"(lp0\n(dp1\nS'split'\np2\nS'val'\np3\nsS'image_id'\nI9\nsS'ann_id'\nI1\nsS'sentences'\n"
    old += b"(lp4\n(dp5\nS'sent'\nS'caf\\xc3\\xa9'\nsS'sent_id'\nI3\nsasa."
    (folder / "refs(unc).p").write_bytes(old)
    assert found(from_refcoco(folder, "val")) == [("café", [((1, 2, 30, 40), ["café"])])]
    put(folder / "refs(umd).json", json.dumps(REFS))
    assert len(list(from_refcoco(folder, "val", split_by="umd"))) == 2
    with pytest.raises(ValueError, match=r"got refs\(unc\).p, refs\(umd\).json; say which"):
        list(from_refcoco(folder, "val"))


def test_expressions_of_several_objects_and_of_none(tmp_path):
    """gRefCOCO's file: a list of ids, [-1] where nothing is meant."""
    rows = [([1, 2], "two people"), ([-1], "the cat"), ([3], "the light"), ([], "a bird")]
    refs = [
        {
            "ref_id": i, "image_id": 9, "split": "testA", "ann_id": ids, "category_id": ids,
            "no_target": ids in ([-1], []), "sentences": [{"sent_id": i, "sent": text}],
        }
        for i, (ids, text) in enumerate(rows)
    ]  # fmt: skip
    folder = tmp_path / "grefcoco"
    coco_instances(folder / "instances.json")
    put(folder / "grefs(unc).json", refs)
    pairs = list(from_refcoco(folder, "testA", split_by="unc"))
    assert found(pairs) == [
        ("two people", [((1, 2, 30, 40), ["two people"]), ((50, 2, 30, 40), ["two people"])]),
        ("the cat", []),
        ("the light", [((5, 60, 7, 8), ["the light"])]),
        ("a bird", []),
    ]
    assert pairs[1].more["dataset_name"] == "grefcoco"


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/eyespot-was-here",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickles_that_run_programs_are_refused(folder, protocol):
    (folder / "refs(unc).p").write_bytes(pickle.dumps([Evil()], protocol))
    with pytest.raises(ValueError, match="need a file of plain data, got .*could run a program"):
        list(from_refcoco(folder, "val"))
    assert not os.path.exists("/tmp/eyespot-was-here")


def test_what_is_missing_is_named(folder):
    with pytest.raises(ValueError, match="need a split of train, val, got 'testA'"):
        list(from_refcoco(folder, "testA"))
    (folder / "refs(unc).p").write_bytes(b"\x80")
    with pytest.raises(ValueError, match="need a file of plain data"):
        list(from_refcoco(folder, "val"))
    (folder / "refs(unc).p").unlink()
    with pytest.raises(ValueError, match=r"need one refs\(WHO\).p or grefs.*, got none"):
        list(from_refcoco(folder, "val"))
