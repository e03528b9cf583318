"""Vision transformers with any stem: patchify (ViT_P), convolutional (ViT_C), and between.

Paper: Early Convolutions Help Transformers See Better (arXiv 2106.14881), sections 3 and 4.
Module names are timm's, so that its ViT weights load as they are.
Shapes: B batch, D width, T tokens, H W size of an image, G grid side, K classes.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eyespot.design.specs import Pooling, ViTStem
from eyespot.models.blocks import run_blocks
from eyespot.models.convnet import FeatureInfo, Level

Grid = tuple[int | torch.SymInt, int | torch.SymInt]
"""Height and width in tokens; not numbers yet while a graph for any size is exported."""

_SHORT = 640
"""Tokens up to which `attend` multiplies matrices itself on a CPU."""


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of a map."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the normed map."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class PatchEmbed(nn.Module):
    """Convolutions with norm and ReLU, then a projection to the token width.

    Args:
        stem: Layers and projection.
        in_chans: Channels of an image.
        dim: Token width D.
    """

    def __init__(self, stem: ViTStem, in_chans: int, dim: int) -> None:
        super().__init__()
        self.patch_size = stem.patch_size
        norm = nn.BatchNorm2d if stem.norm == "batch" else LayerNorm2d
        layers = nn.Sequential()
        w_in = in_chans
        for i, (width, (kernel, stride)) in enumerate(
            zip(stem.channels, stem.convs()[:-1], strict=True)
        ):
            layers.add_module(f"conv{i}", _stem_conv(w_in, width, kernel, stride, bias=False))
            layers.add_module(f"norm{i}", norm(width))
            layers.add_module(f"act{i}", nn.ReLU(inplace=True))
            w_in = width
        self.layers = layers
        self.proj = _stem_conv(w_in, dim, stem.proj_kernel, stem.proj_stride, bias=True)
        self.norm_after = nn.Sequential(norm(dim), nn.ReLU()) if stem.norm_after else nn.Identity()

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b d g g2"]:
        """Return the token map."""
        out: Tensor = self.norm_after(self.proj(self.layers(x)))
        return out


def _stem_conv(w_in: int, w_out: int, kernel: int, stride: int, *, bias: bool) -> nn.Conv2d:
    padding = 0 if kernel == stride > 1 else (kernel - 1) // 2
    return nn.Conv2d(w_in, w_out, kernel, stride=stride, padding=padding, bias=bias)


def attend(
    q: Float[Tensor, "b h t c"], k: Float[Tensor, "b h t c"], v: Float[Tensor, "b h t c"]
) -> Float[Tensor, "b h t c"]:
    """Return softmax(q k^T / sqrt(c)) v, each head on its own.

    On a CPU in bfloat16, two matrix products are 2 to 3 times faster than PyTorch's fused
    attention, which leaves the CPU's bfloat16 units idle; only for long sequences, whose scores
    outgrow the caches, is the fused one better. Scores are rounded to bfloat16 then: errors are
    1.4 to 2 times those of the fused one.
    """
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.shape[-2] <= _SHORT:
        scores: Tensor = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)  # [B, H, T, T]
        return scores.softmax(-1) @ v
    return F.scaled_dot_product_attention(q, k, v)


class Attention(nn.Module):
    """Multi-head self-attention.

    Args:
        dim: Token width D.
        num_heads: Heads; divides D.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Return the attended tokens."""
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))  # [B, T, 3, heads, D / heads]
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [B, heads, T, D / heads]
        out = attend(q, k, v)
        return self.proj(out.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class Mlp(nn.Sequential):
    """Linear, exact GELU, linear."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden_dim, dim)


class Block(nn.Module):
    """Pre-norm transformer block: attention, then MLP, each added to its input."""

    def __init__(self, dim: int, mlp_dim: int, num_heads: int, ln_eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=ln_eps)
        self.attn = Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=ln_eps)
        self.mlp = Mlp(dim, mlp_dim)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Return the block's output."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


