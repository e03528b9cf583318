"""The data of a grounding run: annotation files or scenes, shuffled, batched and resumable."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from eyespot import dist
from eyespot.data.box_transforms import CLEVR_SIZES, NATURAL_SIZES
from eyespot.data.grounding import (
    FixedView,
    GroundingBatch,
    GroundingExamples,
    MakeView,
    RandomView,
)
from eyespot.data.grounding_folders import open_annotated, read_split
from eyespot.data.grounding_lists import is_list, open_list
from eyespot.data.grounding_sources import AnnotatedImages, GroundingSource, open_grounding
from eyespot.data.loader import Loader
from eyespot.data.quarantine import BadSample, Quarantine
from eyespot.data.sampling import Order
from eyespot.data.scene_captions import SceneCaptions, ScenesSettings, changed_scenes
from eyespot.tasks.ground_network import Network
from eyespot.tasks.labelled import leave_out, quarantine_of
from eyespot.tasks.run import Place, Run

Views = Literal["natural", "mirrored", "clevr", "fixed"]


class GroundData(NamedTuple):
    """The two data sets, ready to be read."""

    order: Order
    examples: GroundingExamples
    test_examples: GroundingExamples
    test_order: Order
    quarantine: Path
    max_bad: float
    workers: int
    epochs: int
    notes: tuple[str, ...]
    lists: bool

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.order.steps_per_epoch * self.epochs

    def batches(self, start: int) -> Iterator[GroundingBatch]:
        """Return the training batches from a step on."""
        seen = start * self.order.batch_size // dist.world_size()
        bad = Quarantine(self.quarantine, budget=self.max_bad, start_step=start, num_seen=seen)
        loader: Loader[GroundingBatch] = Loader(
            self.examples,
            self.order,
            start_step=start,
            stop_step=self.total_steps,
            rank=dist.rank(),
            world_size=dist.world_size(),
            num_workers=self.workers,
            quarantine=bad,
        )
        return iter(loader)

    def test_batches(self, damaged: list[BadSample]) -> Iterator[GroundingBatch]:
        """Yield the evaluation batches of this rank.

        The next image stands in the place of a damaged one; since predictions go by image, each is
        measured once, and damaged ones are left out.

        Args:
            damaged: Gets those of this rank's images that could not be read.
        """
        rank, world_size = dist.rank(), dist.world_size()
        loader: Loader[GroundingBatch] = Loader(
            self.test_examples,
            self.test_order,
            rank=rank,
            world_size=world_size,
            num_workers=self.workers,
        )
        for batch in loader:
            _, mine = self.test_order.part(batch.step, rank=rank, world_size=world_size)
            asked = set(mine.tolist())
            known = {item.index for item in damaged}
            damaged += [item for item in batch.bad if item.index in asked - known]
            yield batch

    def leave_out(self, damaged: Sequence[BadSample], step: int) -> int:
        """List this rank's damaged test images, and return how many all ranks have.

        Args:
            damaged: What this rank could not read.
            step: Optimizer steps done.

        Raises:
            ValueError: As `labelled.leave_out` does.
        """
        listing = self.quarantine if self.lists else None
        return leave_out(damaged, self.test_order.num_samples, self.max_bad, listing, step)


def open_data(
    network: Network,
    scenes: ScenesSettings,
    views: Views,
    run: Run,
    place: Place,
    *,
    epochs: int,
    batch_size: int,
    eval_batch_size: int,
    seed: int,
) -> GroundData:
    """Open the data of a run.

    Raises:
        ValueError: If the data cannot be used.
    """
    masks = network.with_masks
    train, val, notes = _open(scenes, run, masks)
    order = Order(len(train), batch_size, seed)
    order.part(0, rank=dist.rank(), world_size=dist.world_size())
    fixed = FixedView(network.short_side_px, network.max_long_side_px)
    return GroundData(
        order,
        GroundingExamples(train, _view(views, fixed), seed=seed, with_masks=masks),
        GroundingExamples(val, fixed, seed=seed, with_masks=masks),
        Order(len(val), eval_batch_size * dist.world_size(), seed, shuffle=False, drop_last=False),
        quarantine_of(run),
        run.max_bad,
        place.workers,
        epochs,
        notes,
        place.lists,
    )


def _open(
    scenes: ScenesSettings, run: Run, masks: bool
) -> tuple[GroundingSource, GroundingSource, tuple[str, ...]]:
    """The data to train and to evaluate on: the recipe's scenes, other scenes, or files.

    Beside the recipe's scenes, `scenes:KEY=VALUE` evaluates on the same scenes with changes.
    """
    if run.data == "scenes" and run.val.partition(":")[0] in ("", "scenes"):
        other = changed_scenes(scenes, run.val) if run.val else scenes
        train = SceneCaptions(scenes, "train", with_masks=masks)
        return train, SceneCaptions(other, "val", with_masks=masks), ()
    if run.data.partition(":")[0] == "scenes" and not run.val:
        return open_grounding(run.data), open_grounding(run.data, split="val"), ()
    if run.val:
        return _opened(run.data, "train"), _opened(run.val, "val"), ()
    if is_list(run.data):
        raise ValueError(
            f"need --val beside a list of sets, what to evaluate on, got --data {run.data} alone"
        )
    return _own(Path(run.data))


def _opened(source: str, split: str) -> GroundingSource:
    """Scenes, or all captions of an annotation file, of a folder's split, or of a list of these."""
    if source.partition(":")[0] == "scenes":
        return open_grounding(source, split=split)
    if is_list(source):
        return open_list(Path(source), split)
    return open_annotated(Path(source), split)


def _own(source: Path) -> tuple[GroundingSource, GroundingSource, tuple[str, ...]]:
    """A user's folder or file, with what it says of its two splits."""
    if not source.exists():
        raise ValueError(f"need a folder or annotation file, or 'scenes', got {source}: none there")
    train, val = (read_split(source, split) for split in ("train", "val"))
    counts = [len({record.file_name for record in one.annotations}) for one in (train, val)]
    note = (
        f"trains on {len(train.annotations):,} captions of {counts[0]:,} images of {train.path}, "
        f"evaluates on {len(val.annotations):,} of {counts[1]:,} images "
        + ("held out of it" if val.held_out else f"of {val.path}")
    )
    train_source, val_source = (
        AnnotatedImages(one.annotations, one.images) for one in (train, val)
    )
    return train_source, val_source, (note,)


def _view(views: Views, fixed: FixedView) -> MakeView:
    if views == "fixed":
        return fixed
    if views == "clevr":
        return RandomView(CLEVR_SIZES)
    return RandomView(NATURAL_SIZES, mirror=views == "mirrored")
