"""AnyNet: every CNN of pycls' design spaces; RegNets, ResNets and ResNeXts are cases of it.

Paper: Designing Network Design Spaces (arXiv 2003.13678), section 3. Module names are pycls', so
published weights load as they are. Shapes: B batch, C channels, H W size of a map.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from eyespot.design.specs import Activation, AnyNetBlock, AnyNetStem
from eyespot.models.blocks import SqueezeExcite, activation, conv, init_cnn_
from eyespot.models.convnet import ConvHead, ConvNet, Level, finest_levels


class Stem(nn.Sequential):
    """Convolution, norm, activation and, in ImageNet ResNets, a max pool.

    Args:
        in_chans: Channels of an image.
        width: Output channels.
        kind: By its published name.
        act: Non-linearity.
    """

    def __init__(self, in_chans: int, width: int, kind: AnyNetStem, act: Activation) -> None:
        super().__init__()
        kernel, stride = {
            "simple_stem_in": (3, 2),
            "res_stem_in": (7, 2),
            "res_stem_cifar": (3, 1),
        }[kind]
        self.conv = conv(in_chans, width, kernel, stride=stride)
        self.bn = nn.BatchNorm2d(width)
        self.af = activation(act)
        if kind == "res_stem_in":
            self.pool = nn.MaxPool2d(3, stride=2, padding=1)


class VanillaBlock(nn.Sequential):
    """Two 3x3 convolutions, each with norm and activation; no shortcut."""

    def __init__(self, w_in: int, w_out: int, stride: int, act: Activation) -> None:
        super().__init__()
        self.a = conv(w_in, w_out, 3, stride=stride)
        self.a_bn = nn.BatchNorm2d(w_out)
        self.a_af = activation(act)
        self.b = conv(w_out, w_out, 3)
        self.b_bn = nn.BatchNorm2d(w_out)
        self.b_af = activation(act)


class BasicTransform(nn.Sequential):
    """3x3, norm, activation, 3x3, norm."""

    def __init__(self, w_in: int, w_out: int, stride: int, act: Activation) -> None:
        super().__init__()
        self.a = conv(w_in, w_out, 3, stride=stride)
        self.a_bn = nn.BatchNorm2d(w_out)
        self.a_af = activation(act)
        self.b = conv(w_out, w_out, 3)
        self.b_bn = nn.BatchNorm2d(w_out)


class BottleneckTransform(nn.Sequential):
    """1x1, grouped 3x3, optional squeeze-and-excitation, 1x1; norms between.

    Args:
        w_in: Input channels.
        w_out: Output channels.
        stride: Of the 3x3 convolution, or of the first 1x1 with `stride_1x1`.
        act: Non-linearity.
        bot_mul: Inner width over output width.
        group_width: Channels a group of the 3x3 convolution.
        se_ratio: Squeeze width over the input width; none where it rounds to 0.
        stride_1x1: Stride on the first 1x1 convolution.
    """

    def __init__(
        self,
        w_in: int,
        w_out: int,
        stride: int,
        act: Activation,
        *,
        bot_mul: float,
        group_width: int,
        se_ratio: float,
        stride_1x1: bool,
    ) -> None:
        super().__init__()
        inner = round(w_out * bot_mul)
        stride_a, stride_b = (stride, 1) if stride_1x1 else (1, stride)
        self.a = conv(w_in, inner, 1, stride=stride_a)
        self.a_bn = nn.BatchNorm2d(inner)
        self.a_af = activation(act)
        self.b = conv(inner, inner, 3, stride=stride_b, groups=inner // group_width)
        self.b_bn = nn.BatchNorm2d(inner)
        self.b_af = activation(act)
        if squeezed := round(w_in * se_ratio):
            self.se = SqueezeExcite(inner, squeezed, act)
        self.c = conv(inner, w_out, 1)
        self.c_bn = nn.BatchNorm2d(w_out)


class ResBlock(nn.Module):
    """Shortcut plus transform, then the activation; a projection where the shape changes.

    Args:
        f: The transform; its last module is a norm.
        w_in: Input channels.
        w_out: Output channels.
        stride: Of the block.
        act: Non-linearity.
    """

    def __init__(
        self, f: nn.Sequential, w_in: int, w_out: int, stride: int, act: Activation
    ) -> None:
        super().__init__()
        self.proj = None
        if w_in != w_out or stride != 1:
            self.proj = conv(w_in, w_out, 1, stride=stride)
            self.bn = nn.BatchNorm2d(w_out)
        self.f = f
        self.af = activation(act)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """Return the block's output."""
        skip = x if self.proj is None else self.bn(self.proj(x))
        out: Tensor = self.af(skip + self.f(x))
        return out


