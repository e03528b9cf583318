"""A user's own folder as it comes: every layout gives the same captions, boxes and images."""

import json

import numpy as np
import pytest
from PIL import Image

from eyespot.data.grounding_folders import open_annotated, read_any, read_split


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(path)


def coco(numbers):
    """Instances of dogs and a traffic light, and captions; the second image has two captions."""
    images = [{"id": i, "file_name": f"{i}.png", "height": 40, "width": 60} for i in numbers]
    annotations = [
        {"id": 10 * i + k, "image_id": i, "category_id": k, "bbox": [k, 2, 9, 8], "area": 72}
        for i in numbers
        for k in (1, 2)
    ]
    names = [{"id": 1, "name": "dog"}, {"id": 2, "name": "traffic light"}]
    said = [{"id": i, "image_id": i, "caption": f"Two dogs, number {i}."} for i in numbers]
    said.append({"id": 99, "image_id": numbers[0], "caption": "A traffic light."})
    instances = {"images": images, "annotations": annotations, "categories": names}
    return instances, {"images": images, "annotations": said}


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def coco_folder(root, numbers=range(10)):
    """COCO's own layout: annotations/ beside train2017/ and val2017/."""
    for split, part in (("train", numbers), ("val", range(90, 93))):
        instances, captions = coco(list(part))
        write(root / "annotations" / f"instances_{split}2017.json", instances)
        write(root / "annotations" / f"captions_{split}2017.json", captions)
        for image in instances["images"]:
            picture(root / f"{split}2017" / image["file_name"])


def test_cocos_own_layout(tmp_path):
    coco_folder(tmp_path)
    train, val = read_split(tmp_path, "train"), read_split(tmp_path, "val")
    assert (len(train.annotations), len(val.annotations)) == (11, 4)
    assert (train.images, val.images) == (tmp_path / "train2017", tmp_path / "val2017")
    assert not train.held_out
    assert train.path.name == "instances_train2017.json"
    assert [one.image_id for one in train.annotations] == list(range(11))
    dogs, light = train.annotations[0], train.annotations[10]
    assert dogs.caption[slice(*dogs.regions[0].spans[0])] == "dogs"
    assert (light.file_name, len(light.regions)) == ("0.png", 1)
    opened = open_annotated(tmp_path, "val")
    assert opened.image(0, opened.caption(0, 0))


def test_a_labelling_tools_layout_and_ours(tmp_path):
    for split, numbers in (("train", [1, 2, 3]), ("valid", [4, 5])):
        instances, _ = coco(numbers)
        write(tmp_path / "tool" / split / "_annotations.coco.json", instances)
        for number in numbers:
            picture(tmp_path / "tool" / split / f"{number}.png")
    train, val = (read_split(tmp_path / "tool", split) for split in ("train", "val"))
    assert [one.caption for one in val.annotations] == ["dog. traffic light."] * 2
    assert (train.images.name, val.images.name) == ("train", "valid")
    own = {
        "images": [
            {"id": i, "file_name": f"{i}.png", "height": 40, "width": 60, "caption": "a cup"}
            for i in (7, 8)
        ],
        "annotations": [{"image_id": 7, "bbox": [0, 0, 5, 5], "tokens_positive": [[0, 5]]}],
    }
    for split in ("train", "val"):
        write(tmp_path / "ours" / f"{split}.json", own)
    for number in (7, 8):
        picture(tmp_path / "ours" / "images" / f"{number}.png")
    found = read_split(tmp_path / "ours", "train")
    assert [one.image_id for one in found.annotations] == [7, 8]
    assert found.images == tmp_path / "ours" / "images"


@pytest.mark.parametrize("as_file", [False, True])
def test_without_a_split_whole_images_are_held_out(tmp_path, as_file):
    instances, captions = coco(list(range(20)))
    write(tmp_path / "instances.json", instances)
    write(tmp_path / "captions.json", captions)
    for number in range(20):
        picture(tmp_path / "photos" / f"{number}.png")
    source = tmp_path / "instances.json" if as_file else tmp_path
    train, val = (read_split(source, split) for split in ("train", "val"))
    names = [{one.file_name for one in found.annotations} for found in (train, val)]
    assert (len(names[0]), len(names[1])) == (18, 2)
    assert not names[0] & names[1]
    assert len(train.annotations) + len(val.annotations) == 21
    assert train.held_out
    assert train.images == tmp_path / "photos"
    again = read_split(source, "val").annotations
    assert [one.file_name for one in again] == [one.file_name for one in val.annotations]


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(ValueError, match="need annotations in"):
        read_split(tmp_path, "train")
    with pytest.raises(ValueError, match="none there"):
        open_annotated(tmp_path / "nowhere", "val")
    instances, captions = coco([1, 2])
    write(tmp_path / "instances.json", instances)
    with pytest.raises(ValueError, match=r"need the images of .* got no 1\.png"):
        read_split(tmp_path, "train")
    write(tmp_path / "other.json", captions)
    with pytest.raises(ValueError, match="need captions, or categories"):
        read_any(tmp_path / "other.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ValueError, match="need a JSON file"):
        read_any(tmp_path / "broken.json")
    picture(tmp_path / "images" / "1.png")
    write(tmp_path / "one" / "instances.json", coco([1])[0])
    with pytest.raises(ValueError, match="need at least 2 images"):
        read_split(tmp_path / "one", "train")
    write(
        tmp_path / "none" / "annotations.json", {"images": [], "annotations": [], "categories": []}
    )
    with pytest.raises(ValueError, match="at least one caption"):
        open_annotated(tmp_path / "none", "val")
