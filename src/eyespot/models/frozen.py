"""A published backbone as detectors use it: frozen batch norms, TensorFlow's padding.

Paper: MDETR (arXiv 2104.12763), appendix; frozen norms as in DETR (arXiv 2005.12872).

Shapes: B images, C channels, H W of a map.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class FrozenBatchNorm2d(nn.Module):
    """Batch norm as a fixed scale and shift: four buffers, none of them trained.

    Args:
        channels: C.
        eps: Added to the variance. The published detectors used 1e-5 for every backbone, also for
            EfficientNets that were made with 1e-3.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, like: nn.BatchNorm2d, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        for name in ("weight", "bias", "running_mean", "running_var"):
            value = getattr(like, name)
            assert isinstance(value, Tensor), "a backbone's norms have gains, biases and statistics"
            self.register_buffer(name, value.detach().clone())

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the scaled and shifted map."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return torch.addcmul(shift[:, None, None], x, scale[:, None, None])  # one pass over the map


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow pads: output ceil(size / stride), odd pixel at the end."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """Return the convolved map."""
        sides = []
        for size, kernel, stride in zip(
            input.shape[:-3:-1], self.kernel_size[::-1], self.stride[::-1], strict=True
        ):
            least = -(-size // stride) * stride - stride + kernel - size
            total = max(least, 0)
            sides += [total // 2, total - total // 2]
        return F.conv2d(
            F.pad(input, sides), self.weight, self.bias, self.stride, 0, self.dilation, self.groups
        )


def freeze_norms_(model: nn.Module) -> None:
    """Replace every batch norm by a frozen one with the same numbers, in place."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, FrozenBatchNorm2d(child))


def pad_as_tensorflow_(model: nn.Module) -> None:
    """Replace every strided convolution by one with TensorFlow's padding, in place.

    At stride 1 and with odd kernels both paddings are the same.
    """
    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d) and child.stride != (1, 1):
                setattr(parent, name, _same(child))


def _same(conv: nn.Conv2d) -> SameConv2d:
    made = SameConv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        stride=conv.stride,  # type: ignore[arg-type]
        groups=conv.groups,
        bias=conv.bias is not None,
    )
    made.weight, made.bias = conv.weight, conv.bias
    return made
