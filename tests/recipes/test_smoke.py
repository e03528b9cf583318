"""Smoke siblings train: one of each kind of network in each family, for a few steps on scenes."""

import json
import math
from dataclasses import replace

import pytest
from safetensors.torch import load_file

from eyespot.design.by_name import to_spec
from eyespot.recipes import get_recipe, list_recipes
from eyespot.tasks.run import Run, train

TINY = "scenes:size=32,count=32,val_count=16"
KINDS = [
    "early_convolutions/vit_c_36gf",
    "optimizability/vit_p_18gf_sgd",
]
MORE = [
    "fast_scaling/regnetz_16gf",
    "pycls/resnet_101",
    "early_convolutions/regnety_32gf",
    "fast_scaling/efficientnet_b0_uniform_16x",
    "pycls/resnext_50",
    "pycls/regnetx_400mf",
    "pycls/efficientnet_b4",
    "cifar/regnety_125mf",
    "cifar/resnet_56",
    "classify/fashion_mnist",
    "classify/scenes",
]


@pytest.mark.parametrize(
    "name", [*KINDS, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)]
)
def test_smoke_trains_under_the_same_recipe(name, tmp_path):
    recipe, small = get_recipe(name), get_recipe(f"{name}_smoke")
    assert small.optimizer == recipe.optimizer
    assert small.average == recipe.average
    for field in ("label_smoothing", "mixup", "cutmix", "precision"):
        assert getattr(small, field) == getattr(recipe, field)
    assert (small.schedule.shape, small.schedule.final) == (
        recipe.schedule.shape,
        recipe.schedule.final,
    )
    assert small.pictures.policy == recipe.pictures.policy
    assert type(to_spec(small.model)) is type(to_spec(recipe.model))
    outcome = train(small, Run(TINY, tmp_path / "run", workers=0, log_every=1))
    assert (outcome.finished, outcome.step) == (True, 4)
    assert math.isfinite(outcome.metrics["test_loss"])
    assert ("average_error" in outcome.metrics) == (recipe.average.form != "none")
    assert (tmp_path / "run/weights.safetensors").is_file()
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    assert all(math.isfinite(line["gradient_norm"]) for line in lines if "loss" in line)


def test_pretrain_then_finetune(tmp_path):
    """The second begins with the first's weights, with a classifier of its own."""
    before = get_recipe("imagenet21k/vit_c_4gf_smoke")
    train(before, Run(TINY, tmp_path / "before", workers=0))
    weights = tmp_path / "before/weights.safetensors"
    after = replace(
        get_recipe("finetune/vit_c_4gf_smoke"), start_from=str(weights), epochs=1, num_classes=30
    )
    train(after, Run(TINY, tmp_path / "after", workers=0))
    first, second = load_file(weights), load_file(tmp_path / "after/weights.safetensors")
    assert first.keys() == second.keys()
    assert second["head.weight"].shape[0] == 30
    for name, value in first.items():
        if "head" not in name and value.ndim > 1:
            # One epoch's rates are below 1e-6: they are the weights of the first run, nearly.
            assert (second[name] - value).abs().max() < 1e-4, name


def test_every_published_recipe_has_a_smoke_sibling():
    names = list_recipes()
    for name in names:
        family = name.split("/")[0]
        assert name.endswith("smoke") or f"{name}_smoke" in names or f"{family}/smoke" in names
        assert family != "classify" or name.endswith("smoke") or f"{name}_smoke" in names
