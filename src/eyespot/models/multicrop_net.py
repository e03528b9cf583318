"""A backbone and a pretraining head over views of several sizes.

Paper: SwAV (arXiv 2006.09882), section 3.2 and appendix A. Shapes: B samples, v views of one size,
V views of all sizes, h, w of a view, D backbone width.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eyespot.models.convnet import ConvNet

Passes = Literal["sizes", "views", "padded"]


class MultiCropNet(nn.Module):
    """Run the backbone over all views and the head once over all their features.

    The head sees all views together, so that its batch norms do. The passes of the backbone:

    - "sizes": one for all views of a size, as SwAV does; its batch norms have the statistics of
      each size, and count each pass.
    - "views": one for each view, to save memory.
    - "padded": one for all, views padded with zeros at the right and bottom to the largest; the
      features of each are cut to its part of the map before they are pooled. SEER's 10-billion-
      parameter run does so (arXiv 2202.08360): sharded weights are gathered once a step. The zeros
      enter the convolutions and the statistics, so the result is not that of separate passes.

    Args:
        backbone: Without a classifier: it returns pooled features.
        head: Takes features [V B, D].
        passes: See above.

    Raises:
        ValueError: If the backbone has no map that could be cut to a view's part.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, *, passes: Passes = "sizes") -> None:
        super().__init__()
        if passes == "padded" and not isinstance(backbone, ConvNet):
            raise ValueError(
                f"need a convolutional backbone for padded passes, got {type(backbone).__name__}; "
                'take passes "sizes"'
            )
        self.backbone = backbone
        self.head = head
        self.passes = passes

    def forward(self, views: Sequence[Float[Tensor, "_ b 3 _ _"]], *, head: bool = True) -> Any:
        """Return what the head makes of all views, in their order: view after view, B rows each.

        Args:
            views: For each size its views of the same B samples.
            head: Whether the head follows; without, the features [V B, D] are returned.
        """
        images = [of_size.flatten(0, 1) for of_size in views]  # [v B, 3, h, w]
        match self.passes:
            case "sizes":
                features = [self.backbone(of_size) for of_size in images]
            case "views":
                features = [self.backbone(view) for of_size in views for view in of_size]
            case "padded":
                features = self._padded(images)
        joined = torch.cat(features)  # [V B, D]
        return self.head(joined) if head else joined

    def _padded(self, images: list[Tensor]) -> list[Tensor]:
        """Pool every view's own part of the one map that all padded views share."""
        backbone = self.backbone
        assert isinstance(backbone, ConvNet)
        height = max(of_size.shape[-2] for of_size in images)
        width = max(of_size.shape[-1] for of_size in images)
        canvas = torch.cat(
            [F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2])) for x in images]
        )  # [V B, 3, height, width]
        maps = backbone.forward_features(canvas)  # [V B, D, H, W]
        rows = torch.split(maps, [len(of_size) for of_size in images])
        return [
            backbone.forward_head(
                of_size[
                    ...,
                    : _covered(x.shape[-2], height, maps.shape[-2]),
                    : _covered(x.shape[-1], width, maps.shape[-1]),
                ]
            )
            for x, of_size in zip(images, rows, strict=True)
        ]


def _covered(side_px: int, canvas_px: int, cells: int) -> int:
    """How many cells of a map's side begin inside a view's side (the nearest-resized mask)."""
    return -(-side_px * cells // canvas_px)
