"""What a phrase says of an object, and which objects that fits.

A look names some of an object's attributes; a reference adds how the object stands among others.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations

from eyespot.data.scenes.relations import related, superlative
from eyespot.data.scenes.stream import Stream
from eyespot.data.scenes.vocabulary import ATTRIBUTES
from eyespot.data.scenes.world import Scene, SceneObject


@dataclass(frozen=True)
class Look:
    """The attributes a phrase names; None for those it does not."""

    shape: str | None = None
    colour: str | None = None
    size: str | None = None
    material: str | None = None

    def fits(self, thing: SceneObject) -> bool:
        """Return whether the object has every attribute named."""
        return (
            self.shape in (None, thing.shape)
            and self.colour in (None, thing.colour)
            and self.size in (None, thing.size)
            and self.material in (None, thing.material)
        )

    @property
    def named(self) -> tuple[str, ...]:
        """The attributes named."""
        return tuple(name for name in ATTRIBUTES if getattr(self, name) is not None)

    def ids(self, scene: Scene) -> frozenset[int]:
        """Return the objects of the scene that it fits."""
        return frozenset(i for i, thing in enumerate(scene.objects) if self.fits(thing))


@dataclass(frozen=True)
class Reference:
    """Singles out objects: those of a look, or of these the one that stands out.

    Attributes:
        look: What they look like.
        superlative: "leftmost", ..., "smallest": that one of the look.
        relation: Or those of the look that stand so to the anchor.
        anchor: Refers to exactly one other object.
    """

    look: Look
    superlative: str | None = None
    relation: str | None = None
    anchor: "Reference | None" = None

    def ids(self, scene: Scene) -> frozenset[int] | None:
        """Return the objects referred to; None where people would argue."""
        fitting = self.look.ids(scene)
        if self.superlative is not None:
            first = superlative(scene, fitting, self.superlative)
            return None if first is None else frozenset({first})
        if self.relation is None or self.anchor is None:
            return fitting
        anchors = self.anchor.ids(scene)
        if anchors is None or len(anchors) != 1:
            return None
        return related(scene, fitting, next(iter(anchors)), self.relation)


def looks_of(
    scene: Scene, target: int, hide: tuple[str, ...] = ()
) -> list[tuple[Look, frozenset[int]]]:
    """Return every look that fits the object, and all objects each fits.

    Args:
        scene: The scene.
        target: Id of the object.
        hide: Attributes that no look may name.
    """
    full = tuple(
        Look(thing.shape, thing.colour, thing.size, thing.material) for thing in scene.objects
    )
    if not hide:
        return list(_looks_of(full, target))
    return [
        (look, ids)
        for look, ids in _looks_of(full, target)
        if all(getattr(look, name) is None for name in hide)
    ]


@lru_cache(maxsize=64)
def _looks_of(full: tuple[Look, ...], target: int) -> tuple[tuple[Look, frozenset[int]], ...]:
    """All looks of one object, those that name least first; kept, since texts ask for it often."""
    found = []
    for count in range(len(ATTRIBUTES) + 1):
        for names in combinations(ATTRIBUTES, count):
            words = {name: getattr(full[target], name) for name in names}
            ids = frozenset(
                i
                for i, look in enumerate(full)
                if all(getattr(look, name) == word for name, word in words.items())
            )
            found.append((Look(**words), ids))
    return tuple(found)


def absent_look(scene: Scene, look: Look, stream: Stream) -> Look | None:
    """Return the look with one attribute changed so that it fits nothing here but could elsewhere.

    Returns:
        The look; None when the changes that were tried all fit something.
    """
    for changed in stream.shuffled(look.named):
        shape = look.shape or stream.pick(scene.config.shapes)
        other = replace(look, **{changed: stream.pick(scene.config.choices(changed, shape))})
        shape = other.shape or shape
        possible = other.colour is None or other.colour in scene.config.choices("colour", shape)
        if possible and not other.ids(scene):
            return other
    return None
