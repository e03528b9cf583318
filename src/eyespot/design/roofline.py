"""How long a training step takes on a named device, predicted layer by layer.

A layer takes the longest of its arithmetic, its memory traffic and one kernel launch, at the part
of the device's rates that `Efficiency` assumes. Eager mode is assumed: no layer is fused with
another. Left out: loading of images, the all-reduces of synchronised batch norm, stragglers.
"""

from dataclasses import dataclass
from typing import NamedTuple

from eyespot.design.devices import Device
from eyespot.design.layers import Kind, Layer
from eyespot.design.memory import recomputed_groups
from eyespot.design.training import Training, passes


class _Traffic(NamedTuple):
    """How often a layer's inputs and outputs cross the memory bus."""

    forward_in: int
    forward_out: int
    backward_in: int
    backward_out: int
    backward_flops: float = 0.0


# Backward of matrix layers: one product for the input's gradient, one for the weights'; fused
# attention recomputes the scores. Batch norm reads its input twice forward (statistics, then
# output) and gradient and input twice backward. A gate's gradient is a whole map before its sum.
_TRAFFIC: dict[Kind, _Traffic] = {
    "conv": _Traffic(1, 1, 2, 2, 2.0),
    "linear": _Traffic(1, 1, 2, 2, 2.0),
    "attention": _Traffic(1, 1, 2, 3, 2.5),
    "batch_norm": _Traffic(2, 1, 3, 2),
    "layer_norm": _Traffic(1, 1, 3, 2),
    "activation": _Traffic(1, 1, 1, 2),
    "add": _Traffic(1, 1, 0, 3),
    "gate": _Traffic(1, 1, 3, 3),
    "mean": _Traffic(1, 0, 4, 0),
    "max_pool": _Traffic(1, 5, 1, 6),  # indices are four times as large as 16-bit elements
    "cast": _Traffic(1, 1, 1, 1),
    "copy": _Traffic(1, 1, 0, 0),
}
# Passes over float32 weights that an update makes, unfused: reads and writes of weights, gradients,
# state and temporaries; LARC adds two norms.
_UPDATE_PASSES = {"sgd": 11, "larc": 15, "adamw": 20}
_EMA_PASSES = 3


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds of one training step.

    Attributes:
        forward: Forward passes.
        recompute: Forward passes made again for the backward pass.
        backward: Backward passes.
        update: Optimizer and average.
        exposed: Communication that the backward pass does not hide.
        communication: All communication.
    """

    forward: float
    recompute: float
    backward: float
    update: float
    exposed: float
    communication: float

    @property
    def total(self) -> float:
        """Seconds from one step to the next."""
        return self.forward + self.recompute + self.backward + self.update + self.exposed


def step_time(training: Training, device: Device) -> StepTime:
    """Predict how long a training step takes.

    Args:
        training: The run.
        device: Each of its devices.

    Raises:
        ValueError: If the device does not have the dtype, or the network does not fit a view.
    """
    _need_dtype(training, device)
    forward = recompute = backward = 0.0
    groups = recomputed_groups(training)
    runs = passes(training)
    for views, units in runs:
        for i, unit in enumerate(units, start=-1):  # blocks from 0
            ahead = sum(layer_time(x, views, training, device) for x in unit.layers)
            forward += ahead
            if any(first <= i < end for first, end in groups):
                recompute += ahead
            backward += sum(
                layer_time(x, views, training, device, backward=True) for x in unit.layers
            )
    params = sum(unit.params for unit in runs[0][1])
    share = training.num_devices if training.sharding == "fsdp" else 1
    bandwidth = device.bandwidth * device.efficiency.bandwidth
    trips = _UPDATE_PASSES[training.optimizer] + _EMA_PASSES * training.ema
    communication = communication_time(training, params, device)
    return StepTime(
        forward=forward,
        recompute=recompute,
        backward=backward,
        update=4 * trips * params / share / bandwidth,
        exposed=max(0.0, communication - backward),
        communication=communication,
    )


def inference_time(training: Training, device: Device) -> float:
    """Predict the seconds of a forward pass in evaluation mode over a device's batch."""
    _need_dtype(training, device)
    return sum(
        layer_time(layer, views, training, device, evaluate=True)
        for views, units in passes(training)
        for unit in units
        for layer in unit.layers
    )


def _need_dtype(training: Training, device: Device) -> None:
    if training.dtype not in device.rates:
        known = ", ".join(rate for rate in device.rates if rate != "tf32")
        raise ValueError(f"need a dtype that {device.name} has ({known}), got {training.dtype}")


def layer_time(
    layer: Layer,
    views: int,
    training: Training,
    device: Device,
    *,
    backward: bool = False,
    evaluate: bool = False,
) -> float:
    """Predict the seconds of one layer over a batch.

    Args:
        layer: The layer.
        views: Images in the batch.
        training: Its dtype matters here.
        device: The device.
        backward: The backward pass instead of the forward pass.
        evaluate: In evaluation mode: batch norm reads its input once, a ReLU keeps nothing.
    """
    traffic = _TRAFFIC[layer.kind]
    low_bytes = 2 if training.mixed else 4
    size = low_bytes if layer.format == "compute" else 4
    matrix = traffic.backward_flops > 0
    trips_in = traffic.backward_in if backward else traffic.forward_in
    trips_out = traffic.backward_out if backward else traffic.forward_out
    if evaluate and layer.kind == "batch_norm":
        trips_in = 1
    if evaluate and layer.kind == "copy":
        return 0.0
    flops = layer.flops * (traffic.backward_flops if backward else 1.0) if matrix else 0.0
    moved = (trips_in * layer.read + trips_out * layer.written) * size * views
    moved += layer.params * low_bytes * (2 if backward else 1)
    return max(
        2 * flops * views / matrix_rate(layer, training, device),
        moved / (device.bandwidth * device.efficiency.bandwidth),
        device.launch * (1 + backward),
    )


def matrix_rate(layer: Layer, training: Training, device: Device) -> float:
    """Return the operations a second that a matrix layer is assumed to reach."""
    assumed, group = device.efficiency, layer.group_width
    plain = device.rates["float32"]
    if layer.kind != "conv":
        if training.mixed:
            return device.rates[training.dtype] * assumed.linear
        return plain * assumed.plain_linear
    units = device.rates[training.dtype] if training.mixed else device.rates.get("tf32", 0.0)
    part = 1.0 if group % 8 == 0 else assumed.odd
    if units and part and group >= 8:
        return units * assumed.conv * part * min(1.0, group / assumed.conv_tile)
    return plain * assumed.plain_conv * min(1.0, group / assumed.plain_tile)


def communication_time(training: Training, params: int, device: Device) -> float:
    """Predict the seconds that gradients, and with "fsdp" weights, spend on their way.

    A ring over all devices: every byte leaves each device (N - 1) / N times for a gather or a
    reduction, twice for an all-reduce. Inside a machine it runs at the link's rate, over several
    at what the network gives the whole machine, whichever is slower. DDP reduces float32
    gradients; "fsdp" gathers 16-bit weights twice and scatters 16-bit gradients.
    """
    count = training.num_devices
    if count == 1:
        return 0.0
    rate = device.link if count <= device.node_size else min(device.link, device.network)
    sharded = training.sharding == "fsdp"
    moved = 3 * params * (2 if training.mixed else 4) if sharded else 2 * params * 4
    return moved * (count - 1) / count / rate
