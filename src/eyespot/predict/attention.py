"""What a grounder looked at: where a box's query attends to, and which tokens name it.

Paper: MDETR (arXiv 2104.12763), section 2.1; DETR (arXiv 2005.12872), figure 6, shows the same
attention.

Shapes: Q queries, S tokens of the memory, of which the first are the image's.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from eyespot.models.grounder import naming_logits
from eyespot.models.masks import detector_of
from eyespot.models.mdetr import ImageFeatures
from eyespot.models.transformer import Attention
from eyespot.ops.boxes import clip_xyxy_px
from eyespot.ops.detections import detect
from eyespot.ops.spans import Span, positive_rows
from eyespot.predict.grounder import EncodedPicture, Grounder
from eyespot.predict.images import Picture
from eyespot.predict.texts import check_phrases, find_phrases


class PhraseAttention(NamedTuple):
    """The most certain box of a phrase, and what its query saw.

    Attributes:
        text: The phrase.
        span: Its characters [begin, end) in the text.
        box_xyxy_px: Left, top, right, bottom in the picture's pixels.
        score: How much the box is this phrase's, 0 to 1.
        cells: The last decoder layer's attention to each cell of the finest map that it reads,
            mean of the heads; what is missing to 1 goes to the text.
        tokens: Characters of every token of the text, and how much it names the box, 0 to 1.
    """

    text: str
    span: Span
    box_xyxy_px: Float[np.ndarray, "4"]
    score: float
    cells: Float[np.ndarray, "h w"]
    tokens: tuple[tuple[Span, float], ...]


@torch.inference_mode()
def phrase_attention(
    grounder: Grounder,
    picture: Picture | EncodedPicture,
    text: str,
    *,
    phrases: Sequence[Span] | None = None,
) -> list[PhraseAttention]:
    """Return what the query of each phrase's most certain box attends to.

    Args:
        grounder: With its network.
        picture: One picture.
        text: One text that the network reads at once.
        phrases: Characters [begin, end) of its phrases; found by rules when not given.

    Raises:
        ValueError: If the picture cannot be read, or the text is empty, names nothing or is longer
            than the network reads at once.
    """
    spans = find_phrases(text) if phrases is None else check_phrases(text, phrases)
    if not grounder.tokenizer.fits(text):
        raise ValueError(
            f"need a text of at most {grounder.tokenizer.max_tokens} tokens to show attention for, "
            f"got one of {len(text)} characters; split it"
        )
    (encoded,) = grounder.encode([picture])
    caption = grounder.tokenizer.encode(text)
    batch = grounder.tokenizer.pad([caption])
    detector = detector_of(grounder.model)
    pad_mask = batch.pad_mask.to(grounder.device)
    memory = detector.fuse(
        encoded.features,
        detector.encode_text(batch.ids.to(grounder.device), pad_mask),
        pad_mask,
    )
    seen: list[Tensor] = []
    layer = detector.transformer.decoder.layers[-1]
    watch = layer.get_submodule("cross_attn_image").register_forward_pre_hook(
        lambda layer, read: seen.append(_shares(layer, *read))
    )
    try:
        output = detector.decode(memory)
    finally:
        watch.remove()
    height, width = encoded.pixels.shape[:2]
    logits = naming_logits(output, grounder.spec, pad_mask)
    size = torch.tensor([[height, width]], device=grounder.device)
    boxes = clip_xyxy_px(
        detect(logits, output.boxes_cxcywh[-1], size).boxes_xyxy_px[0], height, width
    )
    probs = logits[0].softmax(dim=-1)
    rows = positive_rows([[span] for span in spans], caption.offsets, probs.shape[-1]).to(probs)
    scores, best = (probs @ rows.T).max(dim=0)
    return [
        PhraseAttention(
            text[slice(*span)],
            span,
            boxes[query].cpu().double().numpy(),
            score,
            _cells(seen[0][0, query], encoded.features),
            tuple(zip(caption.offsets, probs[query, : len(caption.offsets)].tolist(), strict=True)),
        )
        for span, score, query in zip(spans, scores.tolist(), best.tolist(), strict=True)
    ]


def _shares(
    layer: Attention, query: Tensor, key: Tensor, value: Tensor, pad_mask: Tensor | None = None
) -> Float[Tensor, "b q s"]:
    """The weights that an attention gives to its values, mean of its heads."""
    q, k = (
        F.linear(x, w, b).view(*x.shape[:2], layer.num_heads, -1).transpose(1, 2)
        for x, w, b in zip(
            (query, key),
            layer.in_proj_weight.chunk(3)[:2],
            layer.in_proj_bias.chunk(3)[:2],
            strict=True,
        )
    )  # [B, heads, Q or S, D / heads]
    scores = (q @ k.transpose(2, 3)).float() / q.shape[-1] ** 0.5
    if pad_mask is not None:
        scores = scores.masked_fill(pad_mask[:, None, None, :], -torch.inf)
    shares: Tensor = scores.softmax(dim=-1).mean(dim=1)
    return shares


def _cells(shares: Float[Tensor, " s"], image: ImageFeatures) -> Float[np.ndarray, "h w"]:
    """What all maps' cells get, on the finest map; cells beyond the picture are left out."""
    levels = image.levels()
    rows, columns = ((~levels[-1].pad_mask[0]).any(dim=side) for side in (1, 0))
    finest = levels[-1].pad_mask.shape[1:]
    total = torch.zeros(finest, device=shares.device)
    for level in levels:
        height, width = level.pad_mask.shape[1:]
        of_level, shares = shares[: height * width], shares[height * width :]
        spread = F.interpolate(of_level.view(1, 1, height, width), size=finest, mode="nearest")[
            0, 0
        ]
        total += spread * of_level.sum() / spread.sum().clamp(min=1e-12)
    inside = total[: int(rows.sum()), : int(columns.sum())]
    return np.asarray(inside.cpu().double())
