"""The same architectures from other libraries, checked to be the same before they are timed."""

import copy
from collections.abc import Callable
from functools import partial

import timm
import torch
import torchvision
from timm.layers import HybridEmbed
from timm.models.vision_transformer import VisionTransformer as TimmViT
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.vision_transformer import ConvStemConfig
from torchvision.models.vision_transformer import VisionTransformer as TorchvisionViT

import eyespot
from eyespot.design import zoo
from eyespot.design.specs import ViTSpec


def _vit_spec(name: str) -> ViTSpec:
    spec = zoo.spec(name)
    assert isinstance(spec, ViTSpec)
    return spec


def _conv_stem(spec: ViTSpec) -> nn.Sequential:
    layers: list[nn.Module] = []
    w_in = spec.in_chans
    for width, (kernel, stride) in zip(spec.stem.channels, spec.stem.convs(), strict=False):
        layers += [
            nn.Conv2d(w_in, width, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        w_in = width
    return nn.Sequential(*layers)


def timm_vit(name: str) -> nn.Module:
    """Return timm's vision transformer with the numbers of one of ours."""
    spec = _vit_spec(name)
    size, dim, stem = spec.image_size, spec.hidden_dim, {}
    if spec.stem.channels:
        stem = {"embed_layer": lambda **_: HybridEmbed(_conv_stem(spec), size, embed_dim=dim)}
    return TimmViT(
        img_size=size,
        embed_dim=dim,
        depth=spec.depth,
        num_heads=spec.num_heads,
        mlp_ratio=spec.mlp_dim / dim,
        **stem,
    )


def torchvision_vit(name: str) -> nn.Module:
    """Return torchvision's vision transformer with the numbers of one of ours."""
    spec = _vit_spec(name)
    stem = [
        ConvStemConfig(width, kernel, stride)
        for width, (kernel, stride) in zip(spec.stem.channels, spec.stem.convs(), strict=False)
    ]
    return TorchvisionViT(
        spec.image_size, 16, spec.depth, spec.num_heads, spec.hidden_dim, spec.mlp_dim,
        conv_stem_configs=stem or None,
    )  # fmt: skip


_tv = torchvision.models
PEERS: dict[str, dict[str, Callable[[], nn.Module]]] = {
    "RegNetY-4.0GF": {"timm": partial(timm.create_model, "regnety_040")},
    "RegNetY-400MF": {
        "timm": partial(timm.create_model, "regnety_004"),
        "torchvision": _tv.regnet_y_400mf,
    },
    "RegNetY-3.2GF": {
        "timm": partial(timm.create_model, "regnety_032"),
        "torchvision": _tv.regnet_y_3_2gf,
    },
    "EfficientNet-B0": {
        "timm": partial(timm.create_model, "efficientnet_b0"),
        "torchvision": partial(_tv.efficientnet_b0, dropout=0.0, stochastic_depth_prob=0.0),
    },
    "ViT-P-4GF": {
        "timm": partial(timm_vit, "ViT-P-4GF"),
        "torchvision": partial(torchvision_vit, "ViT-P-4GF"),
    },
    "ViT-C-4GF": {
        "timm": partial(timm_vit, "ViT-C-4GF"),
        "torchvision": partial(torchvision_vit, "ViT-C-4GF"),
    },
}
"""Builders of the same network from other libraries, by our name."""


def contestants(name: str) -> dict[str, nn.Module]:
    """Build a network from every library that has it.

    Raises:
        ValueError: If the parameters or the flops of two of them differ.
    """
    models = {"eyespot": eyespot.create_model(name)}
    models |= {library: make() for library, make in PEERS[name].items()}
    costs = {library: traced_cost(model) for library, model in models.items()}
    if len(set(costs.values())) > 1:
        raise ValueError(f"need equal networks, got (params, flops) of {costs} for {name}")
    return models


def traced_cost(model: nn.Module) -> tuple[int, int]:
    """Return the parameters, and the multiply-adds of a 224 px image as torch counts them.

    torch's counter leaves out biases.
    """
    on_meta = copy.deepcopy(model).to("meta").train()
    with FlopCounterMode(display=False) as counter:
        on_meta(torch.empty(2, 3, 224, 224, device="meta"))
    params = sum(parameter.numel() for parameter in model.parameters())
    return params, counter.get_total_flops() // 4
