import json

import pytest

from eyespot.data.converters.coco import from_coco
from eyespot.data.converters.odvg import from_odvg
from tests.data.converters.files import coco_instances, found, put


def coco_captions(path):
    rows = [
        (9, "Two people wait \n at a Traffic Light. "),
        (25, "a puppy"),
        (9, "a man"),
    ]
    return put(
        path,
        {
            "images": [],
            "annotations": [
                {"image_id": image, "id": 100 + i, "caption": text}
                for i, (image, text) in enumerate(rows)
            ],
        },
    )


def test_captions_name_the_boxes_of_the_categories_they_mention(tmp_path):
    instances = coco_instances(tmp_path / "instances_val2017.json")
    pairs = list(from_coco(instances, coco_captions(tmp_path / "captions_val2017.json")))
    assert found(pairs) == [
        ("Two people wait at a Traffic Light.", [
            ((1, 2, 30, 40), ["people"]),
            ((50, 2, 30, 40), ["people"]),
            ((5, 60, 7, 8), ["Traffic Light"]),
        ]),
        ("a puppy", []),
        ("a man", []),
    ]  # fmt: skip
    first = pairs[0]
    assert (first.file_name, first.height_px, first.width_px) == ("000000000009.jpg", 480, 640)
    assert first.more == {"dataset_name": "coco", "original_id": 9, "sentence_id": 100}
    assert first.regions[2].more["category_id"] == 10
    assert first.regions[0].area_px == 32


def test_without_captions_the_categories_are_listed(tmp_path):
    instances = coco_instances(tmp_path / "i.json")
    pairs = list(from_coco(instances, dataset_name="mine"))
    assert found(pairs) == [
        ("person. traffic light.", [
            ((1, 2, 30, 40), ["person"]),
            ((50, 2, 30, 40), ["person"]),
            ((5, 60, 7, 8), ["traffic light"]),
        ]),
        ("dog.", [((3, 4, 5, 6), ["dog"])]),
    ]  # fmt: skip
    assert pairs[0].more["dataset_name"] == "mine"


def test_a_caption_of_no_image_is_refused(tmp_path):
    instances = coco_instances(tmp_path / "i.json")
    captions = put(tmp_path / "c.json", {"annotations": [{"image_id": 7, "id": 1, "caption": "x"}]})
    with pytest.raises(ValueError, match="got one of image 7, which it does not have"):
        list(from_coco(instances, captions))


LINE = {
    "filename": "image.jpg",
    "height": 693,
    "width": 1024,
    "detection": {
        "instances": [
            {"bbox": [262, 210, 323, 338], "label": 0, "category": "dog"},
            {"bbox": [164, 263, 252, 371], "label": 1},
            {"bbox": [1, 2, 3, 4], "label": 0, "category": "dog"},
        ]
    },
    "grounding": {
        "caption": "A wire hanger with  a paper cover",
        "regions": [
            {"bbox": [20, 215, 985, 665], "phrase": "a paper cover"},
            {"bbox": [[19, 19, 982, 671], [0, 0, 5, 6]], "phrase": ["a wire hanger"]},
            {"bbox": [1, 1, 2, 2], "phrase": "", "tokens_positive": [[20, 27]]},
        ],
    },
}


def test_odvg(tmp_path):
    lines = put(tmp_path / "a.jsonl", json.dumps(LINE) + "\n\n" + json.dumps(LINE))
    label_map = put(tmp_path / "map.json", {"0": "dog", "1": "cat"})
    pairs = list(from_odvg(lines, label_map))
    assert len(pairs) == 4
    assert found(pairs[:2]) == [
        ("A wire hanger with a paper cover", [
            ((20, 215, 965, 450), ["a paper cover"]),
            ((19, 19, 963, 652), ["A wire hanger"]),
            ((0, 0, 5, 6), ["A wire hanger"]),
            ((1, 1, 1, 1), ["a paper"]),
        ]),
        ("dog. cat.", [
            ((262, 210, 61, 128), ["dog"]), ((164, 263, 88, 108), ["cat"]), ((1, 2, 2, 2), ["dog"]),
        ]),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="a name for label 1 in the label map: line 1 of"):
        list(from_odvg(lines))


def test_odvg_that_is_wrong(tmp_path):
    broken = json.loads(json.dumps(LINE))
    broken["grounding"]["regions"][0]["phrase"] = "a fork"
    lines = put(tmp_path / "a.jsonl", json.dumps(broken))
    with pytest.raises(ValueError, match="got 'a fork' of 'A wire hanger.*: line 1 of"):
        list(from_odvg(lines))
    put(lines, "{}\n{")
    with pytest.raises(ValueError, match="need the file .*none.jsonl"):
        list(from_odvg(tmp_path / "none.jsonl"))
    put(lines, "{")
    with pytest.raises(ValueError, match="need JSON in line 1 of"):
        list(from_odvg(lines))
