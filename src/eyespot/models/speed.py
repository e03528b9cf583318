"""What makes a network fast on a device: number format, memory layout, folding, compilation.

The settings in the table come from what `benchmarks/defaults.py` measures; its results are in
benchmarks/RESULTS.md. On CPUs bfloat16 pays for ViTs, for large RegNets and ResNets, and for large
EfficientNets in inference; smaller ones gain less or lose, as EfficientNets in training do.
"""

import copy
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from eyespot.design.complexity import complexity
from eyespot.design.specs import Spec

Use = Literal["inference", "training"]


@dataclass(frozen=True, slots=True)
class SpeedSettings:
    """How to run a network.

    Args:
        dtype: Number format: of weights and maps in inference, of autocast in training.
        channels_last: Keep the channels of a pixel together in memory.
        compile: Let torch.compile fuse operations: half a minute or more for the first batch, and
            a C++ compiler on CPUs.
        fold_norms: Inference only: fold each batch norm into the convolution before it.
        onednn_linear: Inference on a CPU in float32 only: linear layers by oneDNN instead of MKL,
            which does not use AVX-512 on AMD.
    """

    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    compile: bool = False
    fold_norms: bool = False
    onednn_linear: bool = False


def describe(settings: SpeedSettings) -> str:
    """Return the settings in words."""
    words = [str(settings.dtype).removeprefix("torch.")]
    words += ["channels-last"] if settings.channels_last else []
    words += ["compiled"] if settings.compile else []
    return ", ".join(words)


_LARGE_FLOPS = 0.75e9  # of an image: from here on bfloat16 pays for CNNs on CPUs
_CPU_CNN = SpeedSettings(channels_last=True, fold_norms=True)
_CPU_VIT = SpeedSettings(
    dtype=torch.bfloat16, channels_last=True, fold_norms=True, onednn_linear=True
)
_CUDA = SpeedSettings(dtype=torch.bfloat16, channels_last=True, compile=True)
_DEFAULTS: dict[tuple[str, str, Use], SpeedSettings] = {
    ("cpu", "anynet", "inference"): _CPU_CNN,
    ("cpu", "anynet", "training"): SpeedSettings(channels_last=True),
    ("cpu", "effnet", "inference"): _CPU_CNN,
    ("cpu", "effnet", "training"): SpeedSettings(channels_last=True),
    ("cpu", "vit", "inference"): _CPU_VIT,
    ("cpu", "vit", "training"): SpeedSettings(dtype=torch.bfloat16, channels_last=True),
    ("cuda", "anynet", "inference"): replace(_CUDA, fold_norms=True),
    ("cuda", "anynet", "training"): _CUDA,
    ("cuda", "effnet", "inference"): replace(_CUDA, fold_norms=True),
    ("cuda", "effnet", "training"): _CUDA,
    ("cuda", "vit", "inference"): replace(_CUDA, fold_norms=True),
    ("cuda", "vit", "training"): _CUDA,
}


def speed_defaults(
    device: torch.device | str, spec: Spec, use: Use, *, exact: bool = False
) -> SpeedSettings:
    """Return the fastest settings we know for a network on a device.

    Devices nobody measured get plain float32. bfloat16 is chosen only where the processor
    computes in it.

    Args:
        device: Where the network will run.
        spec: The network, at the size of the images that it will see.
        use: "inference" or "training".
        exact: Keep float32, so that outputs equal the plain network's but for rounding.
    """
    kind = torch.device(device).type
    settings = _DEFAULTS.get((kind, spec.family, use), SpeedSettings())
    gains = spec.family == "anynet" or (spec.family == "effnet" and use == "inference")
    if kind == "cpu" and gains and complexity(spec).flops >= _LARGE_FLOPS:
        settings = replace(settings, dtype=torch.bfloat16)
    if exact or (settings.dtype == torch.bfloat16 and not _has_bfloat16(kind)):
        settings = replace(settings, dtype=torch.float32)
    return settings


def _has_bfloat16(kind: str) -> bool:
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


class ForInference(nn.Module):
    """A network as `prepare_inference` leaves it: images in, float32 out, no gradients.

    Args:
        model: The network.
        settings: As it was prepared.
    """

    def __init__(self, model: nn.Module, settings: SpeedSettings) -> None:
        super().__init__()
        self.model = model
        self.settings = settings

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "b i h w"]) -> Tensor | list[Tensor]:
        """Return what the network returns, in float32."""
        images = to_layout(images, self.settings).to(self.settings.dtype)
        out = self.model(images)
        return out.float() if isinstance(out, Tensor) else [each.float() for each in out]


def prepare_inference(model: nn.Module, settings: SpeedSettings) -> ForInference:
    """Copy a network and put the settings into effect; the network itself stays as it is.

    Outputs differ by rounding alone: relatively about 1e-6 in float32 and 1e-2 in bfloat16.

    Args:
        model: One of this package's networks, with or without `features_only`, on its device.
        settings: Such as `speed_defaults` returns.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    if settings.fold_norms:
        _fold_norms_(model)
    if settings.dtype != torch.float32:
        model.to(settings.dtype)
    elif settings.onednn_linear:
        _replace_linears_(model)
    if settings.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if settings.compile:
        model.compile()
    return ForInference(model, settings)


def prepare_training(model: nn.Module, settings: SpeedSettings) -> nn.Module:
    """Put the settings into effect on a network that will be trained, in place.

    Parameters keep their names and float32; run the forward pass and the loss under `autocast`.

    Args:
        model: The network, on its device, before it is wrapped for several devices.
        settings: Such as `speed_defaults` returns.

    Returns:
        The same network.
    """
    if settings.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if settings.compile:
        model.compile()
    return model


def autocast(
    device: torch.device | str, settings: SpeedSettings
) -> AbstractContextManager[torch.amp.autocast]:
    """Return the context in which a training step's forward pass and loss run."""
    kind = torch.device(device).type
    return torch.autocast(kind, settings.dtype, enabled=settings.dtype != torch.float32)


def to_layout(images: Float[Tensor, "b i h w"], settings: SpeedSettings) -> Tensor:
    """Return images in the memory layout of the settings."""
    if settings.channels_last:
        return images.contiguous(memory_format=torch.channels_last)
    return images


def _fold_norms_(model: nn.Module) -> None:
    """Fold each batch norm into the convolution registered right before it.

    All our networks register layers in the order in which they run.
    """
    for parent in list(model.modules()):
        before, before_name = None, ""
        for name, child in list(parent.named_children()):
            if isinstance(before, nn.Conv2d) and isinstance(child, nn.BatchNorm2d):
                setattr(parent, before_name, fuse_conv_bn_eval(before, child))
                setattr(parent, name, nn.Identity())
            before, before_name = child, name


class _OneDNNLinear(nn.Module):
    """A linear layer computed by oneDNN."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return x W^T + b."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return out


def _replace_linears_(model: nn.Module) -> None:
    """Let oneDNN compute the linear layers, where this PyTorch has it."""
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, _OneDNNLinear(child))
