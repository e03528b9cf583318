"""The data of a grounding run: annotation files or scenes, shuffled, batched and resumable."""

from collections.abc import Iterator
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
from eyespot.data.grounding_sources import GroundingSource, open_grounding
from eyespot.data.loader import Loader
from eyespot.data.quarantine import Quarantine
from eyespot.data.sampling import Order
from eyespot.data.scene_captions import SceneCaptions, ScenesSettings, changed_scenes
from eyespot.errors import RecipeError
from eyespot.tasks.ground_network import Network
from eyespot.tasks.run import Place, Run

Views = Literal["natural", "clevr", "fixed"]


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

    def test_loader(self) -> Loader[GroundingBatch]:
        """Return the evaluation batches of this rank."""
        return Loader(
            self.test_examples,
            self.test_order,
            rank=dist.rank(),
            world_size=dist.world_size(),
            num_workers=self.workers,
        )


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
        RecipeError: If there is nothing to evaluate on.
        ValueError: If the data cannot be used.
    """
    train, val = _open(scenes, run)
    masks = network.with_masks
    order = Order(len(train), batch_size, seed)
    order.part(0, rank=dist.rank(), world_size=dist.world_size())
    fixed = FixedView(network.short_side_px)
    return GroundData(
        order,
        GroundingExamples(train, _view(views, fixed), seed=seed, with_masks=masks),
        GroundingExamples(val, fixed, seed=seed, with_masks=masks),
        Order(len(val), eval_batch_size * dist.world_size(), seed, shuffle=False, drop_last=False),
        run.out / f"quarantine{f'-{dist.rank()}' if dist.rank() else ''}.jsonl",
        run.max_bad,
        place.workers,
        epochs,
    )


def _open(scenes: ScenesSettings, run: Run) -> tuple[GroundingSource, GroundingSource]:
    """The data to train and to evaluate on: the recipe's scenes, other scenes, or files.

    Beside the recipe's scenes, `scenes:KEY=VALUE` evaluates on the same scenes with changes.
    """
    if run.data == "scenes" and run.val.partition(":")[0] in ("", "scenes"):
        other = changed_scenes(scenes, run.val) if run.val else scenes
        return SceneCaptions(scenes, "train"), SceneCaptions(other, "val")
    if run.data.startswith("scenes") and not run.val:
        return open_grounding(run.data), open_grounding(run.data, split="val")
    if not run.val:
        raise RecipeError(
            f"need --val FILE.json to evaluate on beside the annotations {run.data}, got none"
        )
    return open_grounding(run.data), open_grounding(run.val, split="val")


def _view(views: Views, fixed: FixedView) -> MakeView:
    if views == "fixed":
        return fixed
    return RandomView(NATURAL_SIZES if views == "natural" else CLEVR_SIZES)
