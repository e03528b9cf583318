"""Which batch to run: the largest that fits, or the one with the most images a second."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from eyespot.design.specs import Spec
from eyespot.errors import unknown_name
from eyespot.train.steps import Settings
from eyespot.train.timing import Measured, need_room, run_and_time

GOALS = ("fastest", "largest")


@dataclass(frozen=True, slots=True)
class BatchSearch:
    """What a search found.

    Attributes:
        best: The measurement that met the goal.
        tried: Every measurement, in the order made.
        stopped_by: What ended the growth: "memory", "time", "most" (the largest batch allowed), or
            "speed" (two doublings without more images a second; only with goal "fastest").
    """

    best: Measured
    tried: tuple[Measured, ...]
    stopped_by: str


def search_batch(
    spec: Spec,
    *,
    device: torch.device,
    mode: str = "infer",
    dtype: str = "float32",
    channels_last: bool = False,
    compiled: bool = False,
    image_size: int | None = None,
    goal: str = "fastest",
    most: int = 4096,
    budget_s: float = 60.0,
) -> BatchSearch:
    """Double the batch until memory, time or speed ends it, then look between the powers of two.

    Args:
        spec: The network.
        device: As in `measure`, like the next five.
        mode: "infer" or "train".
        dtype: Dtype.
        channels_last: Layout.
        compiled: Through torch.compile.
        image_size: Side of the images, px.
        goal: "fastest" for the most images a second, "largest" for the largest batch.
        most: Largest batch to try.
        budget_s: Seconds for all of it.

    Raises:
        ValueError: If not even one image fits, or an option is out of range.
    """
    settings = Settings(device, mode, dtype, channels_last, compiled)
    size = spec.image_size if image_size is None else image_size
    if goal not in GOALS:
        raise ValueError(unknown_name("goal of a batch search", goal, GOALS))
    if most < 1 or budget_s <= 0:
        raise ValueError(
            f"need a largest batch of 1 or more and a budget above 0 s, got {most} and {budget_s}"
        )

    def run(batch: int, seconds: float) -> Measured | None:
        try:
            need_room(spec, settings, batch, size)
            return run_and_time(spec, settings, batch, size, iterations=10, budget_s=seconds)
        except torch.OutOfMemoryError:
            torch.accelerator.empty_cache()
            return None
        except ValueError:
            if batch == 1:
                raise
            return None

    return search(run, goal=goal, most=most, budget_s=budget_s)


def search(
    run: Callable[[int, float], Measured | None],
    *,
    goal: str,
    most: int,
    budget_s: float,
) -> BatchSearch:
    """Search with any way to run a batch.

    Args:
        run: Measures a batch in about so many seconds; None where memory does not suffice.
        goal: As in `search_batch`, like all that follow.
        most: Largest batch to try.
        budget_s: Seconds for all of it.

    Raises:
        ValueError: If not even one image fits.
    """
    start = time.perf_counter()

    def left() -> float:
        return budget_s - (time.perf_counter() - start)

    first = run(1, budget_s / 8)
    if first is None:
        raise ValueError("need memory for at least one image, got less; use a smaller network")
    tried = [first]
    stopped_by, too_large = _double(run, tried, goal, most, left)
    if goal == "largest" and stopped_by == "memory":
        _bisect(run, tried, too_large, left)
    if goal == "fastest":
        _look_around(run, tried, min(most, too_large - 1), left)
    best = max(tried, key=lambda m: m.batch if goal == "largest" else m.images_per_second)
    return BatchSearch(best, tuple(tried), stopped_by)


def _double(
    run: Callable[[int, float], Measured | None],
    tried: list[Measured],
    goal: str,
    most: int,
    left: Callable[[], float],
) -> tuple[str, int]:
    """Grow the batch; returns why it ended and a batch that is too large."""
    beyond = most + 1
    while True:
        batch = 2 * tried[-1].batch
        speeds = [m.images_per_second for m in tried]
        if batch > most:
            return "most", beyond
        if goal == "fastest" and len(speeds) > 2 and max(speeds[-2:]) < 1.02 * max(speeds[:-2]):
            return "speed", beyond
        if left() < 4 * 2 * tried[-1].ms / 1e3:
            return "time", beyond
        measured = run(batch, left() / 4)
        if measured is None:
            return "memory", batch
        tried.append(measured)


def _bisect(
    run: Callable[[int, float], Measured | None],
    tried: list[Measured],
    too_large: int,
    left: Callable[[], float],
) -> None:
    """Close in on the largest batch, to an eighth of it."""
    low = tried[-1].batch
    while too_large - low > max(1, low // 8) and left() > 0:
        middle = (low + too_large) // 2
        measured = run(middle, left() / 4)
        if measured is None:
            too_large = middle
        else:
            tried.append(measured)
            low = middle


def _look_around(
    run: Callable[[int, float], Measured | None],
    tried: list[Measured],
    most: int,
    left: Callable[[], float],
) -> None:
    """Try three quarters and one and a half times the fastest batch."""
    fastest = max(tried, key=lambda m: m.images_per_second)
    for batch in (fastest.batch * 3 // 4, fastest.batch * 3 // 2):
        new = 0 < batch <= most and all(batch != m.batch for m in tried)
        if new and left() > 4 * fastest.ms * batch / fastest.batch / 1e3:
            measured = run(batch, left() / 2)
            if measured is not None:
                tried.append(measured)
