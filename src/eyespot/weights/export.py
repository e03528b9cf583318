"""Weights of ours under the names of other libraries."""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from eyespot.errors import WeightsError, unknown_name
from eyespot.weights import layouts
from eyespot.weights.fit import CLASSIFIER
from eyespot.weights.key_maps import Layout, from_ours

Target = Literal[
    "timm", "torchvision", "transformers", "vissl", "detectron2", "torchvision-fpn"
]  # fmt: skip

_DETECTORS = ("detectron2", "torchvision-fpn")

_TARGETS: dict[str, dict[str, Layout]] = {
    "timm": {
        "regnet": layouts.TIMM_REGNET,
        "resnet": layouts.RESNET,
        "efficientnet": layouts.TIMM_EFFNET,
        "vit": layouts.TIMM_VIT,
    },
    "torchvision": {
        "regnet": layouts.TORCHVISION_REGNET,
        "resnet": layouts.RESNET,
        "efficientnet": layouts.TORCHVISION_EFFNET,
        "vit": layouts.TORCHVISION_VIT,
    },
    "transformers": {"regnet": layouts.TRANSFORMERS_REGNET},
    "vissl": {"regnet": layouts.VISSL_REGNET, "resnet": layouts.VISSL_RESNET},
    "detectron2": {"regnet": layouts.DETECTRON2_REGNET, "resnet": layouts.DETECTRON2_RESNET},
    "torchvision-fpn": {"resnet": layouts.TORCHVISION_FPN_RESNET},
}


def export_weights(state_dict: Mapping[str, Tensor], to: Target) -> dict[str, Tensor]:
    """Rename the weights of a network of ours to another library's names.

    The tensors are the same objects. VISSL's names are those of a trunk; a classifier is the linear
    head "0.clf.0", as its fine-tuned checkpoints have it. A detector ("detectron2", and
    "torchvision-fpn" for its ResNets with a feature pyramid) takes the trunk alone: classifier and
    counters of batches are left out, and the rest of the detector is not in the file. Detectron2
    wants RGB input and `STRIDE_IN_1X1: False` for them.

    Args:
        state_dict: A network's `state_dict()`.
        to: The library.

    Raises:
        WeightsError: If the library has no such network, or no place for a tensor of it.
    """
    if to not in _TARGETS:
        raise WeightsError(unknown_name("library to export to", to, _TARGETS))
    kind = _network_kind(state_dict)
    layout = _TARGETS[to].get(kind)
    if layout is None:
        raise WeightsError(
            f"need a {' or '.join(_TARGETS[to])} to export to {to}, got a network of kind {kind}"
        )
    if to in _DETECTORS:
        state_dict = {
            name: tensor
            for name, tensor in state_dict.items()
            if name not in CLASSIFIER and not name.endswith("num_batches_tracked")
        }
    if to == "timm" and kind == "vit":
        _check_patchify(state_dict)
    return from_ours(layout, state_dict)


def _network_kind(state_dict: Mapping[str, Tensor]) -> str:
    """Say which family the weights are of, from their names and the stem's kernel."""
    if "patch_embed.proj.weight" in state_dict:
        return "vit"
    if "s1.b1.dwise.weight" in state_dict:
        return "efficientnet"
    stem = state_dict.get("stem.conv.weight")
    if stem is None or "s1.b1.f.a.weight" not in state_dict:
        raise WeightsError(
            "need the state dict of a network of ours, got keys such as "
            f"{', '.join(list(state_dict)[:3])}"
        )
    basic = "s1.b1.f.c.weight" not in state_dict
    return "resnet" if stem.shape[-1] == 7 or basic else "regnet"


def _check_patchify(state_dict: Mapping[str, Tensor]) -> None:
    stem = [key for key in state_dict if key.startswith("patch_embed.")]
    more = [key for key in stem if not key.startswith("patch_embed.proj.")]
    if more:
        raise WeightsError(
            "need a ViT with a patchify stem to export to timm, got one with a convolutional stem "
            f"({more[0]}, ...); torchvision has such a stem"
        )
