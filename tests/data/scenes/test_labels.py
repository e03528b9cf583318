from collections import Counter

import pytest

from eyespot.data.scenes import SHAPES, SceneConfig, class_names, classify, masks, render

SMALL = SceneConfig(image_size=28, min_objects=1, max_objects=1)


@pytest.mark.parametrize("by", ["shape", "colour", "shape_colour"])
@pytest.mark.parametrize("composition", ["all", "a", "b"])
def test_classes_come_in_turn_and_the_nearest_object_has_the_class(by, composition):
    config = SceneConfig(image_size=64, min_objects=1, max_objects=4, composition=composition)
    names = class_names(config, by)
    assert len(set(names)) == len(names)
    seen = Counter()
    for index in range(40):
        found = classify(config, 1, 7 * index, by=by)
        thing = found.scene.objects[-1]
        words = {"shape": thing.shape, "colour": thing.colour}
        words["shape_colour"] = f"{thing.colour} {thing.shape}"
        assert found.name == names[found.label] == words[by]
        assert found.label == 7 * index % len(names)
        assert thing.visible == 1
        assert thing.side > 2 * max([0.0, *(other.side for other in found.scene.objects[:-1])])
        seen[len(found.scene.objects)] += 1
    assert set(seen) == {1, 2, 3, 4}


def test_numbers_of_classes_under_each_composition():
    assert class_names(SMALL) == SHAPES
    assert len(class_names(SMALL, "shape_colour")) == 24 * 11
    a, b = (set(class_names(SceneConfig(composition=name), "shape_colour")) for name in ("a", "b"))
    assert len(a) == len(b) == 16 * 6 + 8 * 11
    assert len(a & b) == 16 + 8 * 11


def test_the_main_object_lies_whole_in_the_image():
    for index in range(120):
        scene = classify(SceneConfig(image_size=96, min_objects=1, max_objects=3), 2, index).scene
        x0, y0, x1, y1 = scene.objects[-1].box_xyxy_px
        assert min(x0, y0) > 0
        assert max(x1, y1) < 96
        assert max(x1 - x0, y1 - y0) > 0.38 * 96
        assert masks(scene)[-1].any()


def test_labelled_scenes_differ_and_repeat():
    one, other = classify(SMALL, 0, 5), classify(SMALL, 0, 5 + 24)
    assert one.label == other.label
    assert (render(one.scene) != render(other.scene)).any()
    assert classify(SMALL, 0, 5) == one


def test_wrong_classes_are_refused():
    with pytest.raises(ValueError, match="got 'size'"):
        class_names(SMALL, "size")


def test_a_crowd_that_finds_no_room_is_thinned_out():
    crowd = SceneConfig(image_size=28, difficulty="easy", min_objects=8, max_objects=8)
    counts = [len(classify(crowd, 0, index).scene.objects) for index in range(16)]
    assert set(counts) <= {6, 7, 8}
    assert 3 < counts.count(8) < 16
