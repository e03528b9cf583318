"""Questions about how many and whether; each writes itself on a draft if it can."""

from eyespot.data.scenes.drafts import TRIES, Draft
from eyespot.data.scenes.looks import Look, looks_of
from eyespot.data.scenes.relations import RELATIONS, related
from eyespot.data.scenes.vocabulary import ATTRIBUTES

_BOTH = ((True, True),)
_ONE = ((True, False), (False, True))
_NEITHER = ((False, False),)
_NUMBERS = (0, 1, 1, 2, 2, 3, 3, 4)
"""Wishes for a count; what scenes mostly allow is low anyway."""


def exist(draft: Draft) -> bool:
    """Is there a red cup?"""
    look = draft.look(present=draft.stream.chance(0.5))
    if look is None:
        return False
    if draft.words.sometimes(0.4):
        draft.say("are there any ", "can you see any ")
        draft.name(look, look.ids(draft.scene), many=True)
    else:
        draft.say("is there ", "do you see ", "can you see ")
        draft.name(look, look.ids(draft.scene), many=False)
    draft.step("exist", draft.find(look))
    return True


def exist_two(draft: Draft) -> bool:
    """Are there cups and stars? Are there cups or stars?"""
    op = draft.stream.pick(("and", "or"))
    if draft.stream.chance(0.5):
        present = draft.stream.pick(_BOTH if op == "and" else _BOTH + _ONE)
    else:
        present = draft.stream.pick(_ONE + _NEITHER if op == "and" else _NEITHER)
    looks = [draft.look(present=here) for here in present]
    if None in looks or looks[0] == looks[1]:
        return False
    draft.say("are there ", "can you see ")
    numbers: list[int] = []
    for look in looks:
        assert look is not None
        draft.say(f" {op} " if numbers else "")
        draft.name(look, look.ids(draft.scene), many=True)
        numbers.append(draft.step("exist", draft.find(look)))
    draft.step(op, *numbers)
    return True


def exist_related(draft: Draft) -> bool:
    """Is there a cup left of the star?"""
    wish = draft.stream.chance(0.5)
    for _ in range(TRIES):
        look = draft.look(present=wish or draft.stream.chance(0.8))
        anchor, name = draft.any_object(), draft.stream.pick(RELATIONS)
        reference = draft.describe(anchor)
        if look is None or reference is None:
            continue
        found = related(draft.scene, look.ids(draft.scene), anchor, name)
        if found is None or bool(found) != wish:
            continue
        draft.say("is there ", "do you see ")
        draft.name(look, found, many=False)
        draft.say(f" {draft.words.relation(name)} ")
        one = draft.refer(reference)
        draft.step("exist", draft.step("relate", draft.find(look), one, value=name))
        return True
    return False


def count(draft: Draft) -> bool:
    """How many red cups are there?"""
    by_number: dict[int, list[Look]] = {}
    absent = draft.look(present=False)
    pairs = dict(
        pair for target in range(len(draft.scene.objects)) for pair in looks_of(draft.scene, target)
    )
    if absent is not None:
        pairs[absent] = frozenset()
    for look, ids in pairs.items():
        if len(look.named) <= 2:
            by_number.setdefault(len(ids), []).append(look)
    look = draft.stream.pick(by_number[draft.stream.pick(sorted(by_number))])
    draft.say("how many ")
    draft.name(look, look.ids(draft.scene), many=True)
    draft.say(" are there", " can you see")
    draft.step("count", draft.find(look))
    return True


def count_related(draft: Draft) -> bool:
    """How many things are left of the star?"""
    wish = draft.stream.pick(_NUMBERS)
    for _ in range(TRIES):
        anchor, name = draft.any_object(), draft.stream.pick(RELATIONS)
        look = draft.stream.pick((Look(), draft.look(present=True) or Look()))
        found = related(draft.scene, look.ids(draft.scene), anchor, name)
        reference = draft.describe(anchor)
        if found is None or reference is None or len(found) != wish:
            continue
        draft.say("how many ")
        draft.name(look, found, many=True)
        draft.say(f" are {draft.words.relation(name)} ")
        one = draft.refer(reference)
        draft.step("count", draft.step("relate", draft.find(look), one, value=name))
        return True
    return False


def count_same(draft: Draft) -> bool:
    """How many other things have the same colour as the cup?"""
    wish = draft.stream.pick(_NUMBERS)
    for _ in range(TRIES):
        name, target = draft.stream.pick(ATTRIBUTES), draft.any_object()
        own = getattr(draft.scene.objects[target], name)
        others = Look(**{name: own}).ids(draft.scene) - {target}
        reference = draft.describe(target)
        if reference is None or len(others) != wish:
            continue
        draft.say("how many ")
        draft.writer.name(f"other {draft.words.noun(Look(), many=True)}", others)
        draft.say(f" have the same {SPOKEN[name]} as ")
        draft.step("count", draft.step(f"same_{name}", draft.refer(reference)))
        return True
    return False


def compare_counts(draft: Draft) -> bool:
    """Are there more cups than stars?"""
    op = draft.stream.pick(("more", "fewer", "as_many"))
    wish = draft.stream.chance(0.5)
    for _ in range(TRIES):
        looks = [draft.look(present=draft.stream.chance(0.8)) for _ in range(2)]
        first, second = looks
        if first is None or second is None or first == second:
            continue
        a, b = len(first.ids(draft.scene)), len(second.ids(draft.scene))
        if {"more": a > b, "fewer": a < b, "as_many": a == b}[op] != wish:
            continue
        draft.say(f"are there {op.replace('_', ' ')} ")
        draft.name(first, first.ids(draft.scene), many=True)
        one = draft.step("count", draft.find(first))
        draft.say(" as " if op == "as_many" else " than ")
        draft.name(second, second.ids(draft.scene), many=True)
        draft.step(op, one, draft.step("count", draft.find(second)))
        return True
    return False


SPOKEN = {"shape": "shape", "colour": "color", "size": "size", "material": "surface"}
"""What questions call the attributes."""
