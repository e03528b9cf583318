"""Question answering recipes against the published commands, and that each is plain data."""

import json

import pytest

from eyespot.recipes import answer, ground
from eyespot.tasks.recipe_files import recipe_from_dict, recipe_to_dict


@pytest.mark.parametrize("name", answer.RECIPES)
def test_every_recipe_is_plain_data_and_says_how_to_run_it(name):
    recipe = answer.RECIPES[name]()
    stored = json.loads(json.dumps(recipe_to_dict(recipe, name)))
    assert recipe_from_dict(stored, "here") == recipe
    if not name.endswith("smoke"):
        for word in ("Run:", "Expect:", "Cost:"):
            assert word in answer.RECIPES[name].__doc__


def test_gqa_as_published():
    recipe = answer.gqa_all()
    rates = recipe.rates
    assert (recipe.epochs, recipe.batch_size) == (5, 128)  # 125 chunks of a 25th, 32 of 4
    assert (rates.lr, rates.lr_backbone, rates.lr_text) == (1.4e-4, 1.4e-5, 7e-5)
    assert rates.drop_epoch > recipe.epochs
    assert recipe.average == 0.9998
    assert not recipe.weights.auxiliary
    assert recipe.network.alignment_dim == 0
    assert (recipe.questions.weight, recipe.questions.weighted) == (25, "all")
    assert answer.gqa_eb5_all().network.backbone == "EfficientNet-B5"
    assert answer.gqa_eb5_all().network.padding == "tensorflow"


def test_clevr_as_published():
    first, second, humans = ground.clevr_boxes(), answer.clevr(), answer.clevr_humans()
    for recipe in (first, second):
        assert (recipe.epochs, recipe.batch_size, recipe.rates.drop_epoch) == (30, 64, 20)
        assert (recipe.rates.lr, recipe.rates.lr_backbone, recipe.rates.lr_text) == (
            1e-4,
            1e-5,
            5e-5,
        )
        assert recipe.network.num_queries == 25
        assert recipe.views == "clevr"
    assert second.weights.auxiliary
    assert (second.questions.weight, second.questions.weighted) == (1, "type")
    assert (humans.epochs, humans.batch_size, humans.rates.drop_epoch) == (60, 64, 40)
    assert second.questions.grounding
    assert not humans.questions.grounding
    assert answer.cogent() == second
    assert answer.cogent_boxes() == first
