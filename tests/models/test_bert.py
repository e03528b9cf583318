import pytest
import torch
from torch.testing import assert_close

from eyespot.models.bert import Bert, BertSizes

SIZES = BertSizes(vocab_size=40, dim=24, num_layers=2, num_heads=4, ffn_dim=32, num_positions=12)


def tokens_and_padding():
    ids = torch.randint(4, 40, (3, 9), generator=torch.Generator().manual_seed(0))
    for row, length in enumerate((9, 6, 2)):
        ids[row, length:] = SIZES.pad_token_id
    return ids, ids == SIZES.pad_token_id


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_transformers(dtype):
    transformers = pytest.importorskip("transformers", reason="the oracle is an extra")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=24, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=32, max_position_embeddings=12, pad_token_id=0,
    )  # fmt: skip
    oracle = transformers.BertModel(config).to(dtype).eval()
    mine = Bert(SIZES).to(dtype).eval()
    mine.load_state_dict({k: v for k, v in oracle.state_dict().items() if "_ids" not in k})
    ids, pad_mask = tokens_and_padding()
    with torch.no_grad():
        expected = oracle(ids, attention_mask=(~pad_mask).long()).last_hidden_state
        found = mine(ids, pad_mask)
    assert_close(found[~pad_mask], expected[~pad_mask])


def test_a_caption_longer_than_the_positions_is_refused():
    assert SIZES.max_tokens == 12
    ids = torch.ones(1, 13, dtype=torch.long)
    with pytest.raises(ValueError, match="at most 12 tokens, got 13"):
        Bert(SIZES)(ids, torch.zeros(1, 13, dtype=torch.bool))


def test_padding_changes_nothing():
    torch.manual_seed(0)
    model = Bert(SIZES).eval()
    ids, pad_mask = tokens_and_padding()
    together = model(ids, pad_mask)
    alone = model(ids[1:2, :6], pad_mask[1:2, :6])
    assert_close(together[1, :6], alone[0])
