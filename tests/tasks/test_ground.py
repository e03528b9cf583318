"""The grounding task: it learns, goes on after a stop to the bit, and reads files and weights."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from eyespot.cli import main
from eyespot.data.grounding import FixedView, GroundingExamples, normalize_padded
from eyespot.data.grounding_sources import open_grounding
from eyespot.data.loader import Loader
from eyespot.data.sampling import Order
from eyespot.data.scene_captions import SceneCaptions
from eyespot.data.scenes import write_grounding
from eyespot.data.token_targets import token_targets
from eyespot.errors import RecipeError
from eyespot.models.grounder import build_grounder
from eyespot.predict.grounder import Grounder
from eyespot.recipes import ground, ground_finetune, swav
from eyespot.tasks import ground as task
from eyespot.tasks.ground import GroundRecipe
from eyespot.tasks.ground_data import open_data
from eyespot.tasks.ground_evaluation import referring_scores
from eyespot.tasks.ground_network import network_spec, network_tokenizer
from eyespot.tasks.ground_predictions import evaluated_phrases, predict_boxes
from eyespot.tasks.recipe_files import recipe_from_dict, recipe_to_dict
from eyespot.tasks.run import Place, Run, evaluate, prepare, train
from eyespot.train import loop
from eyespot.weights.files import read_file, save_weights
from eyespot.weights.named_grounders import grounder_file
from tests.distributed import run_ranks


def smoke(**changes):
    return replace(ground.smoke(), **changes)


def run(out, **more):
    return Run(**{"data": "scenes", "out": out, "device": "cpu", "workers": 0, **more})


def lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_smoke_leaves_weights_that_ground_a_text(tmp_path):
    outcome = train(smoke(), run(tmp_path / "a", log_every=1))
    assert outcome.finished
    assert {"R@1", "R@5", "merged_R@1", "AP50", "average_R@1", "miss"} <= outcome.metrics.keys()
    rows = [row for row in lines(tmp_path / "a") if "loss" in row]
    assert ["loss_ce" in row for row in rows] == [False] * 4 + [True] * 8  # words, then boxes
    results = json.loads((tmp_path / "a" / "results" / "scenes" / "detections.json").read_text())
    assert len(results) == 8 * 16
    assert {row["image_id"] for row in results} == set(range(8))
    grounder = Grounder.from_pretrained(tmp_path / "a" / "weights.safetensors")
    assert grounder.spec.image.short_side_px == 96
    found = grounder(torch.zeros(96, 96, 3, dtype=torch.uint8).numpy(), "a red cup", min_score=0.0)
    assert found.phrases[0].boxes_xyxy_px.shape == (16, 4)


def stopped_once(recipe, where, *, step):
    """Train, stop after a step, and go on."""
    real, steps = loop._StopRequest.agreed, []

    def stop(self, at, every):
        steps.append(at)
        return at == step and steps.count(step) == 1

    loop._StopRequest.agreed = stop
    try:
        assert not train(recipe, where).finished
        assert train(recipe, where).finished
    finally:
        loop._StopRequest.agreed = real


def test_a_resumed_run_equals_one_that_was_never_stopped(tmp_path):
    recipe = smoke(epochs=2)
    train(recipe, run(tmp_path / "whole"))
    stopped_once(recipe, run(tmp_path / "half", checkpoint_every=3), step=5)
    whole, again = (
        read_file(tmp_path / name / "weights.safetensors").tree for name in ("whole", "half")
    )
    assert all(torch.equal(whole[key], again[key]) for key in whole)


@pytest.mark.slow
def test_it_learns_where_things_are(tmp_path):
    """Two scenes by heart: after 150 steps their boxes are found."""
    recipe = smoke(
        network=replace(ground.smoke().network, dim=64, num_decoder_layers=2, ffn_dim=64),
        epochs=150,
        batch_size=2,
        scenes=replace(ground.smoke().scenes, count=2, val_count=2),
        evaluate_every=150,
        average=0.0,
        rates=replace(ground.smoke().rates, lr=1e-3),
    )
    outcome = train(recipe, run(tmp_path / "a", log_every=10))
    losses = [row["loss_bbox"] for row in lines(tmp_path / "a") if "loss" in row]
    assert losses[-1] < 0.3 * losses[1]
    assert outcome.finished


def test_annotation_files_are_trained_on(tmp_path):
    world = ground.smoke().scenes.world
    write_grounding(tmp_path / "train", world, seed=0, count=9)
    write_grounding(tmp_path / "val", replace(world, split="val"), seed=0, count=5)
    files = run(
        tmp_path / "a",
        data=str(tmp_path / "train" / "captions.json"),
        val=str(tmp_path / "val" / "referring.json"),
    )
    recipe = smoke(words=replace(ground.smoke().words, steps=1))
    outcome = train(recipe, files)
    assert 0 <= outcome.metrics["eyespot_scenes_P@1"] <= 1
    assert evaluate(recipe, files) == pytest.approx(outcome.metrics)
    alone = run(tmp_path / "b", data=str(tmp_path / "train" / "captions.json"))
    begun = prepare(recipe, alone, _place())
    assert "8 captions of 8 images" in begun.notes[-1]
    assert "1 of 1 images held out" in begun.notes[-1]
    with pytest.raises(ValueError, match="or 'scenes', got nowhere"):
        prepare(recipe, run(tmp_path / "c", data="nowhere"), _place())


def test_several_files_with_several_folders_are_one_training_set(tmp_path, monkeypatch):
    """Two annotation files and three folders of images, as MDETR's pre-training has them."""
    world = ground.smoke().scenes.world
    for name, count, first in (("flickr", 9, 0), ("coco", 4, 20), ("vg", 4, 24)):
        write_grounding(tmp_path / name, world, seed=0, count=count, first=first)
    parts = [json.loads((tmp_path / n / "captions.json").read_text()) for n in ("coco", "vg")]
    mixed: dict[str, list[dict]] = {"images": [], "annotations": []}
    for name, part in zip(("coco", "vg"), parts, strict=True):
        shift = len(mixed["images"])
        for row in part["images"]:
            mixed["images"].append({**row, "id": row["id"] + shift, "data_source": name})
        for row in part["annotations"]:
            mixed["annotations"].append({**row, "image_id": row["image_id"] + shift})
    (tmp_path / "mixed.json").write_text(json.dumps(mixed))
    (tmp_path / "sets.yaml").write_text(
        "- {annotations: flickr/captions.json, images: flickr/images}\n"
        "- {annotations: mixed.json, images: {coco: coco/images, vg: vg/images}}\n"
    )
    monkeypatch.chdir(tmp_path)
    ours = ["--out", "a", "--device", "cpu", "--workers", "0", "--epochs", "1", "--max-bad", "0"]
    command = ["train", "ground/smoke", "--data", "sets.yaml", "--words.steps", "0", *ours]
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    main([*command, "--val", "sets.yaml", "--evaluate-every", "1"])
    assert [row["step"] for row in lines(tmp_path / "a") if "evaluation" in row] == [17 // 8]
    assert not (tmp_path / "a" / "quarantine.jsonl").exists()
    found = json.loads((tmp_path / "a" / "results" / "sets" / "detections.json").read_text())
    assert {row["image_id"] for row in found} == set(range(17))  # no pair hides another


@pytest.mark.parametrize("views", ["natural", "mirrored"])
def test_mirrored_views_turn_left_into_right(views, tmp_path):
    """A red half left of a blue one: the caption stays true, mirrored about half of the time."""
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[:, :45, 0] = pixels[:, 45:, 2] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    caption = "red is left, blue is right"
    image = {"file_name": "a.png", "height": 60, "width": 90, "caption": caption}
    boxes = [([0, 0, 45, 60], [[7, 11]]), ([45, 0, 45, 60], [[21, 26]])]  # "left" and "right"
    rows = [
        {"id": 2 * i + j, "image_id": i, "bbox": box, "area": 2700, "tokens_positive": spans}
        for i in range(32)
        for j, (box, spans) in enumerate(boxes)
    ]
    file = tmp_path / "a.json"
    images = [{"id": i, **image} for i in range(32)]
    file.write_text(json.dumps({"images": images, "annotations": rows}))
    data = open_data(
        replace(ground.smoke().network, short_side_px=32, max_long_side_px=48),
        ground.smoke().scenes, views, run(tmp_path / "r", data=str(file), val=str(file)), _place(),
        epochs=1, batch_size=8, eval_batch_size=8, seed=0,
    )  # fmt: skip
    turned = 0
    for batch in data.batches(0):
        for i, said in enumerate(batch.captions):
            turned += said == "red is right, blue is left"
            red, blue = batch.spans[i]
            colours = {}
            for spans, box in zip((red, blue), batch.boxes_cxcywh[2 * i : 2 * i + 2], strict=True):
                side = said[slice(*spans[0])]
                height, width = (~batch.pad_mask[i]).nonzero().amax(dim=0).add(1).tolist()
                x, y = int(box[0] * width), int(box[1] * height)
                colours[side] = int(batch.images[i, :, y, x].argmax())
                other = batch.boxes_cxcywh[2 * i : 2 * i + 2, 0].mean()
                assert (side == "left") == bool(box[0] < other)
            assert colours == ({"right": 0, "left": 2} if "is right, blue" in said else
                               {"left": 0, "right": 2})  # fmt: skip
    assert turned == 0 if views == "natural" else 6 <= turned <= 26
    val = next(iter(data.test_batches([])))
    assert set(val.captions) == {caption}


def test_masks_are_trained(tmp_path):
    world = ground.smoke().scenes.world
    write_grounding(tmp_path / "train", world, seed=0, count=8)
    plain = ground.smoke().network
    recipe = smoke(
        network=replace(
            plain,
            backbone="RegNetX-200MF",
            last_map=4,
            dim=128,
            with_masks=True,
            alignment_dim=0,
            with_proposals=False,
        ),
        words=replace(ground.smoke().words, steps=0),
        epochs=1,
        weights=replace(ground.smoke().weights, auxiliary=False),
    )
    file = str(tmp_path / "train" / "captions.json")
    outcome = train(recipe, run(tmp_path / "a", data=file, val=file, log_every=1))
    assert outcome.finished
    (row,) = (row for row in lines(tmp_path / "a") if "loss" in row)
    assert row["loss_mask"] > 0
    assert row["loss_dice"] > 0


def masks_recipe(**changes):
    """The recipe for masks on few scenes."""
    recipe = ground.scenes_masks()
    scenes = replace(recipe.scenes, count=24, val_count=6, referring_share=0.5)
    return replace(recipe, scenes=scenes, batch_size=6, eval_batch_size=6, **changes)


def test_masks_of_scenes_are_learned_by_their_head_alone(tmp_path):
    """PhraseCut's second step: the detector of the package's weights stays as it is."""
    recipe = masks_recipe(epochs=4, evaluate_every=4)
    outcome = train(recipe, run(tmp_path / "a", log_every=1))
    rows = [row for row in lines(tmp_path / "a") if "loss" in row]
    drawn = [row["loss_dice"] + row["loss_mask"] for row in rows]
    assert sum(drawn[-4:]) < 0.9 * sum(drawn[:4])
    assert {"mean_iou", "cum_iou", "Pr@0.5", "mask_AP50", "AP50"} <= outcome.metrics.keys()
    assert outcome.metrics["AP50"] > 0.5
    with grounder_file("scenes-small") as path:
        before = read_file(path).tree
    after = read_file(tmp_path / "a" / "weights.safetensors").tree
    kept = [key for key in before if f"detr.{key}" in after]
    assert len(kept) > 100
    assert all(torch.equal(before[key], after[f"detr.{key}"]) for key in kept)
    grounder = Grounder.from_pretrained(tmp_path / "a" / "weights.safetensors")
    scenes = SceneCaptions(recipe.scenes, "val")
    record = scenes.caption(0, 0)
    found = grounder(scenes.image(0, record), record.caption)
    assert found.phrases[0].masks.shape[1:] == (96, 96)


def test_a_resumed_run_of_masks_equals_one_that_was_never_stopped(tmp_path):
    recipe = masks_recipe(epochs=1)
    train(recipe, run(tmp_path / "whole"))
    halves = run(tmp_path / "half", checkpoint_every=2)
    stopped_once(recipe, halves, step=3)
    whole, again = (
        read_file(tmp_path / name / "weights.safetensors").tree for name in ("whole", "half")
    )
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def test_published_masks_begin_with_the_boxes_of_the_first_step(tmp_path):
    """The published second step freezes the detector and leaves its alignment heads out."""
    small = ground.smoke()
    first = replace(small, epochs=1, network=replace(small.network, dim=128, num_heads=8))
    train(first, run(tmp_path / "boxes"))
    published = ground_finetune.phrasecut_masks()
    recipe = replace(
        first,
        network=replace(
            first.network,
            with_masks=published.network.with_masks,
            alignment_dim=published.network.alignment_dim,
        ),
        weights=published.weights,
        average=published.average,
        frozen=published.frozen,
        words=replace(small.words, steps=0),
        start_from=str(tmp_path / "boxes" / "weights.safetensors"),
    )
    begun = prepare(recipe, run(tmp_path / "masks"), _place())
    model = begun.job.modules["model"]
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained
    assert all(name.startswith(("mask_head.", "bbox_attention.")) for name in trained)
    assert any("left out" in note and "contrastive_align" in note for note in begun.notes)


def test_a_mean_is_over_the_steps_that_have_the_value(tmp_path):
    """Words are learnt in steps 1 to 4, and the terms of boxes begin in the midst of a window."""
    train(smoke(), run(tmp_path / "each", log_every=1))
    train(smoke(), run(tmp_path / "three", log_every=3))
    each = {row["step"]: row for row in lines(tmp_path / "each") if "loss" in row}
    first, second = [row for row in lines(tmp_path / "three") if "loss" in row][:2]
    assert "loss_ce" not in first
    assert second["loss_ce"] == pytest.approx((each[5]["loss_ce"] + each[6]["loss_ce"]) / 2)
    losses = [each[step]["loss"] for step in (4, 5, 6)]
    assert second["loss"] == pytest.approx(sum(losses) / 3)


def test_weights_of_one_run_begin_another(tmp_path):
    train(smoke(epochs=1), run(tmp_path / "a"))
    weights = tmp_path / "a" / "weights.safetensors"
    begun = prepare(smoke(start_from=str(weights)), run(tmp_path / "b"), _place())
    stored = read_file(weights).tree
    model = begun.job.modules["model"].state_dict()
    assert all(torch.equal(model[key], value) for key, value in stored.items())
    other = smoke(start_from=str(weights), network=replace(ground.smoke().network, dim=64))
    with pytest.raises(ValueError, match="need weights that fit the recipe's network"):
        prepare(other, run(tmp_path / "c"), _place())


def test_expressions_teach_what_is_final_beside_captions_that_do_not_say(tmp_path):
    recipe = smoke(scenes=replace(ground.smoke().scenes, referring_share=0.5))
    outcome = train(recipe, run(tmp_path / "a", log_every=1))
    rows = [row["loss_isfinal"] for row in lines(tmp_path / "a") if "loss_isfinal" in row]
    assert len(rows) == 8  # none while words are learnt
    assert all(0 < loss < 2 for loss in rows)
    assert "eyespot_scenes_P@1" in outcome.metrics


def test_the_log_says_how_often_what_is_final_is_told_right(tmp_path):
    """A network whose head says yes to every box is right where the data say yes."""
    recipe = smoke(words=replace(smoke().words, steps=0))
    prepared = prepare(recipe, run(tmp_path / "a"), _place())
    head = prepared.job.modules["model"].isfinal_embed
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(5.0)
    batch = next(prepared.batches(0))
    said = batch.is_final[~batch.is_final.isnan()]
    assert 0 < said.mean() < 1
    values = prepared.train_step(prepared.job, batch)
    assert_close(values["accuracy_isfinal"], said.mean())


def test_a_vocabulary_of_the_captions_knows_their_words_and_spells_others(tmp_path):
    words = ["aardvark", "bathysphere", "left", "of", "the"]
    said = {"caption": "the Aardvark left of the bathysphere", "file_name": "a.png"}
    image = {"id": 0, "height": 8, "width": 8, **said}
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"images": [image], "annotations": []}))
    source = open_grounding(str(file), tmp_path)
    network = replace(ground.smoke().network, vocabulary="captions")
    tokenizer = network_tokenizer(network, source)
    plain = network_tokenizer(replace(network, vocabulary=""), source)

    def lengths(made):  # without the two marks at the ends
        return [len(made.encode(word).ids) - 2 for word in [*words, "axolotl"]]

    assert lengths(tokenizer) == [1, 1, 1, 1, 1, len("axolotl")]
    assert lengths(plain)[:2] == [len(word) for word in words[:2]]
    with pytest.raises(RecipeError, match="got 'roberta-base', which has one"):
        network_tokenizer(replace(network, text="roberta-base"), source)


