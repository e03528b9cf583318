"""How long a network takes: inference and whole training steps, on a device, in a dtype.

Every iteration is synchronised and timed on its own; the median is what counts, the quartiles say
how steady the machine was. Inputs are noise. Paper: Fast and Accurate Model Scaling (arXiv
2103.06877), section 2, times networks so.
"""

import contextlib
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from eyespot.design.memory import memory
from eyespot.design.specs import Spec
from eyespot.design.training import Crop, Training
from eyespot.train.resident import resident_growth
from eyespot.train.steps import Settings, make_step

WARMUP = 3
ITERATIONS = 30


@dataclass(frozen=True, slots=True)
class Measured:
    """What running a network took.

    Attributes:
        device: Hardware, by name.
        mode: As in `Settings`, like the next three.
        dtype: Dtype.
        channels_last: Layout.
        compiled: Whether compiled.
        image_size: Side of the images, px.
        batch: Images an iteration.
        ms: Median milliseconds of an iteration.
        ms_low: Their first quartile.
        ms_high: Their third quartile.
        iterations: How many were timed.
        peak_bytes: Most memory in use at once; None where it was not measured. CUDA: allocated
            tensors. CPU: growth of a fresh process's resident set.
        load_average: Of the machine over the last minute, when timing began; None where unknown.
    """

    device: str
    mode: str
    dtype: str
    channels_last: bool
    compiled: bool
    image_size: int
    batch: int
    ms: float
    ms_low: float
    ms_high: float
    iterations: int
    peak_bytes: int | None
    load_average: float | None

    @property
    def images_per_second(self) -> float:
        """Images a second."""
        return 1e3 * self.batch / self.ms


def pick_device(name: str) -> torch.device:
    """Return a device by name; "auto" is the accelerator if there is one.

    Raises:
        ValueError: If torch does not know the name or cannot use the device here.
    """
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if name == "auto":
        return found or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        usable = f"cpu or {found}" if found else "cpu"
        raise ValueError(
            f"need a device that torch can use here ({usable}), got {name!r}: {reason}"
        ) from None
    return device


def device_name(device: torch.device) -> str:
    """Return the hardware's name; for a CPU with the threads that torch uses."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return f"{platform.machine()} {device.type}"
    threads = torch.get_num_threads()
    return f"{_cpu_name()}, {threads} thread{'s' * (threads > 1)}"


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()


def load_average() -> float | None:
    """Return the machine's load over the last minute; None where the system does not say."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def synchronize(device: torch.device) -> None:
    """Wait until a device has done all it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def time_iterations(
    step: Callable[[], object],
    device: torch.device,
    *,
    warmup: int = WARMUP,
    iterations: int = ITERATIONS,
    budget_s: float = 60.0,
) -> list[float]:
    """Time calls one by one, synchronising around each.

    Args:
        step: What to time.
        device: Where it runs.
        warmup: Calls before, not timed.
        iterations: Calls to time.
        budget_s: Stop early after this many seconds, warm-up included, with 3 calls or more.

    Returns:
        Milliseconds of each timed call.
    """
    if warmup < 0 or iterations < 1:
        raise ValueError(
            f"need 0 or more calls to warm up and 1 or more to time, got {warmup} and {iterations}"
        )
    end = time.perf_counter() + budget_s
    for _ in range(warmup):
        step()
    times: list[float] = []
    while len(times) < iterations and (len(times) < 3 or time.perf_counter() < end):
        synchronize(device)
        start = time.perf_counter()
        step()
        synchronize(device)
        times.append(1e3 * (time.perf_counter() - start))
    return times


def need_room(spec: Spec, settings: Settings, batch: int, image_size: int) -> None:
    """Refuse a training step on a CPU that needs more memory than the machine has free.

    Accelerators say so themselves; a CPU's process would be killed.

    Raises:
        ValueError: If the predicted bytes exceed the free ones.
    """
    free = _free_bytes()
    if settings.device.type != "cpu" or settings.mode != "train" or free is None:
        return
    plan = Training(spec, batch, dtype=settings.dtype, crops=(Crop(1, image_size),))
    need = memory(plan).total
    if need > free:
        raise ValueError(
            f"need {need / 1e9:.1f} GB of memory to train on {batch} images of {image_size} px at "
            f"a time, got {free / 1e9:.1f} GB free; use a smaller batch"
        )


def _free_bytes() -> int | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def measure(
    spec: Spec,
    *,
    device: torch.device,
    batch: int,
    mode: str = "infer",
    dtype: str = "float32",
    channels_last: bool = False,
    compiled: bool = False,
    image_size: int | None = None,
    iterations: int = ITERATIONS,
    budget_s: float = 60.0,
    with_memory: bool = False,
) -> Measured:
    """Run a network with new weights on noise and say how long an iteration takes.

    Args:
        spec: The network.
        device: Where to run.
        batch: Images an iteration.
        mode: "infer" or "train", as in `Settings`.
        dtype: As in `Settings`, like the next two.
        channels_last: Memory layout.
        compiled: Through torch.compile.
        image_size: Side of the images, px; the spec's own when not given.
        iterations: Iterations to time.
        budget_s: Seconds after which it stops early, with 3 iterations or more.
        with_memory: Also measure the memory; on a CPU in a process of its own.

    Raises:
        ValueError: If an option is unknown or out of range, the network cannot take the size, or
            the memory does not suffice.
    """
    settings = Settings(device, mode, dtype, channels_last, compiled)
    size = spec.image_size if image_size is None else image_size
    if batch < 1 or size < 1:
        raise ValueError(f"need a batch and image size of 1 or more, got {batch} and {size}")
    try:
        return run_and_time(
            spec, settings, batch, size, iterations=iterations, budget_s=budget_s,
            with_memory=with_memory,
        )  # fmt: skip
    except torch.OutOfMemoryError:
        raise ValueError(
            f"need a batch that fits the memory of {device_name(device)}, got {batch} images of "
            f"{size} px; use a smaller one"
        ) from None


def run_and_time(
    spec: Spec,
    settings: Settings,
    batch: int,
    image_size: int,
    *,
    iterations: int = ITERATIONS,
    budget_s: float = 60.0,
    with_memory: bool = False,
) -> Measured:
    """As `measure`, but an accelerator without memory raises torch.OutOfMemoryError."""
    need_room(spec, settings, batch, image_size)
    device, load = settings.device, load_average()
    step = make_step(spec, settings, batch=batch, image_size=image_size)
    times = time_iterations(step, device, iterations=iterations, budget_s=budget_s)
    peak = None
    if with_memory and device.type == "cuda":
        peak = cuda_peak(step, device)
    elif with_memory and device.type == "cpu":
        peak = resident_growth(spec, settings, batch=batch, image_size=image_size)
    quarters = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
    return Measured(
        device_name(device),
        settings.mode,
        settings.dtype,
        settings.channels_last,
        settings.compiled,
        image_size,
        batch,
        statistics.median(times),
        quarters[0],
        quarters[2],
        len(times),
        peak,
        load,
    )


def cuda_peak(step: Callable[[], object], device: torch.device) -> int:
    """Return the most bytes that tensors held at once during a call."""
    torch.cuda.reset_peak_memory_stats(device)
    step()
    synchronize(device)
    return torch.cuda.max_memory_allocated(device)
