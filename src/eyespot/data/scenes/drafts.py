"""A question in the making: its text and its program grow side by side."""

from eyespot.data.scenes.grammar import Words, with_article
from eyespot.data.scenes.looks import Look, Reference, absent_look, looks_of
from eyespot.data.scenes.programs import Step, look_steps, refer_steps
from eyespot.data.scenes.referring import describe
from eyespot.data.scenes.stream import Stream
from eyespot.data.scenes.text import Writer
from eyespot.data.scenes.world import Scene

TRIES = 24
"""How often a question is tried again when the scene does not suit it."""


class Draft:
    """A question in the making."""

    def __init__(self, scene: Scene, stream: Stream, words: Words) -> None:
        self.scene, self.stream, self.words = scene, stream, words
        self.writer = Writer(sentences=True)
        self.steps: list[Step] = []

    def say(self, *options: str) -> None:
        """Write one of the options; the first when plain."""
        self.writer.say(self.words.choose(options))

    def name(self, look: Look, ids: frozenset[int], *, many: bool) -> None:
        """Write a look as "a red cup" or "red cups"."""
        noun = self.words.noun(look, many=many)
        self.writer.name(noun if many else with_article(noun), ids)

    def refer(self, reference: Reference) -> int:
        """Write a reference, add its steps and return the number of the last."""
        self.words.refer(self.writer, self.scene, reference)
        self.steps += refer_steps(reference, len(self.steps))
        return len(self.steps) - 1

    def find(self, look: Look) -> int:
        """Add the steps that find what fits a look and return the number of the last."""
        self.steps += look_steps(look, len(self.steps))
        return len(self.steps) - 1

    def step(self, op: str, *inputs: int, value: str = "") -> int:
        """Add a step and return its number."""
        self.steps.append(Step(op, inputs, value))
        return len(self.steps) - 1

    def any_object(self) -> int:
        """Return any object."""
        return self.stream.below(len(self.scene.objects))

    def describe(self, target: int, hide: tuple[str, ...] = ()) -> Reference | None:
        """Return a reference to the target, two times in three by its look if that will do."""
        kinds = ("look", "superlative", "relation")
        if self.stream.chance(0.35):
            kinds = ("relation", "superlative", "look")
        return describe(self.scene, target, self.stream, kinds=kinds, hide=hide)

    def look(self, *, present: bool) -> Look | None:
        """Return a look with a shape: one that fits something, or fits nothing but nearly does.

        How much the look says is drawn first, so that it tells nothing of which of the two it is.
        """
        num_named = 1 + self.stream.below(3)
        for _ in range(TRIES):
            options = [look for look, _ in looks_of(self.scene, self.any_object()) if look.shape]
            look = self.stream.pick([one for one in options if len(one.named) == num_named])
            found = look if present else absent_look(self.scene, look, self.stream)
            if found is not None:
                return found
        return None
