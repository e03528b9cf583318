"""Published MDETR checkpoints: exact keys, averaged weights, and outputs of the reference."""

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn
from torch.testing import assert_close

from eyespot.data.answers import CLEVR_WORDS
from eyespot.data.tokens import scenes_tokenizer
from eyespot.design.by_name import to_spec
from eyespot.errors import WeightsError
from eyespot.models.build import create_model
from eyespot.models.grounder import GrounderSpec, build_grounder
from eyespot.models.masks import detector_of
from eyespot.models.mdetr import CLEVR_HEADS, GQA_HEADS, AnswerHead
from eyespot.models.roberta import RobertaSizes
from eyespot.predict.answerer import Answerer
from eyespot.weights.export import export_weights
from eyespot.weights.grounders import read_grounder, save_grounder
from eyespot.weights.mdetr import import_mdetr, translate_mdetr
from tests.reference import VECTORS

NAME = "mdetr_tiny_forward.safetensors"
PLACES = [VECTORS, Path(os.environ.get("EYESPOT_VECTORS", VECTORS))]
FILE = next((place / NAME for place in PLACES if (place / NAME).exists()), None)
TEXT = RobertaSizes(vocab_size=400, dim=64, num_layers=1, num_heads=1, ffn_dim=32, num_positions=20)


def spec(backbone="ResNet-18", **changes):
    return GrounderSpec(
        replace(to_spec(backbone), num_classes=0), TEXT, dim=32, num_encoder_layers=2,
        num_decoder_layers=3, ffn_dim=48, num_queries=7, alignment_dim=16, **changes,
    )  # fmt: skip


def published(of, seed=0):
    """A random network's tensors under the published names, with old transformers' extra."""
    torch.manual_seed(seed)
    state = build_grounder(of).state_dict()
    found, body = {}, {}
    for key, value in state.items():
        _, _, rest = key.partition("backbone.body.")
        if rest:
            body[rest] = value
        else:
            found[key] = value
    detr = "detr." if of.with_masks else ""
    library = "timm" if of.padding == "tensorflow" else "torchvision"
    for key, value in export_weights(body, library).items():
        found[f"{detr}backbone.0.body.{key}"] = value
    ids = torch.arange(20)[None]
    found[f"{detr}transformer.text_encoder.embeddings.position_ids"] = ids
    return found, state


@pytest.mark.parametrize(
    "of",
    [
        spec(),
        spec("ResNet-50"),
        spec("EfficientNet-B3", padding="tensorflow"),
        replace(spec(with_masks=True), alignment_dim=0, dim=128),
        replace(spec(answer_heads=GQA_HEADS), alignment_dim=0),
        replace(spec(answer_heads=CLEVR_HEADS), num_queries=25, alignment_dim=0),
        spec(with_is_final=True),
    ],
    ids=["r18", "r50", "eb3", "masks", "gqa", "clevr", "clevr-ref"],
)
def test_every_published_kind_is_recognised(of):
    names, own = published(of)
    tensors, found, notes = translate_mdetr(names)
    assert found.backbone.depths == of.backbone.depths
    assert replace(found, backbone=of.backbone, image=of.image) == of
    assert tensors.keys() == own.keys()
    assert all(torch.equal(tensors[key], value) for key, value in own.items())
    assert "position_ids" in notes[0]


def write(path, **parts):
    torch.save({"optimizer": {}, "epoch": 3, "args": argparse.Namespace(lr=1), **parts}, path)
    scenes_tokenizer()
    (path.parent / "tokenizer.json").write_text(scenes_tokenizer().definition())
    return path.parent / "tokenizer.json"


def test_averaged_weights_are_taken_and_said(tmp_path):
    path = tmp_path / "pretrained.pth"
    model, _ = published(spec())
    average, own = published(spec(), seed=1)
    vocabulary = write(path, model=model, model_ema=average)
    imported = import_mdetr(path, vocabulary)
    assert "averaged" in imported.notes[0]
    found = imported.loaded.model.state_dict()
    assert all(torch.equal(found[key], value) for key, value in own.items())
    plain = import_mdetr(path, vocabulary, average=False)
    assert plain.notes[0] == "took model"
    assert not torch.equal(
        plain.loaded.model.state_dict()["class_embed.weight"], own["class_embed.weight"]
    )
    write(path, model=model, model_ema=None)
    assert "no averaged" in import_mdetr(path, vocabulary).notes[0]


