"""Networks of timm and torchvision against ours: same weights, same images, same logits.

Runs where the peers are installed; elsewhere every test is skipped with the reason.
"""

import importlib

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from eyespot.design.specs import AnyNetSpec, ViTSpec, ViTStem
from eyespot.models.build import build, create_model
from eyespot.weights.export import export_weights
from eyespot.weights.load import load_weights
from tests.weights.networks import randomise_


def peer(name):
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"{name} cannot be imported here: {error}")


def set_norm_eps_(model, eps):
    """Published EfficientNets were trained with 1e-3 by some; the weights do not say."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = eps


def check_both_ways(theirs, ours, layout, to, size):
    """Their weights in our network give their logits, and go back under their names."""
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    report = load_weights(ours, theirs.state_dict())
    assert report.layout == layout
    assert not report.unused
    with torch.no_grad():
        wanted = theirs(images)
        assert wanted.std() > 1e-3
        assert_close(ours.eval()(images), wanted, rtol=1e-4, atol=1e-4 * wanted.abs().max().item())
    returned = export_weights(ours.state_dict(), to)
    assert returned.keys() == theirs.state_dict().keys()
    randomise_(theirs, seed=2)
    theirs.load_state_dict(returned, strict=True)
    with torch.no_grad():
        assert_close(theirs(images), wanted, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "ours", "layout", "size"),
    [
        ("regnetx_002", "RegNetX-200MF", "timm-regnet", 64),
        ("regnety_002", "RegNetY-200MF", "timm-regnet", 64),
        ("regnety_004", "RegNetY-400MF", "timm-regnet", 64),
        ("regnety_040", "RegNetY-4.0GF", "timm-regnet", 64),
        ("resnet50", "ResNet-50", "torchvision-resnet", 64),
        ("resnext50_32x4d", "ResNeXt-50", "torchvision-resnet", 64),
        ("efficientnet_b0", "EfficientNet-B0", "timm-efficientnet", 64),
        ("efficientnet_b3", "EfficientNet-B3", "timm-efficientnet", 64),
        ("vit_base_patch16_224", "ViT-P-18GF", "timm-vit", 224),
        ("deit_small_patch16_224", None, "timm-vit", 224),
    ],
)
def test_timm(name, ours, layout, size):
    timm = peer("timm")
    theirs = randomise_(timm.create_model(name, pretrained=False))
    small = ViTSpec(384, 1536, 6, 12)
    network = create_model(ours) if ours else build(small)
    eps = {m.eps for m in theirs.modules() if isinstance(m, nn.BatchNorm2d)}
    if eps:
        set_norm_eps_(network, eps.pop())
    check_both_ways(theirs, network, layout, "timm", size)


def test_timm_regnetz_with_its_head_convolution():
    timm = peer("timm")
    theirs = randomise_(timm.create_model("regnetz_005", pretrained=False))
    ours = build(
        AnyNetSpec(
            (1, 4, 9, 7), (16, 40, 104, 256), (2,) * 4, (4.0,) * 4, (4,) * 4,
            block="res_bottleneck_linear_block", se_ratio=0.25, activation="silu", head_width=1024,
        )
    )  # fmt: skip
    check_both_ways(theirs, ours, "timm-regnet", "timm", 64)


@pytest.mark.parametrize("name", ["deit_tiny_distilled_patch16_224"])
def test_timm_distilled_is_refused(name):
    timm = peer("timm")
    with pytest.raises(ValueError, match="dist_token"):
        load_weights(build(ViTSpec(192, 768, 3, 12)), timm.create_model(name).state_dict())


@pytest.mark.parametrize(
    ("name", "ours", "layout", "size"),
    [
        ("regnet_x_1_6gf", "RegNetX-1.6GF", "torchvision-regnet", 64),
        ("regnet_y_400mf", "RegNetY-400MF", "torchvision-regnet", 64),
        ("regnet_y_1_6gf", "RegNetY-1.6GF", "torchvision-regnet", 64),
        ("regnet_y_3_2gf", "RegNetY-3.2GF", "torchvision-regnet", 64),
        ("resnet50", "ResNet-50", "torchvision-resnet", 64),
        ("resnext50_32x4d", "ResNeXt-50", "torchvision-resnet", 64),
        ("efficientnet_b0", "EfficientNet-B0", "torchvision-efficientnet", 64),
        ("efficientnet_b5", "EfficientNet-B5", "torchvision-efficientnet", 64),
        ("vit_b_16", "ViT-P-18GF", "torchvision-vit", 224),
    ],
)
def test_torchvision(name, ours, layout, size):
    torchvision = peer("torchvision")
    theirs = randomise_(getattr(torchvision.models, name)(weights=None))
    network = create_model(ours)
    eps = {m.eps for m in theirs.modules() if isinstance(m, nn.BatchNorm2d)}
    if eps:
        set_norm_eps_(network, eps.pop())
    check_both_ways(theirs, network, layout, "torchvision", size)


def test_torchvision_resnet_of_basic_blocks():
    torchvision = peer("torchvision")
    theirs = randomise_(torchvision.models.resnet18(weights=None))
    ours = build(
        AnyNetSpec(
            (2,) * 4, (64, 128, 256, 512), (1, 2, 2, 2), (1.0,) * 4, (1,) * 4,
            block="res_basic_block", stem="res_stem_in", stem_width=64,
        )
    )  # fmt: skip
    check_both_ways(theirs, ours, "torchvision-resnet", "torchvision", 64)


def test_torchvision_detectors_see_the_maps_of_our_trunk():
    torchvision = peer("torchvision")
    ours = randomise_(create_model("ResNet-50", num_classes=0))
    theirs = torchvision.models.detection.fasterrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=3
    ).eval()
    found = theirs.load_state_dict(
        export_weights(ours.state_dict(), "torchvision-fpn"), strict=False
    )
    assert not found.unexpected_keys
    assert not [key for key in found.missing_keys if key.startswith("backbone.body.")]
    images = torch.randn(1, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = theirs.backbone.body(images)
        wanted = ours.forward_intermediates(images, [1, 2, 3, 4])
    for got, expected in zip(maps.values(), wanted, strict=True):
        assert_close(got, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_torchvision_vit_with_a_convolutional_stem():
    peer("torchvision")
    vit = peer("torchvision.models.vision_transformer")
    layers = [vit.ConvStemConfig(width, 3, 2) for width in (8, 16, 24, 32)]
    theirs = randomise_(
        vit.VisionTransformer(
            image_size=64, patch_size=16, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64,
            conv_stem_configs=layers,
        )
    )  # fmt: skip
    stem = ViTStem((8, 16, 24, 32), (3,) * 4, (2,) * 4, 1, 1)
    ours = build(ViTSpec(32, 64, 2, 2, stem=stem, image_size=64))
    check_both_ways(theirs, ours, "torchvision-vit", "torchvision", 64)


def test_torchvision_rounds_some_widths_otherwise():
    torchvision = peer("torchvision")
    theirs = torchvision.models.regnet_y_800mf(weights=None).state_dict()
    with pytest.raises(ValueError, match=r"weights have stage widths 64,144,320,784"):
        load_weights(create_model("RegNetY-800MF"), theirs)
