"""EfficientNet-Lite's published names, images and epsilon against a network that has them."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from eyespot.errors import WeightsError
from eyespot.models.build import build, create_model
from eyespot.weights.load import load_weights
from tests.weights.networks import EFFNET, randomise_

LITE = replace(EFFNET, se_ratio=0.0, activation="relu6")  # depths 1, 2, 1
PARTS = {
    "exp": "_expand_conv", "exp_bn": "_bn0", "dwise": "_depthwise_conv", "dwise_bn": "_bn1",
    "lin_proj": "_project_conv", "lin_proj_bn": "_bn2",
}  # fmt: skip
OUTSIDE = {
    "stem.conv": "_conv_stem", "stem.bn": "_bn0", "head.conv": "_conv_head",
    "head.conv_bn": "_bn1", "head.fc": "_fc",
}  # fmt: skip
PLACES = {("s1", "b1"): 0, ("s2", "b1"): 1, ("s2", "b2"): 2, ("s3", "b1"): 3}
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def as_published(state_dict):
    """Blocks counted through, as the published file has them."""
    found = {}
    for key, tensor in state_dict.items():
        module, leaf = key.rsplit(".", 1)
        if module in OUTSIDE:
            found[f"{OUTSIDE[module]}.{leaf}"] = tensor
        else:
            stage, block, part = module.split(".")
            found[f"_blocks.{PLACES[stage, block]}.{PARTS[part]}.{leaf}"] = tensor
    return found


def published_network():
    """A network as published: batch norms add 1e-3, small variances make it matter."""
    model = randomise_(build(LITE))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 1e-3
                module.running_var.mul_(0.01)
                module.weight.mul_(0.1)
    return model


def test_outputs_are_those_of_the_published_network():
    theirs, ours = published_network(), build(LITE).eval()
    report = load_weights(ours, as_published(theirs.state_dict()))
    assert report.layout == "efficientnet-lite"
    assert set(report.loaded) == set(ours.state_dict())
    assert any("padding" in note for note in report.notes)
    pixels = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        wanted = theirs.stem.bn(theirs.stem.conv((pixels - 0.5) / 0.5))
        got = ours.stem.bn(ours.stem.conv((pixels - MEAN) / STD))
        # the padded row and column see another grey
        assert_close(got[..., 1:, 1:], wanted[..., 1:, 1:], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(got[..., 0, :], wanted[..., 0, :], atol=1e-5)
        inner = torch.rand(2, LITE.stem_width, 16, 16)
        for name in ("s1", "s2", "s3"):
            wanted = theirs.get_submodule(name)(inner)
            inner = ours.get_submodule(name)(inner)
            assert_close(inner, wanted, rtol=1e-4, atol=1e-5)


def test_the_published_file_has_this_many_blocks():
    model = create_model("EfficientNet-Lite0")
    stages = [len(model.stage(i)) for i in range(1, 8)]
    assert stages == [1, 2, 2, 3, 3, 4, 1]
    assert sum(t.numel() for k, t in model.state_dict().items() if "num_batches" not in k) == (
        4_694_073 - 49  # the file's values without its 49 counters
    )


def test_squeeze_and_excitation_has_no_place_in_it():
    weights = as_published(published_network().state_dict())
    weights["_blocks.1._se_reduce.weight"] = torch.zeros(4, 48, 1, 1)
    with pytest.raises(WeightsError, match=r"not used: _blocks.2.0._se_reduce.weight"):
        load_weights(build(LITE), weights)
