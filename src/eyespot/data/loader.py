"""Batches from many processes, the same whatever their number and wherever a run goes on.

The processes keep no state: a batch is a function of the dataset, the order and the step. Killing
any of them loses nothing that the next start does not make again.

Shapes: V views of one size, B samples of this rank, h, w of a view.
"""

import signal
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from types import FrameType
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from eyespot.data.decode import MAX_PIXELS, decode_image, upright_size
from eyespot.data.draws import Draws
from eyespot.data.normalize import pca_shift
from eyespot.data.quarantine import BadSample, Quarantine, fetch, fetch_or_blank
from eyespot.data.samples import Samples
from eyespot.data.sampling import BatchSampler, Order

NO_LABEL = -1

_SHIFT_VIEW = 1 << 32  # the view whose draws belong to the colour shift

MakeViews = Callable[..., list[np.ndarray]]
"""`multi_crop` with its kinds, a `TrainView`, ...: (image, *, seed, epoch, index) -> views."""


@dataclass(frozen=True)
class Example:
    """What a worker makes of one sample."""

    step: int
    views: list[np.ndarray]
    label: int
    index: int
    shift: tuple[float, float, float]
    bad: tuple[BadSample, ...]
    steps: np.ndarray | None = None


class Batch(NamedTuple):
    """One rank's part of a step.

    Attributes:
        step: Counted from 0 over all epochs.
        images: For each size, in the order of the views, its views: RGB in channels-last memory.
        labels: -1 where there is none.
        indices: Of the samples that were read.
        shifts: What `normalize` adds to each sample's colours; zeros unless asked for.
        bad: Samples that could not be read: they were replaced, or are black and have no label.
        steps: For each size, what `distort_batch` is to do to its views; empty unless asked for.
    """

    step: int
    images: tuple[UInt8[Tensor, "_ b 3 _ _"], ...]
    labels: Int64[Tensor, " b"]
    indices: Int64[Tensor, " b"]
    shifts: Float[Tensor, "b 3"]
    bad: tuple[BadSample, ...]
    steps: tuple[Float[Tensor, "_ b 7 2"], ...] = ()


@runtime_checkable
class AnyBatch(Protocol):
    """What every batch tells the loader."""

    @property
    def step(self) -> int:
        """Counted from 0 over all epochs."""

    @property
    def indices(self) -> Tensor:
        """Of the samples that were read."""

    @property
    def bad(self) -> tuple[BadSample, ...]:
        """Samples that could not be read and were replaced."""


BatchT = TypeVar("BatchT", bound=AnyBatch)
BatchT_co = TypeVar("BatchT_co", bound=AnyBatch, covariant=True)


@runtime_checkable
class Loadable(Protocol[BatchT_co]):
    """What a `Loader` loads: examples by (step, epoch, index), and how they become a batch."""

    seed: int

    def __len__(self) -> int:
        """Return the number of samples."""

    def __getitem__(self, where: tuple[int, int, int]) -> Any:
        """Return the example of one step, epoch and index."""

    def collate(self, examples: Sequence[Any]) -> BatchT_co:
        """Put examples together."""