class LinearResBlock(nn.Module):
    """RegNetZ's block: no activation after the sum, a shortcut only where the shape stays."""

    def __init__(self, f: nn.Sequential, w_in: int, w_out: int, stride: int) -> None:
        super().__init__()
        self.has_skip = w_in == w_out and stride == 1
        self.f = f

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """Return the block's output."""
        out: Tensor = self.f(x)
        return x + out if self.has_skip else out


def _block(
    kind: AnyNetBlock,
    w_in: int,
    w_out: int,
    stride: int,
    act: Activation,
    *,
    bot_mul: float,
    group_width: int,
    se_ratio: float,
    stride_1x1: bool,
) -> nn.Module:
    if kind == "vanilla_block":
        return VanillaBlock(w_in, w_out, stride, act)
    if kind == "res_basic_block":
        return ResBlock(BasicTransform(w_in, w_out, stride, act), w_in, w_out, stride, act)
    f = BottleneckTransform(
        w_in, w_out, stride, act, bot_mul=bot_mul, group_width=group_width, se_ratio=se_ratio,
        stride_1x1=stride_1x1,
    )  # fmt: skip
    if kind == "res_bottleneck_block":
        return ResBlock(f, w_in, w_out, stride, act)
    return LinearResBlock(f, w_in, w_out, stride)


def anynet(
    *,
    depths: Sequence[int],
    widths: Sequence[int],
    strides: Sequence[int],
    bot_muls: Sequence[float],
    group_widths: Sequence[int],
    block: AnyNetBlock,
    stem: AnyNetStem,
    stem_width: int,
    se_ratio: float,
    activation: Activation,
    head_width: int,
    stride_1x1: bool,
    zero_init_residual: bool,
    num_classes: int,
    in_chans: int,
) -> ConvNet:
    """Build an AnyNet; the arguments are those of `AnyNetSpec`, which checks them."""
    act = activation
    first = Stem(in_chans, stem_width, stem, act)
    reduction = 1 if stem == "res_stem_cifar" else 2
    levels = [Level("stem.af", stem_width, reduction)]
    reduction *= 2 if stem == "res_stem_in" else 1
    stages = []
    w_in = stem_width
    for i, (depth, width, stride) in enumerate(zip(depths, widths, strides, strict=True)):
        stage = nn.Sequential()
        for j in range(depth):
            made = _block(
                block, w_in, width, stride if j == 0 else 1, act, bot_mul=bot_muls[i],
                group_width=group_widths[i], se_ratio=se_ratio, stride_1x1=stride_1x1,
            )  # fmt: skip
            stage.add_module(f"b{j + 1}", made)
            w_in = width
        reduction *= stride
        levels.append(Level(f"s{i + 1}", width, reduction))
        stages.append(stage)
    head = ConvHead(w_in, head_width, num_classes, act)
    model = ConvNet(first, stages, head, finest_levels(levels), in_chans=in_chans)
    init_anynet_(model, zero_init_residual=zero_init_residual)
    return model


def init_anynet_(model: nn.Module, *, zero_init_residual: bool) -> None:
    """Draw an AnyNet's weights in place; the last norms of its branches start at 0 if asked."""
    init_cnn_(model)
    if zero_init_residual:
        for module in model.modules():
            if isinstance(module, BottleneckTransform):
                nn.init.zeros_(module.c_bn.weight)
            elif isinstance(module, BasicTransform):
                nn.init.zeros_(module.b_bn.weight)
