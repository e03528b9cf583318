"""Spaces and points as plain data: the files that a sweep starts from and leaves behind.

A sampler is a mapping with a `kind` ("value", "int", "float" or "list") and the fields of its
dataclass; a bare number or text is a constant. A network has the kind "regnet" or "named"; the kind
"listed" is points written down one by one.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from eyespot.design.complexity import complexity
from eyespot.design.plain_data import fill, read_plain, short
from eyespot.design.samplers import FloatRange, IntRange, ListOf, Sampler, Value
from eyespot.design.space import (
    Constraints,
    ListedPoints,
    NamedNetworks,
    Point,
    RegNets,
    Scaling,
    Space,
)
from eyespot.design.spec_files import spec_from_dict, spec_to_dict
from eyespot.errors import unknown_name

_SAMPLERS: dict[str, Any] = {
    "value": Value,
    "int": IntRange,
    "float": FloatRange,
    "list": ListOf,
}
_NETWORKS: dict[str, Any] = {kind.kind: kind for kind in (RegNets, NamedNetworks, ListedPoints)}
_REGNET_SAMPLERS = RegNets().samplers()


def read_space(path: Path) -> Space:
    """Read a space from a JSON or YAML file; paths in it start from the file's folder.

    Raises:
        ValueError: If it is neither, or no space; the sentence names the field.
        OSError: If it cannot be read.
    """
    data = read_plain(path, "space")
    try:
        space = space_from_dict(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(space.network, NamedNetworks):
        return space
    folder = Path(path).parent
    models = tuple(
        str((folder / name).resolve()) if str(name).endswith(".json") else name
        for name in map(str, space.network.model.values)
    )
    return replace(space, network=replace(space.network, model=Value(models)))


def space_from_dict(data: object) -> Space:
    """Return the space of plain data.

    Raises:
        ValueError: If a field is unknown, missing, or of another type; it is named.
    """
    parts = {name: value for name, value in _mapping(data, "a space").items() if value is not None}
    if "network" in parts:
        parts["network"] = _network(parts["network"])
    if "parameters" in parts:
        parts["parameters"] = _samplers(parts["parameters"], "parameters")
    if "scaling" in parts:
        scaling = _samplers(parts["scaling"], "scaling")
        parts["scaling"] = fill(Scaling, scaling, "scaling")
    if "constraints" in parts:
        limits = _mapping(parts["constraints"], "constraints")
        parts["constraints"] = fill(Constraints, limits, "constraints")
    space: Space = fill(Space, parts, "space")
    return space


def _mapping(data: object, what: str) -> dict[str, Any]:
    if not isinstance(data, Mapping) or not all(isinstance(name, str) for name in data):
        raise ValueError(f"need {what} as a mapping of names, got {short(data)}")
    return dict(data)


def _network(data: object) -> RegNets | NamedNetworks | ListedPoints:
    parts = _mapping(data, "network")
    kind = parts.pop("kind", None)
    if kind not in _NETWORKS:
        raise ValueError(unknown_name("kind of network", str(kind), _NETWORKS))
    if kind == RegNets.kind:
        for name in parts.keys() & _REGNET_SAMPLERS.keys():
            parts[name] = _sampler(parts[name], f"network.{name}")
    elif kind == NamedNetworks.kind:
        if "model" in parts:
            parts["model"] = _sampler(parts["model"], "network.model")
        if "fields" in parts:
            parts["fields"] = _samplers(parts["fields"], "network.fields")
    network: RegNets | NamedNetworks | ListedPoints = fill(
        _NETWORKS[kind], parts, f"{kind} network"
    )
    return network


def _samplers(data: object, where: str) -> dict[str, Sampler]:
    return {
        name: _sampler(value, f"{where}.{name}") for name, value in _mapping(data, where).items()
    }


def _sampler(data: object, where: str) -> Sampler:
    try:
        if isinstance(data, str | int | float | bool):
            return Value((data,))
        parts = _mapping(data, "a sampler")
        kind = parts.pop("kind", None)
        if kind not in _SAMPLERS:
            raise ValueError(unknown_name("kind of sampler", str(kind), _SAMPLERS))
        if "item" in parts:
            parts["item"] = _sampler(parts["item"], "item")
        sampler: Sampler = fill(_SAMPLERS[kind], parts, f"{kind} sampler")
        return sampler
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def space_to_dict(space: Space) -> dict[str, Any]:
    """Return a space as plain data, every default written out."""
    plain = {entry.name: _plain(getattr(space, entry.name)) for entry in fields(space)}
    return {name: value for name, value in plain.items() if value is not None}


def _plain(value: Any) -> Any:
    """Return dataclasses as mappings with their kind, and tuples as lists."""
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    if not is_dataclass(value):
        return value
    kinds = {cls: kind for kind, cls in (_SAMPLERS | _NETWORKS).items()}
    kind = kinds.get(type(value))
    parts = {entry.name: _plain(getattr(value, entry.name)) for entry in fields(value)}
    return parts if kind is None else {"kind": kind, **parts}


def point_to_dict(point: Point) -> dict[str, Any]:
    """Return a point as plain data, with what its network costs."""
    data: dict[str, Any] = {**asdict(point), "spec": None, "complexity": None}
    if point.spec is not None:
        data["spec"] = spec_to_dict(point.spec)
        data["complexity"] = complexity(point.spec)._asdict()
    return data


def point_from_dict(data: object) -> Point:
    """Return the point of plain data.

    Raises:
        ValueError: If it is no point; the field is named.
    """
    parts = _mapping(data, "a point")
    parts.pop("complexity", None)
    if isinstance(parts.get("parameters"), Mapping):
        parts["parameters"] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in parts["parameters"].items()
        }
    spec = parts.pop("spec", None)
    built = None if spec is None else spec_from_dict(spec)
    if not isinstance(parts.get("index"), int) or not isinstance(parts.get("parameters"), dict):
        raise ValueError(f"need index and parameters in a point, got {short(data)}")
    return Point(parts["index"], parts["parameters"], built)
