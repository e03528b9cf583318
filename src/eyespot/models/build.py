"""From a name or a spec to a module."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from torch import nn

from eyespot.design.by_name import Model, to_spec
from eyespot.design.specs import AnyNetSpec, EffNetSpec, Spec, ViTSpec
from eyespot.models.anynet import anynet, init_anynet_
from eyespot.models.blocks import init_cnn_
from eyespot.models.convnet import ConvNet
from eyespot.models.effnet import effnet
from eyespot.models.features import FeatureExtractor
from eyespot.models.vit import ViT, init_vit_

_NOT_THE_MODULES = {"test_size"}


def create_model(
    model: Model,
    *,
    num_classes: int | None = None,
    in_chans: int | None = None,
    image_size: int | None = None,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
) -> nn.Module:
    """Build a network with freshly drawn weights.

    Args:
        model: A name (`list_models`), a spec, or the path of a spec.json.
        num_classes: Outputs of the classifier, 0 for none; the spec's own when not given.
        in_chans: Channels of an image; the spec's own when not given.
        image_size: Side of an image, px; the spec's own when not given. It matters to a ViT's
            position embeddings alone.
        features_only: Return maps instead of logits (`FeatureExtractor`).
        out_indices: Which maps, with `features_only`.

    Raises:
        ValueError: If the name is unknown or the numbers make no network.
    """
    if out_indices is not None and not features_only:
        raise ValueError("need features_only=True for out_indices to mean something")
    wanted = {"num_classes": num_classes, "in_chans": in_chans, "image_size": image_size}
    changes: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    spec = replace(to_spec(model), **changes)
    built = build(spec)
    return FeatureExtractor(built, out_indices) if features_only else built


def build(spec: Spec) -> ConvNet | ViT:
    """Build the network of a spec."""
    arguments = {
        field.name: getattr(spec, field.name)
        for field in fields(spec)
        if field.name not in _NOT_THE_MODULES
    }
    match spec:
        case AnyNetSpec():
            del arguments["image_size"]
            return anynet(**arguments)
        case EffNetSpec():
            del arguments["image_size"]
            return effnet(**arguments)
        case ViTSpec():
            return ViT(**arguments)


def init_weights_(network: ConvNet | ViT, spec: Spec) -> None:
    """Draw the weights of a network that `build` made of a spec, in place, as `build` did.

    Norms and the biases of convolutions are left as they are.
    """
    match spec:
        case AnyNetSpec():
            init_anynet_(network, zero_init_residual=spec.zero_init_residual)
        case EffNetSpec():
            init_cnn_(network)
        case ViTSpec():
            assert isinstance(network, ViT)
            init_vit_(network)
