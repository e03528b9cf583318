"""One iteration of a network on noise: inference, or a whole training step."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eyespot.design.devices import DTYPES
from eyespot.design.latency import MODES
from eyespot.design.specs import Spec
from eyespot.errors import unknown_name
from eyespot.models.build import build


@dataclass(frozen=True, slots=True)
class Settings:
    """How a network is run.

    Args:
        device: Where.
        mode: "infer": forward pass in evaluation mode; "train": forward and backward pass on soft
            labels and an update by SGD with momentum.
        dtype: "float32", or a 16-bit type under autocast with float32 weights.
        channels_last: Memory layout of images and convolutions.
        compiled: Through torch.compile.
    """

    device: torch.device
    mode: str = "infer"
    dtype: str = "float32"
    channels_last: bool = False
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(unknown_name("mode", self.mode, MODES))
        if self.dtype not in DTYPES:
            raise ValueError(unknown_name("dtype", self.dtype, DTYPES))


def make_step(
    spec: Spec, settings: Settings, *, batch: int, image_size: int | None = None
) -> Callable[[], object]:
    """Build a network and its inputs; the call returned runs one iteration.

    Args:
        spec: The network.
        settings: How to run it.
        batch: Images an iteration.
        image_size: Side of the images, px; the spec's own when not given.

    Raises:
        ValueError: If a number is out of range, or the network cannot take images of that size.
    """
    size = spec.image_size if image_size is None else image_size
    if batch < 1 or size < 1:
        raise ValueError(f"need a batch and image size of 1 or more, got {batch} and {size}")
    layout = torch.channels_last if settings.channels_last else torch.contiguous_format
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, spec.in_chans, size, size, generator=generator)
    images = images.to(settings.device, memory_format=layout)
    model = build(replace(spec, image_size=size)).to(settings.device)
    model = model.to(memory_format=layout)  # type: ignore[call-overload]
    outputs = _settle_(model, images, settings)
    model.train(settings.mode == "train")
    run: Callable[[Tensor], Tensor] = torch.compile(model) if settings.compiled else model
    if settings.mode == "infer":
        return lambda: _infer(run, images, settings)
    labels = torch.full((batch, outputs), 1 / outputs, device=settings.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-5)
    return lambda: _train(run, images, labels, optimizer, settings)


def _settle_(model: nn.Module, images: Tensor, settings: Settings) -> int:
    """Give batch norms the statistics of the noise; returns the number of outputs.

    At the initial ones, signals of deep networks fade into denormal numbers, which CPUs multiply
    slowly: inference would look slower than it is.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    noise = images if len(images) > 1 else torch.cat([images, -images])
    out = _infer(model.train(), noise, settings)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    return out.shape[1]


def _autocast(settings: Settings) -> torch.autocast:
    return torch.autocast(
        settings.device.type,
        getattr(torch, settings.dtype) if settings.dtype != "float32" else torch.bfloat16,
        enabled=settings.dtype != "float32",
    )


@torch.no_grad()
def _infer(model: Callable[[Tensor], Tensor], images: Tensor, settings: Settings) -> Tensor:
    with _autocast(settings):
        return model(images)


def _train(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    optimizer: torch.optim.Optimizer,
    settings: Settings,
) -> None:
    with _autocast(settings):
        loss = F.cross_entropy(model(images), labels)
    torch.autograd.backward(loss)
    optimizer.step()
    optimizer.zero_grad()
