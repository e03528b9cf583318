"""Weights files of grounders: they describe themselves, and nothing is lost in silence."""

import pytest
import torch

from eyespot.errors import WeightsError
from eyespot.models.grounder import build_grounder
from eyespot.models.mdetr import AnswerHead
from eyespot.weights.files import read_file, save_weights
from eyespot.weights.grounders import (
    load_grounder_weights,
    read_grounder,
    save_grounder,
)
from tests.predict.grounders import small_grounder, small_spec


@pytest.fixture
def path(tmp_path):
    save_grounder(*small_grounder(), tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors"


def test_there_and_back(path):
    model, spec, tokenizer = small_grounder()
    again = read_grounder(path)
    assert again.spec == spec
    assert again.tokenizer.encode("a red cup") == tokenizer.encode("a red cup")
    assert again.tokenizer.max_tokens == spec.max_tokens
    state = again.model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())


def test_damaged_headers_and_tensors_are_explained(path, tmp_path):
    contents = read_file(path)
    other = tmp_path / "b.safetensors"
    save_weights(contents.tree, other, {**contents.metadata, "grounder": "{"})
    with pytest.raises(WeightsError, match="need a header"):
        read_grounder(other)
    save_weights(contents.tree, other, {**contents.metadata, "tokenizer": "{"})
    with pytest.raises(WeightsError, match="need a header"):
        read_grounder(other)
    tensors = {k: v for k, v in contents.tree.items() if k != "class_embed.bias"}
    save_weights(tensors, other, contents.metadata)
    with pytest.raises(WeightsError, match="class_embed.bias"):
        read_grounder(other)


def test_new_heads_begin_fresh_and_are_named(path):
    model = build_grounder(small_spec(with_is_final=True))
    assert load_grounder_weights(model, path) == ["new weights for isfinal_embed"]
    stored = read_file(path).tree
    assert torch.equal(model.state_dict()["class_embed.weight"], stored["class_embed.weight"])
    with pytest.raises(WeightsError, match="that do not, such as"):
        load_grounder_weights(build_grounder(small_spec(num_classes=50)), path)


def test_a_detectors_weights_begin_a_segmenting_one(tmp_path):
    wide = {"dim": 128, "num_heads": 8}
    save_grounder(*small_grounder(**wide), tmp_path / "a.safetensors")
    model = build_grounder(small_spec(with_masks=True, **wide))
    notes = load_grounder_weights(model, tmp_path / "a.safetensors")
    assert notes == ["new weights for bbox_attention, mask_head"]
    stored = read_file(tmp_path / "a.safetensors").tree
    assert torch.equal(model.state_dict()["detr.class_embed.bias"], stored["class_embed.bias"])


def test_heads_that_a_network_does_without_are_left_out_and_named(tmp_path):
    full = small_grounder(with_is_final=True, answer_heads=(AnswerHead("", 4),))
    save_grounder(*full, tmp_path / "a.safetensors")
    model = build_grounder(small_spec(alignment_dim=0))
    (note,) = load_grounder_weights(model, tmp_path / "a.safetensors")
    assert note.endswith(
        ": answer_head, contrastive_align_projection_image, contrastive_align_projection_text, "
        "isfinal_embed, qa_embed"
    )
    stored = full.model.state_dict()
    assert torch.equal(model.state_dict()["class_embed.weight"], stored["class_embed.weight"])
    other = build_grounder(small_spec(answer_heads=(AnswerHead("", 5),)))
    with pytest.raises(WeightsError, match=r"such as answer_head"):
        load_grounder_weights(other, tmp_path / "a.safetensors")
