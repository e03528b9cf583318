"""Text encoders from files as Hugging Face writes them: all of it or nothing."""

import pytest
import torch
from safetensors.torch import save_file

from eyespot.errors import WeightsError
from eyespot.models.bert import Bert, BertSizes
from eyespot.models.roberta import Roberta, RobertaSizes
from eyespot.weights.text_encoders import load_text_encoder

BERT = BertSizes(vocab_size=30, dim=8, num_layers=1, num_heads=2, ffn_dim=8, num_positions=9)
ROBERTA = RobertaSizes(vocab_size=30, dim=8, num_layers=1, num_heads=2, ffn_dim=8, num_positions=9)


@pytest.mark.parametrize(
    ("make", "prefix", "more"),
    [
        (lambda: Bert(BERT), "", {"embeddings.position_ids": torch.arange(9)}),
        (lambda: Roberta(ROBERTA), "roberta.", {"lm_head.bias": torch.zeros(30)}),
    ],
)
def test_published_files(tmp_path, make, prefix, more):
    torch.manual_seed(0)
    theirs = make()
    tensors = {prefix + key: value.clone() for key, value in theirs.state_dict().items()}
    save_file({**tensors, **more}, tmp_path / "model.safetensors")
    ours = make()
    notes = load_text_encoder(ours, tmp_path)
    assert all(torch.equal(ours.state_dict()[k], v) for k, v in theirs.state_dict().items())
    assert len(notes) == (2 if prefix else 0)


def test_a_file_without_pooler_is_enough(tmp_path):
    theirs = Bert(BERT, with_pooler=False)
    save_file(theirs.state_dict(), tmp_path / "a.safetensors")
    assert load_text_encoder(Bert(BERT), tmp_path / "a.safetensors") == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("embeddings.LayerNorm.bias"), "missing: embeddings.LayerNorm.bias"),
        (lambda t: t.update(extra=torch.zeros(2)), "not used: extra"),
        (
            lambda t: t.update({"embeddings.LayerNorm.bias": torch.zeros(3)}),
            "of another shape: embeddings.LayerNorm.bias",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_changes(tmp_path, change, message):
    tensors = dict(Bert(BERT).state_dict())
    change(tensors)
    save_file(tensors, tmp_path / "a.safetensors")
    ours = Bert(BERT)
    before = {key: value.clone() for key, value in ours.state_dict().items()}
    with pytest.raises(WeightsError, match=message):
        load_text_encoder(ours, tmp_path / "a.safetensors")
    assert all(torch.equal(ours.state_dict()[key], value) for key, value in before.items())
    with pytest.raises(WeightsError, match="need model.safetensors or"):
        load_text_encoder(ours, tmp_path)
