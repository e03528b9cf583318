"""The segmentation head: attention maps of each query, refined by a feature pyramid.

Paper: MDETR (arXiv 2104.12763), section 4.2; DETR (arXiv 2005.12872), section 4.4. Unlike
DETR, attention is normalised over positions for each head, not over all heads together.
Parameter names are those of the published checkpoints.

Shapes: B images, Q queries, D width, h w of the coarsest map, H W of the finest.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from eyespot.models.mdetr import GroundingOutput, ImageFeatures, Memory, ModulatedDetector

_NORM_GROUPS = 8


class SegmentationOutput(NamedTuple):
    """Boxes and one mask for every query of the last decoder layer."""

    grounding: GroundingOutput
    mask_logits: Float[Tensor, "b q H W"]


class AttentionMap(nn.Module):
    """How much each query looks at each position, a map for every head.

    Args:
        dim: Width D of queries, features and projections.
        num_heads: Number of maps.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = dim // num_heads
        self.q_linear = nn.Linear(dim, dim)
        self.k_linear = nn.Linear(dim, dim)
        for layer in (self.q_linear, self.k_linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        queries: Float[Tensor, "b q d"],
        features: Float[Tensor, "b d h w"],
        pad_mask: Bool[Tensor, "b h w"],
    ) -> Float[Tensor, "b q heads h w"]:
        """Return maps that sum to one over the positions that are not padding."""
        batch, _, height, width = features.shape
        tokens = features.flatten(2).transpose(1, 2)  # [B, h*w, D]
        q = self.q_linear(queries).view(batch, -1, self.num_heads, self.head_dim)
        k = self.k_linear(tokens).view(batch, -1, self.num_heads, self.head_dim)
        scores = torch.einsum("bqnc,bsnc->bqns", q * self.head_dim**-0.5, k)
        scores = scores.masked_fill(pad_mask.flatten(1)[:, None, None, :], -torch.inf)
        return scores.softmax(dim=-1).view(batch, -1, self.num_heads, height, width)


