import dataclasses
import hashlib
import itertools
import subprocess
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from eyespot.data.scenes import (
    COLOURS,
    SHAPES,
    SceneConfig,
    caption,
    make_scene,
    masks,
    questions,
    referring,
    render,
)
from eyespot.data.scenes.stream import _PURPOSES, SPLITS, Stream

configs = st.builds(
    SceneConfig,
    image_size=st.sampled_from([64, 96, 160]),
    min_objects=st.integers(1, 2),
    max_objects=st.integers(2, 8),
    difficulty=st.sampled_from(["easy", "medium", "hard"]),
    split=st.sampled_from(SPLITS),
    composition=st.sampled_from(["all", "a", "b"]),
)
indices = st.integers(0, 2**63 - 1)

FINGERPRINT = """
import hashlib
from eyespot.data.scenes import *
found = hashlib.sha256()
for index in range(12):
    scene = make_scene(SceneConfig(split="val", difficulty="hard"), 5, index)
    found.update(render(scene).tobytes() + repr(scene).encode())
    found.update(repr((caption(scene, absent=1), referring(scene), questions(scene))).encode())
print(found.hexdigest())
"""


def test_two_processes_make_the_same_bytes_with_one_thread_or_two():
    runs = [
        subprocess.run(
            [sys.executable, "-c", FINGERPRINT],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "src", "OMP_NUM_THREADS": seed},
        ).stdout
        for seed in ("1", "2")
    ]
    here = hashlib.sha256()
    for index in range(12):
        scene = make_scene(SceneConfig(split="val", difficulty="hard"), 5, index)
        here.update(render(scene).tobytes() + repr(scene).encode())
        texts = (caption(scene, absent=1), referring(scene), questions(scene))
        here.update(repr(texts).encode())
    assert runs[0] == runs[1] == here.hexdigest() + "\n"


@given(
    names=st.lists(
        st.tuples(
            st.sampled_from(_PURPOSES),
            st.sampled_from(SPLITS),
            st.integers(0, 2**63 - 1),
            st.integers(0, 2**63 - 1),
            st.integers(0, 100),
        ),
        min_size=2,
        max_size=2,
        unique=True,
    )
)
def test_streams_of_different_names_differ(names):
    one, other = (set(Stream(*name).words(64).tolist()) for name in names)
    assert not one & other


