"""Every published layout against names written out from the libraries' own tables.

The names below are typed from those tables a second time, block by block; the packages' own names
and shapes (peer_keys.json) and, where the packages are installed, their logits (tests/peers) say
the same.
"""

import re

import pytest
import torch

from eyespot.models.build import build, create_model
from eyespot.weights.fit import fit_weights
from eyespot.weights.load import load_weights
from eyespot.weights.opened import open_weights
from tests.reference import read_json
from tests.weights.networks import (
    EFFNET,
    REGNETX,
    REGNETY,
    RESNET,
    VIT,
    VIT_C,
    distinct,
    same_weights,
)

PEERS = read_json("peer_keys.json")["networks"]


def classy(part):
    return {
        "f.a": "f.a.0", "f.a_bn": "f.a.1", "f.b": "f.b.0", "f.b_bn": "f.b.1", "f.c": "f.c",
        "f.c_bn": "f.final_bn", "f.se.f_ex.0": "f.se.excitation.0",
        "f.se.f_ex.2": "f.se.excitation.2", "proj": "proj", "bn": "bn",
    }[part]  # fmt: skip


def vissl_block(n, j, part):
    return f"_feature_blocks.res{n + 1}.block{n}-{j - 1}.{classy(part)}"


def vissl_grouped_block(n, j, part):
    return f"_feature_blocks.res{n + 1}.block{n}-part{j // 2}.block{n}-{j - 1}.{classy(part)}"


def classy_block(n, j, part):
    return f"trunk_output.block{n}.block{n}-{j - 1}.{classy(part)}"


def torchvision_regnet_block(n, j, part):
    name = {
        "f.a": "f.a.0", "f.a_bn": "f.a.1", "f.b": "f.b.0", "f.b_bn": "f.b.1", "f.c": "f.c.0",
        "f.c_bn": "f.c.1", "f.se.f_ex.0": "f.se.fc1", "f.se.f_ex.2": "f.se.fc2",
        "proj": "proj.0", "bn": "proj.1",
    }[part]  # fmt: skip
    return f"trunk_output.block{n}.block{n}-{j - 1}.{name}"


def timm_regnet_block(n, j, part):
    name = {
        "f.a": "conv1.conv", "f.a_bn": "conv1.bn", "f.b": "conv2.conv", "f.b_bn": "conv2.bn",
        "f.c": "conv3.conv", "f.c_bn": "conv3.bn", "f.se.f_ex.0": "se.fc1",
        "f.se.f_ex.2": "se.fc2", "proj": "downsample.conv", "bn": "downsample.bn",
    }[part]  # fmt: skip
    return f"s{n}.b{j}.{name}"


def resnet_block(n, j, part):
    name = {
        "f.a": "conv1", "f.a_bn": "bn1", "f.b": "conv2", "f.b_bn": "bn2", "f.c": "conv3",
        "f.c_bn": "bn3", "proj": "downsample.0", "bn": "downsample.1",
    }[part]  # fmt: skip
    return f"layer{n}.{j - 1}.{name}"


# layout, spec, the names outside the blocks, the names inside
CNNS = {
    "vissl-regnet": (
        REGNETY,
        {
            "stem.conv": "_feature_blocks.conv1.stem.0",
            "stem.bn": "_feature_blocks.conv1.stem.1",
            "head.fc": "0.clf.0",
        },
        vissl_block,
    ),
    "vissl-regnet grouped": (
        REGNETX,
        {
            "stem.conv": "_feature_blocks.conv1.stem.0",
            "stem.bn": "_feature_blocks.conv1.stem.1",
            "head.fc": "0.clf.0",
        },
        vissl_grouped_block,
    ),
    "classyvision-regnet": (
        REGNETY,
        {"stem.conv": "stem.stem.0", "stem.bn": "stem.stem.1", "head.fc": "head.fc"},
        classy_block,
    ),
    "torchvision-regnet": (
        REGNETX,
        {"stem.conv": "stem.0", "stem.bn": "stem.1", "head.fc": "fc"},
        torchvision_regnet_block,
    ),
    "timm-regnet": (
        REGNETY,
        {"stem.conv": "stem.conv", "stem.bn": "stem.bn", "head.fc": "head.fc"},
        timm_regnet_block,
    ),
    "torchvision-resnet": (
        RESNET,
        {"stem.conv": "conv1", "stem.bn": "bn1", "head.fc": "fc"},
        resnet_block,
    ),
    "vissl-resnet": (
        RESNET,
        {
            "stem.conv": "_feature_blocks.conv1",
            "stem.bn": "_feature_blocks.bn1",
            "head.fc": "0.clf.0",
        },
        lambda n, j, part: f"_feature_blocks.{resnet_block(n, j, part)}",
    ),
}


