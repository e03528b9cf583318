"""A trunk pretrained without labels feeds the grounder's maps, and other libraries' detectors."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from eyespot import create_model
from eyespot.cli import main
from eyespot.design.by_name import to_spec
from eyespot.models.masks import detector_of
from eyespot.recipes import get_recipe, ground
from eyespot.tasks import run as running
from eyespot.tasks.run import Place, Run
from eyespot.weights.files import save_weights


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A few SwAV steps of the network that the grounder will have."""
    folder = tmp_path_factory.mktemp("swav")
    recipe = replace(get_recipe("swav/smoke"), model="RegNetY-200MF", epochs=1)
    data = "scenes:count=32,size=48,by=colour,val_count=8"
    running.train(replace(recipe, probe=replace(recipe.probe, neighbours=2)), Run(data, folder))
    return folder / "weights.safetensors"


def recipe_for(pretrained, **changes):
    recipe = ground.smoke()
    numbers = {
        "backbone": str(pretrained), "backbone_weights": str(pretrained), "last_map": -1,
        "num_levels": 3,
    }  # fmt: skip
    return replace(recipe, network=replace(recipe.network, **(numbers | changes)))


@pytest.mark.parametrize("frozen", [True, False])
def test_the_grounder_reads_the_trunks_maps(pretrained, frozen, tmp_path):
    recipe = recipe_for(pretrained, frozen_norms=frozen)
    place = Place(torch.device("cpu"), "none", 0, None)
    job = running.prepare(recipe, Run("scenes", tmp_path / "ground"), place).job
    detector = detector_of(job.modules["model"].eval())
    trunk = create_model(to_spec("RegNetY-200MF"), num_classes=0).eval()
    weights = {
        name.removeprefix("backbone."): tensor
        for name, tensor in load_file(pretrained).items()
        if name.startswith("backbone.")
    }
    trunk.load_state_dict(weights)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = trunk.forward_intermediates(images)
        found = detector.backbone(images)
    assert [each.shape[-1] for each in found] == [8, 4, 2]  # strides 8, 16 and 32: a pyramid's
    for one, other in zip(found, wanted[-3:], strict=True):
        assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_grounder_trains_from_it(pretrained, tmp_path):
    recipe = recipe_for(pretrained, frozen_norms=False)
    outcome = running.train(recipe, Run("scenes", tmp_path / "run", workers=0))
    assert outcome.finished
    before = load_file(pretrained)["backbone.s4.b1.f.a.weight"]
    after = load_file(tmp_path / "run/weights.safetensors")
    moved = [v for k, v in after.items() if k.endswith("s4.b1.f.a.weight")]
    assert len(moved) == 1
    assert 0 < (moved[0] - before).abs().max() < 0.1


@pytest.mark.parametrize(
    ("model", "to"),
    [
        ("RegNetY-200MF", "detectron2"),
        ("ResNet-18", "torchvision-fpn"),
        ("ResNet-18", "detectron2"),
    ],
)
def test_other_detectors_get_the_pretrained_numbers(pretrained, model, to, tmp_path):
    source = pretrained
    if model == "ResNet-18":  # a pretraining file of another network, never trained
        trunk = create_model(model, num_classes=0)
        whole = {f"backbone.{name}": tensor for name, tensor in trunk.state_dict().items()}
        source = tmp_path / "trunk.safetensors"
        save_weights(whole, source, {"format": "eyespot"})
    out = tmp_path / "detector.safetensors"
    main(["weights", "convert", str(source), "--model", model, "--to", to, "--out", str(out)])
    mine = {
        name: tensor
        for name, tensor in load_file(source).items()
        if name.startswith("backbone.") and not name.endswith("num_batches_tracked")
    }
    sums = sorted(float(tensor.double().sum()) for tensor in load_file(out).values())
    assert sums == sorted(float(tensor.double().sum()) for tensor in mine.values())
