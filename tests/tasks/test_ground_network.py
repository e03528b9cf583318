"""What the names of a grounding recipe's network stand for."""

from dataclasses import replace

import pytest
import torch

from eyespot.data.tokens import scenes_tokenizer
from eyespot.models.grounder import build_grounder
from eyespot.tasks.ground_network import Network, network_spec

# Sizes that Hugging Face's configuration files have beside its defaults, and parameters, in
# millions, as its model cards print them (of the whole language model).
PUBLISHED = {
    "roberta-base": ({}, 125),
    "distilroberta-base": ({"num_hidden_layers": 6}, 82),
    "roberta-large": (
        {
            "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
            "intermediate_size": 4096,
        },
        355,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_text_encoders_are_as_large_as_published(name):
    transformers = pytest.importorskip("transformers", reason="the oracle is an extra")
    sizes, millions = PUBLISHED[name]
    network = Network(backbone="RegNetX-200MF", text=name)
    with torch.device("meta"):
        config = transformers.RobertaConfig(
            vocab_size=50265,
            max_position_embeddings=514,
            type_vocab_size=1,
            pad_token_id=1,
            **sizes,
        )
        oracle = transformers.RobertaModel(config)
        spec = network_spec(network, scenes_tokenizer(max_tokens=60))
        model = build_grounder(replace(spec, num_encoder_layers=1, num_decoder_layers=1))
    found = {k: v.shape for k, v in model.transformer.text_encoder.state_dict().items()}
    assert found == {k: v.shape for k, v in oracle.state_dict().items() if "_ids" not in k}
    assert spec.text.num_heads == config.num_attention_heads
    counted = sum(p.numel() for p in model.transformer.text_encoder.parameters())
    assert counted == sum(p.numel() for p in oracle.parameters())
    assert counted / 1e6 == pytest.approx(millions, abs=0.5)
    resizer = model.transformer.resizer.state_dict()["fc.weight"]
    assert resizer.shape == (256, config.hidden_size)
