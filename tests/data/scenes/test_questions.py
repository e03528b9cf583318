import re
from collections import Counter, defaultdict

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from eyespot.data.scenes import (
    ANSWERS,
    KINDS,
    QUESTION_KINDS,
    SceneConfig,
    Step,
    make_scene,
    questions,
    run_program,
)
from tests.data.scenes.reader import (
    MANY,
    RELATIONS,
    best,
    fitting,
    holds,
    read_phrase,
    read_reference,
    template,
)

HARD = SceneConfig(difficulty="hard", max_objects=8)
ATTRIBUTES = {"shape": "shape", "color": "colour", "size": "size", "surface": "material"}


def execute(scene, program, place=-1):
    """Run a program backwards from its last step: an executor of its own."""
    op, inputs, value = program[place]
    given = [execute(scene, program, number) for number in inputs]
    things = scene.objects
    if op == "scene":
        return set(range(len(things)))
    if op == "query_backdrop":
        return scene.backdrop.pattern
    if op in ("unique", "count", "exist"):
        (ids,) = given
        assert op != "unique" or len(ids) == 1
        return {
            "unique": lambda: min(ids),
            "count": lambda: len(ids),
            "exist": lambda: ids != set(),
        }[op]()
    action, _, name = op.partition("_")
    if action == "filter":
        return {i for i in given[0] if getattr(things[i], name) == value}
    if op == "query_kind":
        return next(kind for kind, shapes in KINDS.items() if things[given[0]].shape in shapes)
    if action == "query":
        return getattr(things[given[0]], name)
    if action == "same":
        alike = {
            i for i, t in enumerate(things) if getattr(t, name) == getattr(things[given[0]], name)
        }
        return alike - {given[0]}
    if op == "superlative":
        return best(scene, given[0], value)
    if op == "relate":
        answers = {i: holds(scene, i, given[1], value) for i in given[0] - {given[1]}}
        assert None not in answers.values()
        return {i for i, answer in answers.items() if answer}
    first, second = given
    if op == "stands":
        return holds(scene, first, second, value)
    if op == "which_way":
        pair = {"left", "right"}, {"above", "below"}, {"behind", "front"}
        (names,) = (names for names in pair if value in names)
        (found,) = (name for name in names if holds(scene, first, second, name))
        return found
    return {
        "equal": first == second,
        "as_many": first == second,
        "more": not isinstance(first, str) and first > second,
        "fewer": not isinstance(first, str) and first < second,
        "and": bool(first) and bool(second),
        "or": bool(first) or bool(second),
    }[op]


def spoken(result):
    return {True: "yes", False: "no"}[result] if isinstance(result, bool) else str(result)


def answer_text(scene, question):
    """Answer from the words of a question alone."""
    phrases = question.phrases
    text = template(question.text, phrases)
    text = text[0].lower() + text[1:]

    def group(number):
        ids = fitting(scene, read_phrase(phrases[int(number)].text))
        assert phrases[int(number)].object_ids == tuple(sorted(ids))
        return ids

    def one(pattern):
        return scene.objects[read_reference(scene, phrases, pattern)]

    def related(number, words, reference):
        anchor = read_reference(scene, phrases, reference)
        answers = {
            i: holds(scene, i, anchor, RELATIONS[words])
            for i in fitting(scene, read_phrase(phrases[int(number)].text)) - {anchor}
        }
        assert None not in answers.values()
        ids = {i for i, answer in answers.items() if answer}
        assert phrases[int(number)].object_ids == tuple(sorted(ids))
        return ids

    def match(pattern):
        return re.fullmatch(pattern + r"\?", text)

    if found := match(r"(?:are there|can you see) \{0\} (and|or) \{1\}"):
        here = [bool(group(0)), bool(group(1))]
        return spoken(all(here) if found[1] == "and" else any(here))
    if match(r"(?:is there|are there any|do you see|can you see|can you see any) \{0\}"):
        return spoken(bool(group(0)))
    if found := match(rf"(?:is there|do you see) \{{0\}} ({MANY}) (.+)"):
        return spoken(bool(related(0, found[1], found[2])))
    if match(r"how many \{0\} (?:are there|can you see)"):
        return str(len(group(0)))
    if found := match(rf"how many \{{0\}} are ({MANY}) (.+)"):
        return str(len(related(0, found[1], found[2])))
    if found := match(r"how many \{0\} have the same (\w+) as (.+)"):
        target, name = read_reference(scene, phrases, found[2]), ATTRIBUTES[found[1]]
        assert read_phrase(phrases[0].text).other
        word = getattr(scene.objects[target], name)
        ids = {i for i, t in enumerate(scene.objects) if getattr(t, name) == word} - {target}
        assert phrases[0].object_ids == tuple(sorted(ids))
        return str(len(ids))
    if found := match(r"are there (more|fewer|as many) \{0\} (?:than|as) \{1\}"):
        first, second = len(group(0)), len(group(1))
        compared = {"more": first > second, "fewer": first < second, "as many": first == second}
        return spoken(compared[found[1]])
    for pattern in (
        r"do (.+) and (.+) have the same (\w+)",
        r"does (.+) have the same (\w+) as (.+)",
    ):
        if found := match(pattern):
            first, second, name = found.groups()
            if pattern.endswith("(.+)"):
                second, name = name, second
            name = ATTRIBUTES[name]
            return spoken(getattr(one(first), name) == getattr(one(second), name))
    for pattern, name in (
        (r"(?:what|which) color (?:is|does) (.+?)(?: have)?", "colour"),
        (r"(?:what size|how big) is (.+)", "size"),
        (r"what surface does (.+) have", "material"),
        (r"what is the surface of (.+) like", "material"),
        (r"what (?:kind|sort) of thing is (.+)", "kind"),
        (r"(?:what is|which shape is|what do we call) (\{.+)", "shape"),
    ):
        if found := match(pattern):
            thing = one(found[1])
            if name == "kind":
                return next(kind for kind, shapes in KINDS.items() if thing.shape in shapes)
            return getattr(thing, name)
    ways = r"\S+ \S+ \S+ or to the \S+ of|above or below|below or above"
    ways += "|behind or in front of|in front of or behind"
    if found := match(rf"is (\{{.+) ({ways}) (\{{.+)"):
        first, second = (read_reference(scene, phrases, found[place]) for place in (1, 3))
        names = {"left", "right", "above", "below", "behind", "front"} & set(
            re.findall(r"\w+", found[2])
        )
        (answer,) = (name for name in names if holds(scene, first, second, name))
        return answer
    if match(rf"is \{{.* (?:{MANY}) .+"):
        return split_relation(scene, phrases, text)
    assert re.fullmatch(
        r"what pattern does the background have\?|what is the background like\?", text
    )
    return scene.backdrop.pattern


