"""Specs as JSON, and pycls' configs as specs.

A spec file holds `family` ("anynet", "effnet" or "vit") and the fields of that family's
dataclass. An unknown or missing field is an error that names it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from eyespot.design.files import write_whole
from eyespot.design.plain_data import fill, short
from eyespot.design.specs import AnyNetSpec, EffNetSpec, Spec, ViTSpec, ViTStem
from eyespot.errors import unknown_name

_MAX_HEADER = 100 << 20

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
        raise ValueError(f'need a spec with a "family" ({", ".join(_FAMILIES)}), got {short(data)}')
    family = data["family"]
    if family not in _FAMILIES:
        raise ValueError(unknown_name("family of networks", str(family), _FAMILIES))
    rest = {name: value for name, value in data.items() if name != "family"}
    if family == "vit" and isinstance(rest.get("stem"), Mapping):
        rest["stem"] = fill(ViTStem, rest["stem"], "stem")
    spec: Spec = fill(_FAMILIES[family], rest, f"{family} spec")
    return spec


def read_spec(path: Path) -> Spec:
    """Read a spec file, or the spec in the header of weights that name one.

    Raises:
        ValueError: If it is not JSON, or no spec.
        OSError: If it cannot be read.
    """
    try:
        data = json.loads(_spec_text(Path(path)))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"need a spec file of JSON, got {path}: {error}") from None
    try:
        return spec_from_dict(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _spec_text(path: Path) -> str:
    if path.suffix != ".safetensors":
        return path.read_text(encoding="utf-8")
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > _MAX_HEADER:
            raise ValueError(f"need a safetensors file, got {path} with a header of {size} bytes")
        header = json.loads(file.read(size))
    metadata = header.get("__metadata__") if isinstance(header, Mapping) else None
    if not isinstance(metadata, Mapping) or "spec" not in metadata:
        raise ValueError(f"need weights that name their network, got {path}; name it yourself")
    return str(metadata["spec"])


def write_spec(spec: Spec, path: Path) -> None:
    """Write a spec file whole or not at all."""
    write_whole(path, json.dumps(spec_to_dict(spec), indent=2) + "\n")