def published(state_dict, outside, inside):
    """Rename a network of ours by names typed here."""
    theirs = {}
    for key, tensor in state_dict.items():
        module, leaf = key.rsplit(".", 1)
        block = re.fullmatch(r"s(\d+)\.b(\d+)\.(.+)", module)
        name = inside(int(block[1]), int(block[2]), block[3]) if block else outside[module]
        theirs[f"{name}.{leaf}"] = tensor
    return theirs


@pytest.mark.parametrize("layout", CNNS)
def test_cnn_layouts(layout):
    spec, outside, inside = CNNS[layout]
    source, target = distinct(spec), build(spec)
    theirs = published(source.state_dict(), outside, inside)
    report = load_weights(target, theirs)
    assert report.layout == layout.split(" ")[0]
    assert report.unused == ()
    assert set(report.loaded) == set(source.state_dict())
    assert same_weights(target.state_dict(), source.state_dict())


def torchvision_effnet(key):
    module, leaf = key.rsplit(".", 1)
    outside = {
        "stem.conv": "features.0.0", "stem.bn": "features.0.1", "head.conv": "features.4.0",
        "head.conv_bn": "features.4.1", "head.fc": "classifier.1",
    }  # fmt: skip
    if module in outside:
        return f"{outside[module]}.{leaf}"
    n, j, part = re.fullmatch(r"s(\d+)\.b(\d+)\.(.+)", module).groups()
    places = {
        "exp": "0.0", "exp_bn": "0.1", "dwise": "1.0", "dwise_bn": "1.1", "se.f_ex.0": "2.fc1",
        "se.f_ex.2": "2.fc2", "lin_proj": "3.0", "lin_proj_bn": "3.1",
    }  # fmt: skip
    place = places[part]
    if n == "1":  # no expansion: everything is one place earlier
        place = f"{int(place[0]) - 1}{place[1:]}"
    return f"features.{n}.{int(j) - 1}.block.{place}.{leaf}"


def timm_effnet(key):
    module, leaf = key.rsplit(".", 1)
    outside = {
        "stem.conv": "conv_stem", "stem.bn": "bn1", "head.conv": "conv_head",
        "head.conv_bn": "bn2", "head.fc": "classifier",
    }  # fmt: skip
    if module in outside:
        return f"{outside[module]}.{leaf}"
    n, j, part = re.fullmatch(r"s(\d+)\.b(\d+)\.(.+)", module).groups()
    expanded = {
        "exp": "conv_pw", "exp_bn": "bn1", "dwise": "conv_dw", "dwise_bn": "bn2",
        "lin_proj": "conv_pwl", "lin_proj_bn": "bn3",
    }  # fmt: skip
    plain = {"dwise": "conv_dw", "dwise_bn": "bn1", "lin_proj": "conv_pw", "lin_proj_bn": "bn2"}
    gates = {"se.f_ex.0": "se.conv_reduce", "se.f_ex.2": "se.conv_expand"}
    name = ({**plain, **gates} if n == "1" else {**expanded, **gates})[part]
    return f"blocks.{int(n) - 1}.{int(j) - 1}.{name}.{leaf}"


