"""Eyespot: design, train, pretrain, measure and ground vision backbones.

Importing this loads no torch; what needs it is imported when first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from eyespot.design.by_name import complexity as complexity
    from eyespot.design.by_name import scale as scale
    from eyespot.design.by_name import to_spec as to_spec
    from eyespot.design.pycls_config import from_pycls_config as from_pycls_config
    from eyespot.design.zoo import list_models as list_models
    from eyespot.models.build import create_model as create_model
    from eyespot.models.timm_names import register_with_timm as register_with_timm
    from eyespot.predict.answerer import Answerer as Answerer
    from eyespot.predict.embedder import Embedder as Embedder
    from eyespot.predict.grounder import Grounder as Grounder
    from eyespot.weights.load import load_weights as load_weights

_HOMES = {
    "Answerer": "eyespot.predict.answerer",
    "Embedder": "eyespot.predict.embedder",
    "Grounder": "eyespot.predict.grounder",
    "complexity": "eyespot.design.by_name",
    "create_model": "eyespot.models.build",
    "from_pycls_config": "eyespot.design.pycls_config",
    "list_models": "eyespot.design.zoo",
    "register_with_timm": "eyespot.models.timm_names",
    "scale": "eyespot.design.by_name",
    "to_spec": "eyespot.design.by_name",
    "load_weights": "eyespot.weights.load",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'eyespot' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
