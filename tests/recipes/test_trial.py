"""A sweep's point becomes the recipe it says, is trained, and a diverging one is a record."""

import math

import pytest

from eyespot.design.by_name import to_spec
from eyespot.design.optimizability import EXPERIMENTS
from eyespot.design.space import sample_space
from eyespot.design.space_files import point_to_dict
from eyespot.design.spaces import get_space
from eyespot.design.spec_files import spec_to_dict
from eyespot.recipes import get_recipe
from eyespot.recipes.trial import recipe_of, run

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
    assert (tmp_path / "run" / "weights.safetensors").exists()
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_divergence_is_a_result(tmp_path):
    point = point_of("optimizability/smoke", tmp_path, data=SCENES, optimizer="sgd", lr=1e30)
    assert math.isnan(run(point)["error"])


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