def test_expressions_are_ranked_by_what_is_final_and_other_boxes_are_not():
    network = replace(ground.smoke().network, with_proposals=False)
    tokenizer = network_tokenizer(network, SceneCaptions(ground.smoke().scenes, "train"))
    spec = network_spec(network, tokenizer)
    torch.manual_seed(0)
    model = build_grounder(spec)
    with torch.no_grad():
        model.isfinal_embed.weight.mul_(10)
    scenes = replace(ground.smoke().scenes, referring_share=1.0)
    examples = GroundingExamples(SceneCaptions(scenes, "val"), FixedView(96), seed=0)
    loader = Loader(examples, Order(8, 8, 0, shuffle=False))
    found = predict_boxes(model, spec, tokenizer, loader, torch.device("cpu"))
    (batch,) = loader
    targets = token_targets(batch.captions, batch.spans, tokenizer, spec.num_classes)
    with torch.no_grad():
        output = model.eval()(
            normalize_padded(batch.images, batch.pad_mask),
            batch.pad_mask,
            targets.tokens.ids,
            targets.tokens.pad_mask,
        )
    objects = 1 - output.logits[-1].softmax(-1)[..., -1]
    finals = objects * output.is_final_logits[-1].sigmoid()
    assert found.keys() == set(range(8))
    for i in range(8):
        assert found[i].scores == pytest.approx(objects[i].numpy(), abs=1e-6)
        assert referring_scores(found[i]) == pytest.approx(finals[i].numpy(), abs=1e-6)
    assert (objects.argmax(1) != finals.argmax(1)).any()


