"""Captions: several phrases, the relations between them, and things that are not there."""

from typing import NamedTuple

from eyespot.data.scenes.grammar import NUMBERS, Wording, Words, with_article
from eyespot.data.scenes.looks import Look, Reference, absent_look, looks_of
from eyespot.data.scenes.referring import describe
from eyespot.data.scenes.relations import RELATIONS, relation
from eyespot.data.scenes.stream import Stream
from eyespot.data.scenes.text import Caption, Writer
from eyespot.data.scenes.world import Scene

_NUM_GROUPS = (1, 2, 2, 3, 3, 4)
_TRIES = 20


class _Group(NamedTuple):
    """Objects that one phrase means: all that fit its look, none if there are no such things."""

    look: Look
    ids: frozenset[int]


class _Clause(NamedTuple):
    """A group alone, or one that stands in a relation to one or two others."""

    subject: _Group
    relation: str | None = None
    anchors: tuple[_Group, ...] = ()


def caption(
    scene: Scene, *, draw: int = 0, absent: int = 0, wording: Wording = "varied"
) -> Caption:
    """Return a caption of the scene.

    Each phrase means exactly the objects that fit it: a plural phrase all of its boxes, a phrase in
    the singular the only one, told by its look or by the relation that follows it.

    Args:
        scene: The scene.
        draw: Number of the caption; the same number gives the same caption.
        absent: How many things to mention that are not there, each nearly like one that is. Their
            phrases mean no object; all else in a caption is true.
        wording: "plain" always takes the first word for a thing, "varied" any.
    """
    stream = Stream("caption", scene.config.split, scene.seed, scene.index, draw)
    words = Words(stream, wording)
    clauses = _clauses(scene, stream)
    clauses += _absent(scene, absent, stream)
    if absent:
        clauses = stream.shuffled(clauses)
    return _write(clauses, words, scene)


def _clauses(scene: Scene, stream: Stream) -> list[_Clause | Reference]:
    """What the caption says: groups, some of them joined by a relation that holds."""
    if stream.chance(0.25):
        told = describe(
            scene, stream.below(len(scene.objects)), stream, kinds=("relation", "superlative")
        )
        if told is not None:
            return [told]
    groups = _groups(scene, stream)
    clauses: list[_Clause | Reference] = []
    while groups:
        subject = groups.pop()
        joined = _join(scene, subject, groups, stream) if stream.chance(0.7) else None
        if joined is not None:
            groups = [group for group in groups if group not in joined.anchors]
        clauses.append(joined or _Clause(subject))
    return clauses


def _groups(scene: Scene, stream: Stream) -> list[_Group]:
    """Up to four groups of objects without a common member, each told by its look."""
    groups: list[_Group] = []
    used: frozenset[int] = frozenset()
    wanted = stream.pick(_NUM_GROUPS)
    for one in stream.shuffled(range(len(scene.objects))):
        if one in used or len(groups) == wanted:
            continue
        options = [_Group(*pair) for pair in looks_of(scene, one)[1:] if not pair[1] & used]
        shaped = [group for group in options if group.look.shape is not None]
        options = shaped if shaped and stream.chance(0.8) else options
        many = [group for group in options if len(group.ids) > 1]
        single = [group for group in options if len(group.ids) == 1]
        if many or single:
            group = stream.pick(many if many and (not single or stream.chance(0.5)) else single)
            groups.append(group)
            used |= group.ids
    return groups


def _join(scene: Scene, subject: _Group, others: list[_Group], stream: Stream) -> _Clause | None:
    """The subject in a relation, clear for every pair, to one or two of the other groups."""
    for name in stream.shuffled(RELATIONS):
        fitting = [
            other
            for other in others
            if all(relation(scene, a, b, name) for a in subject.ids for b in other.ids)
        ]
        if fitting:
            return _Clause(subject, name, tuple(fitting[: 1 + stream.chance(0.4)]))
    return None


def _absent(scene: Scene, count: int, stream: Stream) -> list[_Clause]:
    """Things that are not there, as different clauses."""
    found: list[Look] = []
    for _ in range(_TRIES * count):
        options = looks_of(scene, stream.below(len(scene.objects)))
        shaped = [look for look, _ in options if look.shape is not None]
        look = absent_look(scene, stream.pick(shaped), stream)
        if look is not None and look not in found and len(found) < count:
            found.append(look)
    return [_Clause(_Group(look, frozenset())) for look in found]


def _write(clauses: list[_Clause | Reference], words: Words, scene: Scene) -> Caption:
    """The clauses as text: a list with commas, or sentences as soon as one has a relation."""
    writer = Writer(sentences=words.sometimes(0.4))
    simple = all(isinstance(clause, _Clause) and not clause.anchors for clause in clauses)
    for place, clause in enumerate(clauses):
        if place and simple:
            writer.say(" and " if place == len(clauses) - 1 else ", ")
        elif place:
            writer.say(writer.stop)
        if isinstance(clause, Reference):
            words.refer(writer, scene, clause)
        else:
            _write_clause(clause, words, writer, opens=not (place and simple))
    return writer.finish()


def _write_clause(clause: _Clause, words: Words, writer: Writer, *, opens: bool) -> None:
    many = len(clause.subject.ids) > 1
    there = opens and words.sometimes(0.25)
    if there:
        writer.say("there are " if many else "there is ")
    _write_group(clause.subject, words, writer)
    if clause.relation is None:
        return
    if not there and words.sometimes(0.4):
        writer.say(" are" if many else " is")
    writer.say(" " + words.relation(clause.relation) + " ")
    for place, anchor in enumerate(clause.anchors):
        writer.say(" and " if place else "")
        _write_group(anchor, words, writer)


def _write_group(group: _Group, words: Words, writer: Writer) -> None:
    count = len(group.ids)
    if count < 2:
        writer.name(with_article(words.noun(group.look)), group.ids)
    else:
        number = "a pair of" if count == 2 and words.sometimes(0.2) else NUMBERS[count]
        writer.name(f"{number} {words.noun(group.look, many=True)}", group.ids)
