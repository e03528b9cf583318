"""A sweep's point becomes the recipe it says, is trained, and a diverging one is a record."""

import json
import math
from dataclasses import replace

import pytest

from eyespot.design.by_name import to_spec
from eyespot.design.optimizability import EXPERIMENTS, optimizability
from eyespot.design.space import sample_space
from eyespot.design.space_files import point_to_dict
from eyespot.design.spaces import get_space, list_spaces
from eyespot.design.spec_files import spec_to_dict
from eyespot.recipes import get_recipe
from eyespot.recipes.trial import check_space, recipe_of, run

SCENES = "scenes:size=32,count=32,val_count=16"


def point_of(space, tmp_path, index=0, **changes):
    point = point_to_dict(sample_space(get_space(space), 0, index + 1)[index])
    point["parameters"].update(changes)
    return {**point, "out": str(tmp_path)}


def test_short_and_full_names_reach_their_fields(tmp_path):
    point = point_of("cifar-lrwd", tmp_path, **{"pictures.size_px": 48, "seed": 9})
    recipe = recipe_of(point, tmp_path)
    assert recipe.optimizer.lr == point["parameters"]["lr"]
    assert recipe.optimizer.weight_decay == point["parameters"]["wd"]
    assert (recipe.epochs, recipe.batch_size, recipe.seed) == (50, 1024, 9)
    assert (recipe.label_smoothing, recipe.mixup) == (0.1, 0.5)
    assert (recipe.average.form, recipe.average.alpha) == ("pycls", 2.5e-4)
    assert recipe.pictures.size_px == 48
    assert spec_to_dict(to_spec(recipe.model)) == point["spec"]


CIFAR = {
    "name": "sgd",
    "mean": [125.3, 123.0, 113.9],
    "sizes": (32, 32),
    "view": "pad",
    "policy": "",
    "mixing": (0.1, 0.5, 0.0),
    "average": ("pycls", 2.5e-4),
    "batch": (1024, 1024),
    "epochs": {50},
}
EARLY = {
    "mean": [0.485 * 255, 0.456 * 255, 0.406 * 255],
    "view": "crop",
    "policy": "AutoAugment",
    "mixing": (0.1, 0.8, 1.0),
    "average": ("pycls", 1e-5),
    "batch": (2048, 2048),
    "epochs": {50},
}
ZOO = {
    **EARLY,
    "name": "sgd",
    "sizes": (224, 256),
    "policy": "",
    "mixing": (0.0, 0.0, 0.0),
    "average": ("none", 1e-5),
    "epochs": {100},
}


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ("cifar-lrwd", CIFAR),
        ("cifar-regnety", CIFAR),
        ("cifar-epochs", CIFAR | {"epochs": {50, 100, 200, 400}}),
        ("lrwd-vit-adamw", {**EARLY, "name": "adamw", "sizes": (224, 256)}),
        ("lrwd-vit-sgd", {**EARLY, "name": "sgd", "sizes": (224, 256)}),
        ("lrwd-regnety-adamw", {**EARLY, "name": "adamw", "sizes": (240, 272)}),
        ("lrwd-regnety-sgd", {**EARLY, "name": "sgd", "sizes": (240, 272)}),
        ("regnetx", {**ZOO, "batch": (1024, 1024)}),
        ("regnety-1.6gf", {**ZOO, "batch": (1024, 1024)}),
        ("regnetx-4gf", {**ZOO, "batch": (512, 512)}),
    ],
)
def test_a_shipped_space_trains_as_its_experiment_did(space, says, tmp_path):
    """The reference's CIFAR sweeps, Early Convolutions, and the zoo that the RegNets are in."""
    point = point_of(space, tmp_path)
    recipe = recipe_of(point, tmp_path)
    pictures, optimizer = recipe.pictures, recipe.optimizer
    assert optimizer.name == says["name"]
    assert [255 * mean for mean in pictures.mean] == pytest.approx(says["mean"])
    assert (pictures.size_px, pictures.test_resize_px) == says["sizes"]
    assert (pictures.view, pictures.policy) == (says["view"], says["policy"])
    assert (recipe.label_smoothing, recipe.mixup, recipe.cutmix) == says["mixing"]
    assert (recipe.average.form, recipe.average.alpha) == says["average"]
    assert (recipe.batch_size, optimizer.lr_batch) == says["batch"]
    assert recipe.epochs in says["epochs"]
    assert (recipe.schedule.shape, recipe.schedule.warmup_epochs) == ("cosine", 5)
    assert recipe.schedule.per == "epoch"
    if "lr" in point["parameters"]:
        assert optimizer.lr == point["parameters"]["lr"]
        assert optimizer.weight_decay == point["parameters"]["wd"]