class MaskHead(nn.Module):
    """Attention maps and features to mask logits, three times finer.

    Args:
        feature_dim: Channels of the projected feature, D in the published models.
        num_heads: Attention maps of each query.
        pyramid_dims: Channels of the three finer maps, coarsest first.
        dim: Width D; the layers after the first have D/2, D/4, D/8 and D/16 channels.

    Raises:
        ValueError: If D is not divisible by 128, or the heads not by 8.
    """

    def __init__(
        self, feature_dim: int, num_heads: int, pyramid_dims: Sequence[int], *, dim: int
    ) -> None:
        super().__init__()
        if dim % (16 * _NORM_GROUPS) or (feature_dim + num_heads) % _NORM_GROUPS:
            raise ValueError(
                f"need a width divisible by 128 and heads divisible by 8 to draw masks, got {dim} "
                f"and {num_heads}"
            )
        first = feature_dim + num_heads
        dims = (first, first, dim // 2, dim // 4, dim // 8, dim // 16)
        self.feature_dim = feature_dim
        for i, (before, after) in enumerate(pairwise(dims), start=1):
            self.add_module(f"lay{i}", nn.Conv2d(before, after, 3, padding=1))
            self.add_module(f"gn{i}", nn.GroupNorm(_NORM_GROUPS, after))
        self.out_lay = nn.Conv2d(dims[-1], 1, 3, padding=1)
        for i, (finer, width) in enumerate(zip(pyramid_dims, dims[2:5], strict=True), start=1):
            self.add_module(f"adapter{i}", nn.Conv2d(finer, width, 1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.kaiming_uniform_(module.weight, a=1)
                nn.init.zeros_(module.bias)

    def forward(
        self,
        feature: Float[Tensor, "b d h w"],
        attention: Float[Tensor, "b q heads h w"],
        pyramid: Sequence[Float[Tensor, "b _ _ _"]],
    ) -> Float[Tensor, "b q H W"]:
        """Return one mask for every query.

        Args:
            feature: The projected backbone feature.
            attention: From `AttentionMap`.
            pyramid: The backbone's three finer maps, coarsest first.
        """
        batch, queries = attention.shape[:2]
        x = self._first_layer(feature, attention)
        x = self._layer(2, x)
        for i, finer in enumerate(pyramid, start=1):
            skip = self.get_submodule(f"adapter{i}")(finer).unsqueeze(1)  # [B, 1, C, H', W']
            x = F.interpolate(x, size=finer.shape[-2:], mode="nearest")
            x = (x.view(batch, queries, *x.shape[1:]) + skip).flatten(0, 1)
            x = self._layer(i + 2, x)
        logits: Tensor = self.out_lay(x)
        return logits.view(batch, queries, *logits.shape[2:])

    def _layer(self, i: int, x: Tensor) -> Tensor:
        normed: Tensor = self.get_submodule(f"gn{i}")(self.get_submodule(f"lay{i}")(x))
        return normed.relu()

    def _first_layer(self, feature: Tensor, attention: Tensor) -> Tensor:
        """Convolve [feature ; attention]; the feature's part is the same for every query."""
        layer = self.get_submodule("lay1")
        assert isinstance(layer, nn.Conv2d)
        of_feature = layer.weight[:, : self.feature_dim]
        of_attention = layer.weight[:, self.feature_dim :]
        shared = F.conv2d(feature, of_feature, layer.bias, padding=1).unsqueeze(1)
        own = F.conv2d(attention.flatten(0, 1), of_attention, padding=1)
        x = shared + own.view(*attention.shape[:2], *own.shape[1:])  # [B, Q, C, h, w]
        normed: Tensor = self.get_submodule("gn1")(x.flatten(0, 1))
        return normed.relu()


class SegmentingDetector(nn.Module):
    """A detector whose queries also draw masks.

    Args:
        detector: Its backbone returns four maps, finest first.
        num_heads: Attention maps of each query.
        map_dims: Channels of the backbone's four maps, finest first.
    """

    def __init__(
        self, detector: ModulatedDetector, num_heads: int, map_dims: Sequence[int]
    ) -> None:
        super().__init__()
        self.detr = detector
        self.bbox_attention = AttentionMap(detector.dim, num_heads)
        self.mask_head = MaskHead(detector.dim, num_heads, map_dims[-2::-1], dim=detector.dim)

    def forward(
        self,
        images: Float[Tensor, "b 3 hpx wpx"],
        pad_mask: Bool[Tensor, "b hpx wpx"],
        token_ids: Int[Tensor, "b k"],
        text_pad_mask: Bool[Tensor, "b k"],
    ) -> SegmentationOutput:
        """Detect and segment what each caption names; see `ModulatedDetector.forward`."""
        image = self.detr.encode_image(images, pad_mask)
        text = self.detr.encode_text(token_ids, text_pad_mask)
        memory = self.detr.fuse(image, text, text_pad_mask)
        found = self.detr.decode(memory)
        return SegmentationOutput(found, self.draw(image, memory, found))

    def draw(
        self, image: ImageFeatures, memory: Memory, found: GroundingOutput
    ) -> Float[Tensor, "b q H W"]:
        """Return mask logits of the last decoder layer's queries."""
        positions = image.pad_mask[0].numel()
        encoded = memory.tokens[:, :positions].transpose(1, 2).reshape(image.projected.shape)
        attention = self.bbox_attention(found.queries[-1], encoded, image.pad_mask)
        masks: Tensor = self.mask_head(image.projected, attention, image.maps[-2::-1])
        return masks


def detector_of(model: nn.Module) -> ModulatedDetector:
    """Return the detector itself, without a segmentation head around it."""
    detector = model.detr if isinstance(model, SegmentingDetector) else model
    assert isinstance(detector, ModulatedDetector), "grounding networks are one of these two"
    return detector
