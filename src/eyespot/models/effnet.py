"""EfficientNet, with pycls' norms, padding and module names.

Paper: EfficientNet (arXiv 1905.11946). Shapes: B batch, C channels, H W size of a map.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eyespot.design.specs import Activation
from eyespot.models.anynet import Stem
from eyespot.models.blocks import SqueezeExcite, activation, conv, init_cnn_
from eyespot.models.convnet import ConvHead, ConvNet, Level, finest_levels


class MBConv(nn.Module):
    """Inverted residual: expand, depthwise convolution, squeeze-and-excitation, project.

    Args:
        w_in: Input channels.
        w_out: Output channels.
        stride: Of the depthwise convolution.
        act: Non-linearity.
        exp_ratio: Expanded width over input width.
        kernel: Of the depthwise convolution.
        se_ratio: Squeeze width over input width; 0 for no squeeze-and-excitation.
        drop_connect: Chance to drop the branch for a sample, in training.
    """

    def __init__(
        self,
        w_in: int,
        w_out: int,
        stride: int,
        act: Activation,
        *,
        exp_ratio: float,
        kernel: int,
        se_ratio: float,
        drop_connect: float,
    ) -> None:
        super().__init__()
        expanded = int(w_in * exp_ratio)
        self.exp = None
        if expanded != w_in:
            self.exp = conv(w_in, expanded, 1)
            self.exp_bn = nn.BatchNorm2d(expanded)
            self.exp_af = activation(act)
        self.dwise = conv(expanded, expanded, kernel, stride=stride, groups=expanded)
        self.dwise_bn = nn.BatchNorm2d(expanded)
        self.dwise_af = activation(act)
        self.se: nn.Module = nn.Identity()
        if se_ratio:
            self.se = SqueezeExcite(expanded, int(w_in * se_ratio), act)
        self.lin_proj = conv(expanded, w_out, 1)
        self.lin_proj_bn = nn.BatchNorm2d(w_out)
        self.has_skip = stride == 1 and w_in == w_out
        self.drop_connect = drop_connect

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """Return the block's output."""
        out: Tensor = x
        if self.exp is not None:
            out = self.exp_af(self.exp_bn(self.exp(out)))
        out = self.dwise_af(self.dwise_bn(self.dwise(out)))
        out = self.lin_proj_bn(self.lin_proj(self.se(out)))
        if not self.has_skip:
            return out
        if self.training and self.drop_connect > 0:
            keep = 1 - self.drop_connect
            mask = torch.empty(out.shape[0], 1, 1, 1, device=out.device, dtype=out.dtype)
            out = out * mask.bernoulli_(keep) / keep
        return x + out


def effnet(
    *,
    depths: Sequence[int],
    widths: Sequence[int],
    strides: Sequence[int],
    exp_ratios: Sequence[float],
    kernels: Sequence[int],
    stem_width: int,
    head_width: int,
    se_ratio: float,
    activation: Activation,
    drop_connect: float,
    dropout: float,
    num_classes: int,
    in_chans: int,
) -> ConvNet:
    """Build an EfficientNet; the arguments are those of `EffNetSpec`, which checks them."""
    act = activation
    levels = [Level("stem.af", stem_width, 2)]
    stages = []
    w_in, reduction = stem_width, 2
    for i, (depth, width, stride) in enumerate(zip(depths, widths, strides, strict=True)):
        stage = nn.Sequential()
        for j in range(depth):
            made = MBConv(
                w_in, width, stride if j == 0 else 1, act, exp_ratio=exp_ratios[i],
                kernel=kernels[i], se_ratio=se_ratio, drop_connect=drop_connect,
            )  # fmt: skip
            stage.add_module(f"b{j + 1}", made)
            w_in = width
        reduction *= stride
        levels.append(Level(f"s{i + 1}", width, reduction))
        stages.append(stage)
    stem = Stem(in_chans, stem_width, "simple_stem_in", act)
    head = ConvHead(w_in, head_width, num_classes, act, norm_name="conv_bn", dropout=dropout)
    model = ConvNet(stem, stages, head, finest_levels(levels), in_chans=in_chans)
    init_cnn_(model)
    return model
