"""Specs as JSON, and pycls' configs as specs.

A spec file holds `family` ("anynet", "effnet" or "vit") and the fields of that family's
dataclass. An unknown or missing field is an error that names it.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from eyespot.design.files import write_whole
from eyespot.design.specs import AnyNetSpec, EffNetSpec, Spec, ViTSpec, ViTStem
from eyespot.errors import unknown_name

_FAMILIES: dict[str, type[AnyNetSpec] | type[EffNetSpec] | type[ViTSpec]] = {
    "anynet": AnyNetSpec,
    "effnet": EffNetSpec,
    "vit": ViTSpec,
}


def spec_to_dict(spec: Spec) -> dict[str, Any]:
    """Return a spec as plain data, `family` first."""
    return {"family": spec.family, **asdict(spec)}


def spec_from_dict(data: object) -> Spec:
    """Return the spec of plain data.

    Raises:
        ValueError: If a field is unknown, missing, or of another type; it is named.
    """
    if not isinstance(data, Mapping) or "family" not in data:
        raise ValueError(
            f'need a spec with a "family" ({", ".join(_FAMILIES)}), got {_short(data)}'
        )
    family = data["family"]
    if family not in _FAMILIES:
        raise ValueError(unknown_name("family of networks", str(family), _FAMILIES))
    rest = {name: value for name, value in data.items() if name != "family"}
    if family == "vit" and isinstance(rest.get("stem"), Mapping):
        rest["stem"] = _fill(ViTStem, rest["stem"], "stem")
    spec: Spec = _fill(_FAMILIES[family], rest, f"{family} spec")
    return spec


def read_spec(path: Path) -> Spec:
    """Read a spec file.

    Raises:
        ValueError: If it is not JSON, or no spec.
        OSError: If it cannot be read.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"need a spec file of JSON, got {path}: {error}") from None
    try:
        return spec_from_dict(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def write_spec(spec: Spec, path: Path) -> None:
    """Write a spec file whole or not at all."""
    write_whole(path, json.dumps(spec_to_dict(spec), indent=2) + "\n")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _fill(cls: Any, data: Mapping[str, Any], what: str) -> Any:
    known = {field.name: field for field in fields(cls)}
    for name in data:
        if name not in known:
            raise ValueError(unknown_name(f"field of {what}", str(name), known))
    missing = [
        name
        for name, field in known.items()
        if name not in data and field.default is MISSING and field.default_factory is MISSING
    ]
    if missing:
        raise ValueError(f"need {', '.join(missing)} in a {what}, got only {', '.join(data)}")
    return cls(**{name: _checked(name, value, known[name].type) for name, value in data.items()})


def _checked(name: str, value: Any, kind: Any) -> Any:
    """Return a JSON value as the field's type, or say what was needed."""
    if get_origin(kind) is tuple:
        item = get_args(kind)[0]
        if not isinstance(value, list | tuple):
            raise ValueError(f"need a list for {name}, got {_short(value)}")
        return tuple(_checked(name, entry, item) for entry in value)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(unknown_name(name, str(value), get_args(kind)))
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"need {name} as {kind.__name__}, got {_short(value)}")
    return value