def resample_grid(
    pos_embed: Float[Tensor, "1 t d"], grid: Grid, *, num_prefix: int
) -> Float[Tensor, "1 t2 d"]:
    """Resample position embeddings to another grid, bicubic with antialiasing.

    Args:
        pos_embed: Embeddings of the prefix tokens, then of a square grid, row by row.
        grid: Height and width of the new grid.
        num_prefix: Tokens before the grid; their embeddings stay.

    Raises:
        ValueError: If the grid part is not square.
    """
    prefix, old = pos_embed[:, :num_prefix], pos_embed[:, num_prefix:]
    side = math.isqrt(old.shape[1])
    if side * side != old.shape[1]:
        raise ValueError(f"need position embeddings of a square grid, got {old.shape[1]} of them")
    known = all(isinstance(length, int) for length in grid)
    if known and (side, side) == grid:
        return pos_embed
    maps = old.reshape(1, side, side, -1).permute(0, 3, 1, 2).float()  # [1, D, G, G]
    maps = F.interpolate(
        maps,
        size=grid,  # type: ignore[arg-type]  # whole numbers, or what stands for them
        mode="bicubic",
        antialias=True,
        align_corners=False,
    )
    new = maps.permute(0, 2, 3, 1).flatten(1, 2).to(old.dtype)  # [1, T2, D]
    return torch.cat([prefix, new], dim=1)