@pytest.mark.parametrize("name", ["scenes_small_no_alignment", "scenes_small_no_soft_token"])
def test_each_loss_alone_learns_and_names(name, tmp_path):
    ablated, small = ground.RECIPES[name](), ground.smoke()
    recipe = replace(
        small,
        network=replace(small.network, alignment_dim=ablated.network.alignment_dim),
        weights=ablated.weights,
    )
    outcome = train(recipe, run(tmp_path / "a", log_every=1))
    assert 0 <= outcome.metrics["R@1"] <= 1
    rows = [row for row in lines(tmp_path / "a") if "loss" in row]
    assert ("loss_contrastive_align" in rows[-1]) == (name == "scenes_small_no_soft_token")
    grounder = Grounder.from_pretrained(tmp_path / "a" / "weights.safetensors")
    by = "alignment" if name == "scenes_small_no_soft_token" else "soft_tokens"
    assert grounder.spec.names_by == by
    found = grounder(torch.zeros(96, 96, 3, dtype=torch.uint8).numpy(), "a red cup", min_score=0.0)
    assert len(found.phrases[0].scores) > 0
    neither = replace(recipe, weights=replace(ablated.weights, soft_token=0, contrastive_align=0))
    with pytest.raises(RecipeError, match="to learn which phrase a box is, got neither"):
        train(neither, run(tmp_path / "b"))


