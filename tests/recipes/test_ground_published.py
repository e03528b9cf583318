"""MDETR's published runs, grounding and answering, against a second copy of their numbers."""

import inspect
from dataclasses import replace

import pytest
import torch

from eyespot.data.tokens import scenes_tokenizer
from eyespot.models.grounder import build_grounder
from eyespot.models.masks import detector_of
from eyespot.optim.grounding_rates import grounding_factors
from eyespot.recipes import answer, ground
from eyespot.recipes.answer import RECIPES as ANSWER
from eyespot.recipes.ground import RECIPES as GROUND
from eyespot.tasks.ground_network import network_spec
from eyespot.tasks.ground_rates import freeze_, frozen_starts

# Backbone, epochs, epoch of the drop, rates of the transformer, backbone and text encoder, batch,
# whether weights are averaged, whether earlier decoder layers learn, queries. "*": not published,
# the number is ours or another run's (docs/papers.md).
PUBLISHED = """
ground/pretrain_r101       R101 40  35  1e-4   1e-5   5e-5 64  ema aux 100
ground/pretrain_eb3        EB3  40  35  1e-4   5e-5   5e-5 64  ema aux 100
ground/pretrain_eb5        EB5  40  35  1e-4   5e-5   5e-5 64  ema aux 100
ground/flickr_merged       R101 5*  3*  5e-5*  1e-5*  1e-5* 64* ema aux 100
ground/refcoco             R101 5   3   5e-5   1e-5   1e-5 8   ema aux 100
ground/refcoco_plus        R101 5   3   5e-5   1e-5   1e-5 8   ema aux 100
ground/refcocog            R101 3   2   5e-5   1e-5   1e-5 8   ema aux 100
ground/refcoco_eb3         EB3  5   3   5e-5   1e-5*  1e-5 8   ema aux 100
ground/refcoco_plus_eb3    EB3  5   3   5e-5   1e-5*  1e-5 8   ema aux 100
ground/refcocog_eb3        EB3  3   2   5e-5   1e-5*  1e-5 8   ema aux 100
ground/phrasecut_boxes     R101 10  11  5e-5   1e-5   1e-5 64  ema aux 100
ground/phrasecut_boxes_eb3 EB3  10  11  5e-5   1e-5   1e-5 64  ema aux 100
ground/phrasecut_masks     R101 35  25  1e-4   -      -    64  no  no  100
ground/phrasecut_masks_eb3 EB3  35  25  1e-4   -      -    64  no  no  100
ground/lvis                R101 150 120 1e-4   1e-5   5e-5 64* ema aux 100
ground/lvis_1              R101 150* 120* 1e-4 1e-5   5e-5 64* ema aux 100
ground/lvis_100            R101 3   120* 1e-4  1e-5   5e-5 64* ema aux 100
ground/clevr_boxes         R18  30  20  1e-4   1e-5   5e-5 64  no  aux 25
ground/clevr_ref           R18  30* 20* 1e-4*  1e-5*  5e-5* 64* no* aux 25
answer/gqa_all             R101 5   150 1.4e-4 1.4e-5 7e-5 128 ema no  100
answer/gqa_eb5_all         EB5  5   150 1.4e-4 1.4e-5 7e-5 128 ema no  100
answer/gqa_balanced        R101 10* 150 1.4e-4 1.4e-5 7e-5 128 ema no  100
answer/gqa_eb5_balanced    EB5  10* 150 1.4e-4 1.4e-5 7e-5 128 ema no  100
answer/clevr               R18  30  20  1e-4   1e-5   5e-5 64  no  aux 25
answer/clevr_humans        R18  60  40  1e-4   1e-5   5e-5 64  no  aux 25
answer/cogent_boxes        R18  30  20  1e-4   1e-5   5e-5 64  no  aux 25
answer/cogent              R18  30  20  1e-4   1e-5   5e-5 64  no  aux 25
"""
ROWS = [line.split() for line in PUBLISHED.strip().splitlines()]
RECIPES = {f"ground/{name}": make for name, make in GROUND.items()} | {
    f"answer/{name}": make for name, make in ANSWER.items()
}
OWN = ("scenes", "quickstart", "finetune", "smoke", "cogent_b", "grefcoco", "clevr_humans_smoke")
"""Starts of names of recipes that MDETR's authors did not run."""
BACKBONES = {
    "R101": "ResNet-101", "R18": "ResNet-18", "EB3": "EfficientNet-B3", "EB5": "EfficientNet-B5"
}  # fmt: skip


