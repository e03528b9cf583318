"""What an architecture is: three frozen dataclasses of plain numbers.

Every spec holds all that is needed to count a network (`design.complexity`), scale it
(`design.scaling`) and build it (`models.build`). Sizes are pixels, widths are channels.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

Activation = Literal["relu", "relu6", "silu", "gelu"]
AnyNetStem = Literal["simple_stem_in", "res_stem_in", "res_stem_cifar"]
AnyNetBlock = Literal[
    "vanilla_block", "res_basic_block", "res_bottleneck_block", "res_bottleneck_linear_block"
]
StemNorm = Literal["batch", "layer"]
Pooling = Literal["token", "mean"]

_BOTTLENECKS = ("res_bottleneck_block", "res_bottleneck_linear_block")


def _need(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


def _need_lengths(lists: dict[str, tuple[float, ...]]) -> None:
    lengths = {name: len(values) for name, values in lists.items()}
    _need(
        len(set(lengths.values())) == 1 and 0 not in lengths.values(),
        f"need lists of one length, at least 1, one entry a stage, got {lengths}",
    )


def _need_positive(lists: dict[str, tuple[float, ...]]) -> None:
    for name, values in lists.items():
        _need(min(values) > 0, f"need every number of {name} above 0, got {list(values)}")


def _need_sizes(spec: "AnyNetSpec | EffNetSpec | ViTSpec") -> None:
    for name in ("image_size", "test_size", "num_classes", "in_chans"):
        value = getattr(spec, name)
        least = 0 if name == "num_classes" else 1
        _need(
            isinstance(value, int) and value >= least,
            f"need {name} of {least} or more, got {value!r}",
        )


@dataclass(frozen=True, slots=True)
class AnyNetSpec:
    """A CNN of stem, stages of identical blocks, and head: RegNets, ResNets, ResNeXts.

    Paper: Designing Network Design Spaces (arXiv 2003.13678), section 3.

    Args:
        depths: Blocks of each stage.
        widths: Output channels of each stage.
        strides: Stride of the first block of each stage.
        bot_muls: Bottleneck width over output width, per stage (X, Y: 1, Z: 4, ResNet: 0.25).
        group_widths: Channels a group of the 3x3 convolution, per stage.
        block: Block type, by its published name.
        stem: Stem type, by its published name.
        stem_width: Output channels of the stem.
        se_ratio: Squeeze width over the block's input width, rounded; where it is 0, a block has
            no squeeze-and-excitation.
        activation: The one non-linearity of the network.
        head_width: Channels of a 1x1 convolution before the pool; 0 for none.
        stride_1x1: Stride on the first 1x1 convolution instead of the 3x3 one (MSRA's ResNets).
        zero_init_residual: Start the last norm of each residual branch at gain 0.
        num_classes: Outputs of the classifier; 0 for none.
        image_size: Side of a training image, px.
        test_size: Short side a test image is resized to before the centre crop, px.
        in_chans: Channels of an image.
    """

    family: ClassVar[str] = "anynet"

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    strides: tuple[int, ...]
    bot_muls: tuple[float, ...]
    group_widths: tuple[int, ...]
    block: AnyNetBlock = "res_bottleneck_block"
    stem: AnyNetStem = "simple_stem_in"
    stem_width: int = 32
    se_ratio: float = 0.0
    activation: Activation = "relu"
    head_width: int = 0
    stride_1x1: bool = False
    zero_init_residual: bool = False
    num_classes: int = 1000
    image_size: int = 224
    test_size: int = 256
    in_chans: int = 3

    def __post_init__(self) -> None:
        lists = {
            "depths": self.depths,
            "widths": self.widths,
            "strides": self.strides,
            "bot_muls": self.bot_muls,
            "group_widths": self.group_widths,
        }
        _need_lengths(lists)
        _need_positive(lists)
        _need_sizes(self)
        _need(self.stem_width > 0, f"need stem_width above 0, got {self.stem_width}")
        _need(self.head_width >= 0, f"need head_width of 0 or more, got {self.head_width}")
        _need(0 <= self.se_ratio <= 1, f"need se_ratio in [0, 1], got {self.se_ratio}")
        if self.block in _BOTTLENECKS:
            for width, mul, group in zip(
                self.widths, self.bot_muls, self.group_widths, strict=True
            ):
                inner = round(width * mul)
                _need(
                    inner % group == 0,
                    f"need a group width that divides the bottleneck width, got group width "
                    f"{group} for {inner} channels (width {width} x {mul:g})",
                )


@dataclass(frozen=True, slots=True)
class EffNetSpec:
    """An EfficientNet: stem, stages of inverted-residual blocks, convolutional head.

    Paper: EfficientNet (arXiv 1905.11946), table 1; norms and padding as in pycls (symmetric
    padding, batch norm eps 1e-5).

    Args:
        depths: Blocks of each stage.
        widths: Output channels of each stage.
        strides: Stride of the first block of each stage.
        exp_ratios: Expanded width over input width, per stage.
        kernels: Kernel of the depthwise convolution, per stage.
        stem_width: Output channels of the stem.
        head_width: Channels of the head's 1x1 convolution.
        se_ratio: Squeeze width over the block's input width; 0 for no squeeze-and-excitation.
        activation: The one non-linearity of the network.
        drop_connect: Chance to drop a residual branch for a sample, in training.
        dropout: Dropout before the classifier.
        num_classes: Outputs of the classifier; 0 for none.
        image_size: Side of a training image, px.
        test_size: Short side a test image is resized to before the centre crop, px.
        in_chans: Channels of an image.
    """

    family: ClassVar[str] = "effnet"

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    strides: tuple[int, ...]
    exp_ratios: tuple[float, ...]
    kernels: tuple[int, ...]
    stem_width: int = 32
    head_width: int = 1280
    se_ratio: float = 0.25
    activation: Activation = "silu"
    drop_connect: float = 0.0
    dropout: float = 0.0
    num_classes: int = 1000
    image_size: int = 224
    test_size: int = 256
    in_chans: int = 3

    def __post_init__(self) -> None:
        lists = {
            "depths": self.depths,
            "widths": self.widths,
            "strides": self.strides,
            "exp_ratios": self.exp_ratios,
            "kernels": self.kernels,
        }
        _need_lengths(lists)
        _need_positive(lists)
        _need_sizes(self)
        _need(
            self.stem_width > 0 and self.head_width > 0,
            f"need stem_width and head_width above 0, got {self.stem_width} and {self.head_width}",
        )
        _need(
            all(kernel % 2 for kernel in self.kernels),
            f"need odd kernels, got {list(self.kernels)}",
        )
        _need(0 <= self.se_ratio <= 1, f"need se_ratio in [0, 1], got {self.se_ratio}")
        narrowest = min(self.stem_width, *self.widths)
        _need(
            not self.se_ratio or narrowest * self.se_ratio >= 1,
            "need a stem and stages wide enough for one channel of squeeze-and-excitation, got "
            f"width {narrowest} with se_ratio {self.se_ratio}",
        )
        for name in ("drop_connect", "dropout"):
            _need(0 <= getattr(self, name) < 1, f"need {name} in [0, 1), got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class ViTStem:
    """How pixels become tokens: [conv, norm, ReLU] layers, then a projection to the hidden width.

    Patchify is no layers and a projection whose kernel and stride are the patch size. The
    convolutional stem of Early Convolutions (arXiv 2106.14881, section 4) is 3x3 layers and a 1x1
    projection. A layer whose kernel equals its stride (above 1) has no padding, any other
    (kernel - 1) / 2.

    Args:
        channels: Output channels of each layer.
        kernels: Kernel of each layer.
        strides: Stride of each layer.
        proj_kernel: Kernel of the projection.
        proj_stride: Stride of the projection.
        norm: Norm of each layer.
        norm_after: Also put the norm and ReLU after the projection (an ablation of the paper).
    """

    channels: tuple[int, ...] = ()
    kernels: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    proj_kernel: int = 16
    proj_stride: int = 16
    norm: StemNorm = "batch"
    norm_after: bool = False

    def __post_init__(self) -> None:
        _need(
            len(self.channels) == len(self.kernels) == len(self.strides),
            "need as many channels as kernels and strides in a ViT stem, got "
            f"{len(self.channels)}, {len(self.kernels)} and {len(self.strides)}",
        )
        for kernel, stride in self.convs():
            _need(
                kernel > 0 and stride > 0 and (kernel % 2 == 1 or kernel == stride),
                "need stem convolutions with an odd kernel, or a kernel equal to the stride, got "
                f"kernel {kernel} with stride {stride}",
            )
        if self.channels:
            _need_positive({"channels": self.channels})

    def convs(self) -> tuple[tuple[int, int], ...]:
        """Return (kernel, stride) of every convolution, the projection last."""
        layers = tuple(zip(self.kernels, self.strides, strict=True))
        return (*layers, (self.proj_kernel, self.proj_stride))

    @property
    def patch_size(self) -> int:
        """Side of the image region behind one token's stride, px."""
        size = 1
        for _, stride in self.convs():
            size *= stride
        return size


@dataclass(frozen=True, slots=True)
class ViTSpec:
    """A vision transformer with any stem: pre-norm, learned position embeddings, no dropout.

    Paper: Early Convolutions Help Transformers See Better (arXiv 2106.14881), sections 3 and 4.

    Args:
        hidden_dim: Token width D.
        mlp_dim: Width of each MLP's hidden layer.
        num_heads: Attention heads.
        depth: Transformer blocks.
        stem: How pixels become tokens.
        pooling: "token" classifies from a class token, "mean" from the mean token.
        ln_eps: Epsilon of every layer norm.
        num_classes: Outputs of the classifier; 0 for none.
        image_size: Side of a training image, px.
        test_size: Short side a test image is resized to before the centre crop, px.
        in_chans: Channels of an image.
    """

    family: ClassVar[str] = "vit"

    hidden_dim: int
    mlp_dim: int
    num_heads: int
    depth: int
    stem: ViTStem = field(default_factory=ViTStem)
    pooling: Pooling = "token"
    ln_eps: float = 1e-6
    num_classes: int = 1000
    image_size: int = 224
    test_size: int = 256
    in_chans: int = 3

    def __post_init__(self) -> None:
        _need_sizes(self)
        for name in ("hidden_dim", "mlp_dim", "num_heads", "depth"):
            _need(getattr(self, name) > 0, f"need {name} above 0, got {getattr(self, name)}")
        _need(
            self.hidden_dim % self.num_heads == 0,
            "need a hidden_dim divisible by num_heads, got "
            f"hidden_dim {self.hidden_dim} and {self.num_heads} heads",
        )
        patch = self.stem.patch_size
        _need(
            self.image_size % patch == 0,
            f"need an image size divisible by the patch size {patch}, got {self.image_size}; "
            f"the nearest is {max(1, round(self.image_size / patch)) * patch}",
        )

    @property
    def num_tokens(self) -> int:
        """Length of the token sequence, the class token included."""
        side = self.image_size // self.stem.patch_size
        return side * side + (self.pooling == "token")


Spec = AnyNetSpec | EffNetSpec | ViTSpec
