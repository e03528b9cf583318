"""The pictures of self-supervised training: opened, cut into views, checked to be the same ones.

Shapes: B samples of this rank, v views of one size, h, w of a view.
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from eyespot import dist
from eyespot.data.distort_batch import distort_batch
from eyespot.data.loader import Batch, Examples, Loader
from eyespot.data.multicrop import Crops, draw_steps, least_side, multi_crop, without_colours
from eyespot.data.normalize import normalize
from eyespot.data.open import Opened, find_splits, open_samples
from eyespot.data.quarantine import Quarantine
from eyespot.data.sampling import Order
from eyespot.data.shards import Shards
from eyespot.errors import RecipeError
from eyespot.tasks.methods.training import Views


def open_unlabelled(source: str) -> Opened:
    """Open the training set of a source; labels are not looked at."""
    split = "train" if find_splits(source) else None
    return open_samples(source, split=split, labelled=False)


def open_labelled(source: str, val: str) -> Opened | None:
    """Open labelled images to look at features with: `val`, or the source's own, or nothing."""
    if val:
        return open_samples(val, split="val" if find_splits(val) else None, labelled=True)
    if not {"val", "test"} & set(find_splits(source)):
        return None
    found = open_samples(source, split="val")
    return found if found.num_classes else None


class Contents(nn.Module):
    """What the training data is, kept in checkpoints: a step stands for certain samples of it.

    Args:
        data: The training set.
        device: Where the numbers are kept.
    """

    numbers: Tensor

    def __init__(self, data: Opened, device: torch.device) -> None:
        super().__init__()
        shards = data.samples if isinstance(data.samples, Shards) else None
        parts = 1 if shards is None else len(shards.sizes)
        held = b"" if shards is None else shards.digests.tobytes()
        digest = hashlib.sha256(held).digest()
        self.now = [len(data.samples), parts, int.from_bytes(digest[:7])]
        self.kind = data.kind
        self.register_buffer("numbers", torch.tensor(self.now, device=device))

    def check(self) -> None:
        """Compare the data with what a checkpoint was trained on.

        Raises:
            RecipeError: If they differ.
        """
        before = self.numbers.tolist()
        if before == self.now:
            return
        was, now = (
            f"{samples:,} in {parts:,} {self.kind}" if self.kind == "shards" else f"{samples:,}"
            for samples, parts, _ in (before, self.now)
        )
        raise RecipeError(
            f"need the samples that this run was begun with, {was}, got {now}"
            f"{' with other images' if was == now else ''}: a step would stand for other samples; "
            "give it the old list, or begin a new run with --start-from its weights"
        )


class Pictures(NamedTuple):
    """The training set, ready to be read.

    Attributes:
        examples: With their views.
        order: Of the samples.
        mean: Of each channel, in 0..1.
        std: Of each channel, in 0..1.
        contents: What it is.
        workers: Loader processes of this rank.
        quarantine: Where bad samples are listed.
        max_bad: Their largest share.
    """

    examples: Examples
    order: Order
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    contents: Contents
    workers: int
    quarantine: Path
    max_bad: float

    def batches(self, total_steps: int, start: int) -> Iterator[Batch]:
        """Yield this rank's part of the batches from a step on.

        Raises:
            RecipeError: If the data is not what the checkpoint was trained on.
        """
        self.contents.check()
        seen = start * self.order.batch_size // dist.world_size()
        bad = Quarantine(self.quarantine, budget=self.max_bad, start_step=start, num_seen=seen)
        return iter(self._loader(start, total_steps, bad))

    def first_views(self, device: torch.device) -> Iterator[tuple[Tensor, Views]]:
        """Yield indices and views of every sample of the first epoch."""
        for batch in self._loader(0, self.order.steps_per_epoch, None):
            yield batch.indices, self.to_views(batch, device)

    def to_views(self, batch: Batch, device: torch.device) -> Views:
        """Return a batch's views as the networks read them."""
        views = [of_size.to(device, non_blocking=True) for of_size in batch.images]
        if batch.steps:
            views = [
                distort_batch(of_size.flatten(0, 1), steps.flatten(0, 1)).view(of_size.shape)
                for of_size, steps in zip(views, batch.steps, strict=True)
            ]
        return [normalize(of_size, mean=self.mean, std=self.std) for of_size in views]

    def _loader(self, start: int, stop: int, quarantine: Quarantine | None) -> Loader[Batch]:
        return Loader(
            self.examples,
            self.order,
            start_step=start,
            stop_step=stop,
            rank=dist.rank(),
            world_size=dist.world_size(),
            num_workers=self.workers,
            quarantine=quarantine,
        )


def make_examples(
    data: Opened, crops: Sequence[Crops], *, seed: int, draft: bool, late_colours: bool = False
) -> Examples:
    """Return the samples of a training set with their views.

    Args:
        data: The training set.
        crops: Kinds of views.
        seed: Of the run.
        draft: Decode large JPEGs at half their size or less where no crop needs more.
        late_colours: Leave colours and blur to the device, which does them in batches.

    Raises:
        RecipeError: If there are no crops, or a number is out of range.
    """
    for kind in crops:
        if kind.count < 1 or kind.size_px < 1 or not 0 < kind.area[0] <= kind.area[1] <= 1:
            raise RecipeError(
                "need crops with a count and size_px of 1 or more and an area within 0..1, got "
                f"{kind.count} of {kind.size_px} px and {kind.area}"
            )
    if not crops:
        raise RecipeError("need at least one kind of crops, got none")
    return Examples(
        data.samples,
        partial(multi_crop, kinds=without_colours(crops) if late_colours else tuple(crops)),
        seed=seed,
        least_side=partial(least_side, kinds=tuple(crops)) if draft else None,
        draw_steps=partial(draw_steps, kinds=tuple(crops)) if late_colours else None,
    )