def test_an_imported_network_is_a_file_of_ours(tmp_path):
    vocabulary = write(tmp_path / "a.pth", model=published(spec())[0])
    loaded = import_mdetr(tmp_path / "a.pth", vocabulary).loaded
    save_grounder(loaded.model, loaded.spec, loaded.tokenizer, tmp_path / "a.safetensors")
    again = read_grounder(tmp_path / "a.safetensors")
    assert again.spec == loaded.spec
    images, mask = torch.randn(1, 3, 64, 64), torch.zeros(1, 64, 64, dtype=torch.bool)
    ids, text_mask = torch.ones(1, 5, dtype=torch.long) * 7, torch.zeros(1, 5, dtype=torch.bool)
    found = again.model(images, mask, ids, text_mask)
    assert_close(found.logits, loaded.model(images, mask, ids, text_mask).logits)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda names: names.pop("class_embed.bias"), "missing: class_embed.bias"),
        (lambda names: names.update(extra=torch.zeros(1)), "not used: extra"),
        (lambda names: names.pop("query_embed.weight"), "no tensor 'query_embed.weight'"),
        (
            lambda names: names.update({"backbone.0.body.fc.weight": torch.zeros(1)}),
            "head.fc.weight",
        ),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    names, _ = published(spec())
    change(names)
    with pytest.raises(WeightsError, match=message):
        translate_mdetr(names)


def test_other_checkpoints_are_refused(tmp_path):
    vocabulary = write(tmp_path / "a.pth", model=create_model("ResNet-18").state_dict())
    with pytest.raises(WeightsError, match="need a published MDETR"):
        import_mdetr(tmp_path / "a.pth", vocabulary)
    torch.save({"model": nn.Linear(2, 2)}, tmp_path / "b.pth")
    with pytest.raises(WeightsError):
        import_mdetr(tmp_path / "b.pth", vocabulary)


class GivenMaps(nn.Module):
    def __init__(self, maps):
        super().__init__()
        self.maps = maps

    def forward(self, images):
        return self.maps


@pytest.mark.skipif(FILE is None, reason=f"needs {NAME}")
@pytest.mark.parametrize("kind", ["base", "gqa", "clevr", "clevrref", "segm"])
def test_outputs_of_the_reference_after_import(kind):
    """The tiny reference networks under their published names, behind a backbone of ours."""
    with safe_open(FILE, "pt") as file:
        sizes = json.loads(file.metadata()["json"])["config"]
        tensors = {
            key.removeprefix(kind + "/"): file.get_tensor(key)
            for key in file.keys()  # noqa: SIM118
            if key.startswith(kind + "/")
        }
    sizes |= sizes["segm_overrides"] if kind == "segm" else {}
    maps = [tensors[f"features/{i}/tensor"] for i in range(4) if f"features/{i}/tensor" in tensors]
    names = {k.removeprefix("state_dict/"): v for k, v in tensors.items() if "state_dict/" in k}
    body = create_model("ResNet-18", features_only=True).body.state_dict()
    detr = "detr." if kind == "segm" else ""
    for key, value in export_weights(body, "torchvision").items():
        if not key.endswith("num_batches_tracked"):
            names[f"{detr}backbone.0.body.{key}"] = value
    ours, found, _ = translate_mdetr(names, num_heads=sizes["nheads"])
    heads = sizes["text_encoder"]["num_attention_heads"]
    model = build_grounder(replace(found, text=replace(found.text, num_heads=heads)))
    model.load_state_dict(ours)
    model.eval()
    detector_of(model).backbone = GivenMaps(maps)
    pad_mask = tensors["input/pad_mask"]
    images = torch.zeros(pad_mask.shape[0], 3, *pad_mask.shape[1:])
    with torch.no_grad():
        output = model(
            images, pad_mask, tensors["input/input_ids"], tensors["input/attention_mask"] != 1
        )
    output = output.grounding if kind == "segm" else output
    tolerance = {"rtol": 1e-4, "atol": 1e-5}
    assert_close(output.logits[-1], tensors["output/pred_logits"], **tolerance)
    assert_close(output.boxes_cxcywh[-1], tensors["output/pred_boxes"], **tolerance)


