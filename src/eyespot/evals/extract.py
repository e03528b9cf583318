"""Features of a data set, every sample accounted for: those that cannot be read are listed.

Shapes: B images of a batch, N samples that could be read, D width of a tap, h w of a view.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from eyespot import dist
from eyespot.data.decode import MAX_PIXELS, decode_image
from eyespot.data.loader import NO_LABEL, MakeViews
from eyespot.data.normalize import IMAGENET_MEAN, IMAGENET_STD, normalize
from eyespot.data.samples import Samples


@dataclass(frozen=True, slots=True)
class Row:
    """A sample and what became of it.

    Attributes:
        index: In the data set.
        name: Its own, or its index where the sample could not be opened at all.
        label: -1 where there is none.
        problem: Why it could not be read; empty if it could.
    """

    index: int
    name: str
    label: int
    problem: str = ""


class Part(NamedTuple):
    """Some samples and the features of those that could be read.

    Attributes:
        rows: All of them, in order.
        features: Of each tap, for the rows without a problem.
    """

    rows: list[Row]
    features: list[Float[Tensor, "b _"]]


class Table(NamedTuple):
    """Features of a data set, or of one rank's part of it.

    Attributes:
        features: Of each tap.
        labels: Of the same samples.
        indices: Of the same samples.
        problems: Samples that could not be read, and are in none of the above.
    """

    features: list[Float[Tensor, "n _"]]
    labels: Int64[Tensor, " n"]
    indices: Int64[Tensor, " n"]
    problems: list[Row]


class _Batches(Dataset[tuple[list[Row], Tensor]]):
    """Batches of one view of each sample, read in order."""

    def __init__(
        self,
        samples: Samples,
        view: MakeViews,
        indices: Sequence[int],
        batch_size: int,
        max_pixels: int,
    ) -> None:
        self.samples, self.view, self.indices = samples, view, indices
        self.batch_size, self.max_pixels = batch_size, max_pixels

    def __len__(self) -> int:
        return -(-len(self.indices) // self.batch_size)

    def __getitem__(self, batch: int) -> tuple[list[Row], UInt8[Tensor, "b 3 h w"]]:
        first = batch * self.batch_size
        read = [self._read(int(i)) for i in self.indices[first : first + self.batch_size]]
        views = [view for _, view in read if view is not None]
        if len({view.shape for view in views}) > 1:
            raise ValueError(
                "need views of one size to put in a batch, got "
                f"{sorted({view.shape[:2] for view in views})}; resize them, or take batches of 1"
            )
        stack = np.stack(views) if views else np.zeros((0, 1, 1, 3), np.uint8)
        return [row for row, _ in read], torch.from_numpy(stack).permute(0, 3, 1, 2)

    def _read(self, index: int) -> tuple[Row, UInt8[np.ndarray, "h w 3"] | None]:
        name, label = str(index), NO_LABEL
        try:
            image, own_label, name = self.samples[index]
            label = NO_LABEL if own_label is None else own_label
            if not isinstance(image, np.ndarray):
                image = decode_image(image, max_pixels=self.max_pixels)
            (view,) = self.view(image, seed=0, epoch=0, index=index)
        except ValueError as error:
            return Row(index, name, label, str(error)), None
        return Row(index, name, label), view


def extract(
    network: Callable[[Tensor], list[Tensor]],
    samples: Samples,
    view: MakeViews,
    indices: Sequence[int],
    *,
    device: torch.device,
    batch_size: int = 64,
    num_workers: int = 0,
    max_pixels: int = MAX_PIXELS,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> Iterator[Part]:
    """Run a network over samples in order, without gradients.

    Args:
        network: Takes normalized images, returns features [B, D] of each tap, such as a
            `TappedNetwork` in evaluation mode.
        samples: Where images come from.
        view: What is made of each; one view, such as a `TestView`.
        indices: Which samples.
        device: Where the network is.
        batch_size: Images at a time.
        num_workers: Processes that read; 0 reads in this one.
        max_pixels: Larger pictures count as damaged.
        mean: Of each channel, in 0..1.
        std: Of each channel, in 0..1.

    Yields:
        The samples of each batch; without features if none of them could be read.
    """
    loader: DataLoader[tuple[list[Row], Tensor]] = DataLoader(
        _Batches(samples, view, indices, batch_size, max_pixels),
        batch_size=None,
        num_workers=num_workers,
        collate_fn=_as_it_is,
        worker_init_fn=_start_worker,
        generator=torch.Generator(),
    )
    for rows, pixels in loader:
        features: list[Tensor] = []
        if len(pixels):
            with torch.no_grad():
                features = network(normalize(pixels.to(device), mean=mean, std=std))
        yield Part(rows, features)


def images_at_a_time(size_px: int) -> int:
    """Return a batch that keeps a processor busy: 64 images of 224 px, more of smaller ones."""
    return max(64, min(256, 64 * 224**2 // size_px**2))


def collect(parts: Iterator[Part], *, dtype: torch.dtype = torch.float32) -> Table:
    """Put parts together, on the CPU.

    Args:
        parts: From `extract`.
        dtype: To keep features in; float16 halves their memory.

    Raises:
        ValueError: If no sample could be read.
    """
    rows: list[Row] = []
    found: list[list[Tensor]] = []
    for part in parts:
        rows += part.rows
        if part.features:
            found.append([features.to("cpu", dtype) for features in part.features])
    problems = [row for row in rows if row.problem]
    good = [row for row in rows if not row.problem]
    if not found:
        reason = f"; the first, {problems[0].name}: {problems[0].problem}" if problems else ""
        raise ValueError(f"need readable images, got none of {len(rows)}{reason}")
    return Table(
        [torch.cat(tap) for tap in zip(*found, strict=True)],
        torch.tensor([row.label for row in good]),
        torch.tensor([row.index for row in good]),
        problems,
    )


def rank_part(count: int) -> range:
    """Return this rank's share of 0..count-1; shares are neighbours, and as equal as can be."""
    ranks, rank = dist.world_size(), dist.rank()
    return range(count * rank // ranks, count * (rank + 1) // ranks)


def _as_it_is(batch: Any) -> Any:
    """Keep torch from looking for numbers in every row."""
    return batch


def _start_worker(worker: int) -> None:
    assert get_worker_info() is not None
    cv2.setNumThreads(1)
