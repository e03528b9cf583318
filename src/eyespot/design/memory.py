"""How much memory one device needs for a training step, item by item at the fullest moment.

What is kept for the backward pass comes from the walked architecture (`design.walk`), so there is
no fudge factor: it equals the bytes PyTorch saves. The step is then played through: activations
grow, then shrink as gradients grow, then the optimizer updates; the fullest moment is reported.
"""

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from eyespot.design.devices import Device
from eyespot.design.layers import Kept, Layer, Unit
from eyespot.design.recompute import held_by, parse_groups, recomputed_by
from eyespot.design.specs import Spec, ViTSpec
from eyespot.design.training import Groups, Training, passes

_STATE_BYTES = {"sgd": 4, "larc": 4, "adamw": 8}
# Copies of all gradients that an update makes while it runs, as torch's foreach kernels do.
_SCRATCH = {"sgd": 1, "larc": 0, "adamw": 1}


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on one device at the fullest moment of a step.

    Attributes:
        weights: Parameters in float32; a share of them under "fsdp".
        optimizer: Its state.
        ema: The averaged copy.
        gradients: Those that exist at that moment.
        buckets: DDP's gradient buckets.
        gathered: Whole blocks that "fsdp" gathers: weights and gradients of two blocks at a time.
        images: The batch as float32; 0 in float32, where the activations contain it.
        activations: All that is kept for the backward pass, 16-bit copies of weights included.
        working: Gradients that pass through the largest layer at work, or the optimizer's scratch.
    """

    weights: int
    optimizer: int
    ema: int
    gradients: int
    buckets: int
    gathered: int
    images: int
    activations: int
    working: int

    @property
    def total(self) -> int:
        """The sum."""
        return sum(self.items().values())

    def items(self) -> dict[str, int]:
        """Return the items by name."""
        return {name: getattr(self, name) for name in self.__slots__}


def memory(training: Training) -> Memory:
    """Predict what one device holds at the fullest moment of a training step.

    Gradients are assumed to be freed after each update. The device's own reserve (driver,
    libraries, workspaces) is not in it: `fits` adds it.

    Raises:
        ValueError: If the network does not fit a view's size.
    """
    low_bytes = 2 if training.mixed else 4
    runs = passes(training)
    units = runs[0][1]
    params = sum(unit.params for unit in units)
    sharded = training.sharding == "fsdp" and training.num_devices > 1
    share = training.num_devices if sharded else 1
    replicated = training.num_devices > 1 and not sharded
    views = sum(crop.count * crop.size**2 for crop in training.views)
    fixed = Memory(
        weights=-(-4 * params // share),
        optimizer=-(-_STATE_BYTES[training.optimizer] * params // share),
        ema=-(-4 * params // share) if training.ema else 0,
        gradients=0,
        buckets=4 * params if replicated else 0,
        gathered=_gathered(units, low_bytes) if sharded else 0,
        images=4 * views * training.spec.in_chans * training.device_batch * training.mixed,
        activations=0,
        working=0,
    )
    moments = _moments(training, runs, low_bytes, share)
    fullest = max(moments, key=sum)
    return replace(fixed, activations=fullest[0], gradients=fullest[1], working=fullest[2])


class TooLargeError(ValueError):
    """A step needs more than it may, whatever is recomputed."""


def fits(training: Training, device: Device) -> bool:
    """Say whether a step fits a device's memory, its reserve included."""
    try:
        return memory(training).total + device.reserved <= device.memory
    except TooLargeError:
        return False


