"""Queries with a place: each starts at a point of the image, and every layer refines its box.

Paper: DAB-DETR (arXiv 2201.12329), section 4; Conditional DETR (arXiv 2108.06152), section 3.3.
MDETR's queries have no place; with one, small models learn several times faster.

Shapes: B images, Q object queries, A queries of answer heads, D width, L decoder layers.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eyespot.models.transformer import Decoder

_FIRST_SIDE = 0.25


class PlacedQueries(NamedTuple):
    """What a decoder with places returns."""

    states: Float[Tensor, "l b n d"]
    boxes_cxcywh: Float[Tensor, "l b q 4"]


class ReferenceBoxes(nn.Module):
    """A learned first box for every query, on a grid at the start.

    Args:
        num_queries: Q.
    """

    def __init__(self, num_queries: int) -> None:
        super().__init__()
        across = math.ceil(math.sqrt(num_queries))
        down = math.ceil(num_queries / across)
        places = torch.arange(num_queries)
        x = (places % across + 0.5) / across
        y = (places // across + 0.5) / down
        side = torch.full((num_queries,), _FIRST_SIDE)
        self.logits = nn.Parameter(torch.stack([x, y, side, side], dim=1).logit())  # [Q, 4]

    def forward(
        self,
        decoder: Decoder,
        query_position: Float[Tensor, "b n d"],
        box_head: nn.Module,
        memory: Float[Tensor, "b s d"],
        position: Float[Tensor, "b s d"],
        pad_mask: Tensor,
    ) -> PlacedQueries:
        """Run the decoder; before each layer a query's position says where its box is.

        Args:
            decoder: Its layers and norm are used.
            query_position: The learned queries, those of answer heads last; they have no place.
            box_head: From a query's state to what is added to its box, before the sigmoid.
            memory: The encoder's output.
            position: Of the memory.
            pad_mask: True on padding of the memory.
        """
        dim = query_position.shape[-1]
        boxes = self.logits.expand(len(memory), -1, -1)  # [B, Q, 4]
        num_placeless = query_position.shape[1] - boxes.shape[1]
        placed_memory = memory + position
        queries = torch.zeros_like(query_position)
        states, found = [], []
        for layer in decoder.layers:
            place = encode_points(boxes[..., :2].sigmoid(), dim).to(query_position.dtype)
            place = nn.functional.pad(place, (0, 0, 0, num_placeless))
            queries = layer(queries, query_position + place, memory, placed_memory, pad_mask)
            states.append(decoder.norm(queries))
            with torch.autocast(queries.device.type, enabled=False):
                moved = box_head(states[-1][:, : boxes.shape[1]].to(boxes.dtype))
                found.append((boxes + moved).sigmoid())
            boxes = (boxes + moved).detach()
        return PlacedQueries(torch.stack(states), torch.stack(found))


def encode_points(
    points_xy: Float[Tensor, "*n 2"], dim: int, *, temperature: float = 10_000.0
) -> Float[Tensor, "*n d"]:
    """Sines and cosines of points in 0..1, in the channels of `models.position.sine_encoding`."""
    channel = torch.arange(dim // 2, device=points_xy.device)
    wavelength = temperature ** ((channel // 2 * 2).to(points_xy.dtype) / (dim // 2))  # [D/2]
    angle = points_xy.flip(-1).unsqueeze(-1) * 2 * math.pi / wavelength  # [*n, 2, D/2], y first
    waves = torch.stack([angle[..., 0::2].sin(), angle[..., 1::2].cos()], dim=-1)
    return waves.flatten(-3)
