"""RegNets of transformers against ours: same weights, same images, same logits, both ways."""

import pytest
import torch
from torch.testing import assert_close

from eyespot.design.specs import AnyNetSpec
from eyespot.models.build import build, create_model
from eyespot.weights.export import export_weights
from eyespot.weights.load import load_weights
from tests.weights.networks import randomise_

transformers = pytest.importorskip("transformers")

SMALL = {"embedding_size": 16, "hidden_sizes": [16, 32, 48], "depths": [1, 2, 3], "groups_width": 8}
LIKE_040 = {
    "hidden_sizes": [128, 192, 512, 1088],
    "depths": [2, 6, 12, 2],
    "groups_width": 64,
}


def peer(kind, numbers, num_labels):
    config = transformers.RegNetConfig(layer_type=kind, num_labels=num_labels, **numbers)
    return randomise_(transformers.RegNetForImageClassification(config))


def small_spec(kind):
    return AnyNetSpec(
        (1, 2, 3), (16, 32, 48), (2,) * 3, (1.0,) * 3, (8,) * 3, stem_width=16,
        se_ratio=0.25 if kind == "y" else 0.0, num_classes=7,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "size"), [("x", "small"), ("y", "small"), pytest.param("y", "040")]
)
def test_same_logits_both_ways(kind, size):
    if size == "small":
        theirs, ours = peer(kind, SMALL, 7), build(small_spec(kind))
    else:
        theirs, ours = peer(kind, LIKE_040, 1000), create_model("RegNetY-4.0GF")
    report = load_weights(ours, theirs.state_dict())
    assert (report.layout, report.unused) == ("transformers-regnet", ())
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        wanted = theirs(images).logits
        assert wanted.std() > 1e-3
        assert_close(ours.eval()(images), wanted, rtol=1e-4, atol=1e-5)
        returned = export_weights(ours.state_dict(), "transformers")
        assert returned.keys() == theirs.state_dict().keys()
        randomise_(theirs, seed=9).load_state_dict(returned, strict=True)
        assert_close(theirs(images).logits, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["x", "y"])
def test_the_trunk_alone_has_no_prefix(kind):
    theirs = peer(kind, SMALL, 7)
    ours = build(small_spec(kind))
    report = load_weights(ours, theirs.regnet.state_dict(), head="drop")
    assert report.layout == "transformers-regnet-trunk"
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        wanted = theirs.regnet(images).last_hidden_state
        assert_close(ours.eval().forward_features(images), wanted, rtol=1e-4, atol=1e-5)


def test_files_of_save_pretrained_are_read(tmp_path):
    theirs = peer("y", SMALL, 7)
    theirs.save_pretrained(tmp_path, max_shard_size="30KB")
    ours = build(small_spec("y"))
    load_weights(ours, tmp_path / "model.safetensors.index.json")
    assert torch.equal(ours.head.fc.weight, theirs.classifier[1].weight)
