import dataclasses

import hypothesis.strategies as st
import pytest
from hypothesis import given

from eyespot.data.scenes import RELATIONS, SUPERLATIVES, SceneConfig, make_scene, relation
from eyespot.data.scenes.relations import OPPOSITE, superlative
from tests.data.scenes.reader import best, holds

SCENE = make_scene(SceneConfig(), 0, 0)


def placed(*spots, overlaps=(), sides=None):
    """A scene with objects at the given spots."""
    sides = sides or [0.2] * len(spots)
    things = tuple(
        dataclasses.replace(SCENE.objects[0], x=x, y=y, side=side)
        for (x, y), side in zip(spots, sides, strict=True)
    )
    return dataclasses.replace(SCENE, objects=things, overlaps=overlaps)


@pytest.mark.parametrize(
    ("right", "down", "left_of", "above"),
    [
        (0.3, 0.0, True, False),
        (-0.3, 0.0, False, False),
        (0.101, 0.0, True, False),
        (0.09, 0.0, None, False),
        (0.019, 0.0, False, False),
        (0.3, 0.29, True, True),
        (0.2, 0.4, None, True),
        (0.05, 0.4, False, True),
        (-0.2, -0.2, False, False),
    ],
)
def test_places_by_hand(right, down, left_of, above):
    scene = placed((0.4, 0.4), (0.4 + right, 0.4 + down))
    assert relation(scene, 0, 1, "left") is left_of
    assert relation(scene, 1, 0, "right") is left_of
    assert relation(scene, 0, 1, "above") is above
    assert relation(scene, 1, 0, "below") is above


@pytest.mark.parametrize(("share", "answer"), [(0.3, True), (0.05, None), (0.01, False)])
def test_depth_needs_an_overlap(share, answer):
    scene = placed((0.4, 0.4), (0.5, 0.4), (0.9, 0.9), overlaps=((0, 1, share),))
    assert relation(scene, 0, 1, "behind") is answer
    assert relation(scene, 1, 0, "front") is answer
    assert relation(scene, 1, 0, "behind") is False
    assert relation(scene, 0, 2, "behind") is False


@given(index=st.integers(0, 2**40))
def test_an_independent_reading_agrees(index):
    scene = make_scene(SceneConfig(difficulty="hard", max_objects=8), 1, index)
    ids = range(len(scene.objects))
    for one in ids:
        for other in set(ids) - {one}:
            for name in RELATIONS:
                answer = relation(scene, one, other, name)
                assert answer is holds(scene, one, other, name)
                assert relation(scene, other, one, OPPOSITE[name]) is answer
    for name in SUPERLATIVES:
        found = superlative(scene, ids, name)
        if found is not None:
            assert found == best(scene, ids, name)


def test_superlatives_need_a_clear_lead():
    scene = placed((0.2, 0.5), (0.4, 0.52), (0.8, 0.9), sides=[0.2, 0.38, 0.25])
    found = {name: superlative(scene, (0, 1, 2), name) for name in SUPERLATIVES}
    assert found == {
        "leftmost": 0,
        "rightmost": 2,
        "topmost": None,
        "bottommost": 2,
        "largest": 1,
        "smallest": 0,
    }
    assert superlative(scene, (1,), "largest") is None