@pytest.mark.parametrize("frozen_norms", [False, True])
def test_a_pretrained_trunk_begins_a_run(tmp_path, frozen_norms):
    """What `eyespot train swav/...` leaves, `network.backbone_weights` takes, stem and all."""
    pretrain = replace(swav.smoke(), model="RegNetX-200MF", epochs=1, batch_size=8)
    data = "scenes:count=8,val_count=8,size=32"
    train(pretrain, run(tmp_path / "swav", data=data))
    stored = read_file(tmp_path / "swav" / "weights.safetensors").tree
    network = replace(
        ground.scenes_small().network,
        backbone_weights=str(tmp_path / "swav"),
        frozen_norms=frozen_norms,
    )
    begun = prepare(smoke(network=network), run(tmp_path / "b"), _place())
    found = begun.job.modules["model"].backbone.body.state_dict()
    assert len(found) > 50
    for key, value in found.items():
        if "num_batches_tracked" not in key:
            assert torch.equal(value, stored[f"backbone.{key}"]), key
    assert any("backbone" in note for note in begun.notes)
    other = replace(network, backbone="RegNetY-200MF")
    with pytest.raises(ValueError, match="need"):
        prepare(smoke(network=other), run(tmp_path / "c"), _place())


def _place():
    from eyespot.tasks.run import Place

    return Place(torch.device("cpu"), "none", 0, None)