class ViT(nn.Module):
    """A vision transformer; the arguments are those of `ViTSpec`, which checks them.

    Images of another size than `image_size` are accepted if the patch size divides both sides:
    the position embeddings are resampled for them.

    Args:
        hidden_dim: Token width D.
        mlp_dim: Width of each MLP's hidden layer.
        num_heads: Attention heads.
        depth: Blocks.
        stem: From pixels to tokens.
        pooling: "token" or "mean".
        ln_eps: Epsilon of every layer norm.
        num_classes: Outputs K; 0 for none.
        image_size: Side of the images the position embeddings are for, px.
        in_chans: Channels of an image.
    """

    def __init__(
        self,
        *,
        hidden_dim: int,
        mlp_dim: int,
        num_heads: int,
        depth: int,
        stem: ViTStem,
        pooling: Pooling,
        ln_eps: float,
        num_classes: int,
        image_size: int,
        in_chans: int,
    ) -> None:
        super().__init__()
        self.num_features = hidden_dim
        self.num_classes = num_classes
        self.num_prefix_tokens = int(pooling == "token")
        self.in_chans = in_chans
        self.recompute: tuple[tuple[int, int], ...] = ()
        self.patch_embed = PatchEmbed(stem, in_chans, hidden_dim)
        grid = image_size // stem.patch_size
        self.cls_token = (
            nn.Parameter(torch.zeros(1, 1, hidden_dim)) if self.num_prefix_tokens else None
        )
        self.pos_embed = nn.Parameter(
            torch.empty(1, grid * grid + self.num_prefix_tokens, hidden_dim)
        )
        self.blocks = nn.Sequential(
            *(Block(hidden_dim, mlp_dim, num_heads, ln_eps) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(hidden_dim, eps=ln_eps)
        self.head: nn.Module = nn.Linear(hidden_dim, num_classes) if num_classes else nn.Identity()
        self.feature_info = FeatureInfo(
            Level(f"blocks.{i}", hidden_dim, stem.patch_size) for i in range(depth)
        )
        init_vit_(self)

    def tokens(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b t d"]:
        """Return the tokens of images, positions added, before the first block."""
        return self._embed(x)[0]

    def _embed(self, x: Tensor) -> tuple[Tensor, Grid]:
        """The tokens of images, and the height and width of their grid."""
        _check_tiles(x, self.patch_embed.patch_size)
        maps = self.patch_embed(x)  # [B, D, G, G]
        grid = (maps.shape[-2], maps.shape[-1])
        x = maps.flatten(2).transpose(1, 2)  # [B, G G, D]
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1)  # [B, T, D]
        return x + resample_grid(self.pos_embed, grid, num_prefix=self.num_prefix_tokens), grid

    def _run(self, first: int, end: int, x: Tensor) -> Tensor:
        groups = self.recompute if self.training else ()
        return run_blocks(list(self.blocks)[first:end], x, groups, first)

    def forward_features(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b t d"]:
        """Return all tokens after the last norm."""
        x = self.tokens(x)
        x = self._run(0, len(self.blocks), x)
        return self.norm(x)  # type: ignore[no-any-return]

    def forward_head(
        self, x: Float[Tensor, "b t d"], pre_logits: bool = False
    ) -> Float[Tensor, "b k"]:
        """Pool tokens and classify; with `pre_logits`, stop before the classifier."""
        x = x[:, 0] if self.num_prefix_tokens else x.mean(1)  # [B, D]
        return x if pre_logits else self.head(x)

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b k"]:
        """Return logits; pooled features if there is no classifier."""
        return self.forward_head(self.forward_features(x))

    def forward_intermediates(
        self, x: Float[Tensor, "b i h w"], indices: Sequence[int] | None = None
    ) -> list[Tensor]:
        """Return the outputs of blocks as maps [B, D, G, G], by index.

        Args:
            x: Images.
            indices: Which blocks, in the order wanted; all when not given.

        Raises:
            ValueError: If an index is out of range, or patches do not tile the images.
        """
        depth = len(self.feature_info)
        self.feature_info.select(indices or ())
        wanted = [i % depth for i in (range(depth) if indices is None else indices)]
        x, grid = self._embed(x)
        found: dict[int, Tensor] = {}
        first = 0
        for i in sorted(set(wanted)):
            x = self._run(first, i + 1, x)
            first = i + 1
            places = x[:, self.num_prefix_tokens :].transpose(1, 2)  # [B, D, G G]
            found[i] = places.reshape(*places.shape[:2], *grid)
        return [found[i] for i in wanted]

    def get_classifier(self) -> nn.Module:
        """Return the last linear layer."""
        return self.head

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the classifier by a new one, all zeros as at the start; 0 classes for none."""
        self.num_classes = num_classes
        self.head = nn.Identity()
        if num_classes:
            self.head = nn.Linear(self.num_features, num_classes, device=self.pos_embed.device)
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def set_grad_checkpointing(
        self, enable: bool = True, groups: Sequence[tuple[int, int]] = ()
    ) -> None:
        """Recompute blocks in the backward pass: less memory, more time, equal results.

        Args:
            enable: Whether to.
            groups: Blocks [begin, end) that are recomputed together; each by itself when empty.
        """
        each = tuple((i, i + 1) for i in range(len(self.blocks)))
        self.recompute = (tuple(groups) or each) if enable else ()

    def no_weight_decay(self) -> set[str]:
        """Return the parameters that timm's recipes never decay.

        Early Convolutions decays them; its recipes do not ask this method.
        """
        return {"pos_embed", "cls_token"}


def _check_tiles(images: Tensor, patch: int) -> None:
    height, width = images.shape[-2:]
    if height % patch or width % patch:
        raise ValueError(
            f"need an image whose sides the patch size {patch} divides, got {height}x{width} px"
        )


def init_vit_(model: ViT) -> None:
    """Draw a ViT's weights in place, as pycls' main branch does.

    Stem convolutions N(0, sqrt(2 / C_out)), with no k k; the projection N(0, sqrt(1 / fan)), with
    fan_in and truncation for a patchify stem and fan = C_out for the 1x1 one; attention as
    torch's MultiheadAttention; MLP Xavier-uniform with biases N(0, 1e-6); head and class token 0;
    positions N(0, 0.02).
    """
    for module in model.patch_embed.layers:
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / module.out_channels))
    proj = model.patch_embed.proj
    if len(model.patch_embed.layers):
        nn.init.normal_(proj.weight, 0.0, math.sqrt(1.0 / proj.out_channels))
    else:
        fan_in = proj.in_channels * proj.kernel_size[0] * proj.kernel_size[1]
        nn.init.trunc_normal_(proj.weight, 0.0, math.sqrt(1.0 / fan_in))
    assert proj.bias is not None
    nn.init.zeros_(proj.bias)
    if model.cls_token is not None:
        nn.init.zeros_(model.cls_token)
    nn.init.normal_(model.pos_embed, 0.0, 0.02)
    for block in model.blocks:
        assert isinstance(block, Block)
        nn.init.xavier_uniform_(block.attn.qkv.weight)
        nn.init.zeros_(block.attn.qkv.bias)
        nn.init.zeros_(block.attn.proj.bias)
        for linear in (block.mlp.fc1, block.mlp.fc2):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.normal_(linear.bias, 0.0, 1e-6)
    if isinstance(model.head, nn.Linear):
        nn.init.zeros_(model.head.weight)
        nn.init.zeros_(model.head.bias)
