"""Questions about single objects and the ground; each writes itself on a draft if it can."""

from collections.abc import Callable

from eyespot.data.scenes.asking_sets import SPOKEN
from eyespot.data.scenes.drafts import TRIES, Draft
from eyespot.data.scenes.looks import Reference
from eyespot.data.scenes.relations import OPPOSITE, RELATIONS, relation
from eyespot.data.scenes.vocabulary import ATTRIBUTES

_QUERIES = {
    "shape": (("what is ", ""), ("which shape is ", ""), ("what do we call ", "")),
    "colour": (("what color is ", ""), ("which color does ", " have")),
    "size": (("what size is ", ""), ("how big is ", "")),
    "material": (("what surface does ", " have"), ("what is the surface of ", " like")),
    "kind": (("what kind of thing is ", ""), ("what sort of thing is ", "")),
}
_WAYS = {
    "left": "to the left or to the right of",
    "right": "to the right or to the left of",
    "above": "above or below",
    "below": "below or above",
    "behind": "behind or in front of",
    "front": "in front of or behind",
}


def query(name: str) -> Callable[[Draft], bool]:
    """Return the question for an attribute, or the kind, of one object: what color is the cup?"""

    def ask(draft: Draft) -> bool:
        hidden = "shape" if name == "kind" else name
        target = draft.any_object()
        reference = draft.describe(target, hide=(hidden,))
        if reference is None:
            return False
        before, after = (
            draft.stream.pick(_QUERIES[name]) if draft.words.varied else _QUERIES[name][0]
        )
        draft.say(before)
        draft.step(f"query_{name}", draft.refer(reference))
        draft.say(after)
        return True

    return ask


def compare(draft: Draft) -> bool:
    """Do the cup and the star have the same color?"""
    things = draft.scene.objects
    names = [name for name in ATTRIBUTES if 1 < _num_values(draft, name) < len(things)]
    if not names:
        return False
    wish, name = draft.stream.chance(0.5), draft.stream.pick(names)
    pairs: dict[bool, tuple[Reference, Reference]] = {}
    for _ in range(TRIES):
        found = _two(draft, hide=(name,))
        if found is not None:
            (first, one), (second, other) = found
            pairs[getattr(things[first], name) == getattr(things[second], name)] = one, other
    if len(pairs) < 2:  # ask only where both answers could be had, or the rarer one leaks
        return False
    _write_comparison(draft, *pairs[wish], name)
    return True


def _write_comparison(draft: Draft, one: Reference, other: Reference, name: str) -> None:
    short = draft.words.sometimes(0.5)
    draft.say("does " if short else "do ")
    first = draft.step(f"query_{name}", draft.refer(one))
    draft.say(f" have the same {SPOKEN[name]} as " if short else " and ")
    second = draft.step(f"query_{name}", draft.refer(other))
    draft.say("" if short else f" have the same {SPOKEN[name]}")
    draft.step("equal", first, second)


def _num_values(draft: Draft, name: str) -> int:
    return len({getattr(thing, name) for thing in draft.scene.objects})


def stands(draft: Draft) -> bool:
    """Is the cup left of the star?"""
    holds = draft.stream.pick(RELATIONS)
    asked = draft.stream.pick((holds, OPPOSITE[holds]))
    for _ in range(TRIES):
        pair = _two(draft)
        if pair is None or not relation(draft.scene, pair[0][0], pair[1][0], holds):
            continue
        draft.say("is ")
        first = draft.refer(pair[0][1])
        draft.say(f" {draft.words.relation(asked)} ")
        draft.step("stands", first, draft.refer(pair[1][1]), value=asked)
        return True
    return False


def which_way(draft: Draft) -> bool:
    """Is the cup to the left or to the right of the star?"""
    holds = draft.stream.pick(RELATIONS)
    for _ in range(TRIES):
        pair = _two(draft)
        if pair is None or not relation(draft.scene, pair[0][0], pair[1][0], holds):
            continue
        name = draft.stream.pick((holds, OPPOSITE[holds]))
        draft.say("is ")
        first = draft.refer(pair[0][1])
        draft.say(f" {_WAYS[name]} ")
        draft.step("which_way", first, draft.refer(pair[1][1]), value=name)
        return True
    return False


def backdrop(draft: Draft) -> bool:
    """What pattern does the background have?"""
    draft.say("what pattern does the background have", "what is the background like")
    draft.step("query_backdrop")
    return True


def _two(
    draft: Draft, hide: tuple[str, ...] = ()
) -> tuple[tuple[int, Reference], tuple[int, Reference]] | None:
    """Two different objects, each with a reference."""
    first, second = draft.any_object(), draft.any_object()
    if first == second:
        return None
    one, other = draft.describe(first, hide), draft.describe(second, hide)
    return None if one is None or other is None else ((first, one), (second, other))
