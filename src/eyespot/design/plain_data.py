"""Plain data into frozen dataclasses and back: strict, and every mistake named by its field.

Files are JSON, or YAML by their ending; a key written twice is refused, never silently dropped.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from eyespot.errors import unknown_name


def fill(cls: Any, data: Mapping[str, Any], what: str) -> Any:
    """Return the dataclass of a mapping; values that are dataclasses already are taken as they are.

    Args:
        cls: The dataclass.
        data: One value a field, as JSON or YAML gives it.
        what: What the dataclass is, for messages.

    Raises:
        ValueError: If a field is unknown, missing, or of another type; it is named.
    """
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
        got = ", ".join(map(str, data)) or "nothing"
        raise ValueError(f"need {', '.join(missing)} in a {what}, got only {got}")
    return cls(**{name: _checked(name, value, known[name].type) for name, value in data.items()})


def _checked(name: str, value: Any, kind: Any) -> Any:
    """Return a plain value as the field's type, or say what was needed."""
    if is_dataclass(value) or kind is Any:
        return value
    if is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ValueError(f"need a mapping for {name}, got {short(value)}")
        return fill(kind, value, name)
    origin = get_origin(kind)
    if origin is tuple:
        item = get_args(kind)[0]
        if not isinstance(value, list | tuple):
            raise ValueError(f"need a list for {name}, got {short(value)}")
        return tuple(_checked(name, entry, item) for entry in value)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ValueError(f"need a mapping for {name}, got {short(value)}")
        return {key: _checked(name, entry, get_args(kind)[1]) for key, entry in value.items()}
    if origin is Literal:
        if value not in get_args(kind):
            raise ValueError(unknown_name(name, str(value), get_args(kind)))
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    kinds = get_args(kind) if origin is UnionType else (kind,)
    if type(value) not in kinds:
        named = " or ".join(entry.__name__ for entry in kinds)
        raise ValueError(f"need {name} as {named}, got {short(value)}")
    return value


def short(value: object) -> str:
    """Return a value as text of at most 60 characters, for messages."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def read_plain(path: Path, what: str) -> Any:
    """Read a JSON file, or a YAML file if it ends in .yaml or .yml.

    Args:
        path: The file.
        what: What it should hold, for messages, for example "space".

    Raises:
        ValueError: If it is neither, or writes a key twice.
        OSError: If it cannot be read.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix in (".yaml", ".yml"):
            return _read_yaml(text)
        return json.loads(text, object_pairs_hook=_pairs)
    except (ValueError, RecursionError) as error:
        kind = "YAML" if path.suffix in (".yaml", ".yml") else "JSON"
        sentence = " ".join(str(error).split())
        raise ValueError(f"need a {what} file of {kind}, got {path}: {sentence}") from None


def _pairs(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"need each key once, got {key!r} twice")
        found[key] = value
    return found


def _read_yaml(text: str) -> Any:
    """Read YAML with 1e-5 as a number (plain YAML 1.1 makes it text) and keys only once."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        built = [
            (loader.construct_object(key, deep=True), loader.construct_object(value, deep=True))
            for key, value in node.value
        ]
        return _pairs(built)

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    number = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    try:
        return yaml.load(text, Loader=Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, TypeError) as error:
        raise ValueError(str(error)) from None
