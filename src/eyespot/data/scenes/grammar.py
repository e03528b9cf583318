"""Words for looks, relations and numbers: plain or varied, with the right article."""

from collections.abc import Sequence
from typing import Literal

from eyespot.data.scenes.looks import Look, Reference
from eyespot.data.scenes.stream import Stream
from eyespot.data.scenes.text import Writer
from eyespot.data.scenes.world import Scene

Wording = Literal["plain", "varied"]

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
_IRREGULAR = {"fish": "fish", "butterfly": "butterflies", "cross": "crosses"}
_OTHER_NOUNS = {
    "circle": ("disc",),
    "cross": ("plus sign",),
    "ring": ("hoop",),
    "crescent": ("moon",),
    "cup": ("mug",),
    "tree": ("fir tree",),
    "car": ("automobile",),
    "boat": ("sailboat",),
    "rocket": ("spaceship",),
}
_ANYTHING = ("object", "thing", "item")
_ADJECTIVES = {
    "small": ("small", "little", "tiny"),
    "medium": ("medium", "medium-sized"),
    "large": ("large", "big"),
    "purple": ("purple", "violet"),
    "cyan": ("cyan", "turquoise"),
    "matte": ("matte", "dull"),
    "shiny": ("shiny", "glossy"),
    "striped": ("striped", "stripy"),
    "dotted": ("dotted", "spotted"),
}
_WITH = {"striped": ("with stripes",), "dotted": ("with dots", "with spots")}
_RELATIONS = {
    "left": ("left of", "to the left of", "on the left of"),
    "right": ("right of", "to the right of", "on the right of"),
    "above": ("above", "higher up than"),
    "below": ("below", "lower down than"),
    "behind": ("behind", "partly hidden by"),
    "front": ("in front of", "partly hiding"),
}
_SUPERLATIVES = {
    "leftmost": ("leftmost", "farthest left"),
    "rightmost": ("rightmost", "farthest right"),
    "topmost": ("topmost", "highest"),
    "bottommost": ("bottommost", "lowest"),
    "largest": ("largest", "biggest"),
    "smallest": ("smallest", "tiniest"),
}


class Words:
    """Chooses words: always the first when plain, any when varied."""

    def __init__(self, stream: Stream, wording: Wording) -> None:
        if wording not in ("plain", "varied"):
            raise ValueError(f"need wording 'plain' or 'varied', got {wording!r}")
        self._stream = stream
        self.varied = wording == "varied"

    def choose(self, options: Sequence[str]) -> str:
        """Return one of the options."""
        return self._stream.pick(options) if self.varied else options[0]

    def sometimes(self, probability: float) -> bool:
        """Return True with the given probability when varied, never when plain."""
        return self.varied and self._stream.chance(probability)

    def noun(self, look: Look, *, many: bool = False, before: Sequence[str] = ()) -> str:
        """Return adjectives and noun, for example "small shiny red cups with stripes".

        Args:
            look: What to say.
            many: Plural.
            before: Words that stand before all others, for example a superlative.
        """
        parts, after = list(before), []
        if look.size is not None:
            parts.append(self.choose(_ADJECTIVES[look.size]))
        if look.material is not None:
            if look.material in _WITH and self.sometimes(0.3):
                after.append(self.choose(_WITH[look.material]))
            else:
                parts.append(self.choose(_ADJECTIVES[look.material]))
        if look.colour is not None:
            parts.append(self.choose(_ADJECTIVES.get(look.colour, (look.colour,))))
        names = _ANYTHING if look.shape is None else (look.shape, *_OTHER_NOUNS.get(look.shape, ()))
        name = self.choose(names)
        return " ".join([*parts, plural(name) if many else name, *after])

    def relation(self, name: str) -> str:
        """Return the words of a relation, for example "to the left of"."""
        return self.choose(_RELATIONS[name])

    def refer(
        self, writer: Writer, scene: Scene, reference: Reference, *, nested: bool = False
    ) -> None:
        """Write a reference: "the red cup left of the star that is above the fish"."""
        best = reference.superlative
        before = () if best is None else (self.choose(_SUPERLATIVES[best]),)
        ids = reference.ids(scene)
        assert ids is not None, "a reference is only written where it is clear"
        writer.name("the " + self.noun(reference.look, before=before), ids)
        if reference.relation is not None and reference.anchor is not None:
            writer.say(" that is " if nested or self.sometimes(0.3) else " ")
            writer.say(self.relation(reference.relation) + " ")
            self.refer(writer, scene, reference.anchor, nested=True)


def plural(noun: str) -> str:
    """Return the plural of a noun of this world."""
    return _IRREGULAR.get(noun, noun + "s")


def with_article(words: str) -> str:
    """Return the words after "a" or "an"; every word of this world sounds as it is written."""
    return ("an " if words[0] in "aeiou" else "a ") + words
