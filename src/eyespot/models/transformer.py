"""The encoder and decoder of modulated detection, over image and text tokens together.

Paper: MDETR (arXiv 2104.12763), section 2.1; DETR (arXiv 2005.12872), appendix A.3. Layers
normalise after each residual, have ReLU feed-forward nets, and add positions to queries and
keys only. Parameter names are those of the published checkpoints.

Shapes: B images, S tokens (image positions, then caption tokens), Q queries, D width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention with one packed projection for queries, keys and values.

    Args:
        dim: Width D.
        num_heads: Divides D.
        dropout: On the attention weights, in training.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"need a width divisible by the heads, got {dim} and {num_heads}")
        self.num_heads = num_heads
        self.dropout = dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.xavier_uniform_(self.out_proj.weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Float[Tensor, "b q d"],
        key: Float[Tensor, "b s d"],
        value: Float[Tensor, "b s d"],
        pad_mask: Bool[Tensor, "b s"] | None = None,
    ) -> Float[Tensor, "b q d"]:
        """Attend from the queries to the values; True in `pad_mask` is not attended to."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        q, k, v = (
            F.linear(x, w, b).view(*x.shape[:2], self.num_heads, -1).transpose(1, 2)
            for x, w, b in zip((query, key, value), weights, biases, strict=True)
        )  # [B, heads, Q or S, D / heads]
        mask = None if pad_mask is None else ~pad_mask[:, None, None, :]
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        result: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return result


class EncoderLayer(nn.Module):
    """Self-attention over image and text tokens, then a feed-forward net.

    Args:
        dim: Width D.
        num_heads: Of the attention.
        ffn_dim: Hidden width of the feed-forward net.
        dropout: Everywhere, in training.
    """

    def __init__(self, dim: int, num_heads: int, ffn_dim: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = Attention(dim, num_heads, dropout)
        self.linear1 = nn.Linear(dim, ffn_dim)
        self.linear2 = nn.Linear(ffn_dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        tokens: Float[Tensor, "b s d"],
        position: Float[Tensor, "b s d"],
        pad_mask: Bool[Tensor, "b s"],
    ) -> Float[Tensor, "b s d"]:
        """Return the tokens after one layer."""
        placed = tokens + position
        mixed = self.self_attn(placed, placed, tokens, pad_mask)
        tokens = self.norm1(tokens + self.dropout(mixed))
        hidden = self.linear2(self.dropout(self.linear1(tokens).relu()))
        result: Tensor = self.norm2(tokens + self.dropout(hidden))
        return result


class DecoderLayer(nn.Module):
    """Self-attention among queries, cross-attention to the memory, a feed-forward net.

    Args:
        dim: Width D.
        num_heads: Of both attentions.
        ffn_dim: Hidden width of the feed-forward net.
        dropout: Everywhere, in training.
    """

    def __init__(self, dim: int, num_heads: int, ffn_dim: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = Attention(dim, num_heads, dropout)
        self.cross_attn_image = Attention(dim, num_heads, dropout)
        self.linear1 = nn.Linear(dim, ffn_dim)
        self.linear2 = nn.Linear(ffn_dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)  # published checkpoints have no norm2
        self.norm4 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        queries: Float[Tensor, "b q d"],
        query_position: Float[Tensor, "b q d"],
        memory: Float[Tensor, "b s d"],
        placed_memory: Float[Tensor, "b s d"],
        pad_mask: Bool[Tensor, "b s"],
    ) -> Float[Tensor, "b q d"]:
        """Return the queries after one layer.

        Args:
            queries: From the layer before.
            query_position: The learned queries.
            memory: The encoder's output, image and text.
            placed_memory: The memory plus its positions.
            pad_mask: True on padding of the memory.
        """
        placed = queries + query_position
        queries = self.norm1(queries + self.dropout(self.self_attn(placed, placed, queries)))
        placed = queries + query_position
        mixed = self.cross_attn_image(placed, placed_memory, memory, pad_mask)
        queries = self.norm3(queries + self.dropout(mixed))
        hidden = self.linear2(self.dropout(self.linear1(queries).relu()))
        result: Tensor = self.norm4(queries + self.dropout(hidden))
        return result


class Encoder(nn.Module):
    """Encoder layers in a row, without a norm at the end."""

    def __init__(self, layers: Sequence[EncoderLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(
        self,
        tokens: Float[Tensor, "b s d"],
        position: Float[Tensor, "b s d"],
        pad_mask: Bool[Tensor, "b s"],
    ) -> Float[Tensor, "b s d"]:
        """Return the memory."""
        for layer in self.layers:
            tokens = layer(tokens, position, pad_mask)
        return tokens


class Decoder(nn.Module):
    """Decoder layers in a row; one norm is shared by the outputs of all."""

    def __init__(self, layers: Sequence[DecoderLayer], dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        query_position: Float[Tensor, "b q d"],
        memory: Float[Tensor, "b s d"],
        position: Float[Tensor, "b s d"],
        pad_mask: Bool[Tensor, "b s"],
    ) -> Float[Tensor, "l b q d"]:
        """Return the normed queries after every layer; they start as zeros."""
        placed_memory = memory + position
        queries, outputs = torch.zeros_like(query_position), []
        for layer in self.layers:
            queries = layer(queries, query_position, memory, placed_memory, pad_mask)
            outputs.append(self.norm(queries))
        return torch.stack(outputs)


class FeatureResizer(nn.Module):
    """Text features to the transformer's width: linear, norm, dropout.

    Args:
        in_dim: Width of the text encoder.
        out_dim: Width D.
        dropout: In training.
    """

    def __init__(self, in_dim: int, out_dim: int, dropout: float) -> None:
        super().__init__()
        self.fc = nn.Linear(in_dim, out_dim)
        self.layer_norm = nn.LayerNorm(out_dim, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Float[Tensor, "*b d_text"]) -> Float[Tensor, "*b d"]:
        """Return the resized features."""
        resized: Tensor = self.dropout(self.layer_norm(self.fc(features)))
        return resized


def xavier_init_(module: nn.Module) -> None:
    """Draw every weight matrix Xavier-uniformly, as the published training did."""
    for parameter in module.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)


def tie_queries_to_keys_(module: nn.Module) -> None:
    """Start every attention with equal projections of queries and keys, so that like finds like.

    Paper: Mimetic Initialization (arXiv 2305.09828), section 3.
    """
    for attention in module.modules():
        if isinstance(attention, Attention):
            dim = attention.out_proj.in_features
            with torch.no_grad():
                weight = attention.in_proj_weight
                weight[dim : 2 * dim] = weight[:dim]
