"""A network as plain data, there and back, and the module that it describes."""

import json
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from eyespot.design.by_name import to_spec
from eyespot.design.specs import ViTSpec, ViTStem
from eyespot.models.frozen import FrozenBatchNorm2d, SameConv2d
from eyespot.models.grounder import (
    GrounderSpec,
    build_grounder,
    grounder_from_dict,
    grounder_to_dict,
)
from eyespot.models.mdetr import CLEVR_HEADS
from tests.predict.grounders import CONV_VIT, small_spec

TINY_VIT = ViTSpec(
    16, 32, 2, 2, ViTStem(proj_kernel=8, proj_stride=8), image_size=64, num_classes=0
)


@pytest.mark.parametrize(
    "spec",
    [
        small_spec(),
        GrounderSpec(to_spec("ResNet-101"), answer_heads=CLEVR_HEADS),
        GrounderSpec(to_spec("EfficientNet-B3"), padding="tensorflow", with_masks=True),
        small_spec(backbone=TINY_VIT) if False else replace(small_spec(), backbone=TINY_VIT),
    ],
)
def test_plain_data_there_and_back(spec):
    assert grounder_from_dict(json.loads(json.dumps(grounder_to_dict(spec)))) == spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": None}, "need a spec"),
        ({"dims": 3}, "unknown field of grounding network 'dims'. Did you mean dim"),
        ({"text": {"kind": "bart"}}, "unknown kind of text encoder 'bart'"),
        ({"answer_heads": [{"size": 3}]}, "need answer heads"),
        ({"dim": "wide"}, "need dim as int"),
    ],
)
def test_bad_data_is_explained(change, message):
    data = {**grounder_to_dict(small_spec()), **change}
    with pytest.raises(ValueError, match=message):
        grounder_from_dict(data)
    with pytest.raises(ValueError, match="need the spec"):
        grounder_from_dict([])


def test_the_published_sizes():
    """Millions of parameters of the published networks (specification of the checkpoints)."""
    text = GrounderSpec(to_spec("ResNet-101")).text
    for name, padding, millions in (
        ("ResNet-101", "symmetric", 185.4),
        ("EfficientNet-B3", "tensorflow", 152.6),
        ("EfficientNet-B5", "tensorflow", 169.7),
    ):
        with torch.device("meta"):
            model = build_grounder(GrounderSpec(to_spec(name), text, padding=padding))
        norms = sum(
            m.weight.numel() * 2 for m in model.modules() if isinstance(m, FrozenBatchNorm2d)
        )
        total = sum(p.numel() for p in model.parameters())
        assert round(total / 1e6, 1) == millions or round((total + norms) / 1e6, 1) == millions
        if padding == "tensorflow":
            assert sum(isinstance(m, SameConv2d) for m in model.modules()) == 5


def sizes(model, height, width):
    images = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    pad_mask = torch.zeros(2, height, width, dtype=torch.bool)
    return model.encode_image(images, pad_mask)


def test_levels_are_the_last_maps():
    model = build_grounder(small_spec(num_levels=3)).eval()
    found = sizes(model, 64, 96)
    shapes = [tuple(level.projected.shape[-2:]) for level in found.levels()]
    assert shapes == [(4, 6), (8, 12), (16, 24)]
    with pytest.raises(ValueError, match="need maps among the 4"):
        build_grounder(small_spec(num_levels=5))


def test_images_are_padded_to_whole_patches():
    model = build_grounder(replace(small_spec(with_proposals=False), backbone=TINY_VIT)).eval()
    found = sizes(model, 60, 70)
    assert found.projected.shape[-2:] == (8, 9)
    assert not found.pad_mask.any()  # every patch holds a piece of the image
    whole = torch.zeros(2, 64, 72, dtype=torch.bool)
    whole[:, 60:], whole[:, :, 70:] = True, True
    images = torch.randn(2, 3, 60, 70, generator=torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(images, (0, 2, 0, 4))
    assert_close(model.encode_image(padded, whole).projected, found.projected)


def test_levels_of_a_vit_are_its_last_blocks():
    """Coarsest first is last first: every block has the same grid, and its own projection."""
    spec = small_spec(backbone=CONV_VIT, num_levels=3)
    model = build_grounder(spec).eval()
    images = torch.randn(2, 3, 60, 70, generator=torch.Generator().manual_seed(0))
    pad_mask = torch.zeros(2, 60, 70, dtype=torch.bool)
    pad_mask[1, :, 40:] = True
    found = model.encode_image(images, pad_mask).levels()
    body = model.backbone.body
    tokens = body.tokens(torch.nn.functional.pad(images, (0, 2, 0, 4)))
    blocks = []
    for block in body.blocks:
        tokens = block(tokens)
        blocks.append(tokens[:, body.num_prefix_tokens :].transpose(1, 2).unflatten(2, (8, 9)))
    assert len(blocks) == 4
    for level, block, layer in zip(
        found, reversed(blocks), [model.input_proj, *model.finer_proj], strict=False
    ):
        assert_close(level.projected, layer(block))
        assert level.pad_mask[1, :, 5:].all()
        assert not level.pad_mask[0].any()


def test_masks_need_four_maps():
    shallow = replace(CONV_VIT, depth=3)
    with pytest.raises(ValueError, match="need maps among the 3 of this backbone, got 4 up to -1"):
        build_grounder(small_spec(backbone=shallow, with_masks=True, dim=128, num_heads=8))


@pytest.mark.parametrize("name", ["RegNetY-200MF", "EfficientNet-B0", "ViT-C-1.0GF", "ResNet-18"])
def test_any_backbone_of_the_zoo(name):
    spec = replace(small_spec(), backbone=replace(to_spec(name), num_classes=0))
    model = build_grounder(spec).eval()
    ids, text_pad = torch.ones(1, 5, dtype=torch.long), torch.zeros(1, 5, dtype=torch.bool)
    images, pad_mask = torch.zeros(1, 3, 224, 224), torch.zeros(1, 224, 224, dtype=torch.bool)
    with torch.no_grad():
        found = model(images, pad_mask, ids, text_pad)
    assert found.logits.shape == (2, 1, 6, 41)
