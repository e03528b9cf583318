"""The pieces CNNs share: squeeze-and-excitation, initialisation, recomputed blocks.

Shapes: B batch, C channels, H W size of a map.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from eyespot.design.specs import Activation

_ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}


def activation(name: Activation) -> nn.Module:
    """Return a new activation module; all but GELU write in place."""
    kind = _ACTIVATIONS[name]
    return kind() if name == "gelu" else kind(inplace=True)


def conv(
    w_in: int, w_out: int, kernel: int, *, stride: int = 1, groups: int = 1, bias: bool = False
) -> nn.Conv2d:
    """Return a convolution padded by (kernel - 1) / 2, so that stride 1 keeps the size."""
    return nn.Conv2d(
        w_in, w_out, kernel, stride=stride, padding=(kernel - 1) // 2, groups=groups, bias=bias
    )


class SqueezeExcite(nn.Module):
    """Scale every channel by a gate computed from all channels' means.

    Paper: Squeeze-and-Excitation Networks (arXiv 1709.01507), section 3.

    Args:
        width: Channels C.
        squeezed: Channels between the two 1x1 convolutions.
        act: The non-linearity between them.
    """

    def __init__(self, width: int, squeezed: int, act: Activation) -> None:
        super().__init__()
        self.f_ex = nn.Sequential(
            nn.Conv2d(width, squeezed, 1),
            activation(act),
            nn.Conv2d(squeezed, width, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the gated map."""
        gate: Tensor = self.f_ex(x.mean((2, 3), keepdim=True))  # [B, C, 1, 1]
        return x * gate


def init_cnn_(model: nn.Module) -> None:
    """Draw a CNN's weights in place, as pycls does.

    Convolutions: N(0, sqrt(2 / fan_out)) with fan_out = k k C_out, not divided by the groups;
    their biases keep torch's default. Linear: N(0, 0.01), bias 0. Norms: gain 1, bias 0.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
            nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01)
            nn.init.zeros_(module.bias)


@contextlib.contextmanager
def _frozen_running_stats(blocks: Sequence[nn.Module]) -> Iterator[None]:
    """Let batch norms use batch statistics without adding them to the running ones.

    Meanwhile the running ones are copies: recomputation has to keep as many tensors as the first
    run, so they cannot just be switched off.
    """
    modules = [module for block in blocks for module in block.modules()]
    norms = [m for m in modules if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [dict(norm._buffers) for norm in norms]
    for norm in norms:
        norm._buffers.update({k: b.clone() for k, b in norm._buffers.items() if b is not None})
    try:
        yield
    finally:
        for norm, buffers in zip(norms, before, strict=True):
            norm._buffers.update(buffers)


def run_blocks(
    blocks: Sequence[nn.Module], x: Tensor, groups: Sequence[tuple[int, int]], first: int = 0
) -> Tensor:
    """Run blocks one after the other, groups of them so that they are run again for the gradient.

    Args:
        blocks: Of one stage.
        x: What goes in.
        groups: Blocks [begin, end) counted over all stages; the parts of them that are here count.
        first: The number of the first block here.
    """
    ends = {max(begin - first, 0): min(end - first, len(blocks)) for begin, end in groups}
    i = 0
    while i < len(blocks):
        end = ends.get(i, i)
        x = recomputed(blocks[i:end], x) if end > i else blocks[i](x)
        i = max(end, i + 1)
    return x


def recomputed(blocks: Sequence[nn.Module], x: Tensor) -> Tensor:
    """Run blocks now and again in the backward pass, keeping only their input in memory.

    Running statistics of batch norms are updated by the first run alone, so the result equals
    the plain run's, buffers included; torch.compile sees to that by itself.
    """

    def run(x: Tensor) -> Tensor:
        for block in blocks:
            x = block(x)
        return x

    if torch.compiler.is_compiling():
        return cast(Tensor, checkpoint(run, x, use_reentrant=False))

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return contextlib.nullcontext(), _frozen_running_stats(blocks)

    return cast(Tensor, checkpoint(run, x, use_reentrant=False, context_fn=contexts))
