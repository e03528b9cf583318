"""RoBERTa, the text encoder; parameter names are those of Hugging Face's `RobertaModel`.

Paper: RoBERTa (arXiv 1907.11692). Post-norm transformer with learned positions, counted from
`pad_token_id` + 1 over the tokens that are not padding.

Shapes: B captions, K tokens, D width.
"""

from collections import OrderedDict
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


@dataclass(frozen=True)
class RobertaSizes:
    """Sizes of a RoBERTa; the defaults are roberta-base.

    Args:
        vocab_size: Number of tokens.
        dim: Width D.
        num_layers: 12; distilroberta-base has 6.
        num_heads: Divides the width.
        ffn_dim: Hidden width of the feed-forward nets.
        num_positions: Longest caption plus `pad_token_id` + 1.
        pad_token_id: Of padding.
        norm_eps: Of the layer norms.
        dropout: On embeddings, attention weights and residuals, in training.
    """

    vocab_size: int = 50265
    dim: int = 768
    num_layers: int = 12
    num_heads: int = 12
    ffn_dim: int = 3072
    num_positions: int = 514
    pad_token_id: int = 1
    norm_eps: float = 1e-5
    dropout: float = 0.1

    @property
    def max_tokens(self) -> int:
        """The most tokens a caption can have, special ones included."""
        return self.num_positions - self.pad_token_id - 1


class Roberta(nn.Module):
    """Token numbers to features.

    Args:
        sizes: Sizes of the network.
        with_pooler: Also build the pooler that checkpoints hold; nothing here uses it.
    """

    def __init__(self, sizes: RobertaSizes, *, with_pooler: bool = True) -> None:
        super().__init__()
        self.sizes = sizes
        self.embeddings = self._make_embeddings()
        layers = nn.ModuleList(_Layer(sizes) for _ in range(sizes.num_layers))
        self.encoder = nn.ModuleDict({"layer": layers})
        if with_pooler:
            self.pooler = nn.ModuleDict({"dense": nn.Linear(sizes.dim, sizes.dim)})
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def _make_embeddings(self) -> nn.Module:
        return _Embeddings(self.sizes)

    def forward(
        self, token_ids: Int[Tensor, "b k"], pad_mask: Bool[Tensor, "b k"]
    ) -> Float[Tensor, "b k d"]:
        """Return a feature for every token; those of padding mean nothing.

        Args:
            token_ids: Captions between their begin and end tokens, padded.
            pad_mask: True on padding.

        Raises:
            ValueError: If a caption is longer than the network has positions for.
        """
        if token_ids.shape[1] > self.sizes.max_tokens:
            raise ValueError(
                f"need captions of at most {self.sizes.max_tokens} tokens, got "
                f"{token_ids.shape[1]}; split the caption"
            )
        features: Tensor = self.embeddings(token_ids)
        attend = ~pad_mask[:, None, None, :]
        for layer in self.encoder["layer"].children():
            features = layer(features, attend)
        return features


class _Embeddings(nn.Module):
    def __init__(self, sizes: RobertaSizes) -> None:
        super().__init__()
        pad = sizes.pad_token_id
        self.word_embeddings = nn.Embedding(sizes.vocab_size, sizes.dim, padding_idx=pad)
        self.position_embeddings = nn.Embedding(sizes.num_positions, sizes.dim, padding_idx=pad)
        self.token_type_embeddings = nn.Embedding(1, sizes.dim)
        self.LayerNorm = nn.LayerNorm(sizes.dim, eps=sizes.norm_eps)
        self.dropout = nn.Dropout(sizes.dropout)
        self.pad_token_id = pad

    def forward(self, token_ids: Tensor) -> Tensor:
        is_token = token_ids != self.pad_token_id
        positions = is_token.cumsum(dim=1) * is_token + self.pad_token_id
        summed = self.word_embeddings(token_ids) + self.position_embeddings(positions)
        normed: Tensor = self.LayerNorm(summed + self.token_type_embeddings.weight[0])
        dropped: Tensor = self.dropout(normed)
        return dropped


class _SelfAttention(nn.Module):
    def __init__(self, sizes: RobertaSizes) -> None:
        super().__init__()
        self.query = nn.Linear(sizes.dim, sizes.dim)
        self.key = nn.Linear(sizes.dim, sizes.dim)
        self.value = nn.Linear(sizes.dim, sizes.dim)
        self.num_heads = sizes.num_heads
        self.dropout = sizes.dropout

    def forward(self, features: Tensor, attend: Tensor) -> Tensor:
        heads = *features.shape[:2], self.num_heads, -1
        projections = (self.query, self.key, self.value)
        q, k, v = (p(features).view(heads).transpose(1, 2) for p in projections)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=attend, dropout_p=dropout)
        return mixed.transpose(1, 2).flatten(2)


class _AddAndNorm(nn.Module):
    """Linear, dropout, residual, norm."""

    def __init__(self, in_dim: int, sizes: RobertaSizes) -> None:
        super().__init__()
        self.dense = nn.Linear(in_dim, sizes.dim)
        self.LayerNorm = nn.LayerNorm(sizes.dim, eps=sizes.norm_eps)
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        normed: Tensor = self.LayerNorm(self.dropout(self.dense(hidden)) + residual)
        return normed


class _Attention(nn.ModuleDict):
    def __init__(self, sizes: RobertaSizes) -> None:
        super().__init__({"self": _SelfAttention(sizes), "output": _AddAndNorm(sizes.dim, sizes)})

    def forward(self, features: Tensor, attend: Tensor) -> Tensor:
        mixed = self["self"](features, attend)
        added: Tensor = self["output"](mixed, features)
        return added


class _Layer(nn.Module):
    def __init__(self, sizes: RobertaSizes) -> None:
        super().__init__()
        self.attention = _Attention(sizes)
        self.intermediate = nn.Sequential(
            OrderedDict(dense=nn.Linear(sizes.dim, sizes.ffn_dim), gelu=nn.GELU())
        )
        self.output = _AddAndNorm(sizes.ffn_dim, sizes)

    def forward(self, features: Tensor, attend: Tensor) -> Tensor:
        features = self.attention(features, attend)
        added: Tensor = self.output(self.intermediate(features), features)
        return added
