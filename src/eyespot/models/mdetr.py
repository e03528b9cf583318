"""The modulated detector: an image and a caption in, boxes aligned with the caption's words out.

Paper: MDETR (arXiv 2104.12763), section 2. Parameter names are those of the published
checkpoints, so that only the image backbone needs a key map.

Shapes: B images, H W feature positions, K caption tokens, S = H W + K, Q object queries,
L decoder layers, T classes (token positions, the last one "no object"), D width, E alignment
width.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from eyespot.models.position import sine_encoding
from eyespot.models.proposals import Proposals, token_centres
from eyespot.models.transformer import (
    Decoder,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    FeatureResizer,
    tie_queries_to_keys_,
    xavier_init_,
)


class AnswerHead(NamedTuple):
    """One question answering head; it has a query of its own."""

    name: str  # "" for the only head of a unified model; "type" for the one that chooses the type
    num_answers: int  # 1: yes or no
    hidden: bool = False  # two hidden layers
    words: tuple[str, ...] = ()  # what its classes mean, if known; "no" and "yes" of yes or no


GQA_HEADS = (
    AnswerHead("type", 5),
    AnswerHead("obj", 3),
    AnswerHead("rel", 1594),
    AnswerHead("attr", 403),
    AnswerHead("cat", 678),
    AnswerHead("global", 111),
)
GQA_UNIFIED_HEADS = (AnswerHead("", 1853),)
CLEVR_HEADS = (
    AnswerHead("type", 3),
    AnswerHead("binary", 1),
    AnswerHead("reg", 20, hidden=True),
    AnswerHead("attr", 15),
)


class Level(NamedTuple):
    """A map of the backbone at the transformer's width."""

    projected: Float[Tensor, "b d h w"]
    pad_mask: Bool[Tensor, "b h w"]
    position: Float[Tensor, "b d h w"]

    def tokens(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return features, positions [B, H*W, D] and pad mask [B, H*W] of all places."""
        features, position = (x.flatten(2).transpose(1, 2) for x in (self.projected, self.position))
        return features, position, self.pad_mask.flatten(1)


class ImageFeatures(NamedTuple):
    """What the backbone says about a batch of padded images."""

    maps: list[Tensor]  # of the backbone, finest first
    projected: Float[Tensor, "b d h w"]  # the last map at the transformer's width
    pad_mask: Bool[Tensor, "b h w"]
    position: Float[Tensor, "b d h w"]
    finer: tuple[Level, ...] = ()  # more maps that the transformer reads, coarsest first

    def levels(self) -> tuple[Level, ...]:
        """Return all maps that the transformer reads, coarsest first."""
        return (Level(self.projected, self.pad_mask, self.position), *self.finer)


class Memory(NamedTuple):
    """The encoder's output: image positions, then caption tokens."""

    tokens: Float[Tensor, "b s d"]
    position: Float[Tensor, "b s d"]
    pad_mask: Bool[Tensor, "b s"]
    num_text_tokens: int
    centres_xy: Float[Tensor, "b i 2"] | None = None  # of image tokens; None without proposals


class GroundingOutput(NamedTuple):
    """Predictions of every decoder layer, the last one's last; None where there is no head."""

    logits: Float[Tensor, "l b q t"]
    boxes_cxcywh: Float[Tensor, "l b q 4"]
    queries: Float[Tensor, "l b q d"]
    query_embeddings: Float[Tensor, "l b q e"] | None = None
    token_embeddings: Float[Tensor, "b k e"] | None = None
    is_final_logits: Float[Tensor, "l b q"] | None = None
    answer_logits: dict[str, Tensor] | None = None  # [B, answers], or [B] for yes or no
    proposals: "GroundingOutput | None" = None  # what image tokens say; one layer, no queries


class MLP(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(dims))

    def forward(self, x: Float[Tensor, "*n i"]) -> Float[Tensor, "*n o"]:
        """Apply the layers; no ReLU after the last."""
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        result: Tensor = self.layers[-1](x)
        return result


class Transformer(nn.Module):
    """The text encoder, its resizer, and the encoder and decoder over both modalities."""

    def __init__(
        self,
        text_encoder: nn.Module,
        text_dim: int,
        encoder_layers: Sequence[EncoderLayer],
        decoder_layers: Sequence[DecoderLayer],
        dim: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.encoder = Encoder(encoder_layers)
        self.decoder = Decoder(decoder_layers, dim)
        xavier_init_(self)  # before the parts that keep their own initialisation
        self.text_encoder = text_encoder
        self.resizer = FeatureResizer(text_dim, dim, dropout)


class ModulatedDetector(nn.Module):
    """Find what a caption names, and answer questions, in one pass.

    Args:
        backbone: Images [B, 3, H, W] to a list of maps, finest first.
        feature_dim: Channels of the backbone's last map.
        text_encoder: Token numbers [B, K] and their pad mask to features [B, K, text_dim].
        text_dim: Width of the text encoder.
        dim: Width D.
        num_heads: Of every attention.
        num_encoder_layers: Over image and text tokens.
        num_decoder_layers: L.
        ffn_dim: Hidden width of the feed-forward nets.
        dropout: In training.
        num_queries: Q: 100 for natural images, 25 for CLEVR.
        num_classes: T; captions have at most T - 1 tokens that boxes can be aligned with.
        alignment_dim: E; None leaves the alignment heads out.
        with_is_final: Add the head "the caption as a whole means this box" (CLEVR-Ref+).
        answer_heads: Question answering heads, in the order of their queries.
        finer_dims: Channels of more maps that the transformer reads: the one before the last, the
            one before that, ... Each level then has a learned offset of its own. MDETR: none.
        with_proposals: Begin queries at the image tokens that name something, and let attention
            begin as likeness (`models.proposals`). MDETR: learned queries.
        side_multiple: Images are padded until their sides are multiples of this: a ViT's patch.
    """

    def __init__(
        self,
        backbone: nn.Module,
        feature_dim: int,
        text_encoder: nn.Module,
        text_dim: int,
        *,
        dim: int = 256,
        num_heads: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        ffn_dim: int = 2048,
        dropout: float = 0.1,
        num_queries: int = 100,
        num_classes: int = 256,
        alignment_dim: int | None = 64,
        with_is_final: bool = False,
        answer_heads: Sequence[AnswerHead] = (),
        finer_dims: Sequence[int] = (),
        with_proposals: bool = False,
        side_multiple: int = 1,
    ) -> None:
        super().__init__()
        sizes = (dim, num_heads, ffn_dim, dropout)
        self.dim = dim
        self.side_multiple = side_multiple
        self.backbone = backbone
        self.input_proj = nn.Conv2d(feature_dim, dim, kernel_size=1)
        self.transformer = Transformer(
            text_encoder,
            text_dim,
            [EncoderLayer(*sizes) for _ in range(num_encoder_layers)],
            [DecoderLayer(*sizes) for _ in range(num_decoder_layers)],
            dim,
            dropout,
        )
        self.query_embed = None if with_proposals else nn.Embedding(num_queries, dim)
        self.class_embed = nn.Linear(dim, num_classes)
        self.bbox_embed = MLP((dim, dim, dim, 4))
        self.finer_proj = nn.ModuleList(nn.Conv2d(width, dim, 1) for width in finer_dims)
        self.level_embed = nn.Embedding(1 + len(finer_dims), dim) if finer_dims else None
        self.proposals: Proposals | None = None
        if with_proposals:
            self.proposals = Proposals(dim, num_queries)
            _zero_last_(self.bbox_embed)
            tie_queries_to_keys_(self.transformer)
        self.contrastive_align_projection_image: nn.Linear | None = None
        self.contrastive_align_projection_text: nn.Linear | None = None
        if alignment_dim is not None:
            self.contrastive_align_projection_image = nn.Linear(dim, alignment_dim)
            self.contrastive_align_projection_text = nn.Linear(dim, alignment_dim)
        self.isfinal_embed = nn.Linear(dim, 1) if with_is_final else None
        self.answer_heads = tuple(answer_heads)
        self.qa_embed = nn.Embedding(len(answer_heads), dim) if answer_heads else None
        for head in answer_heads:
            layer = MLP((dim, dim, dim, head.num_answers)) if head.hidden else None
            self.add_module(_module_name(head), layer or nn.Linear(dim, head.num_answers))

    def forward(
        self,
        images: Float[Tensor, "b 3 hpx wpx"],
        pad_mask: Bool[Tensor, "b hpx wpx"],
        token_ids: Int[Tensor, "b k"],
        text_pad_mask: Bool[Tensor, "b k"],
    ) -> GroundingOutput:
        """Detect what each caption names in its image.

        Args:
            images: Normalised, zero-padded at the bottom and right.
            pad_mask: True on padding.
            token_ids: Captions, padded.
            text_pad_mask: True on padding.
        """
        image = self.encode_image(images, pad_mask)
        text = self.encode_text(token_ids, text_pad_mask)
        return self.decode(self.fuse(image, text, text_pad_mask))

    def encode_image(
        self, images: Float[Tensor, "b 3 hpx wpx"], pad_mask: Bool[Tensor, "b hpx wpx"]
    ) -> ImageFeatures:
        """Return backbone features; they can serve many captions."""
        multiple = self.side_multiple
        if multiple > 1:  # whatever the size, so that an exported graph pads too
            whole = ((side + multiple - 1) // multiple * multiple for side in images.shape[-2:])
            bottom, right = (w - side for w, side in zip(whole, images.shape[-2:], strict=True))
            images = F.pad(images, (0, right, 0, bottom))
            pad_mask = F.pad(pad_mask, (0, right, 0, bottom), value=True)
        maps: list[Tensor] = self.backbone(images)
        last = self._level(self.input_proj(maps[-1]), pad_mask, 0)
        finer = tuple(
            self._level(layer(maps[-1 - i]), pad_mask, i)
            for i, layer in enumerate(self.finer_proj, start=1)
        )
        return ImageFeatures(maps, *last, finer)

    def _level(self, projected: Tensor, pad_mask: Tensor, number: int) -> Level:
        """Add a map's mask and positions, computed in float32 or better."""
        size = projected.shape[-2:]
        small_mask = F.interpolate(pad_mask.unsqueeze(1).byte(), size=size, mode="nearest")
        small_mask = small_mask[:, 0].bool()  # [B, H, W]
        precision = torch.float64 if projected.dtype == torch.float64 else torch.float32
        position = sine_encoding(small_mask, self.dim, dtype=precision).to(projected.dtype)
        if self.level_embed is not None:
            position = position + self.level_embed.weight[number][:, None, None]
        return Level(projected, small_mask, position)

    def encode_text(
        self, token_ids: Int[Tensor, "b k"], text_pad_mask: Bool[Tensor, "b k"]
    ) -> Float[Tensor, "b k d"]:
        """Return text features at the transformer's width; they can serve many images."""
        features = self.transformer.text_encoder(token_ids, text_pad_mask)
        resized: Tensor = self.transformer.resizer(features)
        return resized

    def fuse(
        self,
        image: ImageFeatures,
        text: Float[Tensor, "b k d"],
        text_pad_mask: Bool[Tensor, "b k"],
    ) -> Memory:
        """Encode image and text tokens together; text tokens have no position of their own."""
        nowhere = torch.zeros_like(text, dtype=image.position.dtype)
        parts = [*(level.tokens() for level in image.levels()), (text, nowhere, text_pad_mask)]
        tokens, position, pad_mask = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        centres = None
        if self.proposals is not None:
            tokens = tokens + position  # so that what a query reads tells where that is
            masks = [level.pad_mask for level in image.levels()]
            centres = torch.cat([token_centres(mask, position.dtype) for mask in masks], dim=1)
        encoded = self.transformer.encoder(tokens, position, pad_mask)
        return Memory(encoded, position, pad_mask, text.shape[1], centres)

    def decode(self, memory: Memory) -> GroundingOutput:
        """Let the queries read the memory, and apply the heads.

        Answers are read from the *first* decoder layer, as the published checkpoints were
        trained; everything else from every layer.
        """
        batch = memory.tokens.shape[0]
        answers = memory.tokens.new_zeros(batch, 0, self.dim)
        if self.qa_embed is not None:
            answers = self.qa_embed.weight.expand(batch, -1, -1)
        output, states = self._detect(memory, answers)
        if self.isfinal_embed is not None:
            output = output._replace(is_final_logits=self.isfinal_embed(output.queries)[..., 0])
        if self.answer_heads:
            found = self._answer(states[0, :, output.queries.shape[2] :])
            output = output._replace(answer_logits=found)
        return output

    def _detect(
        self, memory: Memory, answers: Float[Tensor, "b a d"]
    ) -> tuple[GroundingOutput, Float[Tensor, "l b n d"]]:
        """Run the decoder; return what object queries found, and the states of all queries."""
        text = memory.tokens[:, -memory.num_text_tokens :]
        decoder = self.transformer.decoder
        if self.proposals is None:
            assert self.query_embed is not None, "queries are learned or proposed"
            learned = self.query_embed.weight.expand(answers.shape[0], -1, -1)
            states = decoder(torch.cat([learned, answers], dim=1), *memory[:3])
            queries = states[:, :, : learned.shape[1]]  # [L, B, Q, D]
            return self._named(queries, self._boxes(queries), text), states
        assert memory.centres_xy is not None, "fuse gives them"
        found = self.proposals(
            decoder, self._certainty, self.bbox_embed, answers, *memory[:3], memory.centres_xy
        )
        queries = found.states[:, :, : found.boxes_cxcywh.shape[2]]
        output = self._named(queries, found.boxes_cxcywh, text)
        image_states, image_boxes = found.image_states[None], found.image_boxes_cxcywh[None]
        proposed = self._named(image_states, image_boxes, text)
        return output._replace(proposals=proposed), found.states

    def _named(self, queries: Tensor, boxes: Tensor, text: Tensor) -> GroundingOutput:
        """Apply the heads that tell which tokens name each query."""
        output = GroundingOutput(self.class_embed(queries), boxes, queries)
        if self.contrastive_align_projection_image and self.contrastive_align_projection_text:
            output = output._replace(
                query_embeddings=_unit(self.contrastive_align_projection_image(queries)),
                token_embeddings=_unit(self.contrastive_align_projection_text(text)),
            )
        return output

    def _certainty(self, states: Float[Tensor, "b s d"]) -> Float[Tensor, "b s"]:
        """Log-odds against "no object", which order as its probability does."""
        logits: Tensor = self.class_embed(states)
        return logits[..., :-1].logsumexp(dim=-1) - logits[..., -1]

    def _boxes(self, queries: Float[Tensor, "l b q d"]) -> Float[Tensor, "l b q 4"]:
        """Boxes in the precision of the weights; bfloat16 would round them to 1/256 of an image."""
        with torch.autocast(queries.device.type, enabled=False):
            boxes: Tensor = self.bbox_embed(queries.to(self.class_embed.weight.dtype))
            return boxes.sigmoid()

    def _answer(self, states: Float[Tensor, "b heads d"]) -> dict[str, Tensor]:
        logits = {}
        for head, state in zip(self.answer_heads, states.unbind(1), strict=True):
            layer: Callable[[Tensor], Tensor] = getattr(self, _module_name(head))
            scores = layer(state)
            logits[head.name] = scores[:, 0] if head.num_answers == 1 else scores
        return logits


def _module_name(head: AnswerHead) -> str:
    return f"answer_{head.name}_head" if head.name else "answer_head"


def _zero_last_(mlp: MLP) -> None:
    """Let a net start with the answer 0."""
    last = mlp.layers[-1]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)


def _unit(vectors: Float[Tensor, "*n e"]) -> Float[Tensor, "*n e"]:
    return F.normalize(vectors, dim=-1)