def split_relation(scene, phrases, text):
    """Read "is X left of Y?": the words between that leave two references that can be read."""
    answers = []
    for found in re.finditer(rf" ({MANY}) ", text):
        first, second = text[len("is ") : found.start()], text[found.end() : -1]
        try:
            pair = [read_reference(scene, phrases, pattern) for pattern in (first, second)]
        except AssertionError:
            continue
        answers.append(holds(scene, *pair, RELATIONS[found[1]]))
    assert len(answers) == 1, text
    return spoken(answers[0])


@settings(max_examples=80)
@given(
    index=st.integers(0, 2**40),
    draw=st.integers(0, 3),
    wording=st.sampled_from(["plain", "varied"]),
)
def test_answers_hold_for_the_program_and_for_the_words(index, draw, wording):
    scene = make_scene(HARD, 21, index)
    asked = questions(scene, draw=draw, count=16, wording=wording)
    for question in asked:
        assert question.answer == spoken(execute(scene, question.program)), question.text
        assert question.answer == answer_text(scene, question), question.text
        assert question.answer in ANSWERS[question.answer_type]
        assert question.text[0].isupper()
        assert question.text.endswith("?")
    assert len({question.kind for question in asked}) == len(asked)


@pytest.mark.parametrize(
    ("scenes", "most_binary", "most_other"),
    [(80, 0.7, 0.6), pytest.param(1500, 0.54, 0.45, marks=pytest.mark.slow)],
)
def test_the_question_alone_says_little_about_the_answer(scenes, most_binary, most_other):
    counts = defaultdict(Counter)
    for index in range(scenes):
        for question in questions(make_scene(SceneConfig(), 22, index), count=16):
            counts[question.kind][question.answer] += 1
    assert set(counts) == set(QUESTION_KINDS)
    for kind, found in counts.items():
        share = found.most_common(1)[0][1] / found.total()
        most = most_binary if set(found) == {"yes", "no"} else most_other
        assert share < most, (kind, found)
        assert found.total() > 0.4 * scenes, kind


def test_unknown_and_unclear_steps_are_refused():
    scene = make_scene(SceneConfig(min_objects=3), 0, 0)
    with pytest.raises(ValueError, match="got 'guess'"):
        run_program((Step("guess"),), scene)
    with pytest.raises(ValueError, match="exactly one object to ask about, got"):
        run_program((Step("scene"), Step("unique", (0,))), scene)


def test_as_many_questions_as_asked_for_and_the_same_again():
    scene = make_scene(SceneConfig(min_objects=4), 1, 1)
    assert len(questions(scene, count=3)) == 3
    assert questions(scene, count=3) == questions(scene, count=5)[:3]
    assert questions(scene, draw=1) != questions(scene, draw=0)
