"""Questions as programs: steps like those of CLEVR, and the machine that runs them on a scene.

A program is a tuple of steps; each step reads the results of earlier steps by their numbers, and
the last step's result is the answer.
"""

from collections.abc import Callable
from typing import NamedTuple

from eyespot.data.scenes.looks import Look, Reference
from eyespot.data.scenes.relations import OPPOSITE, related, relation, superlative
from eyespot.data.scenes.vocabulary import ATTRIBUTES, KIND_OF
from eyespot.data.scenes.world import Scene

Result = frozenset[int] | int | bool | str


class Step(NamedTuple):
    """One step.

    Attributes:
        op: What to do.
        inputs: Numbers of the steps whose results it reads.
        value: The word it needs, for example the colour of "filter_colour".
    """

    op: str
    inputs: tuple[int, ...] = ()
    value: str = ""


Program = tuple[Step, ...]


class Arguable(ValueError):
    """A step has no clear result in this scene."""


def run_program(program: Program, scene: Scene) -> str:
    """Return the answer: "yes" or "no", a number in digits, or a word.

    Steps (S a set of objects, O one object):

    - `scene`: S of all; `filter_shape`, `_colour`, `_size`, `_material` (S): those with `value`
    - `relate` (S, O): those of S clearly `value` of O; `superlative` (S): its `value` one
    - `unique` (S): its only member; `same_shape`, ... (O): all others that share it
    - `count`, `exist` (S); `query_shape`, ..., `query_kind` (O); `query_backdrop`: its pattern
    - `equal` (two words), `more`, `fewer`, `as_many` (two numbers), `and`, `or` (two booleans)
    - `stands` (O, O): whether the first is `value` of the second; `which_way` (O, O): `value` or
      its opposite, whichever holds

    Raises:
        ValueError: If a step is unknown or has no clear result.
    """
    results: list[Result] = []
    for step in program:
        operation = _OPERATIONS.get(step.op)
        if operation is None:
            raise ValueError(f"need a known step, got {step.op!r}; known: {', '.join(_OPERATIONS)}")
        results.append(operation(scene, step.value, *(results[place] for place in step.inputs)))
    answer = results[-1]
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    return str(answer)


def look_steps(look: Look, first: int) -> list[Step]:
    """Return the steps that find what fits a look, the first of them numbered `first`."""
    steps = [Step("scene")]
    for name in ATTRIBUTES:
        word = getattr(look, name)
        if word is not None:
            steps.append(Step(f"filter_{name}", (first + len(steps) - 1,), word))
    return steps


def refer_steps(reference: Reference, first: int) -> list[Step]:
    """Return the steps that find the one object meant, the first of them numbered `first`."""
    steps = [] if reference.anchor is None else refer_steps(reference.anchor, first)
    anchor = first + len(steps) - 1
    steps += look_steps(reference.look, first + len(steps))
    last = first + len(steps) - 1
    if reference.superlative is not None:
        return [*steps, Step("superlative", (last,), reference.superlative)]
    if reference.relation is not None:
        steps.append(Step("relate", (last, anchor), reference.relation))
        last += 1
    return [*steps, Step("unique", (last,))]


def _filter(name: str) -> Callable[..., Result]:
    return lambda scene, word, ids: frozenset(
        i for i in ids if getattr(scene.objects[i], name) == word
    )


def _query(name: str) -> Callable[..., Result]:
    return lambda scene, _, one: str(getattr(scene.objects[one], name))


def _same(name: str) -> Callable[..., Result]:
    return lambda scene, _, one: frozenset(
        i
        for i, thing in enumerate(scene.objects)
        if i != one and getattr(thing, name) == getattr(scene.objects[one], name)
    )


def _clear(result: Result | None) -> Result:
    if result is None:
        raise Arguable("need a clear relation or order, got one that people would argue about")
    return result


def _only(ids: frozenset[int]) -> int:
    if len(ids) != 1:
        raise Arguable(f"need exactly one object to ask about, got {len(ids)}")
    return next(iter(ids))


def _which_way(scene: Scene, name: str, first: int, second: int) -> str:
    if relation(scene, first, second, name):
        return name
    if relation(scene, first, second, OPPOSITE[name]):
        return OPPOSITE[name]
    raise Arguable(f"need one object {name} of the other or the reverse, got neither")


_OPERATIONS: dict[str, Callable[..., Result]] = {
    "scene": lambda scene, _: frozenset(range(len(scene.objects))),
    **{f"filter_{name}": _filter(name) for name in ATTRIBUTES},
    "relate": lambda scene, name, ids, one: _clear(related(scene, ids, one, name)),
    "superlative": lambda scene, name, ids: _clear(superlative(scene, ids, name)),
    "unique": lambda _, __, ids: _only(ids),
    **{f"same_{name}": _same(name) for name in ATTRIBUTES},
    "count": lambda _, __, ids: len(ids),
    "exist": lambda _, __, ids: bool(ids),
    **{f"query_{name}": _query(name) for name in ATTRIBUTES},
    "query_kind": lambda scene, _, one: KIND_OF[scene.objects[one].shape],
    "query_backdrop": lambda scene, _: scene.backdrop.pattern,
    "equal": lambda _, __, first, second: first == second,
    "more": lambda _, __, first, second: first > second,
    "fewer": lambda _, __, first, second: first < second,
    "as_many": lambda _, __, first, second: first == second,
    "and": lambda _, __, first, second: first and second,
    "or": lambda _, __, first, second: first or second,
    "stands": lambda scene, name, a, b: _clear(relation(scene, a, b, name)),
    "which_way": _which_way,
}
