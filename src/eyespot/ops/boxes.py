"""Box formats, overlap, and clipping.

A name says format and unit: `boxes_cxcywh` is a centre, width and height relative to the
image (0..1); `boxes_xyxy_px` is left, top, right, bottom in pixels; `boxes_xywh_px` is left,
top, width, height in pixels, as COCO files store it. Functions without a unit in their name
keep whatever unit they get. Last axis: the four numbers of a box.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def cxcywh_to_xyxy(boxes_cxcywh: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Centre and size to corners, in the same unit."""
    centre, size = boxes_cxcywh.chunk(2, dim=-1)
    return torch.cat([centre - 0.5 * size, centre + 0.5 * size], dim=-1)


def xyxy_to_cxcywh(boxes_xyxy: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Corners to centre and size, in the same unit."""
    low, high = boxes_xyxy.chunk(2, dim=-1)
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def xywh_to_xyxy(boxes_xywh: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Left, top, width, height to corners, in the same unit."""
    low, size = boxes_xywh.chunk(2, dim=-1)
    return torch.cat([low, low + size], dim=-1)


def xyxy_to_xywh(boxes_xyxy: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Corners to left, top, width, height, in the same unit."""
    low, high = boxes_xyxy.chunk(2, dim=-1)
    return torch.cat([low, high - low], dim=-1)


def cxcywh_to_xyxy_px(
    boxes_cxcywh: Float[Tensor, "*b n 4"], sizes_hw_px: Tensor
) -> Float[Tensor, "*b n 4"]:
    """Relative centre boxes to corners in the pixels of each image.

    Args:
        boxes_cxcywh: Boxes in 0..1 of their image.
        sizes_hw_px: Height and width of each image, [*b, 2].
    """
    height, width = sizes_hw_px.to(boxes_cxcywh).unbind(-1)
    scale = torch.stack([width, height, width, height], dim=-1).unsqueeze(-2)  # [*b, 1, 4]
    return cxcywh_to_xyxy(boxes_cxcywh) * scale


def xyxy_px_to_cxcywh(
    boxes_xyxy_px: Float[Tensor, "*n 4"], height_px: int, width_px: int
) -> Float[Tensor, "*n 4"]:
    """Corners in pixels to centre boxes relative to an image of this size."""
    scale = boxes_xyxy_px.new_tensor([width_px, height_px, width_px, height_px])
    return xyxy_to_cxcywh(boxes_xyxy_px) / scale


def clip_xyxy_px(
    boxes_xyxy_px: Float[Tensor, "*n 4"], height_px: int, width_px: int
) -> Float[Tensor, "*n 4"]:
    """Clip corners to an image: x to 0..width, y to 0..height."""
    limit = boxes_xyxy_px.new_tensor([width_px, height_px, width_px, height_px])
    return boxes_xyxy_px.clamp(min=0).minimum(limit)


def box_area(boxes_xyxy: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n"]:
    """Width times height, in the square of the boxes' unit."""
    size = boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]
    return size[..., 0] * size[..., 1]


def box_iou(
    boxes_xyxy: Float[Tensor, "*#b n 4"], others_xyxy: Float[Tensor, "*#b m 4"]
) -> Float[Tensor, "*_ n m"]:
    """Intersection over union of every box with every other box; 0 where the union is 0."""
    iou, _ = elementwise_iou_and_union(boxes_xyxy.unsqueeze(-2), others_xyxy.unsqueeze(-3))
    return iou


def box_giou(
    boxes_xyxy: Float[Tensor, "*#b n 4"], others_xyxy: Float[Tensor, "*#b m 4"]
) -> Float[Tensor, "*_ n m"]:
    """Generalised IoU of every box with every other box, in -1..1; see `elementwise_giou`."""
    return elementwise_giou(boxes_xyxy.unsqueeze(-2), others_xyxy.unsqueeze(-3))


def elementwise_iou_and_union(
    boxes_xyxy: Float[Tensor, "*#n 4"], others_xyxy: Float[Tensor, "*#n 4"]
) -> tuple[Tensor, Tensor]:
    """Intersection over union, and the union, of boxes paired by broadcasting.

    Two boxes of area 0 have IoU 0, with gradient 0.
    """
    low = torch.maximum(boxes_xyxy[..., :2], others_xyxy[..., :2])
    high = torch.minimum(boxes_xyxy[..., 2:], others_xyxy[..., 2:])
    overlap = (high - low).clamp(min=0)
    intersection = overlap[..., 0] * overlap[..., 1]
    union = box_area(boxes_xyxy) + box_area(others_xyxy) - intersection
    return intersection / torch.where(union > 0, union, 1.0), union


def elementwise_giou(
    boxes_xyxy: Float[Tensor, "*#n 4"], others_xyxy: Float[Tensor, "*#n 4"]
) -> Tensor:
    """Generalised IoU of boxes paired by broadcasting.

    Paper: GIoU (arXiv 1902.09630), IoU - (C - U) / C, where U is the union and C the area of
    the smallest box around both.

    Args:
        boxes_xyxy: Boxes with left <= right and top <= bottom.
        others_xyxy: The boxes they are paired with, in the same unit.

    Returns:
        -1 (far apart) to 1 (equal); 0 for two equal boxes of area 0.
    """
    iou, union = elementwise_iou_and_union(boxes_xyxy, others_xyxy)
    low = torch.minimum(boxes_xyxy[..., :2], others_xyxy[..., :2])
    high = torch.maximum(boxes_xyxy[..., 2:], others_xyxy[..., 2:])
    size = high - low
    hull = size[..., 0] * size[..., 1]
    return iou - (hull - union) / torch.where(hull > 0, hull, 1.0)