@pytest.mark.parametrize("rename", [torchvision_effnet, timm_effnet])
def test_effnet_layouts(rename):
    source, target = distinct(EFFNET), build(EFFNET)
    report = load_weights(target, {rename(k): v for k, v in source.state_dict().items()})
    assert same_weights(target.state_dict(), source.state_dict())
    assert any("epsilon 1e-5" in note for note in report.notes)


def torchvision_vit(key, *, conv_stem):
    module, _, leaf = key.rpartition(".")
    whole = {"cls_token": "class_token", "pos_embed": "encoder.pos_embedding"}
    outside = {
        "norm": "encoder.ln",
        "head": "heads.head",
        "patch_embed.proj": "conv_proj.conv_last" if conv_stem else "conv_proj",
    }
    if key in whole:
        return whole[key]
    if module in outside:
        return f"{outside[module]}.{leaf}"
    stem = re.fullmatch(r"patch_embed\.layers\.(conv|norm)(\d)", module)
    if stem:
        return f"conv_proj.conv_bn_relu_{stem[2]}.{int(stem[1] == 'norm')}.{leaf}"
    _, i, part = module.split(".", 2)
    name = {
        "norm1": "ln_1.", "norm2": "ln_2.", "attn.qkv": "self_attention.in_proj_",
        "attn.proj": "self_attention.out_proj.", "mlp.fc1": "mlp.0.", "mlp.fc2": "mlp.3.",
    }[part]  # fmt: skip
    return f"encoder.layers.encoder_layer_{i}.{name}{leaf}"


@pytest.mark.parametrize("spec", [VIT, VIT_C], ids=["patchify", "conv"])
def test_torchvision_vit_layout(spec):
    source, target = distinct(spec), build(spec)
    theirs = {
        torchvision_vit(key, conv_stem=spec is VIT_C): tensor
        for key, tensor in source.state_dict().items()
    }
    assert load_weights(target, theirs).layout == "torchvision-vit"
    assert same_weights(target.state_dict(), source.state_dict())
    older = {
        key.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): tensor
        for key, tensor in theirs.items()
    }
    target = build(spec)
    load_weights(target, older)
    assert same_weights(target.state_dict(), source.state_dict())


@pytest.mark.parametrize("name", PEERS)
def test_names_and_shapes_of_the_libraries_own_networks(name):
    entry = PEERS[name]
    state_dict = {key: torch.zeros(shape) for key, shape in entry["shapes"].items()}
    weights = open_weights(state_dict)
    with torch.device("meta"):
        model = create_model(entry["model"])
    tensors, report = fit_weights(model, weights)
    wanted = {k for k in model.state_dict() if not k.endswith("num_batches_tracked")}
    assert set(report.loaded) == wanted
    assert report.unused == ()
    assert not weights.unknown
    assert len(tensors) == len(state_dict)


def test_a_distilled_deit_is_refused():
    state_dict = {**distinct(VIT).state_dict(), "dist_token": torch.zeros(1, 1, 32)}
    with pytest.raises(ValueError, match="distilled DeiT"):
        load_weights(build(VIT), state_dict)


def test_an_unknown_layout_names_some_keys_and_the_layouts():
    with pytest.raises(
        ValueError, match=r"timm-vit.*got keys such as a\.weight, b\.weight.*prefix"
    ):
        load_weights(build(VIT), {"a.weight": torch.zeros(1), "b.weight": torch.zeros(1)})


def test_two_tensors_for_one_place_are_refused():
    spec, outside, inside = CNNS["vissl-regnet grouped"]
    state_dict = published(distinct(spec).state_dict(), outside, inside)
    grouped = "_feature_blocks.res2.block1-part0.block1-0.f.c.weight"
    state_dict["_feature_blocks.res2.block1-0.f.c.weight"] = state_dict[grouped]
    with pytest.raises(ValueError, match=r"need one tensor for s1\.b1\.f\.c\.weight, got two"):
        load_weights(build(spec), state_dict)
