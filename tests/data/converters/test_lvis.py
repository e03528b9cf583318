"""LVIS as texts: one for each category that an image was annotated for, absent ones too."""

import json

from eyespot.data.annotations import read_annotations
from eyespot.data.converters.lvis import from_lvis
from eyespot.data.converters.pairs import write_pairs


def test_each_annotated_and_each_absent_category_is_a_text(tmp_path):
    square = [[10, 10, 30, 10, 30, 20, 10, 20]]
    rest = {"area": 200.0, "segmentation": square, "bbox": [10, 10, 20, 10]}
    data = {
        "images": [
            {
                "id": 7, "height": 60, "width": 80, "neg_category_ids": [3],
                "not_exhaustive_category_ids": [2],
                "coco_url": "http://images.cocodataset.org/val2017/000000000007.jpg",
            }
        ],
        "categories": [
            {"id": 1, "name": "bow_(weapon)", "frequency": "r"},
            {"id": 2, "name": "traffic_light", "frequency": "f"},
            {"id": 3, "name": "cup", "frequency": "c"},
            {"id": 4, "name": "key", "frequency": "c"},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 2, **rest},
            {"id": 2, "image_id": 7, "category_id": 1, **rest},
            {"id": 3, "image_id": 7, "category_id": 2, **rest},
        ],
    }  # fmt: skip
    (tmp_path / "lvis.json").write_text(json.dumps(data))
    written = write_pairs(from_lvis(tmp_path / "lvis.json"), tmp_path / "out.json")
    assert (written.num_pairs, written.num_images, written.num_boxes) == (3, 1, 3)
    assert written.problems == []
    bow, light, cup = read_annotations(tmp_path / "out.json")
    assert (bow.caption, light.caption, cup.caption) == ("bow", "traffic light", "cup")
    assert bow.file_name == "val2017/000000000007.jpg"
    assert [len(pair.regions) for pair in (bow, light, cup)] == [1, 2, 0]
    assert light.regions[0].spans == ((0, 13),)
    assert light.regions[0].more == {"category_id": 2, "segmentation": square}
    assert [pair.more["not_exhaustive"] for pair in (bow, light, cup)] == [False, True, False]
    assert [pair.more["frequency"] for pair in (bow, light, cup)] == ["r", "f", "c"]
    assert cup.more["original_id"] == 7
