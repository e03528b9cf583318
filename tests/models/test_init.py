"""What fresh weights look like, against the numbers of the reference code."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from eyespot import create_model
from eyespot.design.specs import AnyNetSpec
from eyespot.models.build import build


def named(name):
    torch.manual_seed(0)
    return create_model(name)


def assert_normal(tensor, std, *, mean=0.0):
    """Mean and standard deviation within five standard errors of those of N(mean, std)."""
    count = tensor.numel()
    assert abs(tensor.mean().item() - mean) < 5 * std / math.sqrt(count)
    assert abs(tensor.std().item() / std - 1) < 5 / math.sqrt(2 * count)


def assert_uniform(tensor, bound):
    count = tensor.numel()
    assert tensor.abs().max() <= bound
    assert tensor.abs().max() > bound * (1 - 20 / count)
    assert_close(tensor.std().item(), bound / math.sqrt(3), rtol=4 / math.sqrt(count), atol=0)


@pytest.mark.parametrize("name", ["RegNetY-400MF", "RegNetZ-500MF", "EfficientNet-B0", "ResNet-50"])
def test_cnn(name):
    model = named(name)
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            kernel = module.kernel_size[0]
            if module.weight.numel() > 100:
                assert_normal(module.weight, math.sqrt(2 / (kernel**2 * module.out_channels)))
            if ".f_ex." in path:
                assert module.bias.abs().max() <= 1 / math.sqrt(module.in_channels)
                assert module.bias.abs().max() > 0
            else:
                assert module.bias is None
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.eps, module.momentum) == (1e-5, 0.1)
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
        elif isinstance(module, nn.Linear):
            assert_normal(module.weight, 0.01)
            assert (module.bias == 0).all()


@pytest.mark.parametrize("block", ["res_bottleneck_block", "res_basic_block"])
def test_zero_gain_of_the_last_norm_makes_blocks_the_identity(block):
    spec = AnyNetSpec(
        (2, 2), (16, 16), (1, 1), (1.0,) * 2, (8,) * 2, block=block, stem_width=16,
        zero_init_residual=True,
    )  # fmt: skip
    model = build(spec)
    x = torch.rand(2, 16, 8, 8)
    assert_close(model.s1.b2(x), x, rtol=0, atol=0)
    zeros = [n for n, p in model.named_parameters() if n.endswith("bn.weight") and not p.any()]
    last = "c_bn" if block == "res_bottleneck_block" else "b_bn"
    assert zeros == [f"s{i}.b{j}.f.{last}.weight" for i in (1, 2) for j in (1, 2)]


def test_vit_patchify_stem():
    model = named("ViT-P-4GF")
    proj = model.patch_embed.proj
    assert_normal(proj.weight, math.sqrt(1 / 768))
    assert (proj.bias == 0).all()


def test_vit_conv_stem():
    model = named("ViT-C-4GF")
    convs = [m for m in model.patch_embed.layers if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convs] == [48, 96, 192, 384]
    for conv in convs:
        assert conv.bias is None
        assert_normal(conv.weight, math.sqrt(2 / conv.out_channels))
    assert_normal(model.patch_embed.proj.weight, math.sqrt(1 / 384))
    assert (model.patch_embed.proj.bias == 0).all()
    norms = [m for m in model.patch_embed.layers if isinstance(m, nn.BatchNorm2d)]
    assert [norm.eps for norm in norms] == [1e-5] * 4


def test_vit_rest():
    model = named("ViT-P-4GF")
    assert_normal(model.pos_embed, 0.02)
    for zero in (model.cls_token, model.head.weight, model.head.bias):
        assert (zero == 0).all()
    for block in model.blocks:
        assert_uniform(block.attn.qkv.weight, math.sqrt(6 / (384 + 3 * 384)))
        assert (block.attn.qkv.bias == 0).all()
        assert_uniform(block.attn.proj.weight, 1 / math.sqrt(384))
        assert (block.attn.proj.bias == 0).all()
        for linear in (block.mlp.fc1, block.mlp.fc2):
            assert_uniform(linear.weight, math.sqrt(6 / (384 + 1152)))
            assert_normal(linear.bias, 1e-6)
        assert block.norm1.eps == block.norm2.eps == model.norm.eps == 1e-6
    model.reset_classifier(3)
    assert (model.head.weight == 0).all()


def test_a_reset_cnn_classifier_is_drawn_as_the_first():
    model = named("RegNetY-400MF")
    model.reset_classifier(500)
    assert_normal(model.head.fc.weight, 0.01)
    assert (model.head.fc.bias == 0).all()
