"""Several sets in one list: which captions and images they give, and what a bad list is told."""

import json
import re

import pytest

from eyespot.data.annotations import parse_annotations
from eyespot.data.grounding_lists import is_list, open_list, read_list
from tests.data.test_grounding import annotated


def three_roots(tmp_path):
    """A file with a folder of its own, and one whose images are in two folders."""
    flickr = annotated(tmp_path / "flickr", 3)
    mixed = annotated(tmp_path / "coco", 5)
    annotated(tmp_path / "vg", 5)
    for number, image in enumerate(mixed["images"]):
        image["data_source"] = "vg" if number % 2 else "coco"
        (tmp_path / ("coco" if number % 2 else "vg") / image["file_name"]).unlink()
    (tmp_path / "files").mkdir()
    for name, dataset in (("flickr", flickr), ("mixed", mixed)):
        (tmp_path / "files" / f"{name}.json").write_text(json.dumps(dataset))
    listed = tmp_path / "files" / "both.yaml"
    listed.write_text(
        "- annotations: flickr.json\n"
        "  images: ../flickr\n"
        "- annotations: mixed.json\n"
        "  images: {coco: ../coco, vg: ../vg}\n"
    )
    return listed, flickr, mixed


def test_each_caption_comes_with_the_image_of_its_own_folder(tmp_path):
    listed, flickr, mixed = three_roots(tmp_path)
    assert is_list(str(listed))
    source = open_list(listed, "train")
    wanted = [*parse_annotations(flickr), *parse_annotations(mixed)]
    folders = ["flickr"] * 3 + ["coco", "vg", "coco", "vg", "coco"]
    assert len(source) == 8
    for place, (record, folder) in enumerate(zip(wanted, folders, strict=True)):
        got = source.caption(place, 0)
        assert got.image_id == place  # ids of two files may be the same
        assert (got.caption, got.regions) == (record.caption, record.regions)
        assert source.image(place, got) == (tmp_path / folder / record.file_name).read_bytes()
    assert source.caption(-1, 0).image_id == 7


def test_images_that_are_not_said_are_found_and_folders_have_splits(tmp_path):
    (tmp_path / "own").mkdir()
    for split, count in (("train", 4), ("val", 2)):
        dataset = annotated(tmp_path / "own" / "images", count)
        (tmp_path / "own" / f"{split}.json").write_text(json.dumps(dataset))
    (tmp_path / "a.yml").write_text("[{annotations: own}, {annotations: own/val.json}]")
    for split, count in (("train", 6), ("val", 4)):
        source = open_list(tmp_path / "a.yml", split)
        assert len(source) == count
        assert all(source.image(i, source.caption(i, 0)) for i in range(count))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("annotations: a.json", "need a list of sets"),
        ("[]", "need a list of sets"),
        ("[a.json]", "need a list of sets"),
        ("[{images: flickr}]", "need annotations in a set"),
        ("[{annotations: a.json, image: flickr}]", "Did you mean images"),
        ("[{annotations: [a.json]}]", "need annotations as str"),
        ("[{annotations: a.json, images: [a, b]}]", "need images as a folder, or folders by"),
        ("[{annotations: a.json, images: {coco: 1}}]", "need images as a folder, or folders by"),
        ("[{annotations: a.json, images: {}}]", "need images as a folder, or folders by"),
        ("[{annotations: a.json]", "need a list file of YAML"),
        ("[{annotations: gone.json}]", "need a folder or annotation file"),
        ("[{annotations: mixed.json, images: ../gone}]", "got no 0.png"),
        ("[{annotations: mixed.json, images: {coco: ../coco}}]", "got 'vg': image 101"),
        ("[{annotations: mixed.json, images: {coco: ../vg, vg: ../vg}}]", "got no 0.png"),
    ],
)
def test_a_bad_list_is_explained(tmp_path, text, words):
    listed, _, _ = three_roots(tmp_path)
    listed.write_text(text)
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        open_list(listed, "train")
    assert "\n" not in str(error.value)


def test_no_list(tmp_path):
    with pytest.raises(ValueError, match="need a YAML file that lists sets, got .*none there"):
        read_list(tmp_path / "gone.yaml")
