import json

import numpy as np
import pytest
from PIL import Image

from eyespot.data.scenes import (
    ANSWERS,
    SceneConfig,
    caption,
    class_names,
    classify,
    make_scene,
    masks,
    questions,
    referring,
    render,
    write_classes,
    write_grounding,
)

CONFIG = SceneConfig(image_size=64, max_objects=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world") / "deep" / "er"
    write_grounding(folder, CONFIG, seed=3, count=6, first=100, absent=1, questions_each=4)
    return folder


def read(folder, stem):
    return json.loads((folder / f"{stem}.json").read_text())


def unpack(segmentation):
    """A mask from COCO's uncompressed run lengths, as its paper describes them."""
    height, width = segmentation["size"]
    values = np.arange(len(segmentation["counts"])) % 2 == 1
    return np.repeat(values, segmentation["counts"]).reshape(width, height).T


@pytest.mark.parametrize("stem", ["captions", "referring", "questions"])
def test_annotations_are_what_mdetr_reads(folder, stem):
    world = read(folder, stem)
    assert [image["id"] for image in world["images"]] == list(range(len(world["images"])))
    assert [one["id"] for one in world["annotations"]] == list(range(len(world["annotations"])))
    assert world["categories"] == [{"id": 1, "name": "object"}]
    for image in world["images"]:
        scene = make_scene(CONFIG, 3, image["original_id"])
        own = [one for one in world["annotations"] if one["image_id"] == image["id"]]
        found = masks(scene)
        said = {caption(scene, absent=1).text, *(q.text for q in questions(scene, count=4))}
        said |= {one.caption.text for one in [referring(scene)] if one}
        assert image["caption"] in said
        assert (image["height"], image["width"]) == (64, 64)
        for one in own:
            mask = unpack(one["segmentation"])
            np.testing.assert_array_equal(mask, found[one["original_id"]])
            rows, columns = np.argwhere(mask).T
            low, high = (columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)
            assert one["bbox"] == [*low, high[0] - low[0], high[1] - low[1]]
            assert one["area"] == mask.sum()
            assert (one["iscrowd"], one["category_id"]) == (0, 1)
            for begin, end in one["tokens_positive"]:
                assert image["caption"][begin:end].strip() == image["caption"][begin:end] != ""
        positive = [span for one in own for span in one["tokens_positive"]]
        evaluated = [span for (span,) in image["tokens_positive_eval"]]
        assert sorted(map(tuple, positive)) != [] or evaluated == []
        assert {tuple(span) for span in positive} == {tuple(span) for span in evaluated}
        assert not {tuple(span) for span in image["tokens_negative"]} & set(map(tuple, positive))


def test_images_are_the_rendered_scenes(folder):
    names = sorted(path.name for path in (folder / "images").iterdir())
    assert names == [f"{index:08d}.png" for index in range(100, 106)]
    for index, name in zip(range(100, 106), names, strict=True):
        image = np.asarray(Image.open(folder / "images" / name))
        np.testing.assert_array_equal(image, render(make_scene(CONFIG, 3, index)))


def test_each_file_has_what_its_task_needs(folder):
    told, said, asked = (read(folder, stem) for stem in ("captions", "referring", "questions"))
    assert len(told["images"]) == 6
    assert all(image["tokens_negative"] for image in told["images"])
    for image in said["images"]:
        own = [one for one in said["annotations"] if one["image_id"] == image["id"]]
        target = referring(make_scene(CONFIG, 3, image["original_id"])).target
        assert [one["original_id"] for one in own if one["isfinal"] == 1] == [target]
    assert len(asked["images"]) == 24
    for image in asked["images"]:
        assert image["answer"] in ANSWERS[image["question_type"]]


def test_class_folders_hold_each_class_once_a_round(tmp_path):
    config = SceneConfig(image_size=32, min_objects=1, max_objects=1, colours=("red", "blue"))
    names = class_names(config, "shape_colour")
    write_classes(tmp_path, config, seed=1, count=len(names), by="shape_colour")
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    expected = [f"{name.replace(' ', '_')}/{i:08d}.png" for i, name in enumerate(names)]
    assert found == sorted(expected)
    image = np.asarray(Image.open(tmp_path / expected[5]))
    scene = classify(config, 1, 5, by="shape_colour").scene
    np.testing.assert_array_equal(image, render(scene))
