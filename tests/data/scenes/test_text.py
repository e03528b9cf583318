import re

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from eyespot.data.scenes import SceneConfig, caption, make_scene, referring
from tests.data.scenes.reader import (
    MANY,
    RELATIONS,
    fitting,
    holds,
    read_phrase,
    read_reference,
    template,
)

HARD = SceneConfig(difficulty="hard", max_objects=8)
indices = st.integers(0, 2**40)
wordings = st.sampled_from(["plain", "varied"])


def read_group(scene, phrase, *, absent=False):
    said = read_phrase(phrase.text)
    assert said.article != "the"
    ids = fitting(scene, said)
    assert phrase.object_ids == tuple(sorted(ids))
    assert len(ids) == (0 if absent else said.number or 1)
    return ids


def check_clause(scene, phrases, clause):
    """Whether a clause with a relation is true and its phrases mean what they say."""
    if read_phrase(phrases[int(clause[1])].text).article == "the":
        read_reference(scene, phrases, clause)
        return
    match = re.fullmatch(
        rf"\{{(\d)\}}(?: is| are)? ({MANY}) \{{(\d)\}}(?: and \{{(\d)\}})?", clause
    )
    assert match, clause
    subject = read_group(scene, phrases[int(match[1])])
    if " is " in clause or " are " in clause:
        assert (" are " in clause) == (len(subject) > 1)
    for place in filter(None, (match[3], match[4])):
        for other in read_group(scene, phrases[int(place)]):
            assert all(holds(scene, one, other, RELATIONS[match[2]]) for one in subject)


def check_there(scene, phrases, text):
    """Take "there is" away, after checking that it agrees with what follows."""
    match = re.match(r"there (is|are) \{(\d)\}", text, re.IGNORECASE)
    if match:
        assert (match[1] == "are") == (len(phrases[int(match[2])].object_ids) > 1)
        text = text[len("there ") + len(match[1]) + 1 :]
    return text


@settings(max_examples=100)
@given(index=indices, draw=st.integers(0, 3), absent=st.integers(0, 2), wording=wordings)
def test_every_caption_is_true_when_read_again(index, draw, absent, wording):
    scene = make_scene(HARD, 11, index)
    told = caption(scene, draw=draw, absent=absent, wording=wording)
    pattern = template(told.text, told.phrases)
    missing = [i for i, phrase in enumerate(told.phrases) if not phrase.object_ids]
    assert len(missing) <= absent
    for place in missing:
        read_group(scene, told.phrases[place], absent=True)
    statements = re.split(r"; |\. ", pattern.removesuffix("."))
    for clause in statements:
        plain = check_there(scene, told.phrases, clause)
        numbers = re.fullmatch(r"\{\d\}(?:, \{\d\})*(?: and \{\d\})?", plain)
        if numbers is None:
            check_clause(scene, told.phrases, plain)
            continue
        for number in re.findall(r"\d", plain):
            phrase = told.phrases[int(number)]
            if phrase.object_ids and read_phrase(phrase.text).article == "the":
                read_reference(scene, told.phrases, f"{{{number}}}")
            elif phrase.object_ids:
                read_group(scene, phrase)


@settings(max_examples=100)
@given(index=indices, draw=st.integers(0, 5), wording=wordings)
def test_a_referring_expression_means_its_target_alone(index, draw, wording):
    scene = make_scene(HARD, 12, index)
    said = referring(scene, draw=draw, wording=wording)
    if said is None:
        return
    text = said.caption.text
    if text.endswith("."):
        assert text[0] == "T"
        pattern = template(text, said.caption.phrases)[:-1]
    else:
        pattern = template(text, said.caption.phrases)
    assert read_reference(scene, said.caption.phrases, pattern) == said.target
    assert said.caption.phrases[0].object_ids == (said.target,)


def test_almost_every_scene_has_a_referring_expression_and_all_kinds_occur():
    said = [referring(make_scene(SceneConfig(), 13, index)) for index in range(200)]
    found = [one for one in said if one is not None]
    assert len(found) >= 199
    kinds = [
        "superlative" if one.reference.superlative else len(one.caption.phrases) for one in found
    ]
    for kind in ("superlative", 1, 2, 3):
        assert kinds.count(kind) >= 10, kind


def test_captions_vary_and_hold_what_a_grounding_model_needs():
    scenes = [make_scene(SceneConfig(), 14, index) for index in range(150)]
    told = [caption(scene) for scene in scenes]
    assert sum(len(one.phrases) > 1 for one in told) > 75
    assert sum(len(phrase.object_ids) > 1 for one in told for phrase in one.phrases) > 30
    assert sum(bool(re.search(MANY, one.text)) for one in told) > 50
    assert len({one.text for one in told}) > 145
    assert caption(scenes[0], draw=1) != caption(scenes[0], draw=0)
    with_absent = [caption(scene, absent=1) for scene in scenes]
    missing = [any(not p.object_ids for p in one.phrases) for one in with_absent]
    assert sum(missing) >= 147


def test_wrong_wording_is_refused_by_name():
    with pytest.raises(ValueError, match="'fancy'"):
        caption(make_scene(SceneConfig(), 0, 0), wording="fancy")