def largest_batch(training: Training, device: Device, *, most: int = 1 << 20) -> int:
    """Return the largest batch over all devices that fits, other things equal; 0 if none does.

    Args:
        training: The run; its own batch is ignored.
        device: One of its devices.
        most: Images a device to stop at.
    """
    count = training.num_devices

    def fit(each: int) -> bool:
        return fits(replace(training, batch=each * count), device)

    if not fit(1):
        return 0
    low, high = 1, 2
    while high <= most and fit(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fit(middle) else (low, middle)
    return low * count


def recomputed_groups(training: Training) -> Groups:
    """Return the blocks that a run computes again, counted over all stages.

    Raises:
        ValueError: If its `recompute` says nothing that this network has, or too few gigabytes.
    """
    text = training.recompute
    if not isinstance(text, str):
        return text
    if text == "none":
        return ()
    depths = _depths(training.spec)
    if text == "blocks":
        return tuple((i, i + 1) for i in range(sum(depths)))
    if target := re.fullmatch(r"(?i)(\d+(?:\.\d+)?) ?GB", text):
        return fewest_recomputed(training, 1e9 * float(target[1]))
    if "/" not in text and len(depths) > 1:
        raise ValueError(
            'need "none", "blocks", gigabytes such as "30GB", or ends of groups stage by stage, '
            f'such as "{"/".join(map(str, depths))}", to recompute, got {text!r}'
        )
    return parse_groups(text, depths)


def _depths(spec: Spec) -> tuple[int, ...]:
    return (spec.depth,) if isinstance(spec, ViTSpec) else spec.depths


@functools.lru_cache(maxsize=64)
def fewest_recomputed(training: Training, most_bytes: float) -> Groups:
    """Return the blocks to compute again so that a step needs at most so many bytes on a device.

    Those that free most bytes for their flops come first; then those that are not needed after all
    are left out again, the most expensive first.

    Args:
        training: The run; what it says of recomputation is ignored.
        most_bytes: Without the device's reserve.

    Returns:
        Each block by itself; none if the run fits as it is.

    Raises:
        TooLargeError: If it does not fit with every block recomputed.
    """
    runs = passes(training)
    blocks = len(runs[0][1]) - 2
    low_bytes = 2 if training.mixed else 4

    def need(chosen: Iterable[int]) -> int:
        groups = tuple((i, i + 1) for i in sorted(chosen))
        return memory(replace(training, recompute=groups)).total

    flops = [
        sum(views * layer.flops for views, units in runs for layer in units[i + 1].layers)
        for i in range(blocks)
    ]
    freed = [
        sum(kept_bytes(units[i + 1].kept, views, low_bytes) for views, units in runs)
        for i in range(blocks)
    ]
    least = need(range(blocks))
    if least > most_bytes:
        raise TooLargeError(
            f"need {least / 1e9:.2f} GB on a device with every block recomputed, got "
            f"{most_bytes / 1e9:.2f}; take smaller batches, more devices or sharding"
        )
    order = sorted(range(blocks), key=lambda i: freed[i] / flops[i], reverse=True)
    chosen: list[int] = []
    while need(chosen) > most_bytes:
        chosen.append(order[len(chosen)])
    for block in sorted(chosen, key=lambda i: flops[i], reverse=True):
        others = [i for i in chosen if i != block]
        if need(others) <= most_bytes:
            chosen = others
    return tuple((i, i + 1) for i in sorted(chosen))


def kept_bytes(kept: Iterable[Kept], views: int, low_bytes: int, *, copies: bool = True) -> int:
    """Return the bytes of kept tensors.

    Args:
        kept: The tensors.
        views: Images in the pass.
        low_bytes: Bytes of an element of the compute dtype.
        copies: Whether to count the 16-bit copies of weights, which autocast makes.
    """
    size = {"compute": low_bytes, "float32": 4, "int64": 8}
    return sum(
        x.elements * (views if x.per_image else 1) * size[x.format]
        for x in kept
        if copies or not _is_copy(x)
    )


def _is_copy(x: Kept) -> bool:
    return x.format == "compute" and not x.per_image


def _gathered(units: tuple[Unit, ...], low_bytes: int) -> int:
    """Stem and head stay whole; of the blocks, one is at work and the next on its way."""
    ends = units[0].params + units[-1].params
    largest = max((unit.params for unit in units[1:-1]), default=0)
    return low_bytes * (ends + 4 * largest)


def _working(layers: Iterable[Layer], views: int, low_bytes: int) -> int:
    """Bytes of the gradients in and out of the largest layer."""
    return max(
        (layer.read + layer.written) * views * (low_bytes if layer.format == "compute" else 4)
        for layer in layers
    )


def _moments(
    training: Training, runs: list[tuple[int, tuple[Unit, ...]]], low_bytes: int, share: int
) -> list[tuple[int, int, int]]:
    """Play a step: (activations, gradients, working) at the fullest moment of each unit.

    16-bit copies of weights are made once, in the first pass; autocast drops those of recomputed
    blocks when the forward pass ends, and "fsdp" gathers 16-bit weights instead.
    """
    groups = recomputed_groups(training)
    whole = share == 1
    held: list[int] = []
    for i, (views, units) in enumerate(runs):
        held += [
            kept_bytes(kept, views, low_bytes, copies=whole and i == 0)
            for kept in held_by(units, groups)
        ]
    blocks = runs[0][1][1:-1]
    copies = [x for group in groups for unit in blocks[slice(*group)] for _, x in unit.keeps]
    dropped = kept_bytes(filter(_is_copy, copies), 1, low_bytes) if whole else 0
    moments = [(sum(held) + dropped, 0, 0)]
    gradients: dict[str, int] = {}
    last = len(held)
    for views, units in reversed(runs):
        again = recomputed_by(units, groups)
        for place, unit in reversed(list(enumerate(units))):
            last -= 1
            inside = kept_bytes(again[place], views, low_bytes, copies=whole)
            moments.append(
                (
                    sum(held[: last + 1]) + inside,
                    sum(gradients.values()),
                    _working(unit.layers, views, low_bytes),
                )
            )
            gradients[unit.name] = -(-4 * unit.params // share)
    total = sum(gradients.values())
    return [*moments, (0, total, _SCRATCH[training.optimizer] * total)]
