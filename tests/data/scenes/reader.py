"""Reads texts about scenes again: an oracle that shares no code and no tables with the generator.

It cuts a text at its phrases, reads each phrase word by word, and looks the rest up in the raw
scene (centres, sides, overlaps), with the thresholds written down in the documentation.
"""

import re
from dataclasses import dataclass, field

WORDS = {
    "size": {
        **dict.fromkeys(("small", "little", "tiny"), "small"),
        **dict.fromkeys(("medium", "medium-sized"), "medium"),
        **dict.fromkeys(("large", "big"), "large"),
    },
    "material": {
        **dict.fromkeys(("matte", "dull"), "matte"),
        **dict.fromkeys(("shiny", "glossy"), "shiny"),
        **dict.fromkeys(("striped", "stripy"), "striped"),
        **dict.fromkeys(("dotted", "spotted"), "dotted"),
    },
    "colour": {
        **{c: c for c in ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")},
        **{c: c for c in ("black", "white", "cyan")},
        "violet": "purple",
        "turquoise": "cyan",
    },
}
TAILS = {" with stripes": "striped", " with dots": "dotted", " with spots": "dotted"}
NOUNS = {
    "disc": "circle",
    "plus sign": "cross",
    "hoop": "ring",
    "moon": "crescent",
    "mug": "cup",
    "fir tree": "tree",
    "automobile": "car",
    "sailboat": "boat",
    "spaceship": "rocket",
    "object": None,
    "thing": None,
    "item": None,
    **{n: n for n in ("circle", "square", "triangle", "hexagon", "star", "cross", "ring", "heart")},
    **{n: n for n in ("crescent", "cup", "bottle", "key", "umbrella", "house", "tree", "flower")},
    **{n: n for n in ("mushroom", "apple", "fish", "bird", "butterfly", "car", "boat", "rocket")},
}
PLURALS = {"fish": "fish", "butterflies": "butterfly", "crosses": "cross"}
RELATIONS = {
    "left of": "left",
    "to the left of": "left",
    "on the left of": "left",
    "right of": "right",
    "to the right of": "right",
    "on the right of": "right",
    "above": "above",
    "higher up than": "above",
    "below": "below",
    "lower down than": "below",
    "behind": "behind",
    "partly hidden by": "behind",
    "in front of": "front",
    "partly hiding": "front",
}
SUPERLATIVES = {
    "leftmost": "leftmost",
    "farthest left": "leftmost",
    "rightmost": "rightmost",
    "farthest right": "rightmost",
    "topmost": "topmost",
    "highest": "topmost",
    "bottommost": "bottommost",
    "lowest": "bottommost",
    "largest": "largest",
    "biggest": "largest",
    "smallest": "smallest",
    "tiniest": "smallest",
}
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
MANY = "|".join(sorted(map(re.escape, RELATIONS), key=len, reverse=True))


@dataclass
class Said:
    """What a phrase says."""

    article: str = ""
    number: int | None = None
    other: bool = False
    superlative: str | None = None
    many: bool = False
    wanted: dict = field(default_factory=dict)


def read_phrase(text):
    """Read one noun phrase; any word it does not know is an error."""
    said, rest = Said(), text[0].lower() + text[1:]
    if rest.startswith("a pair of "):
        said.number, rest = 2, rest.removeprefix("a pair of ")
    first, _, after = rest.partition(" ")
    if first in ("a", "an", "the"):
        said.article, rest = first, after
        assert first == "the" or (first == "an") == (rest[0] in "aeiou"), text
    elif first in NUMBERS:
        said.number, rest = NUMBERS[first], after
    elif first == "other":
        said.other, rest = True, after
    for words, name in SUPERLATIVES.items():
        if rest.startswith(words + " "):
            said.superlative, rest = name, rest.removeprefix(words + " ")
    for tail, material in TAILS.items():
        if rest.endswith(tail):
            said.wanted["material"], rest = material, rest.removesuffix(tail)
    order = ["size", "material", "colour"]
    while (word := rest.split(" ")[0]) and any(word in WORDS[kind] for kind in order):
        kind = next(kind for kind in order if word in WORDS[kind])
        order = order[order.index(kind) + 1 :]
        assert kind not in said.wanted, text
        said.wanted[kind], rest = WORDS[kind][word], rest.partition(" ")[2]
    said.many = said.number is not None or said.article == ""
    noun = rest
    if said.many:
        noun = PLURALS.get(rest) or rest.removesuffix("s")
        assert noun != rest or rest == "fish", text
    if NOUNS[noun] is not None:
        said.wanted["shape"] = NOUNS[noun]
    return said


def fitting(scene, said):
    """Ids of the objects with everything a phrase says of their look."""
    return {
        i
        for i, thing in enumerate(scene.objects)
        if all(getattr(thing, kind) == word for kind, word in said.wanted.items())
    }


def holds(scene, one, other, name):
    """Whether a relation clearly holds (True), clearly does not (False), or is arguable (None)."""
    if name in ("behind", "front"):
        far, near = (one, other) if name == "behind" else (other, one)
        share = {(f, n): s for f, n, s in scene.overlaps}.get((far, near), 0)
        return None if 0.02 <= share < 0.08 else share >= 0.08
    a, b = scene.objects[one], scene.objects[other]
    dx, dy = b.x - a.x, b.y - a.y
    ahead, aside = {"left": (dx, dy), "right": (-dx, dy), "above": (dy, dx), "below": (-dy, dx)}[
        name
    ]
    if ahead <= 0.02 or abs(ahead) < 0.2 * abs(aside):
        return False
    return True if ahead >= 0.1 and ahead >= 0.6 * abs(aside) else None


def best(scene, ids, name):
    """The one that clearly leads; an error where none does."""
    value = {
        "leftmost": lambda t: -t.x,
        "rightmost": lambda t: t.x,
        "topmost": lambda t: -t.y,
        "bottommost": lambda t: t.y,
        "largest": lambda t: t.side,
        "smallest": lambda t: 1 / t.side,
    }[name]
    values = sorted(((value(scene.objects[i]), i) for i in ids), reverse=True)
    (lead, winner), (second, _) = values[:2]
    assert lead / second >= 1.2 if name in ("largest", "smallest") else lead - second >= 0.05
    return winner


def template(text, phrases):
    """The text with every phrase replaced by its number in braces."""
    parts, last = [], 0
    for number, phrase in enumerate(phrases):
        start, stop = phrase.span
        assert last <= start < stop <= len(text)
        assert text[start:stop] == phrase.text
        parts += [text[last:start], f"{{{number}}}"]
        last = stop
    return "".join([*parts, text[last:]])


def read_reference(scene, phrases, pattern):
    """The one object meant by "{0} left of {1} that is above {2}"; an error if not just one."""
    match = re.fullmatch(rf"\{{(\d)\}}(?: (?:that is )?({MANY}) (.+))?", pattern)
    assert match, pattern
    phrase = phrases[int(match[1])]
    said = read_phrase(phrase.text)
    assert said.article == "the"
    ids = fitting(scene, said)
    if said.superlative:
        ids = {best(scene, ids, said.superlative)}
    if match[2]:
        anchor = read_reference(scene, phrases, match[3])
        answers = {i: holds(scene, i, anchor, RELATIONS[match[2]]) for i in ids - {anchor}}
        assert None not in answers.values()
        ids = {i for i, answer in answers.items() if answer}
    assert len(ids) == 1, pattern
    assert phrase.object_ids == tuple(ids)
    return next(iter(ids))
