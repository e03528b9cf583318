"""Networks for torch.hub, from a copy of this repository.

torch.hub.load("PATH/OF/THIS/REPOSITORY", "regnety_400mf", source="local", num_classes=10)

Every network of `eyespot models` by its own name, dots as underscores, with fresh weights and the
options of `eyespot.create_model`; and `grounder`, the small grounder that ships with the package.
"""

import importlib.util
import sys
from functools import partial as _partial
from pathlib import Path as _Path
from typing import Any as _Any

dependencies = ["torch", "numpy", "jaxtyping", "safetensors"]

if importlib.util.find_spec("eyespot") is None:
    sys.path.insert(0, str(_Path(__file__).parent / "src"))

import eyespot as _eyespot  # noqa: E402 - found by the line above
from eyespot.design import zoo as _zoo  # noqa: E402


def grounder(weights: str = "scenes-small", **options: _Any) -> _Any:
    """Return `eyespot.Grounder.from_pretrained(weights, ...)`."""
    return _eyespot.Grounder.from_pretrained(weights, **options)


globals().update(
    {
        _zoo.own_name(entry.name).replace(".", "_"): _partial(_eyespot.create_model, entry.name)
        for entry in _zoo.entries()
    }
)