def number(text):
    return float(text.rstrip("*"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_numbers_of_every_published_run(row):
    name, backbone, epochs, drop, *rates, batch, averaged, auxiliary, queries = row
    recipe = RECIPES[name]()
    network = recipe.network
    assert network.backbone == BACKBONES[backbone]
    assert (recipe.epochs, recipe.rates.drop_epoch) == (number(epochs), number(drop))
    found = recipe.rates.lr, recipe.rates.lr_backbone, recipe.rates.lr_text
    for one, wanted in zip(found, rates, strict=True):
        assert wanted == "-" or one == number(wanted)
    assert recipe.batch_size == number(batch)
    assert recipe.average == (0.9998 if averaged == "ema" else 0.0)
    assert recipe.weights.auxiliary == (auxiliary == "aux")
    assert network.num_queries == int(queries)


@pytest.mark.parametrize("name", [row[0] for row in ROWS])
def test_what_all_published_runs_share(name):
    recipe = RECIPES[name]()
    rates, weights, network = recipe.rates, recipe.weights, recipe.network
    clevr = network.backbone == "ResNet-18"
    assert (rates.weight_decay, rates.clip) == (1e-4, 0.1)
    assert (rates.shape, rates.warmup_share) == ("linear_with_warmup", 0.01)
    assert (weights.soft_token, weights.box_l1, weights.box_giou) == (1, 5, 2)
    assert (weights.contrastive_align, weights.is_final, weights.no_object) == (1, 1, 0.1)
    assert (weights.mask, weights.dice, weights.uniform_tokens) == (1, 1, False)
    assert (network.dim, network.num_heads, network.ffn_dim) == (256, 8, 2048)
    assert (network.num_encoder_layers, network.num_decoder_layers) == (6, 6)
    assert (network.dropout, network.text_dropout, network.num_classes) == (0.1, 0.1, 256)
    assert (network.num_levels, network.last_map, network.with_proposals) == (1, -1, False)
    assert network.text == ("distilroberta-base" if clevr else "roberta-base")
    assert network.frozen_norms
    assert network.padding == ("tensorflow" if "Efficient" in network.backbone else "symmetric")
    size = (network.short_side_px, network.max_long_side_px)
    assert size == ((320, 480) if clevr else (800, 1333))
    assert recipe.views == ("clevr" if clevr else "natural")
    assert (recipe.seed, recipe.words.steps, recipe.precision) == (42, 0, "float32")
    masks = "masks" in name
    assert network.with_masks == masks
    assert network.with_is_final == (name == "ground/clevr_ref")
    assert network.alignment_dim == (0 if masks or "gqa" in name else 64)
    if recipe.questions.grounding and network.answers != "none":
        wanted = (25.0, "all") if "gqa" in name else (1.0, "type")
        assert (recipe.questions.weight, recipe.questions.weighted) == wanted
    assert recipe.questions.grounding == (name != "answer/clevr_humans")


def test_every_published_run_is_in_the_table():
    listed = {row[0] for row in ROWS}
    own = {name for name in RECIPES if name.split("/")[1].startswith(OWN)}
    assert RECIPES.keys() - own | {"answer/cogent_boxes"} == listed


@pytest.mark.parametrize("name", ["ground/clevr_boxes", "ground/refcoco", "ground/refcoco_eb3"])
def test_published_parts_of_the_backbone_are_trained(name):
    """Of a ResNet what lies after layer1, of an EfficientNet all; norms never."""
    recipe = RECIPES[name]()
    network = replace(recipe.network, num_encoder_layers=1, num_decoder_layers=1)
    with torch.device("meta"):
        model = build_grounder(network_spec(network, scenes_tokenizer(max_tokens=60)))
    freeze_(model, frozen_starts(recipe.frozen, recipe.rates))
    body = detector_of(model).backbone.body
    trained = {key.split(".")[0] for key, p in body.named_parameters() if p.requires_grad}
    every = {key.split(".")[0] for key, _ in body.named_parameters()}
    if "ResNet" in recipe.network.backbone:
        assert trained == {"s2", "s3", "s4"}
        assert every - trained == {"stem", "s1"}
    else:
        assert trained == every
    assert not any("bn" in key for key, _ in body.named_parameters())


def test_rates_over_a_published_run():
    """RefCOCO's 120,624 expressions: text rises over 1 % of all steps and falls to 0 at the end."""
    recipe = RECIPES["ground/refcoco"]()
    steps = 120_624 // recipe.batch_size
    at = {
        "shape": recipe.rates.shape,
        "steps_per_epoch": steps,
        "total_steps": steps * recipe.epochs,
        "drop_epoch": recipe.rates.drop_epoch,
        "warmup_share": recipe.rates.warmup_share,
    }
    assert grounding_factors(377, **at).text == pytest.approx(377 / 754)  # 754 of 75,390
    assert grounding_factors(3 * steps - 1, **at).main == 1
    assert grounding_factors(3 * steps, **at).main == pytest.approx(0.1)
    assert grounding_factors(steps * 5 - 1, **at).text == pytest.approx(1 / (75_390 - 754))


def test_runs_from_scratch_ask_for_the_weights_that_they_freeze():
    for make in (ground.clevr_boxes, ground.pretrain_r101):
        text = inspect.getdoc(make)
        assert "--network.backbone-weights" in text
        assert "--network.text-weights" in text
    assert answer.cogent_boxes() == ground.clevr_boxes()
