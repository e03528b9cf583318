"""One training run as numbers: what memory, time and cost are predicted for."""

from dataclasses import dataclass

from eyespot.design.devices import DTYPES
from eyespot.design.layers import Unit
from eyespot.design.specs import Spec
from eyespot.design.walk import walk
from eyespot.errors import unknown_name

OPTIMIZERS = ("sgd", "larc", "adamw")
SHARDINGS = ("ddp", "fsdp")

Groups = tuple[tuple[int, int], ...]
"""Blocks [first, end), counted over all stages, whose activations are computed again together."""


@dataclass(frozen=True, slots=True)
class Crop:
    """Views of one size.

    Args:
        count: How many an image.
        size: Side, px.
    """

    count: int
    size: int


@dataclass(frozen=True, slots=True)
class Training:
    """A run, as far as its speed and memory go.

    Args:
        spec: The network.
        batch: Images a step, over all devices.
        num_devices: Devices; divides the batch.
        dtype: "float32", or a 16-bit type under autocast with float32 weights.
        optimizer: "sgd" and "larc" hold a momentum, "adamw" two moments.
        ema: Whether an averaged copy of the weights is held.
        recompute: What is computed again in the backward pass instead of kept: "none"; "blocks",
            every block by itself; groups of blocks, as `recompute.parse_groups` takes them or as
            blocks [first, end) counted over all stages; or what a step may need on a device,
            its reserve not included, such as "30GB": as few blocks as that takes.
        sharding: "ddp" holds everything on every device; "fsdp" a part of weights, gradients and
            optimizer state, and gathers one block at a time.
        crops: Views of every image; one of the spec's own size when empty.
        head_dims: Linear layers that replace the classifier, as in `walk`; None keeps it.

    Raises:
        ValueError: If a number is out of range or a name unknown.
    """

    spec: Spec
    batch: int
    num_devices: int = 1
    dtype: str = "bfloat16"
    optimizer: str = "sgd"
    ema: bool = False
    recompute: str | Groups = "none"
    sharding: str = "ddp"
    crops: tuple[Crop, ...] = ()
    head_dims: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.num_devices < 1:
            raise ValueError(f"need 1 device or more, got {self.num_devices}")
        if self.batch < 1:
            raise ValueError(f"need a batch of 1 image or more, got {self.batch}")
        if self.batch % self.num_devices:
            raise ValueError(
                f"need a batch that {self.num_devices} devices can share evenly, got {self.batch}"
            )
        for kind, got, known in (
            ("dtype", self.dtype, DTYPES),
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("sharding", self.sharding, SHARDINGS),
        ):
            if got not in known:
                raise ValueError(unknown_name(kind, got, known))
        for crop in self.crops:
            if crop.count < 1 or crop.size < 1:
                raise ValueError(
                    f"need crops of a count and size above 0, got {crop.count}x{crop.size}"
                )

    @property
    def mixed(self) -> bool:
        """Whether it runs under autocast."""
        return self.dtype != "float32"

    @property
    def device_batch(self) -> int:
        """Images a step on one device."""
        return self.batch // self.num_devices

    @property
    def views(self) -> tuple[Crop, ...]:
        """Views of every image."""
        return self.crops or (Crop(1, self.spec.image_size),)


def passes(training: Training) -> list[tuple[int, tuple[Unit, ...]]]:
    """Return the forward passes of a step on one device: views a pass, and the walked network.

    Views of one size run together, as SwAV runs them.

    Raises:
        ValueError: If the network does not fit a view's size.
    """
    return [
        (
            crop.count * training.device_batch,
            walk(training.spec, crop.size, mixed=training.mixed, head_dims=training.head_dims),
        )
        for crop in training.views
    ]
