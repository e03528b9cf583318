"""Fine-tuning behind the kept first layer of a projector, and rates of the classifier's own."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from eyespot import create_model
from eyespot.data.distort import Distortion
from eyespot.data.views import TestView, TrainView
from eyespot.design.by_name import to_spec
from eyespot.errors import RecipeError
from eyespot.models.heads import SwAVHead
from eyespot.recipes import get_recipe
from eyespot.tasks import run as running
from eyespot.tasks.labelled import FewLabels
from eyespot.tasks.optimization import OptimizerSettings, make_optimizer, scale_head_rate_
from eyespot.tasks.pictures import Pictures, evaluation_view, train_view
from eyespot.tasks.run import Run
from eyespot.weights.heads import export_swav_head
from eyespot.weights.pretraining import open_projection
from eyespot.weights.trunk import load_trunk
from tests.tasks.bars import write_bars
from tests.tasks.selfsup_runs import FASHION, make


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_bars(tmp_path_factory.mktemp("data") / "bars")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    running.train(make("after", folder, epochs=1), Run(str(FASHION), folder / "run", workers=0))
    return folder / "net.json", folder / "run/weights.safetensors"


def recipe_for(model, weights, **changes):
    numbers = {
        "model": str(model), "start_from": str(weights), "keep_projection": True, "batch_size": 10,
        "labels": FewLabels(0.5), "epochs": 2, "precision": "float32",
    }  # fmt: skip
    return replace(get_recipe("transfer/smoke"), **(numbers | changes))


def prepared(recipe, folder, out):
    place = running.Place(torch.device("cpu"), "none", 0, None)
    return running.prepare(recipe, Run(folder, out, workers=0), place)


def test_the_classifier_sees_the_projectors_first_layer(data, pretrained, tmp_path):
    network = prepared(recipe_for(*pretrained), data[0], tmp_path).job.modules["model"].eval()
    trained = load_file(pretrained[1])
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    backbone = create_model(to_spec(str(pretrained[0])), num_classes=0).eval()
    own = {k.removeprefix("backbone."): v for k, v in trained.items() if k.startswith("backbone.")}
    backbone.load_state_dict(own)
    hidden = backbone(images) @ trained["head.projector.0.weight"].T
    hidden = hidden + trained["head.projector.0.bias"]
    norm = {name: trained[f"head.projector.1.{name}"] for name in ("weight", "bias")}
    mean, var = (trained[f"head.projector.1.running_{name}"] for name in ("mean", "var"))
    hidden = ((hidden - mean) / (var + 1e-5).sqrt() * norm["weight"] + norm["bias"]).relu()
    last = network.get_classifier()[3]
    assert_close(network(images), hidden @ last.weight.T + last.bias, rtol=1e-4, atol=1e-5)
    assert last.out_features == 3


def test_it_trains_is_evaluated_goes_on_and_can_be_probed(data, pretrained, tmp_path):
    weights = tmp_path / "first.safetensors"
    weights.write_bytes(pretrained[1].read_bytes())
    recipe = recipe_for(pretrained[0], weights)
    out = tmp_path / "run"
    running.train(recipe, Run(data[0], out, workers=0))
    before, after = load_file(weights), load_file(out / "weights.safetensors")
    moved = (after["head.fc.0.weight"] - before["head.projector.0.weight"]).abs().max()
    assert 0 < moved < 0.5
    weights.unlink()  # a run that is there does without the file
    prepared(recipe, data[0], out)
    trunk = load_trunk(out)
    assert torch.equal(trunk.network.stem.conv.weight, after["stem.conv.weight"])


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("layout", ["vissl", "swav"])
def test_published_heads_give_their_first_layer(layout, batch_norm, tmp_path):
    head = SwAVHead((12, 8, 8, 4), (5,), batch_norm=batch_norm)
    if batch_norm:
        torch.nn.init.normal_(head.projector[1].running_mean)
    save_file(export_swav_head(head, layout), tmp_path / "head.safetensors")
    first, norm = open_projection(tmp_path / "head.safetensors")
    assert torch.equal(first.weight, head.projector[0].weight)
    assert torch.equal(first.bias, head.projector[0].bias)
    assert (norm is not None) == batch_norm
    if norm is not None:
        assert torch.equal(norm.running_mean, head.projector[1].running_mean)


def test_a_projection_of_another_network_is_refused(data, pretrained, tmp_path):
    with pytest.raises(RecipeError, match="one of 32 values and a classifier of 368"):
        prepared(recipe_for("RegNetY-200MF", pretrained[1]), data[0], tmp_path)
    with pytest.raises(RecipeError, match="weights of a pretraining"):
        prepared(recipe_for(pretrained[0], ""), data[0], tmp_path)


def test_the_head_has_rates_of_its_own(pretrained):
    network = create_model(to_spec(str(pretrained[0])), num_classes=3)
    settings = OptimizerSettings("sgd", lr=0.02, weight_decay=1e-3)
    optimizer = make_optimizer(network, settings, 256)
    decays = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    scale_head_rate_(optimizer, network.get_classifier(), 250)
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    head = {id(parameter) for parameter in network.head.fc.parameters()}
    assert len(rates) == len(list(network.parameters()))
    assert all(rates[key] == (5.0 if key in head else 0.02) for key in rates)
    assert {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]} == decays


def test_fine_tuning_at_384_px_has_the_published_views():
    large, usual = get_recipe("transfer/seer_384"), get_recipe("transfer/seer")
    view = train_view(large.pictures)
    assert view == TrainView(384, (0.08, 1.0), "", Distortion(), "bicubic")
    assert evaluation_view(large.pictures) == TestView(384, 384, filter="bicubic")
    assert replace(large, pictures=usual.pictures, sync_bn=False) == usual
    assert (usual.epochs, usual.batch_size, usual.optimizer.lr) == (35, 256, 0.0125)
    assert (usual.schedule.milestones, usual.schedule.drop) == ((30,), 0.1)
    assert usual.optimizer.weight_decay == usual.optimizer.norm_decay == 1e-4
    assert not usual.optimizer.nesterov
    assert evaluation_view(usual.pictures) == TestView(256, 224)


def test_published_recipes_have_the_papers_numbers():
    seer, few = get_recipe("transfer/seer"), get_recipe("transfer/seer_10percent")
    distortion = train_view(seer.pictures).distortion
    assert distortion == Distortion()  # SwAV's: jitter of strength 1, grey, blur half the time
    assert train_view(few.pictures).distortion is None
    assert (few.labels.share, few.epochs, few.keep_projection) == (0.1, 70, True)
    assert (few.optimizer.lr, few.optimizer.nesterov, few.schedule.milestones) == (
        0.05,
        True,
        (30,),
    )
    for name, share, lr, head in (("1", 0.01, 0.02, 5.0), ("10", 0.1, 0.01, 0.2)):
        swav = get_recipe(f"transfer/swav_{name}percent")
        assert (swav.labels.share, swav.optimizer.lr, swav.epochs) == (share, lr, 20)
        assert swav.optimizer.lr * swav.head_rate == pytest.approx(head)
        assert (swav.schedule.milestones, swav.schedule.drop) == ((12, 16), 0.2)
        assert not swav.keep_projection
        assert swav.pictures.std == (0.228, 0.224, 0.225)  # SwAV's repository
    assert train_view(Pictures(colours=0.5)).distortion == Distortion(
        0.4, 0.4, 0.4, 0.1, blur_probability=0.0
    )
