import pytest
import torch

from eyespot.design.specs import AnyNetSpec
from eyespot.models.build import build, create_model
from eyespot.weights.export import export_weights
from eyespot.weights.load import load_weights
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

REGNETZ = AnyNetSpec(
    (1, 2), (16, 24), (2, 2), (4.0, 4.0), (8, 8), block="res_bottleneck_linear_block",
    se_ratio=0.25, activation="silu", head_width=40, num_classes=5,
)  # fmt: skip
SPECS = {
    "regnetx": REGNETX,
    "regnety": REGNETY,
    "regnetz": REGNETZ,
    "resnet": RESNET,
    "effnet": EFFNET,
    "vit": VIT,
    "vit_c": VIT_C,
}
PEERS = read_json("peer_keys.json")["networks"]


@pytest.mark.parametrize(
    ("to", "kinds"),
    [
        ("timm", "regnetx regnety regnetz resnet effnet vit"),
        ("torchvision", "regnetx regnety resnet effnet vit vit_c"),
        ("transformers", "regnetx regnety"),
        ("vissl", "regnetx regnety resnet"),
    ],
)
def test_round_trips(to, kinds):
    for kind in kinds.split():
        source, target = distinct(SPECS[kind]), build(SPECS[kind])
        theirs = export_weights(source.state_dict(), to)
        assert len(theirs) == len(source.state_dict())
        report = load_weights(target, theirs)
        assert report.unused == ()
        assert same_weights(target.state_dict(), source.state_dict())


@pytest.mark.parametrize(
    ("kind", "to", "name"),
    [
        ("resnet", "detectron2", "backbone.bottom_up.res3.1.conv2.norm.running_var"),
        ("resnet", "detectron2", "backbone.bottom_up.res2.0.shortcut.norm.bias"),
        ("resnet", "detectron2", "backbone.bottom_up.stem.conv1.norm.weight"),
        ("regnety", "detectron2", "backbone.bottom_up.s2.b1.f.se.f_ex.2.weight"),
        ("resnet", "torchvision-fpn", "backbone.body.layer2.0.downsample.1.bias"),
    ],
)
def test_detectors_get_the_trunk_and_give_it_back(kind, to, name):
    source = distinct(SPECS[kind])
    theirs = export_weights(source.state_dict(), to)
    assert name in theirs
    assert all(key.startswith("backbone.") for key in theirs)
    counters = [key for key in source.state_dict() if key.endswith("num_batches_tracked")]
    assert len(theirs) == len(source.state_dict()) - 2 - len(counters)
    theirs["backbone.fpn_lateral2.weight"] = theirs["roi_heads.box.weight"] = torch.zeros(1)
    target = build(SPECS[kind])
    report = load_weights(target, theirs, head="drop")
    assert set(report.unused) == {"backbone.fpn_lateral2.weight", "roi_heads.box.weight"}
    target.reset_classifier(0)
    source.reset_classifier(0)
    wanted = {k: v for k, v in source.state_dict().items() if k not in counters}
    assert same_weights({k: target.state_dict()[k] for k in wanted}, wanted)


@pytest.mark.parametrize("name", PEERS)
def test_the_names_are_the_libraries_own(name):
    entry, library = PEERS[name], name.split("/")[0]
    with torch.device("meta"):
        state_dict = create_model(entry["model"]).state_dict()
    theirs = export_weights(state_dict, library)
    shapes = {k: list(v.shape) for k, v in theirs.items() if not k.endswith("batches_tracked")}
    assert shapes == entry["shapes"]


def test_a_vissl_trunk_has_the_fact_sheets_names():
    theirs = export_weights(distinct(REGNETY).state_dict(), "vissl")
    assert {
        "_feature_blocks.conv1.stem.0.weight",
        "_feature_blocks.conv1.stem.1.running_mean",
        "_feature_blocks.res2.block1-0.proj.weight",
        "_feature_blocks.res3.block2-1.f.a.1.bias",
        "_feature_blocks.res3.block2-1.f.se.excitation.2.bias",
        "_feature_blocks.res5.block4-0.f.final_bn.weight",
        "0.clf.0.weight",
    } <= theirs.keys()


@pytest.mark.parametrize(
    ("kind", "to", "sentence"),
    [
        ("effnet", "transformers", "need a regnet to export to transformers, got .* efficientnet"),
        ("vit", "vissl", "need a regnet or resnet to export to vissl"),
        ("regnety", "torchvision-fpn", "need a resnet to export to torchvision-fpn"),
        ("vit_c", "timm", "patchify stem .* torchvision has such a stem"),
        ("regnetz", "torchvision", r"torchvision-regnet can hold, got one with head\.conv\.weight"),
        (
            "regnetz",
            "transformers",
            r"transformers-regnet can hold, got one with head\.conv\.weight",
        ),
    ],
)
def test_what_a_library_cannot_hold_is_refused(kind, to, sentence):
    with pytest.raises(ValueError, match=sentence):
        export_weights(distinct(SPECS[kind]).state_dict(), to)


def test_strangers_are_refused():
    with pytest.raises(ValueError, match=r"need the state dict of a network of ours, got .* a\.b"):
        export_weights({"a.b": torch.zeros(1)}, "timm")