@pytest.mark.parametrize(
    ("space", "norms", "biases"),
    [("cifar-lrwd", False, True), ("lrwd-vit-adamw", False, False), ("regnetx", True, True)],
)
def test_norms_and_biases_decay_as_the_experiment_says(space, norms, biases, tmp_path):
    """pycls decays everything, its CIFAR sweeps all but norms, Early Convolutions neither."""
    point = point_of(space, tmp_path, wd=0.0123)
    optimizer = recipe_of(point, tmp_path).optimizer
    assert optimizer.weight_decay == 0.0123
    assert optimizer.norm_decay == (0.0123 if norms else 0)
    assert optimizer.bias_decay == (0.0123 if biases else 0)
    point["parameters"]["optimizer.bias_decay"] = 0.5
    assert recipe_of(point, tmp_path).optimizer.bias_decay == 0.5


def test_every_shipped_space_makes_a_recipe():
    for name in list_spaces():
        check_space(get_space(name), 0, data_here=False)


def test_a_network_at_its_own_sizes(tmp_path):
    point = point_of("lrwd-regnety-sgd", tmp_path)
    point["spec"] |= {"image_size": 260, "test_size": 298}
    pictures = recipe_of(point, tmp_path).pictures
    assert (pictures.size_px, pictures.test_resize_px) == (260, 298)
    with pytest.raises(ValueError, match="need a network for resolution: own, got a point without"):
        recipe_of({**point, "spec": None}, tmp_path)


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        ("", "need a recipe to train the points by, got a space without; pass --set recipe=NAME"),
        ("simclr/smoke", "need a recipe of supervised classification .*, got simclr/smoke"),
        ("cifar/resnet_57", "unknown recipe 'cifar/resnet_57'. Did you mean cifar/resnet_56"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(recipe, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        recipe_of(point_of("cifar-lrwd", tmp_path, recipe=recipe), tmp_path)


def test_sampled_networks_are_trained_as_they_were_drawn(tmp_path):
    point = point_of("cifar-regnety", tmp_path)
    assert recipe_of(point, tmp_path).model == str(tmp_path / "spec.json")


def test_an_unknown_parameter_is_named(tmp_path):
    with pytest.raises(ValueError, match="field of the recipe 'lable_smoothing'. Did you mean"):
        recipe_of(point_of("optimizability/smoke", tmp_path, lable_smoothing=0.1), tmp_path)


def test_a_point_is_trained_and_goes_on(tmp_path):
    point = point_of("optimizability/smoke", tmp_path, data=SCENES, epochs=2, evaluate_every=1)
    metrics = run(point)
    assert len(metrics["error"]) == 2
    assert (metrics["done"], metrics["evaluate_every"]) == (1.0, 1)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    (window,) = [line for line in lines if "time" in line]  # all four steps of both epochs
    assert window["step"] == 4
    assert metrics["epoch_time"] == pytest.approx(2 * window["time"]["seconds_per_step"])
    busy = 1 - window["time"]["data_wait"]
    assert metrics["epoch_fw_bw"] == pytest.approx(busy * metrics["epoch_time"])
    assert (tmp_path / "run" / "weights.safetensors").exists()
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_divergence_is_a_result(tmp_path):
    point = point_of("optimizability/smoke", tmp_path, data=SCENES, optimizer="sgd", lr=1e30)
    metrics = run(point)
    assert math.isnan(metrics["error"])
    assert 0 <= metrics["done"] < 1


def test_a_point_without_data_says_what_to_pass(tmp_path):
    with pytest.raises(ValueError, match="pass --data to the sweep"):
        run(point_of("optimizability/smoke", tmp_path, data=""))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_run_of_an_experiment_has_a_recipe(name, tmp_path):
    for point in sample_space(get_space(f"optimizability/{name}"), 0, 24):
        recipe = recipe_of(point_to_dict(point), tmp_path)
        assert recipe.optimizer.lr == point.parameters["lr"]
        assert recipe.epochs == point.parameters["epochs"]
    with pytest.raises(ValueError, match="recipe"):
        get_recipe("optimizability/none")


@pytest.mark.parametrize("model", ["RegNetZ-4GF", "EfficientNet-B2", "ResNet-50", "ViT-P-36GF"])
def test_other_networks_of_the_paper_take_its_recipe_for_them(model, tmp_path):
    name = {"EfficientNet-B2": "EffNet-B2"}.get(model, model.replace("ViT-P", "ViT_P"))
    paper = get_recipe(f"early_convolutions/{name}")
    points = sample_space(optimizability("paper", (model,)), 0, 1)
    recipe = recipe_of({**point_to_dict(points[0]), "out": str(tmp_path)}, tmp_path)
    assert recipe == replace(
        paper,
        model=str(tmp_path / "spec.json"),
        optimizer=recipe.optimizer,
        epochs=50,
        batch_size=2048,
    )
    assert (recipe.optimizer.norm_decay, recipe.optimizer.bias_decay) == (0, 0)
