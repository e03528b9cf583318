"""Queries that begin at the places of the image that name something.

Every image token of the encoder's output is asked, by the same heads as the queries, what it names
and where its box is; the most certain become the queries' first boxes and contents, and every
decoder layer refines them. Two-stage Deformable DETR (arXiv 2010.04159, section 4.2); refinement as
in DAB-DETR (arXiv 2201.12329), section 4. MDETR's queries are learned and have no place; with
places, small networks learn in minutes.

Shapes: B images, S image tokens, Q object queries, A queries of answer heads, D width, L decoder
layers.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from eyespot.models.transformer import Decoder

_FIRST_SIDE = 0.2
_EDGE = 1e-3


class ProposedQueries(NamedTuple):
    """What the decoder makes of the proposals, and the proposals themselves."""

    states: Float[Tensor, "l b n d"]
    boxes_cxcywh: Float[Tensor, "l b q 4"]
    image_states: Float[Tensor, "b s d"]
    image_boxes_cxcywh: Float[Tensor, "b s 4"]


class Proposals(nn.Module):
    """Choose queries among image tokens, and run the decoder on them.

    Args:
        dim: Width D.
        num_queries: Q; fewer if an image has fewer tokens.
    """

    def __init__(self, dim: int, num_queries: int) -> None:
        super().__init__()
        self.num_queries = num_queries
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        decoder: Decoder,
        score: Callable[[Tensor], Tensor],
        box_head: nn.Module,
        answer_queries: Float[Tensor, "b a d"],
        memory: Float[Tensor, "b m d"],
        position: Float[Tensor, "b m d"],
        pad_mask: Bool[Tensor, "b m"],
        centres_xy: Float[Tensor, "b s 2"],
    ) -> ProposedQueries:
        """Run the decoder; before each layer a query's position says where its box is.

        Args:
            decoder: Its layers and norm are used.
            score: How certain a state is to name something.
            box_head: From a state to what is added to its box, before the sigmoid.
            answer_queries: Learned queries without a place, appended after the others.
            memory: The encoder's output; the image's tokens come first.
            position: Of the memory.
            pad_mask: True on padding of the memory.
            centres_xy: Of each image token, relative to the image.
        """
        num_image, dim = centres_xy.shape[1], memory.shape[-1]
        image_states = self.norm(memory[:, :num_image])
        side = torch.full_like(centres_xy, _FIRST_SIDE)
        first = torch.cat([centres_xy.clamp(_EDGE, 1 - _EDGE), side], dim=-1).logit()  # [B, S, 4]
        first = first + _exactly(box_head, image_states, first)
        certain = score(image_states).detach().masked_fill(pad_mask[:, :num_image], -torch.inf)
        best = certain.topk(min(self.num_queries, num_image), dim=1).indices.unsqueeze(-1)
        boxes = first.gather(1, best.expand(-1, -1, 4)).detach()  # [B, Q, 4]
        contents = image_states.gather(1, best.expand(-1, -1, dim))
        queries = torch.cat([contents, torch.zeros_like(answer_queries)], dim=1)
        placed_memory = memory + position
        states, found = [], []
        for layer in decoder.layers:
            place = encode_points(boxes[..., :2].sigmoid(), dim).to(queries.dtype)
            place = torch.cat([place, answer_queries], dim=1)
            queries = layer(queries, place, memory, placed_memory, pad_mask)
            states.append(decoder.norm(queries))
            moved = boxes + _exactly(box_head, states[-1][:, : boxes.shape[1]], boxes)
            found.append(moved.sigmoid())
            boxes = moved.detach()
        return ProposedQueries(
            torch.stack(states), torch.stack(found), image_states, first.sigmoid()
        )


def token_centres(pad_mask: Bool[Tensor, "b h w"], dtype: torch.dtype) -> Float[Tensor, "b s 2"]:
    """Return the centre of each place of a map, row by row, relative to the unpadded image."""
    inside = (~pad_mask).to(dtype)
    centres = []
    for axis in (2, 1):  # x, then y
        steps = inside.cumsum(axis)
        last = steps.narrow(axis, steps.shape[axis] - 1, 1).clamp(min=1)
        centres.append((steps - 0.5) / last)
    return torch.stack(centres, dim=-1).flatten(1, 2)


def encode_points(
    points_xy: Float[Tensor, "*n 2"], dim: int, *, temperature: float = 10_000.0
) -> Float[Tensor, "*n d"]:
    """Sines and cosines of points in 0..1, in the channels of `models.position.sine_encoding`."""
    channel = torch.arange(dim // 2, device=points_xy.device)
    wavelength = temperature ** ((channel // 2 * 2).to(points_xy.dtype) / (dim // 2))  # [D/2]
    angle = points_xy.flip(-1).unsqueeze(-1) * 2 * math.pi / wavelength  # [*n, 2, D/2], y first
    waves = torch.stack([angle[..., 0::2].sin(), angle[..., 1::2].cos()], dim=-1)
    return waves.flatten(-3)


def _exactly(head: nn.Module, states: Tensor, like: Tensor) -> Tensor:
    """A head's output in the precision of the boxes, under autocast too."""
    with torch.autocast(states.device.type, enabled=False):
        result: Tensor = head(states.to(like.dtype))
        return result
