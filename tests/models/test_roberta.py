import pytest
import torch
from torch.testing import assert_close

from eyespot.models.roberta import Roberta, RobertaSizes

SIZES = RobertaSizes(vocab_size=40, dim=24, num_layers=2, num_heads=4, ffn_dim=32, num_positions=20)


def tokens_and_padding():
    ids = torch.randint(4, 40, (3, 9), generator=torch.Generator().manual_seed(0))
    for row, length in enumerate((9, 6, 2)):
        ids[row, length:] = SIZES.pad_token_id
    return ids, ids == SIZES.pad_token_id


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_transformers(dtype):
    transformers = pytest.importorskip("transformers", reason="the oracle is an extra")
    torch.manual_seed(0)
    config = transformers.RobertaConfig(
        vocab_size=40, hidden_size=24, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=32, max_position_embeddings=20, type_vocab_size=1,
        pad_token_id=1, layer_norm_eps=1e-5,
    )  # fmt: skip
    oracle = transformers.RobertaModel(config).to(dtype).eval()
    mine = Roberta(SIZES).to(dtype).eval()
    mine.load_state_dict({k: v for k, v in oracle.state_dict().items() if "_ids" not in k})
    ids, pad_mask = tokens_and_padding()
    with torch.no_grad():
        expected = oracle(ids, attention_mask=(~pad_mask).long()).last_hidden_state
        found = mine(ids, pad_mask)
    assert_close(found[~pad_mask], expected[~pad_mask], rtol=1e-5, atol=1e-5)


def test_padding_changes_nothing():
    model = Roberta(SIZES).double().eval()
    ids, pad_mask = tokens_and_padding()
    alone = model(ids[1:2, :6], pad_mask[1:2, :6])
    assert_close(model(ids, pad_mask)[1:2, :6], alone)


def test_the_published_size():
    with torch.device("meta"):
        model = Roberta(RobertaSizes())
    assert sum(p.numel() for p in model.parameters()) == 124_645_632
    assert len(model.state_dict()) == 199


def test_a_caption_too_long_is_refused_with_its_length():
    ids = torch.full((1, 19), 5)
    with pytest.raises(ValueError, match="at most 18 tokens, got 19"):
        Roberta(SIZES)(ids, ids == 1)
