"""The devices that a run can be planned for: what their makers print, and how much of it is seen.

Rates count two operations a multiply-add, as data sheets do, without sparsity.
"""

from dataclasses import dataclass

from eyespot.errors import unknown_name

DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class Efficiency:
    """Which part of a device's rates PyTorch's eager mode reaches: our assumptions.

    A convolution of narrow groups leaves part of a matrix tile empty: it runs at its rate times
    its group width over the tile, if less than 1. Matrix units need group widths divisible by 8;
    other convolutions are slower there (`odd`), and groups under 8 run on the plain units.

    Attributes:
        plain_conv: Part of the float32 rate that dense convolutions reach; it can equal 1,
            because Winograd's algorithm needs fewer operations than it is credited with.
        plain_tile: Tile of convolutions on the plain units, channels.
        plain_linear: Part of the float32 rate that linear layers and attention reach.
        conv: Part of the rate of the matrix units that dense convolutions reach.
        conv_tile: Tile of convolutions on the matrix units, channels.
        linear: Part of the rate of the matrix units that linear layers and attention reach.
        odd: Part of what is left to group widths not divisible by 8; 0 for the plain units.
        bandwidth: Part of the memory bandwidth.
    """

    plain_conv: float
    plain_tile: int
    plain_linear: float
    conv: float
    conv_tile: int
    linear: float
    odd: float
    bandwidth: float


# Set once on published rows: the plain parts and bandwidth on the inference and training times of
# pycls' model zoo (float32, PyTorch 1.6), conv and linear on the minutes per epoch of Early
# Convolutions (float16). NVIDIA's guides of that time ask for channel counts divisible by 8; that
# odd ones leave the matrix units altogether is assumed since SEER's widest network was seen to run
# at the plain rate.
VOLTA_2020 = Efficiency(1.0, 8, 1.0, 0.3, 192, 0.3, 0.0, 0.45)
# Set once on the timm project's inference results on an RTX 4090 (float16, torch 2.4).
ADA_2024 = Efficiency(1.0, 2, 1.0, 0.66, 24, 1.0, 0.45, 0.82)
# Set once on our own measurements of 14 networks on an H100 (bfloat16, channels-last, torch 2.11);
# assumed of A100 and H200.
HOPPER_2026 = Efficiency(1.0, 2, 1.0, 0.26, 22, 0.73, 0.46, 0.54)
# Set once on our own measurements on one core of an AMD EPYC (Zen 5) with oneDNN, torch 2.13.
CPU_2026 = Efficiency(0.5, 8, 0.38, 0.3, 8, 0.4, 1.0, 0.5)


@dataclass(frozen=True, slots=True)
class Device:
    """One accelerator, or one CPU core.

    Attributes:
        name: What a user types.
        rates: Operations a second by dtype; "tf32" where float32 convolutions may use it.
        bandwidth: Of the device's memory, bytes a second.
        memory: Of the device, bytes.
        reserved: Bytes that the driver's context, libraries and workspaces take: our assumption.
        node_size: Devices of one machine.
        link: Between the devices of a machine, bytes a second a device in one direction.
        network: Of a machine, bytes a second in one direction.
        launch: Least time of an operation, seconds: our assumption.
        efficiency: Which part of the rates is reached.
    """

    name: str
    rates: dict[str, float]
    bandwidth: float
    memory: float
    reserved: float
    node_size: int
    link: float
    network: float
    launch: float
    efficiency: Efficiency

    @property
    def best_dtype(self) -> str:
        """The 16-bit type it trains in: bfloat16 where it has it."""
        return "bfloat16" if "bfloat16" in self.rates else "float16"


_MIB = 2.0**20

# Rates, bandwidth and link: NVIDIA's data sheets of the SXM models (V100, A100, H100, H200) and
# the Ada architecture white paper (RTX 4090, float32 accumulation). Memory: what nvidia-smi
# prints. Network: one DGX of that generation (4 x 100, 8 x 200, 8 x 400 Gbit/s); 100 Gbit/s for
# the RTX 4090, whose link is PCIe 4.0 x16.
_DEVICES = (
    Device(
        "v100-16gb", {"float32": 15.7e12, "float16": 125e12}, 900e9, 16160 * _MIB, 1e9,
        8, 150e9, 50e9, 8e-6, VOLTA_2020,
    ),
    Device(
        "v100-32gb", {"float32": 15.7e12, "float16": 125e12}, 900e9, 32510 * _MIB, 1e9,
        8, 150e9, 50e9, 8e-6, VOLTA_2020,
    ),
    Device(
        "a100-40gb",
        {"float32": 19.5e12, "tf32": 156e12, "float16": 312e12, "bfloat16": 312e12},
        1555e9, 40536 * _MIB, 1e9, 8, 300e9, 200e9, 8e-6, HOPPER_2026,
    ),
    Device(
        "a100-80gb",
        {"float32": 19.5e12, "tf32": 156e12, "float16": 312e12, "bfloat16": 312e12},
        2039e9, 81251 * _MIB, 1e9, 8, 300e9, 200e9, 8e-6, HOPPER_2026,
    ),
    Device(
        "h100",
        {"float32": 67e12, "tf32": 494.7e12, "float16": 989.4e12, "bfloat16": 989.4e12},
        3350e9, 81559 * _MIB, 1e9, 8, 450e9, 400e9, 8e-6, HOPPER_2026,
    ),
    Device(
        "h200",
        {"float32": 67e12, "tf32": 494.7e12, "float16": 989.4e12, "bfloat16": 989.4e12},
        4800e9, 143771 * _MIB, 1e9, 8, 450e9, 400e9, 8e-6, HOPPER_2026,
    ),
    Device(
        "rtx-4090",
        {"float32": 82.6e12, "tf32": 82.6e12, "float16": 165.2e12, "bfloat16": 165.2e12},
        1008e9, 24564 * _MIB, 1e9, 8, 32e9, 12.5e9, 8e-6, ADA_2024,
    ),
    # Peak of oneDNN's convolutions and half the copy bandwidth of a two-core machine, measured;
    # memory is the share of a core in common servers.
    Device(
        "cpu-core", {"float32": 265e9, "bfloat16": 547e9}, 20e9, 8e9, 0.3e9,
        64, 10e9, 1.25e9, 8e-6, CPU_2026,
    ),
)  # fmt: skip

DEVICES = {device.name: device for device in _DEVICES}
_ALIASES = {"v100": "v100-32gb", "a100": "a100-80gb", "4090": "rtx-4090", "cpu": "cpu-core"}


def device(name: str) -> Device:
    """Return a device by name; "v100" and "a100" are the ones with more memory.

    Raises:
        ValueError: If the name is unknown; the nearest are listed.
    """
    key = name.strip().lower().replace("_", "-").replace(" ", "-")
    key = _ALIASES.get(key, key)
    if key not in DEVICES:
        raise ValueError(unknown_name("device", name, [*DEVICES, *_ALIASES]))
    return DEVICES[key]
