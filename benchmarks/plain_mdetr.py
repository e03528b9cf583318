"""MDETR as one would put it together from transformers' parts: eager attention, nothing kept.

ResNet, RoBERTa and DETR's encoder, decoder and boxes are transformers' own modules; matcher and
losses go layer by layer and image by image, as DETR's losses in that package do.

Paper: MDETR (arXiv 2104.12763), section 2. Shapes as in `eyespot.models.mdetr`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from transformers import DetrConfig, ResNetBackbone, ResNetConfig, RobertaConfig, RobertaModel
from transformers.image_transforms import center_to_corners_format
from transformers.loss.loss_for_object_detection import generalized_box_iou
from transformers.models.detr.modeling_detr import (
    DetrDecoder,
    DetrEncoder,
    DetrMLPPredictionHead,
    DetrSinePositionEmbedding,
    replace_batch_norm,
)

TEMPERATURE = 0.07


class Output(NamedTuple):
    """What every decoder layer says, the last one's last."""

    logits: Tensor
    boxes: Tensor
    query_embeddings: Tensor
    token_embeddings: Tensor


class PlainMdetr(nn.Module):
    """MDETR-R101 with RoBERTa-base, or with fewer blocks and layers.

    Args:
        depths: Blocks of each stage of the ResNet.
        text_layers: Of RoBERTa.
    """

    def __init__(self, depths: Sequence[int] = (3, 4, 23, 3), text_layers: int = 12) -> None:
        super().__init__()
        resnet = ResNetConfig(depths=list(depths), out_features=["stage4"])
        self.backbone = ResNetBackbone(resnet)
        with torch.no_grad():
            replace_batch_norm(self.backbone)
        for part in (self.backbone.embedder, self.backbone.encoder.stages[0]):
            part.requires_grad_(False)
        text = RobertaConfig(
            vocab_size=50265,
            max_position_embeddings=514,
            num_hidden_layers=text_layers,
            type_vocab_size=1,
            attn_implementation="eager",
        )
        self.text = RobertaModel(text, add_pooling_layer=False)
        detr = DetrConfig(
            backbone_config=resnet,
            auxiliary_loss=True,
            attn_implementation="eager",
            attention_dropout=0.1,  # where MDETR drops out, in training
            activation_dropout=0.1,
        )
        dim = detr.d_model
        self.encoder, self.decoder = DetrEncoder(detr), DetrDecoder(detr)
        self.place = DetrSinePositionEmbedding(dim // 2, normalize=True)
        self.project = nn.Conv2d(resnet.hidden_sizes[-1], dim, 1)
        self.resize = nn.Sequential(
            nn.Linear(text.hidden_size, dim), nn.LayerNorm(dim), nn.Dropout(0.1)
        )
        self.queries = nn.Embedding(100, dim)
        self.classes = nn.Linear(dim, 256)
        self.box = DetrMLPPredictionHead(dim, dim, 4, 3)
        self.align_image, self.align_text = nn.Linear(dim, 64), nn.Linear(dim, 64)

    def forward(self, images: Tensor, real: Tensor, ids: Tensor, real_text: Tensor) -> Output:
        """Detect; `real` and `real_text` are True where there is no padding."""
        maps = self.project(self.backbone(images).feature_maps[-1])
        small = F.interpolate(real[:, None].float(), size=maps.shape[-2:])[:, 0].bool()
        place = self.place(maps.shape, maps.device, maps.dtype, small).flatten(2).transpose(1, 2)
        text = self.resize(self.text(ids, attention_mask=real_text.long()).last_hidden_state)
        tokens = torch.cat([maps.flatten(2).transpose(1, 2), text], 1)  # [B, S, D]
        mask = torch.cat([small.flatten(1), real_text], 1).long()
        places = torch.cat([place, torch.zeros_like(text)], 1)
        memory = self.encoder(tokens, mask, places).last_hidden_state
        queries = self.queries.weight[None].expand(len(images), -1, -1)
        hidden = self.decoder(
            inputs_embeds=torch.zeros_like(queries),
            encoder_hidden_states=memory,
            encoder_attention_mask=mask,
            spatial_position_embeddings=places,
            object_queries_position_embeddings=queries,
        ).intermediate_hidden_states  # [L, B, Q, D]
        return Output(
            self.classes(hidden),
            self.box(hidden).sigmoid(),
            F.normalize(self.align_image(hidden), dim=-1),
            F.normalize(self.align_text(memory[:, -text.shape[1] :]), dim=-1),
        )


def plain_loss(output: Output, boxes: Sequence[Tensor], maps: Sequence[Tensor]) -> Tensor:
    """Return MDETR's training loss.

    Args:
        output: Of the network.
        boxes: Of each image [N, 4], cxcywh in 0..1.
        maps: Which tokens each box is named by, [N, 256], rows of 0 and 1.
    """
    count = max(1, sum(len(b) for b in boxes))
    total = output.logits.new_zeros(())
    for layer in range(len(output.logits)):
        logits, found = output.logits[layer], output.boxes[layer]
        pairs = match(logits, found, boxes, maps)
        total = total + _tokens(logits, pairs, maps) / count
        total = total + _boxes(found, pairs, boxes) / count
        total = total + _align(output, layer, pairs, maps) / count
    return total


Pairs = list[tuple[Tensor, Tensor]]


@torch.no_grad()
def match(logits: Tensor, found: Tensor, boxes: Sequence[Tensor], maps: Sequence[Tensor]) -> Pairs:
    """The Hungarian matcher of one layer."""
    probs, flat = logits.flatten(0, 1).softmax(-1), found.flatten(0, 1)
    every, wanted = torch.cat(list(boxes)), torch.cat(list(maps))
    giou = generalized_box_iou(center_to_corners_format(flat), center_to_corners_format(every))
    cost = 5 * torch.cdist(flat, every, p=1) - probs @ wanted.T - 2 * giou
    parts = cost.view(*logits.shape[:2], -1).cpu().split([len(b) for b in boxes], -1)
    solved = [linear_sum_assignment(part[i]) for i, part in enumerate(parts)]
    return [(torch.as_tensor(q), torch.as_tensor(n)) for q, n in solved]


def _tokens(logits: Tensor, pairs: Pairs, maps: Sequence[Tensor]) -> Tensor:
    wanted = torch.zeros_like(logits)
    wanted[..., -1] = 1
    weight = torch.full(logits.shape[:2], 0.1, device=logits.device)
    for i, (query, target) in enumerate(pairs):
        wanted[i, query] = maps[i][target] / maps[i][target].sum(-1, keepdim=True)
        weight[i, query] = 1
    return -((logits.log_softmax(-1) * wanted).sum(-1) * weight).sum()


def _boxes(found: Tensor, pairs: Pairs, boxes: Sequence[Tensor]) -> Tensor:
    mine = torch.cat([found[i, query] for i, (query, _) in enumerate(pairs)])
    wanted = torch.cat([boxes[i][target] for i, (_, target) in enumerate(pairs)])
    corners = center_to_corners_format(mine), center_to_corners_format(wanted)
    return 5 * (mine - wanted).abs().sum() + 2 * (1 - generalized_box_iou(*corners).diag()).sum()


def _align(output: Output, layer: int, pairs: Pairs, maps: Sequence[Tensor]) -> Tensor:
    likeness = output.query_embeddings[layer] @ output.token_embeddings.mT / TEMPERATURE
    positive = torch.zeros_like(likeness, dtype=torch.bool)  # [B, Q, K]
    for i, (query, target) in enumerate(pairs):
        positive[i, query] = maps[i][target][:, : likeness.shape[-1]] > 0
    total = likeness.new_zeros(())
    for dim in (2, 1):
        has = positive.any(dim)
        mean = (likeness * positive).sum(dim) / positive.sum(dim).clamp(min=1)
        total = total + (likeness.logsumexp(dim) - mean)[has].sum()
    return total / 2
