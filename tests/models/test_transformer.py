import pytest
import torch
from torch import nn
from torch.testing import assert_close

from eyespot.models.transformer import (
    Attention,
    DecoderLayer,
    EncoderLayer,
    FeatureResizer,
)
from tests.reference import read_json

VECTORS = read_json("mdetr_vectors.json")
ENCODER, DECODER = VECTORS["encoder_layer"], VECTORS["decoder_layer"]
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def loaded(module, case, dtype):
    state = {name: torch.tensor(value) for name, value in case["state_dict"].items()}
    module.load_state_dict(state)
    return module.to(dtype).eval()


def batch_first(value, dtype):
    return torch.tensor(value, dtype=dtype).transpose(0, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_encoder_layer_matches_reference(dtype):
    ffn = len(ENCODER["state_dict"]["linear1.bias"])
    layer = loaded(EncoderLayer(ENCODER["d_model"], ENCODER["nhead"], ffn, 0.1), ENCODER, dtype)
    tokens, position = (batch_first(ENCODER[k], dtype) for k in ("src_SBD", "pos"))
    pad_mask = torch.tensor(ENCODER["key_padding_mask_BS"], dtype=torch.bool)
    found = layer(tokens, position, pad_mask)
    assert_close(found, batch_first(ENCODER["expected"], dtype), **TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_decoder_layer_matches_reference(dtype):
    ffn = len(DECODER["state_dict"]["linear1.bias"])
    layer = loaded(DecoderLayer(DECODER["d_model"], DECODER["nhead"], ffn, 0.1), DECODER, dtype)
    queries, position = (batch_first(DECODER[k], dtype) for k in ("tgt_QBD", "query_pos"))
    memory, memory_position = (batch_first(ENCODER[k], dtype) for k in ("src_SBD", "pos"))
    pad_mask = torch.tensor(ENCODER["key_padding_mask_BS"], dtype=torch.bool)
    found = layer(queries, position, memory, memory + memory_position, pad_mask)
    assert_close(found, batch_first(DECODER["expected"], dtype), **TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_resizer_matches_reference(dtype):
    case = VECTORS["feature_resizer"]
    out_dim, in_dim = torch.tensor(case["state_dict"]["fc.weight"]).shape
    resizer = loaded(FeatureResizer(in_dim, out_dim, 0.1), case, dtype)
    assert resizer.layer_norm.eps == case["layer_norm_eps"]
    found = resizer(torch.tensor(case["input"], dtype=dtype))
    assert_close(found, torch.tensor(case["expected"], dtype=dtype), **TOLERANCE)


def test_attention_equals_torch():
    torch.manual_seed(0)
    oracle = nn.MultiheadAttention(12, 3, batch_first=True).double()
    mine = Attention(12, 3, 0.0).double()
    mine.load_state_dict(oracle.state_dict())
    query, key, value = (torch.randn(2, n, 12, dtype=torch.float64) for n in (4, 5, 5))
    pad_mask = torch.tensor([[False] * 5, [False, False, True, True, True]])
    expected, _ = oracle(query, key, value, key_padding_mask=pad_mask)
    assert_close(mine(query, key, value, pad_mask), expected)


def test_padding_changes_nothing():
    layer = EncoderLayer(8, 2, 16, 0.1).double().eval()
    tokens, position = torch.randn(2, 1, 6, 8, dtype=torch.float64)
    pad_mask = torch.tensor([[False, False, False, True, True, True]])
    alone = layer(tokens[:, :3], position[:, :3], pad_mask[:, :3])
    assert_close(layer(tokens, position, pad_mask)[:, :3], alone)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="got 10 and 4"):
        Attention(10, 4, 0.0)
