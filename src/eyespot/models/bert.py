"""BERT, a text encoder; parameter names are those of Hugging Face's `BertModel`.

Paper: BERT (arXiv 1810.04805). The layers are RoBERTa's; positions count from 0 over all tokens,
and tokens are of one of several types, here always the first.

Shapes: B captions, K tokens, D width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from eyespot.models.roberta import Roberta, RobertaSizes


@dataclass(frozen=True)
class BertSizes(RobertaSizes):
    """Sizes of a BERT; the defaults are bert-base-uncased.

    all-MiniLM-L6-v2 has dim 384, 6 layers, ffn_dim 1536.

    Args:
        num_token_types: Rows of the type embedding.
    """

    vocab_size: int = 30522
    num_positions: int = 512
    pad_token_id: int = 0
    norm_eps: float = 1e-12
    num_token_types: int = 2

    @property
    def max_tokens(self) -> int:
        """The most tokens a caption can have, special ones included."""
        return self.num_positions


class Bert(Roberta):
    """Token numbers to features; see `Roberta`."""

    sizes: BertSizes

    def __init__(self, sizes: BertSizes, *, with_pooler: bool = True) -> None:
        super().__init__(sizes, with_pooler=with_pooler)

    def _make_embeddings(self) -> nn.Module:
        return _Embeddings(self.sizes)


class _Embeddings(nn.Module):
    def __init__(self, sizes: BertSizes) -> None:
        super().__init__()
        pad = sizes.pad_token_id
        self.word_embeddings = nn.Embedding(sizes.vocab_size, sizes.dim, padding_idx=pad)
        self.position_embeddings = nn.Embedding(sizes.num_positions, sizes.dim)
        self.token_type_embeddings = nn.Embedding(sizes.num_token_types, sizes.dim)
        self.LayerNorm = nn.LayerNorm(sizes.dim, eps=sizes.norm_eps)
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, token_ids: Tensor) -> Tensor:
        places = torch.arange(token_ids.shape[1], device=token_ids.device)
        summed = self.word_embeddings(token_ids) + self.position_embeddings(places)
        normed: Tensor = self.LayerNorm(summed + self.token_type_embeddings.weight[0])
        dropped: Tensor = self.dropout(normed)
        return dropped
