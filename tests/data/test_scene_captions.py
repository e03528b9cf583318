"""Scenes as a source: as annotation files say them, fresh in every epoch of training alone."""

from dataclasses import replace

import numpy as np
import pytest

from eyespot.data.grounding import read_masks
from eyespot.data.grounding_sources import GroundedScenes
from eyespot.data.scene_captions import SceneCaptions, ScenesSettings, changed_scenes
from eyespot.data.scene_samples import SceneSource
from eyespot.data.scenes import (
    ANSWERS,
    QUESTION_KINDS,
    SceneConfig,
    make_scene,
    masks,
    render,
)
from eyespot.data.scenes.vocabulary import allowed_colours

SETTINGS = ScenesSettings(SceneConfig(image_size=64), count=30, val_count=20, referring_share=0.5)


def test_pictures_and_boxes_are_the_scenes():
    source = SceneCaptions(SETTINGS, "val")
    assert len(source) == 20
    record = source.caption(3, 0)
    scene = make_scene(replace(SETTINGS.world, split="val"), 0, 3)
    assert np.array_equal(source.image(3, record), render(scene))
    assert record.height_px == 64
    boxes = {thing.box_xyxy_px for thing in scene.objects}
    for region in record.regions:
        left, top, width, height = region.box_xywh_px
        assert (left, top, left + width, top + height) in boxes
        for begin, end in region.spans:
            assert record.caption[begin:end].strip()


def test_masks_are_those_of_an_annotation_file():
    source = SceneCaptions(SETTINGS, "val", with_masks=True)
    record = source.caption(3, 0)
    scene = make_scene(replace(SETTINGS.world, split="val"), 0, 3)
    places = {thing.box_xyxy_px: i for i, thing in enumerate(scene.objects)}
    assert record.regions
    for region, mask in zip(record.regions, read_masks(record.regions, 64, 64), strict=True):
        left, top, width, height = region.box_xywh_px
        drawn = masks(scene)[places[left, top, left + width, top + height]]
        assert np.array_equal(mask.numpy(), drawn)
        assert region.area_px == drawn.sum()
    assert source.caption(3, 0) == record
    assert "segmentation" not in SceneCaptions(SETTINGS, "val").caption(3, 0).regions[0].more


def test_only_training_texts_change_with_the_epoch():
    train, val = SceneCaptions(SETTINGS, "train"), SceneCaptions(SETTINGS, "val")
    assert len(train) == 30
    assert [train.caption(i, 0) for i in range(9)] == [train.caption(i, 0) for i in range(9)]
    assert [train.caption(i, 0) for i in range(9)] != [train.caption(i, 1) for i in range(9)]
    assert [val.caption(i, 0) for i in range(9)] == [val.caption(i, 1) for i in range(9)]


def test_both_kinds_of_texts_and_their_final_boxes():
    source = SceneCaptions(SETTINGS, "train")
    records = [source.caption(i, 0) for i in range(30)]
    finals = [[r.is_final for r in record.regions] for record in records]
    expressions = [f for f in finals if f and f[0] is not None]
    assert 5 < len(expressions) < 25
    assert all(f.count(True) == 1 for f in expressions)


def test_what_is_absent_has_no_box():
    source = SceneCaptions(replace(SETTINGS, absent=2, referring_share=0.0), "train")
    negative = [source.caption(i, 0).more["tokens_negative"] for i in range(30)]
    assert {len(n) for n in negative} == {0, 1, 2}


def test_same_keys_as_the_full_source():
    full = GroundedScenes(SceneSource(SETTINGS.world, count=30, val_count=20), "val").caption(0, 0)
    quick = SceneCaptions(replace(SETTINGS, referring_share=0.0), "val").caption(0, 0)
    assert set(quick.more) <= set(full.more)


def test_questions_of_the_wanted_kinds_alone():
    kinds = ("exist", "query_colour")
    source = SceneCaptions(replace(SETTINGS, questions=kinds), "train")
    records = [source.caption(i, epoch) for i in range(30) for epoch in range(2)]
    assert {record.more["question_kind"] for record in records} == set(kinds)
    for record in records:
        assert record.caption.endswith("?")
        assert record.more["answer"] in ANSWERS[record.more["question_type"]]
        assert all(region.is_final is None for region in record.regions)
    full = replace(SceneSource(SETTINGS.world, count=30, val_count=20), text="question")
    assert set(records[0].more) <= set(GroundedScenes(full, "val").caption(0, 0).more)


def test_a_scene_without_such_a_question_is_asked_for_its_backdrop():
    world = SceneConfig(image_size=64, min_objects=1, max_objects=1)
    settings = replace(SETTINGS, world=world, questions=("which_way",))
    record = SceneCaptions(settings, "val").caption(0, 0)
    assert record.more["question_kind"] == "backdrop"


def test_an_unknown_kind_of_question_is_named():
    with pytest.raises(ValueError, match="unknown kind of question 'exists'. Did you mean exist"):
        SceneCaptions(replace(SETTINGS, questions=("exists",)), "val").caption(0, 0)


def test_compositions_pair_shapes_with_other_colours():
    a = replace(SETTINGS, world=replace(SETTINGS.world, composition="a"), questions=QUESTION_KINDS)
    b = changed_scenes(a, "scenes:composition=b,val_count=7")
    assert b == replace(a, world=replace(a.world, composition="b"), val_count=7)
    source = SceneCaptions(b, "val")
    assert len(source) == 7
    for i in range(7):
        for thing in source._scene(i)[0].objects:
            assert thing.colour in allowed_colours(thing.shape, "b")
    with pytest.raises(ValueError, match="need changes of a recipe's scenes of size, .*, got by"):
        changed_scenes(a, "scenes:by=shape")
