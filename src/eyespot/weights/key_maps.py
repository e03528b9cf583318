"""How a table of names renames a state dict, both ways.

A template is a key with fields: "s{n}.b{i+1}.f.a.{leaf}". `{n}` stands for a stage counted from 1,
`{i}` for a block counted from 0, `{n-1}` for the number one less; any other name stands for a
number the other side does not need. `{leaf}` is the tensor's own name inside its module.
"""

import functools
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from eyespot.errors import WeightsError

_FIELD = re.compile(r"\{(\w+?)([+-]\d+)?\}")
_LEAVES = "weight|bias|running_mean|running_var|num_batches_tracked"

Fields = dict[str, int | str]


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a table: a template of theirs and the template of ours.

    Attributes:
        theirs: Template of the published name.
        ours: Template of our name.
        variant: Holds only in blocks that have (True) or lack (False) the layout's marker.
        convert: Changes the tensor on its way in; the way out leaves it alone.
    """

    theirs: str
    ours: str
    variant: bool | None = None
    convert: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """How one published family of files names its tensors.

    Attributes:
        name: What a report calls it.
        signature: Templates; a file with a key of any of them has this layout.
        rules: The table; the first rule that fits a key counts. Where two of theirs have one of
            ours, the first is the one exported to.
        heads: Patterns of keys that belong to heads no backbone has a place for.
        marker: A key of theirs and the same of ours that two forms of a block differ by.
        note: What a user of such weights has to know.
    """

    name: str
    signature: tuple[str, ...]
    rules: tuple[Rule, ...]
    heads: tuple[str, ...] = ()
    marker: tuple[str, str] | None = None
    note: str = ""


class Translation(NamedTuple):
    """A state dict under our names.

    Attributes:
        weights: Tensors by our name.
        origin: The published name of each.
        heads: Published names of head weights that a backbone has no place for.
        unknown: Published names that no rule knows.
    """

    weights: dict[str, Tensor]
    origin: dict[str, str]
    heads: tuple[str, ...]
    unknown: tuple[str, ...]


def modules(theirs: str, ours: str, names: Mapping[str, str], *, variant: bool | None = None,
) -> tuple[Rule, ...]:  # fmt: skip
    """Return a rule for each module of a table, between two prefixes."""
    return tuple(
        Rule(f"{theirs}{a}.{{leaf}}", f"{ours}{b}.{{leaf}}", variant) for a, b in names.items()
    )


@functools.cache
def _pattern(template: str) -> re.Pattern[str]:
    parts, end, seen = [], 0, 0
    for match in _FIELD.finditer(template):
        parts.append(re.escape(template[end : match.start()]))
        name = match[1]
        values = _LEAVES if name == "leaf" else r"\d+" if name != "any" else r".+"
        parts.append(f"(?P<{name}_{seen}>{values})")
        end, seen = match.end(), seen + 1
    return re.compile("".join(parts) + re.escape(template[end:]))


def match_key(template: str, key: str) -> Fields | None:
    """Return the fields of a key, or None if it is none of the template's."""
    match = _pattern(template).fullmatch(key)
    if match is None:
        return None
    found: Fields = {}
    for field, text in zip(_FIELD.finditer(template), match.groups(), strict=True):
        name, offset = field[1], int(field[2] or 0)
        value = text if name in ("leaf", "any") else int(text) - offset
        if found.setdefault(name, value) != value:
            return None
    return found


def fill_key(template: str, fields: Mapping[str, int | str]) -> str:
    """Return the key of a template's fields."""

    def value(match: re.Match[str]) -> str:
        got = fields[match[1]]
        return got if isinstance(got, str) else str(got + int(match[2] or 0))

    return _FIELD.sub(value, template)


def _needed(template: str) -> set[str]:
    return {match[1] for match in _FIELD.finditer(template)}


def has_layout(layout: Layout, keys: Collection[str]) -> bool:
    """Say whether a file with these keys has the layout."""
    return any(match_key(template, key) for template in layout.signature for key in keys)


def to_ours(layout: Layout, state_dict: Mapping[str, Tensor]) -> Translation:
    """Rename a state dict to our names.

    Raises:
        WeightsError: If two of its keys mean one tensor of ours.
    """
    weights: dict[str, Tensor] = {}
    origin: dict[str, str] = {}
    heads, unknown = [], []
    for key, tensor in state_dict.items():
        if any(re.fullmatch(pattern, key) for pattern in layout.heads):
            heads.append(key)
            continue
        found = _rename(layout, key, state_dict, inwards=True)
        if found is None:
            unknown.append(key)
            continue
        name, rule = found
        if name in weights:
            raise WeightsError(
                f"need one tensor for {name}, got two: {origin[name]} and {key}; is this the "
                "state dict of two networks?"
            )
        weights[name] = rule.convert(tensor) if rule.convert else tensor
        origin[name] = key
    return Translation(weights, origin, tuple(heads), tuple(unknown))


def from_ours(layout: Layout, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename weights of ours to a layout's names.

    Raises:
        WeightsError: If the layout has no place for a tensor; it is named.
    """
    found = {key: _rename(layout, key, weights, inwards=False) for key in weights}
    homeless = [key for key, home in found.items() if home is None]
    if homeless:
        raise WeightsError(
            f"need a network that {layout.name} can hold, got one with {', '.join(homeless[:5])}"
            + (f" and {len(homeless) - 5} more" if len(homeless) > 5 else "")
        )
    return {home[0]: weights[key] for key, home in found.items() if home}


def _rename(
    layout: Layout, key: str, keys: Collection[str], *, inwards: bool
) -> tuple[str, Rule] | None:
    """Return a key's new name and the rule that gave it."""
    for rule in layout.rules:
        old, new = (rule.theirs, rule.ours) if inwards else (rule.ours, rule.theirs)
        fields = match_key(old, key)
        if fields is None:
            continue
        needed = _needed(new)
        if "stages" in needed:
            fields["stages"] = _count_stages(keys)
        if not needed <= fields.keys():
            continue
        if rule.variant is not None and layout.marker:
            marker = layout.marker[0] if inwards else layout.marker[1]
            if (fill_key(marker, fields) in keys) is not rule.variant:
                continue
        return fill_key(new, fields), rule
    return None


def _count_stages(keys: Collection[str]) -> int:
    """Return how many stages s1, s2, ... our names speak of."""
    stages = (re.match(r"s(\d+)\.", key) for key in keys)
    return max((int(match[1]) for match in stages if match), default=0)