def test_published_groups_rates_and_frozen_parts(tmp_path):
    recipe = replace(
        smoke(words=replace(ground.smoke().words, steps=0)),
        rates=GroundRecipe().rates,
        frozen=GroundRecipe().frozen,
    )
    job = prepare(recipe, run(tmp_path / "a"), _place()).job
    model, optimizer = job.modules["model"], job.optimizers["optimizer"]
    names = {id(p): name for name, p in model.named_parameters()}
    groups = {g["name"]: {names[id(p)] for p in g["params"]} for g in optimizer.param_groups}
    assert groups.keys() == {"main", "backbone", "text"}
    assert all("text_encoder" in name for name in groups["text"])
    assert all("backbone" in name for name in groups["backbone"])
    assert all(group["weight_decay"] == 1e-4 for group in optimizer.param_groups)
    assert not any(".stem." in name or ".s1." in name for name in groups["backbone"])
    assert not any("pooler" in name for name in groups["text"])
    left = {n for n, _ in model.named_parameters()} - set().union(*groups.values())
    assert {n.split(".")[2] for n in left if "backbone" in n} == {"stem", "s1"}


@pytest.mark.parametrize(
    ("rate", "start"),
    [("lr_backbone", "backbone."), ("lr_text", "transformer.text_encoder.")],
)
def test_a_rate_of_0_freezes_and_leaves_the_clipped_norm(rate, start, tmp_path):
    """The norm is that of the other gradients alone, and nothing of the part moves."""
    rates = replace(smoke().rates, clip=1e-3)
    recipe = smoke(words=replace(smoke().words, steps=0), rates=rates, average=0.0)
    every = first_gradients(recipe, tmp_path / "every")
    part = {name for name in every if name.startswith(start)}
    assert part
    assert float(torch.cat([every[name].flatten() for name in part]).norm()) > 1e-3
    frozen = replace(recipe, rates=replace(rates, **{rate: 0.0}))
    torch.manual_seed(0)
    prepared = prepare(frozen, run(tmp_path / "frozen"), _place())
    model = prepared.job.modules["model"]
    before = {name: value.clone() for name, value in model.named_parameters()}
    values = prepared.train_step(prepared.job, next(prepared.batches(0)))
    rest = torch.cat([g.flatten() for name, g in every.items() if name not in part])
    assert_close(values["gradient_norm"], rest.norm(), rtol=1e-4, atol=0)
    # the first step has no rate, so take another
    prepared.job.step = 1
    prepared.train_step(prepared.job, next(prepared.batches(1)))
    moved = {name for name, value in model.named_parameters() if not value.equal(before[name])}
    assert moved
    assert not any(name.startswith(start) for name in moved)
    groups = prepared.job.optimizers["optimizer"].param_groups
    assert {"lr_backbone": "backbone", "lr_text": "text"}[rate] not in {g["name"] for g in groups}


