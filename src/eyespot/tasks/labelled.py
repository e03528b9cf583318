"""Labelled images for a training run: opened, and ready to be loaded from any step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch

from eyespot import dist
from eyespot.data.few_labels import few_of, listing, read_name_list
from eyespot.data.held_out import held_out
from eyespot.data.loader import Batch, Examples, Loader
from eyespot.data.open import Opened, find_splits, open_samples, open_train_and_val
from eyespot.data.quarantine import BadSample, Quarantine, list_left_out, too_many_damaged
from eyespot.data.sampling import Order
from eyespot.data.views import TrainView
from eyespot.errors import RecipeError
from eyespot.evals.lowshot import label_subset
from eyespot.tasks.pictures import Pictures, evaluation_view, train_view
from eyespot.tasks.run import Place, Run


@dataclass(frozen=True, slots=True)
class FewLabels:
    """Which training images keep their labels; the others are left out.

    Attributes:
        share: Of each class, and at least one image of it; 0 for all.
        names: A file with the names of those that do, one a line, such as the published lists
            of 1 % and 10 % of ImageNet; "" for none.
        seed: Of the choice; a smaller share of one seed is in every larger one.
    """

    share: float = 0.0
    names: str = ""
    seed: int = 0


def open_labelled(
    run: Run, train_images: int, few: FewLabels = FewLabels()
) -> tuple[Opened, Opened]:
    """Open what to train on and what to evaluate on; both have labels of the same classes.

    Args:
        run: Names the data.
        train_images: Keep so many training images only, the same ones on every machine; 0 for all.
        few: Which of them keep their labels.

    Raises:
        ValueError: If the data cannot be used.
    """
    train, val = _open_pair(run)
    if 0 < train_images < len(train.samples):
        some = held_out(train.samples, train_images)[1]
        train = replace(train, samples=some, description=f"{train_images} of {train.description}")
    return _with_few_labels(train, few), val


def _with_few_labels(train: Opened, few: FewLabels) -> Opened:
    if few.share and few.names:
        raise RecipeError(f"need labels.share or labels.names, got {few.share} and {few.names}")
    if few.names:
        chosen = read_name_list(Path(few.names), listing(train.samples).names)
    elif few.share:
        labels = listing(train.samples).labels
        chosen = label_subset(labels, fraction=few.share, seed=few.seed)
    else:
        return train
    return replace(
        train,
        samples=few_of(train.samples, chosen),
        description=f"{len(chosen):,} labels of {train.description}",
    )


def _open_pair(run: Run) -> tuple[Opened, Opened]:
    if not run.val:
        return open_train_and_val(run.data, labelled=True)
    train = open_samples(run.data, split="train", labelled=True)
    split = "val" if find_splits(run.val) else None
    val = open_samples(run.val, split=split, labelled=True)
    if train.classes and val.classes and train.classes != val.classes:
        odd = sorted(set(train.classes) ^ set(val.classes)) or [train.classes[0]]
        raise ValueError(
            f"need the same classes to train and to validate, got {odd[0]!r} at another place or "
            f"in one alone: {run.data} and {run.val}"
        )
    return train, val


class LabelledData(NamedTuple):
    """The two data sets of a run, ready to be read.

    Attributes:
        order: Of the training images.
        examples: The training images and what is made of them.
        test_examples: The test images.
        test_order: Each test image once.
        test_pictures: How test images are normalised.
        quarantine: Where damaged images are listed.
        max_bad: Largest share of them, of the training and of the test images.
        workers: Loader processes of this rank.
        lists: Whether damaged test images are listed too.
    """

    order: Order
    examples: Examples
    test_examples: Examples
    test_order: Order
    test_pictures: Pictures
    quarantine: Path
    max_bad: float
    workers: int
    lists: bool

    @staticmethod
    def of(
        train: Opened,
        val: Opened,
        pictures: Pictures,
        run: Run,
        place: Place,
        *,
        batch_size: int,
        eval_batch_size: int,
        seed: int,
    ) -> "LabelledData":
        """Make both sets ready, for this rank.

        Args:
            train: The training images.
            val: The test images.
            pictures: What happens to an image.
            run: Where damaged images are listed.
            place: How many loader processes.
            batch_size: Images of a step, all ranks together.
            eval_batch_size: Images of a test batch, each rank.
            seed: Of the order and all draws.

        Raises:
            ValueError: If there is not one whole batch, or the ranks cannot share it evenly.
        """
        order = Order(len(train.samples), batch_size, seed)
        order.part(0, rank=dist.rank(), world_size=dist.world_size())
        batch = eval_batch_size * dist.world_size()
        view = train_view(pictures)
        least_side = view.least_side if isinstance(view, TrainView) and pictures.draft else None
        return LabelledData(
            order,
            Examples(
                train.samples,
                view,
                seed=seed,
                least_side=least_side,
                pca_std=pictures.pca_std,
            ),
            Examples(val.samples, evaluation_view(pictures), seed=seed, replace=False),
            Order(len(val.samples), batch, seed, shuffle=False, drop_last=False),
            Pictures(pictures.size_px, pca_std=0.0, mean=pictures.mean, std=pictures.std),
            quarantine_of(run),
            run.max_bad,
            place.workers,
            place.lists,
        )

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """Return the training batches of steps start to stop, for the engine."""
        seen = start * self.order.batch_size // dist.world_size()
        bad = Quarantine(self.quarantine, budget=self.max_bad, start_step=start, num_seen=seen)
        return iter(self.train_loader(start, stop, bad))

    def train_loader(
        self, start: int, stop: int, quarantine: Quarantine | None = None
    ) -> Loader[Batch]:
        """Return a loader of the training batches of steps start to stop."""
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

    def test_loader(self) -> Loader[Batch]:
        """Return a loader of this rank's test images, each once; damaged ones have no label."""
        return Loader(
            self.test_examples,
            self.test_order,
            rank=dist.rank(),
            world_size=dist.world_size(),
            num_workers=self.workers,
        )

    def leave_out(self, damaged: Sequence[BadSample], step: int) -> int:
        """List this rank's damaged test images, and return how many all ranks have.

        Args:
            damaged: What this rank could not read.
            step: Optimizer steps done.

        Raises:
            ValueError: As `leave_out` does.
        """
        listing = self.quarantine if self.lists else None
        return leave_out(damaged, self.test_order.num_samples, self.max_bad, listing, step)


def quarantine_of(run: Run) -> Path:
    """Return the file in which this rank lists damaged samples."""
    return run.out / f"quarantine{f'-{dist.rank()}' if dist.rank() else ''}.jsonl"


def leave_out(
    damaged: Sequence[BadSample], images: int, max_bad: float, listing: Path | None, step: int
) -> int:
    """List damaged images that a measurement left out, and return how many there are.

    Args:
        damaged: What this rank could not read.
        images: How many all ranks were to read.
        max_bad: Largest share that may be damaged; one image may be, unless it is 0.
        listing: This rank's list; None for none.
        step: Optimizer steps done.

    Raises:
        ValueError: On every rank alike, if there are more than allowed, or none that can be read.
    """
    if listing is not None:
        list_left_out(listing, max(0, step - 1), damaged)
    count = int(dist.all_reduce_sum(torch.tensor(len(damaged))))
    if count == images or too_many_damaged(count, images, max_bad):
        last = f", such as {damaged[-1].name}: {damaged[-1].reason}" if damaged else ""
        raise ValueError(
            f"need at most {max_bad:.1%} damaged images, got {count} of {images}{last}; "
            "`eyespot data check DATA --decode` lists them"
        )
    return count