class Examples(Dataset[Example]):
    """A dataset with its views, asked by (step, epoch, index).

    Args:
        samples: Where images come from.
        make_views: What is made of each.
        seed: Of the run.
        max_pixels: Larger pictures count as damaged.
        least_side: The shorter side, in pixels, that the views of a sample need, where large JPEGs
            may be decoded smaller (see `decode_image`): (height, width, *, seed, epoch, index).
            `make_views` is then told the picture's size as well.
        pca_std: Of `pca_shift`; 0 for none.
        draw_steps: `multicrop.draw_steps` with its kinds, where colours are left to the device:
            (height, width, *, seed, epoch, index) -> steps of each view.
        replace: Whether the next sample takes the place of a damaged one. If not, a black picture
            without a label does: a measurement leaves it out.
    """

    def __init__(
        self,
        samples: Samples,
        make_views: MakeViews,
        *,
        seed: int,
        max_pixels: int = MAX_PIXELS,
        least_side: Callable[..., int] | None = None,
        pca_std: float = 0.0,
        draw_steps: Callable[..., np.ndarray] | None = None,
        replace: bool = True,
    ) -> None:
        self.samples = samples
        self.make_views = make_views
        self.seed = seed
        self.pca_std = pca_std
        self.draw_steps = draw_steps
        self._fetch = fetch if replace else fetch_or_blank
        self.max_pixels = max_pixels
        self.least_side = least_side

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, where: tuple[int, int, int]) -> Example:
        step, epoch, asked = where
        found = self._fetch(self.samples, asked, partial(self._decode, epoch=epoch))
        where_from = {"seed": self.seed, "epoch": epoch, "index": found.index}
        size = {} if self.least_side is None else {"size": found.size}
        views = self.make_views(found.pixels, **where_from, **size)
        steps = None
        if self.draw_steps is not None:
            steps = self.draw_steps(*found.size, **where_from)
        shift = (0.0, 0.0, 0.0)
        if self.pca_std:
            draws = Draws(self.seed, epoch, found.index, _SHIFT_VIEW)
            shift = pca_shift(draws, std=self.pca_std)
        label = NO_LABEL if found.label is None else found.label
        return Example(step, views, label, found.index, shift, found.bad, steps)

    def _decode(
        self, image: bytes | np.ndarray, index: int, *, epoch: int
    ) -> tuple[UInt8[np.ndarray, "h w 3"], tuple[int, int]]:
        """Return the pixels, and height and width of the picture as it is stored."""
        if not isinstance(image, np.ndarray) and self.least_side is not None:
            size = upright_size(image)
            side = self.least_side(*size, seed=self.seed, epoch=epoch, index=index)
            return decode_image(image, max_pixels=self.max_pixels, min_side=side), size
        if not isinstance(image, np.ndarray):
            image = decode_image(image, max_pixels=self.max_pixels)
        return image, image.shape[:2]

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Put examples together, as `collate` says."""
        return collate(examples)


class Loader(Generic[BatchT]):
    """The batches of one rank, from a step to a step.

    Iterating again starts again, with the same processes. Draws nothing from torch's global
    generator.

    Args:
        examples: What to load; its seed is the order's.
        order: Which samples each step takes.
        start_step: First step; a resumed run passes the number of steps it has done.
        stop_step: The step after the last; one epoch if not given.
        rank: Whose part of each batch.
        world_size: Number of ranks.
        num_workers: Processes; 0 loads in this one.
        quarantine: Counts and lists bad samples, and stops the run if there are too many.
        start_method: Of the processes, "fork", "spawn" or "forkserver"; the platform's if None.

    Raises:
        ValueError: If the order is of another number of samples, or has another seed.
    """

    def __init__(
        self,
        examples: Loadable[BatchT],
        order: Order,
        *,
        start_step: int = 0,
        stop_step: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int = 0,
        quarantine: Quarantine | None = None,
        start_method: str | None = None,
    ) -> None:
        if (order.num_samples, order.seed) != (len(examples), examples.seed):
            raise ValueError(
                f"need an order of {len(examples)} samples with seed {examples.seed}, got "
                f"{order.num_samples} samples with seed {order.seed}"
            )
        self.sampler = BatchSampler(
            order,
            start_step=start_step,
            stop_step=order.steps_per_epoch if stop_step is None else stop_step,
            rank=rank,
            world_size=world_size,
        )
        order.part(start_step, rank=rank, world_size=world_size)  # refuse now what cannot be
        self._quarantine = quarantine
        self._waited = 0.0
        self._since = time.perf_counter()
        self._loader: DataLoader[Any] = DataLoader(
            examples,  # type: ignore[arg-type]  # it has a length and items, which is enough
            batch_sampler=self.sampler,
            num_workers=num_workers,
            collate_fn=examples.collate,
            worker_init_fn=_start_worker,
            multiprocessing_context=start_method if num_workers else None,
            persistent_workers=num_workers > 0,
            generator=torch.Generator(),
        )
        weakref.finalize(self, _end_workers, self._loader)

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[BatchT]:
        batches = iter(self._loader)
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self._waited += time.perf_counter() - start
            if batch is None:
                return
            if self._quarantine is not None:
                asked, size = len(batch.indices), self.sampler.order.num_samples
                self._quarantine.add(batch.step, asked, batch.bad, set_size=size)
            yield batch

    def data_wait(self) -> float:
        """Return the share of time, since the last call, that was spent waiting for batches.

        Near 0 the processes keep up; near 1 the run is as fast as they are.
        """
        now = time.perf_counter()
        share = self._waited / max(now - self._since, 1e-9)
        self._waited, self._since = 0.0, now
        return min(share, 1.0)


def collate(examples: Sequence[Example]) -> Batch:
    """Put examples together; neighbouring views of one size share a tensor.

    Raises:
        ValueError: If the examples have views of different sizes.
    """
    shapes = [[view.shape for view in example.views] for example in examples]
    if any(other != shapes[0] for other in shapes):
        raise ValueError(f"need views of the same sizes, got {shapes[0]} and others in one batch")
    images, steps, first = [], [], 0
    for _, group in groupby(shapes[0]):
        last = first + len(list(group))
        images.append(_stack([example.views[first:last] for example in examples]))
        of_size = [example.steps[first:last] for example in examples if example.steps is not None]
        if of_size:
            steps.append(torch.from_numpy(np.stack(of_size, 1)))  # [v, B, 7, 2]
        first = last
    return Batch(
        examples[0].step,
        tuple(images),
        torch.tensor([example.label for example in examples]),
        torch.tensor([example.index for example in examples]),
        torch.tensor([example.shift for example in examples]),
        tuple(bad for example in examples for bad in example.bad),
        tuple(steps),
    )


def _stack(views: list[list[np.ndarray]]) -> UInt8[Tensor, "v b 3 h w"]:
    height, width, channels = views[0][0].shape
    stack = torch.empty(len(views[0]), len(views), height, width, channels, dtype=torch.uint8)
    if get_worker_info() is not None:
        stack.share_memory_()  # type: ignore[no-untyped-call]  # written once, where the consumer reads it
    target = stack.numpy()
    for sample, of_sample in enumerate(views):
        for view, pixels in enumerate(of_sample):
            target[view, sample] = pixels
    return stack.permute(0, 1, 4, 2, 3)  # [V, B, 3, h, w]


def _end_workers(loader: DataLoader[Any]) -> None:
    """End processes in order, also when Python ends: it sends one SIGTERM and waits for ever."""
    if loader._iterator is not None:
        loader._iterator._shutdown_workers()  # type: ignore[attr-defined]


def _start_worker(worker: int) -> None:
    # the parent hears Ctrl-C, and what Slurm sends to all processes at once; it ends us in order
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _outlive_once)
    cv2.setNumThreads(1)


def _outlive_once(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
