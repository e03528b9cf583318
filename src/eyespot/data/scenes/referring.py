"""Referring expressions: texts that exactly one object of the scene answers to."""

from dataclasses import dataclass

from eyespot.data.scenes.grammar import Wording, Words
from eyespot.data.scenes.looks import Look, Reference, looks_of
from eyespot.data.scenes.relations import RELATIONS, SUPERLATIVES
from eyespot.data.scenes.stream import Stream
from eyespot.data.scenes.text import Caption, Writer
from eyespot.data.scenes.world import Scene

_TRIES = 16


@dataclass(frozen=True)
class Expression:
    """A text that means one object.

    Attributes:
        caption: The text; its first phrase names the target, later ones the objects it is told by.
        target: Id of the object meant.
        reference: What the text says, as data.
    """

    caption: Caption
    target: int
    reference: Reference


def referring(scene: Scene, *, draw: int = 0, wording: Wording = "varied") -> Expression | None:
    """Return a referring expression for one object of the scene.

    The target stands out by its look, by a superlative, or by its relation to an object that stands
    out itself; where a relation is used, the look alone would not do.

    Args:
        scene: The scene.
        draw: Number of the expression; the same number gives the same expression.
        wording: "plain" always takes the first word for a thing, "varied" any.

    Returns:
        The expression; None in the rare scene where nothing singles out any object.
    """
    stream = Stream("referring", scene.config.split, scene.seed, scene.index, draw)
    kind = stream.pick(("look", "superlative", "relation", "relation", "chain"))
    targets = stream.shuffled(range(len(scene.objects)))
    for kinds in ((kind,), ("relation", "superlative", "look")):
        for target in targets:
            reference = describe(scene, target, stream, kinds=kinds)
            if reference is not None:
                words = Words(stream, wording)
                writer = Writer(sentences=words.sometimes(0.3))
                words.refer(writer, scene, reference)
                return Expression(writer.finish(), target, reference)
    return None


def describe(
    scene: Scene,
    target: int,
    stream: Stream,
    *,
    kinds: tuple[str, ...] = ("look", "superlative", "relation"),
    hide: tuple[str, ...] = (),
) -> Reference | None:
    """Return a reference that means the target and nothing else.

    Args:
        scene: The scene.
        target: Id of the object.
        stream: Where choices come from.
        kinds: What to try, in this order: "look", "superlative", "relation", and "chain", a
            relation to an object that is itself told by a relation.
        hide: Attributes of the target not to name.

    Returns:
        The reference, or None when none of the kinds works out.
    """
    looks = looks_of(scene, target, hide)
    alone = [look for look, ids in looks if len(ids) == 1]
    shared = [look for look, ids in looks if len(ids) > 1]
    for kind in kinds:
        if kind == "look" and alone:
            return Reference(_pick_look(stream, alone))
        if kind == "superlative" and shared:
            for name in stream.shuffled(SUPERLATIVES[: 4 if "size" in hide else 6]):
                reference = Reference(_pick_look(stream, shared), superlative=name)
                if reference.ids(scene) == frozenset({target}):
                    return reference
        if kind in ("relation", "chain") and shared and len(scene.objects) > 1:
            reference_or_none = _by_relation(scene, target, stream, shared, chain=kind == "chain")
            if reference_or_none is not None:
                return reference_or_none
    return None


def _by_relation(
    scene: Scene, target: int, stream: Stream, shared: list[Look], *, chain: bool
) -> Reference | None:
    """A reference by relation to another object; with `chain`, that one by relation to a third."""
    others = [i for i in range(len(scene.objects)) if i != target]
    for _ in range(_TRIES):
        other = stream.pick(others)
        look, name = _pick_look(stream, shared), stream.pick(RELATIONS)
        anchor = describe(scene, other, stream, kinds=("relation",) if chain else ("look",))
        reference = Reference(look, relation=name, anchor=anchor)
        if anchor is not None and reference.ids(scene) == frozenset({target}):
            return reference
    return None


def _pick_look(stream: Stream, looks: list[Look]) -> Look:
    """One of the looks; three times in four one that names the shape, if there is any."""
    shaped = [look for look in looks if look.shape is not None]
    return stream.pick(shaped if shaped and stream.chance(0.75) else looks)
