"""Our networks by timm's `create_model`, as `eyespot_NAME`.

    register_with_timm()
    model = timm.create_model("eyespot_vit_c_4_0gf", num_classes=10)
    maps = timm.create_model("eyespot_regnety_400mf", features_only=True)

timm imports this package's networks into its own programs: training, validation, benchmarks.
"""

import importlib
from collections.abc import Callable
from typing import Any

from torch import nn

from eyespot.design import zoo
from eyespot.models.build import create_model

PREFIX = "eyespot_"
__all__ = ["PREFIX", "register_with_timm"]  # timm appends what is registered

_OURS = {"num_classes", "in_chans", "img_size", "features_only", "out_indices"}
_TIMMS = {"pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"}


def register_with_timm() -> list[str]:
    """Register every network of `list_models` with timm, once; return the names.

    Raises:
        ValueError: If timm is not installed.
    """
    try:
        models = importlib.import_module("timm.models")
    except ImportError:
        raise ValueError(
            "need the package timm to register networks with it; pip install 'eyespot[interop]'"
        ) from None
    names = []
    for entry in zoo.entries():
        name = PREFIX + zoo.own_name(entry.name).replace(".", "_")  # timm reads a tag after a dot
        if not models.is_model(name):
            models.register_model(_entry_point(name, entry.name))
        names.append(name)
    return names


def _entry_point(name: str, model: str) -> Callable[..., nn.Module]:
    def make(pretrained: bool = False, **options: Any) -> nn.Module:
        if pretrained:
            raise ValueError(
                f"need pretrained=False for {name}, which has no weights of its own; load "
                "some with eyespot.load_weights(model, FILE)"
            )
        unknown = sorted(options.keys() - _OURS - _TIMMS)
        if unknown:
            raise ValueError(
                f"need options of {', '.join(sorted(_OURS))} for {name}, got {', '.join(unknown)}"
            )
        ours = {key: value for key, value in options.items() if key in _OURS}
        size = ours.pop("img_size", None)
        network = create_model(model, image_size=size, **ours)
        spec = zoo.spec(model)
        side = size or spec.image_size
        network.pretrained_cfg = network.default_cfg = {  # type: ignore[assignment]
            "architecture": name,
            "num_classes": ours.get("num_classes", spec.num_classes),
            "input_size": (ours.get("in_chans", spec.in_chans), side, side),
            "mean": (0.485, 0.456, 0.406),
            "std": (0.229, 0.224, 0.225),
            "crop_pct": 0.875,
            "interpolation": "bilinear",
        }
        return network

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"{model} of the package eyespot."
    return make