def test_draws_are_uniform():
    stream = Stream("layout", "train", 1, 2)
    units = np.array([stream.unit() for _ in range(20000)])
    assert units.min() >= 0
    assert units.max() < 1
    counts = np.histogram(units, bins=20, range=(0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8  # chi-square, 19 degrees, p = 0.001
    assert sorted(stream.shuffled(range(9))) == list(range(9))


def test_splits_and_seeds_share_no_scene():
    drawn = {
        (split, seed): {
            scene.objects
            for scene in (make_scene(SceneConfig(split=split), seed, i) for i in range(60))
        }
        for split in SPLITS
        for seed in (0, 1)
    }
    for one, other in itertools.combinations(drawn.values(), 2):
        assert not one & other


@settings(max_examples=60)
@given(config=configs, seed=st.integers(0, 9), index=indices)
def test_a_scene_keeps_its_promises(config, seed, index):
    scene = make_scene(config, seed, index)
    assert scene == make_scene(config, seed, index)
    assert config.min_objects <= len(scene.objects) <= config.max_objects
    least = {"easy": 0.98, "medium": 0.5, "hard": 0.35}[config.difficulty]
    for thing in scene.objects:
        assert least <= thing.visible <= 1
        low, high = {"small": (0.15, 0.19), "medium": (0.23, 0.28), "large": (0.34, 0.41)}[
            thing.size
        ]
        assert low < thing.side < high
        assert 0 < min(thing.x, thing.y) <= max(thing.x, thing.y) < 1
        assert thing.colour in config.choices("colour", thing.shape)


@settings(max_examples=40)
@given(index=indices)
def test_layout_and_texts_are_the_same_at_every_size(index):
    small, large = (
        make_scene(SceneConfig(image_size=size, max_objects=8), 3, index) for size in (100, 200)
    )
    for one, other in zip(small.objects, large.objects, strict=True):
        assert dataclasses.replace(one, box_xyxy_px=other.box_xyxy_px) == other
    assert small.overlaps == large.overlaps
    assert caption(small) == caption(large)
    assert referring(small) == referring(large)
    assert questions(small) == questions(large)
    grown = masks(small).repeat(2, axis=1).repeat(2, axis=2)
    fine = masks(large)
    both, either = (grown & fine).sum(axis=(1, 2)), (grown | fine).sum(axis=(1, 2))
    assert (both > 0.4 * either).all()
    assert both.sum() > 0.7 * either.sum()


def test_compositions_swap_the_colours_of_two_thirds_of_the_shapes():
    pairs = {
        name: {
            (thing.shape, thing.colour)
            for index in range(200)
            for thing in make_scene(SceneConfig(composition=name), 4, index).objects
        }
        for name in ("a", "b")
    }
    strict = [shape for place, shape in enumerate(SHAPES) if place % 3 != 2]
    shared = pairs["a"] & pairs["b"]
    assert {colour for shape, colour in shared if shape in strict} == {"white"}
    for shape in strict:
        in_a = {colour for one, colour in pairs["a"] if one == shape} - {"white"}
        in_b = {colour for one, colour in pairs["b"] if one == shape} - {"white"}
        assert not in_a & in_b
        assert len(in_a | in_b) >= 6
    free = {shape for shape, _ in shared} - set(strict)
    assert len(free) == len(SHAPES) // 3


def test_words_come_about_equally_often():
    things = [
        thing for index in range(400) for thing in make_scene(SceneConfig(), 6, index).objects
    ]
    for name, number in (("shape", 24), ("colour", 11), ("size", 3), ("material", 4)):
        words = [getattr(thing, name) for thing in things]
        shares = [words.count(word) / len(words) for word in set(words)]
        assert len(shares) == number
        assert 0.5 / number < min(shares)
        assert max(shares) < 1.6 / number


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"image_size": 8}, "got 8"),
        ({"max_objects": 9}, "got 2 and 9"),
        ({"min_objects": 3, "max_objects": 2}, "got 3 and 2"),
        ({"difficulty": "medum"}, "got 'medum'"),
        ({"split": "held-out"}, "got 'held-out'"),
        ({"shapes": ("circel",)}, "Did you mean circle"),
        ({"colours": ()}, "at least one"),
        ({"sizes": ("small", "small")}, "without repeats"),
        ({"composition": "a", "colours": ("orange",)}, "circle"),
    ],
)
def test_a_wrong_config_says_what_is_wrong(wrong, message):
    with pytest.raises(ValueError, match=message):
        SceneConfig(**wrong)


@pytest.mark.parametrize(("seed", "index"), [(-1, 0), (0, -1), (2**63, 0)])
def test_numbers_that_name_no_scene_are_refused(seed, index):
    with pytest.raises(ValueError, match=f"got {seed}, {index} and 0"):
        make_scene(SceneConfig(), seed, index)


def test_a_world_without_room_says_so():
    crowd = SceneConfig(min_objects=8, max_objects=8, difficulty="easy", sizes=("large",))
    with pytest.raises(ValueError, match="need room for 8 objects of size large"):
        make_scene(crowd, 0, 0)
    fewer = dataclasses.replace(crowd, min_objects=1)
    assert {len(make_scene(fewer, 0, index).objects) for index in range(20)} <= {1, 2, 3, 4}


def test_a_smaller_world_keeps_to_its_words():
    config = SceneConfig(shapes=("cup", "star"), colours=("red", "blue"), materials=("matte",))
    for index in range(50):
        for thing in make_scene(config, 0, index).objects:
            assert thing.shape in config.shapes
            assert thing.colour in config.colours
            assert thing.material == "matte"
    assert set(config.colours) <= set(COLOURS)