def small_heads(heads):
    return tuple(head._replace(num_answers=min(head.num_answers, 7)) for head in heads)


def test_an_imported_clevr_network_answers_in_words(tmp_path):
    of = replace(spec(answer_heads=CLEVR_HEADS), num_queries=25, alignment_dim=0)
    vocabulary = write(tmp_path / "clevr.pth", model=published(of)[0])
    imported = import_mdetr(tmp_path / "clevr.pth", vocabulary)
    save_grounder(*imported.loaded, tmp_path / "a.safetensors")
    answerer = Answerer.from_pretrained(tmp_path / "a.safetensors")
    assert answerer.words == CLEVR_WORDS
    said = answerer(np.zeros((64, 96, 3), np.uint8), "how many cubes are there?")
    assert said.answer in CLEVR_WORDS.words[said.answer_type]
    assert [p.text for p in said.grounding.phrases] == ["cubes"]


def test_an_imported_gqa_network_answers_in_the_words_of_its_vocabulary(tmp_path):
    heads = small_heads(GQA_HEADS)
    of = replace(spec(answer_heads=heads), alignment_dim=0)
    vocabulary = write(tmp_path / "gqa.pth", model=published(of)[0])
    sizes = {head.name: head.num_answers for head in heads if head.name != "type"}
    words = {f"answer_{n}": {f"{n} {i}": i for i in range(size)} for n, size in sizes.items()}
    (tmp_path / "words.json").write_text(json.dumps(words))
    loaded = import_mdetr(tmp_path / "gqa.pth", vocabulary, answers=tmp_path / "words.json").loaded
    by_name = {head.name: head for head in loaded.spec.answer_heads}
    assert [head.name for head in loaded.spec.answer_heads] == [head.name for head in heads]
    assert by_name["type"].words == ("obj", "attr", "rel", "global", "cat")
    assert by_name["rel"].words[6] == "rel 6"
    picture = np.zeros((64, 96, 3), np.uint8)
    said = Answerer(loaded)(picture, "what is it?")
    assert said.answer.startswith(said.answer_type)
    bare = import_mdetr(tmp_path / "gqa.pth", vocabulary)
    assert "its answer heads say numbers" in bare.notes[-1]
    with pytest.raises(WeightsError, match="import the checkpoint again with --answers"):
        Answerer(bare.loaded)
    words["answer_rel"]["one more"] = 7
    (tmp_path / "words.json").write_text(json.dumps(words))
    with pytest.raises(WeightsError, match="need the words of answer heads .*rel of 7.* rel of 8"):
        import_mdetr(tmp_path / "gqa.pth", vocabulary, answers=tmp_path / "words.json")


def test_an_imported_network_with_one_head_for_all_answers(tmp_path):
    of = replace(spec(answer_heads=(AnswerHead("", 3),)), alignment_dim=0)
    vocabulary = write(tmp_path / "gqa.pth", model=published(of)[0])
    (tmp_path / "words.json").write_text(json.dumps({"cup": 2, "star": 0, "no": 1}))
    loaded = import_mdetr(tmp_path / "gqa.pth", vocabulary, answers=tmp_path / "words.json").loaded
    assert loaded.spec.answer_heads == (AnswerHead("", 3, False, ("star", "no", "cup")),)
    said = Answerer(loaded)(np.zeros((64, 96, 3), np.uint8), "what is it?")
    assert (said.answer_type, said.answer in ("star", "no", "cup")) == ("", True)