def first_gradients(recipe, out):
    """Gradients of the first batch, by name."""
    torch.manual_seed(0)
    prepared = prepare(recipe, run(out), _place())
    model, kept = prepared.job.modules["model"], {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(
                lambda p, name=name: kept.update({name: p.grad.clone()})
            )
    prepared.train_step(prepared.job, next(prepared.batches(0)))
    return kept


def test_new_weights_that_are_never_trained_are_named(tmp_path):
    bare = smoke(words=replace(smoke().words, steps=0), frozen=("backbone.body.stem.",))
    (note,) = [n for n in prepare(bare, run(tmp_path / "a"), _place()).notes if "never" in n]
    assert "trained: backbone.body.stem.; begin with trained ones by --network.backb" in note
    slow = replace(bare, frozen=(), rates=replace(bare.rates, lr_text=0.0))
    (note,) = [n for n in prepare(slow, run(tmp_path / "b"), _place()).notes if "never" in n]
    assert "transformer.text_encoder." in note
    begun = replace(bare, start_from=str(tmp_path / "begun.safetensors"))
    job = prepare(bare, run(tmp_path / "e"), _place()).job
    save_weights(job.modules["model"].state_dict(), begun.start_from, job.about)
    assert not any("never" in n for n in prepare(begun, run(tmp_path / "c"), _place()).notes)
    with pytest.raises(RecipeError, match="need words.steps=0 with rates.lr_backbone=0, got 4"):
        prepare(smoke(rates=replace(bare.rates, lr_backbone=0.0)), run(tmp_path / "d"), _place())


@pytest.mark.parametrize("name", ground.RECIPES)
def test_every_recipe_is_plain_data(name):
    recipe = ground.RECIPES[name]()
    stored = json.loads(json.dumps(recipe_to_dict(recipe, name)))
    assert recipe_from_dict(stored, "here") == recipe
    if name != "smoke":
        for word in ("Run:", "Expect:", "Cost:"):
            assert word in ground.RECIPES[name].__doc__


def test_numbers_out_of_range_are_named(tmp_path):
    with pytest.raises(RecipeError, match="got \\(0, 8"):
        train(smoke(epochs=0), run(tmp_path / "a"))
    answering = replace(smoke().network, answers="scenes")
    with pytest.raises(RecipeError, match="need views that are not mirrored"):
        train(smoke(views="mirrored", network=answering), run(tmp_path / "c"))
    with pytest.raises(RecipeError, match="need --network.vocabulary"):
        train(GroundRecipe(), run(tmp_path / "b"))


def test_phrases_without_their_key_are_the_boxes_own():
    from eyespot.data.annotations import CaptionedImage, Region

    regions = (
        Region((1.0, 2.0, 3.0, 4.0), ((0, 3),), 12.0),
        Region((5.0, 5.0, 2.0, 2.0), ((0, 3),), 4.0),
        Region((0.0, 0.0, 1.0, 1.0), ((8, 12),), 1.0),
    )
    record = CaptionedImage(0, "a", 20, 20, "two ... star", regions)
    first, second = evaluated_phrases(record)
    assert first.boxes_xyxy_px.tolist() == [[1, 2, 4, 6], [5, 5, 7, 7]]
    assert second.spans == ((8, 12),)
    given = replace(record, more={"tokens_positive_eval": [[[8, 12]]]})
    assert len(evaluated_phrases(given)) == 1


def spread(recipe, out):
    train(recipe, run(Path(out), log_every=1))
    return []


@pytest.mark.slow
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_two_ranks_equal_one(tmp_path, average):
    """Frozen norms, as batch statistics are a rank's own; no alignment loss, which sees padding."""
    small = ground.smoke()
    recipe = replace(
        small,
        network=replace(small.network, frozen_norms=True, alignment_dim=0),
        words=replace(small.words, steps=0),
        epochs=1,
        average=average,
    )
    spread(recipe, tmp_path / "one")
    run_ranks(spread, recipe, str(tmp_path / "two"), world_size=2)
    one, two = ([row for row in lines(tmp_path / name) if "loss" in row] for name in ("one", "two"))
    assert len(one) == len(two) == 4
    for row, other in zip(one, two, strict=True):
        for name in ("loss", "loss_ce", "loss_bbox", "gradient_norm"):
            assert other[name] == pytest.approx(row[name], rel=1e-3), (row["step"], name)


def test_boxes_may_be_spread_evenly_over_their_tokens(tmp_path, monkeypatch):
    """The paper's form beside the published one: rows of sum 1, the same tokens, a smaller loss."""
    seen = {}
    plain = task.set_loss

    def keep(weights, output, targets, num_boxes):
        found = plain(weights, output, targets, num_boxes)
        seen[weights.uniform_tokens] = targets.positive_map, float(found.terms["loss_ce"].detach())
        return found

    monkeypatch.setattr(task, "set_loss", keep)
    steps = {"words": replace(ground.smoke().words, steps=0), "epochs": 1}
    for uniform in (False, True):
        weights = replace(ground.smoke().weights, uniform_tokens=uniform)
        made = smoke(weights=weights, **steps)
        prepared = prepare(made, run(tmp_path), Place(torch.device("cpu"), "none", 0, None))
        prepared.train_step(prepared.job, next(prepared.batches(0)))
    (binary, more), (even, less) = seen[False], seen[True]
    sizes = binary.sum(dim=1)
    assert binary.dtype == torch.bool
    assert sizes.max() > 1
    for row, expected, size in zip(even, binary, sizes, strict=True):
        assert_close(row[expected], torch.full((int(size),), 1 / float(size)))
        assert not row[~expected].any()
    assert less < more


def test_damaged_images_are_left_out_of_a_measurement_counted_and_listed(tmp_path):
    world = ground.smoke().scenes.world
    write_grounding(tmp_path / "train", world, seed=0, count=9)
    write_grounding(tmp_path / "val", replace(world, split="val"), seed=0, count=5)
    file = tmp_path / "val" / "captions.json"
    broken = json.loads(file.read_text())["images"][1]
    (tmp_path / "val" / "images" / broken["file_name"]).write_bytes(b"no picture")
    recipe = smoke(words=replace(ground.smoke().words, steps=0), epochs=1, evaluate_every=1)
    files = {"data": str(tmp_path / "train" / "captions.json"), "val": str(file)}
    outcome = train(recipe, run(tmp_path / "a", max_bad=0.3, **files))
    assert outcome.metrics["damaged"] == 1
    rows = (tmp_path / "a" / "quarantine.jsonl").read_text().splitlines()
    assert [(row["name"], row["measured"]) for row in map(json.loads, rows)] == [
        (broken["file_name"], True)
    ]
    folder = next((tmp_path / "a" / "results").iterdir())
    measured = {row["image_id"] for row in json.loads((folder / "detections.json").read_text())}
    assert len(measured) == 4
    with pytest.raises(ValueError, match=r"at most 0.0% damaged images, got 1 of 5, such as"):
        train(recipe, run(tmp_path / "b", max_bad=0, **files))
