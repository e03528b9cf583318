"""What does the engine cost, beside a minimal loop written by hand? And a checkpoint, a resume?

The task's own step runs in the engine on batches that wait in memory; between its steps, in turns,
a loop by hand trains the same network on the same batches.

Run:  python benchmarks/engine.py [--model RegNetY-200MF] [--size 128] [--batch 32] [--turns 12]
      [--quick]
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from common import Record, rates

from eyespot.data.loader import Batch
from eyespot.design.by_name import to_spec
from eyespot.models.build import create_model
from eyespot.models.speed import autocast, prepare_training, speed_defaults
from eyespot.tasks import run as running
from eyespot.tasks.classify import ClassifyRecipe
from eyespot.tasks.optimization import OptimizerSettings
from eyespot.tasks.pictures import Pictures
from eyespot.tasks.run import Place, Run, prepare
from eyespot.train import loop
from eyespot.train.checkpoint import CheckpointFolder, load
from eyespot.train.job import state_tensors
from eyespot.train.loop import Cadence

STEPS = 5  # of one turn


def by_hand(model: str, size: int, batch: Batch) -> Callable[[], None]:
    """The least that trains: normalise, forward, backward, step."""
    torch.manual_seed(1)
    settings = speed_defaults("cpu", to_spec(model), "training")
    network = prepare_training(create_model(model, num_classes=24, image_size=size), settings)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9, nesterov=True, weight_decay=5e-5)
    mean = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1)
    std = torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)

    def step() -> None:
        images = (batch.images[0][0].float() / 255 - mean) / std
        with autocast("cpu", settings):
            loss = F.cross_entropy(network(images), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def main() -> None:
    """Measure steps, a checkpoint and a resume, and record them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="RegNetY-200MF")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--quick", action="store_true", help="4 turns of 8 images of 64 px")
    args = parser.parse_args()
    turns = 4 if args.quick else args.turns
    if args.quick:
        args.size, args.batch = 64, 8
    record = Record("engine")
    recipe = ClassifyRecipe(
        model=args.model,
        num_classes=24,
        epochs=1000,
        batch_size=args.batch,
        optimizer=OptimizerSettings("sgd"),
        pictures=Pictures(size_px=args.size, pca_std=0.0),
        precise_bn=0,
    )
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        data = f"scenes:size=64,count={args.batch * 2},val_count=8"
        prepared = prepare(recipe, Run(data, out), Place(torch.device("cpu"), "none", 0, None))
        batch = next(prepared.batches(0))
        hand = by_hand(args.model, args.size, batch)
        seconds: dict[str, list[float]] = {"engine": [], "by hand": []}
        warm = 2

        def batches(start: int) -> Iterator[Batch]:
            for turn in itertools.count():
                began = time.perf_counter()
                for _ in range(STEPS):
                    yield batch
                engine = (time.perf_counter() - began) / STEPS
                began = time.perf_counter()
                for _ in range(STEPS):
                    hand()
                if turn >= warm:
                    seconds["engine"].append(engine)
                    seconds["by hand"].append((time.perf_counter() - began) / STEPS)

        cadence = Cadence(total_steps=(turns + warm) * STEPS + 1, log_every=STEPS)
        loop.run(prepared.job, cadence, out, batches=batches, train_step=prepared.train_step)
        case = f"train {args.model}, {args.size} px, batch {args.batch}"
        per_call, against = args.batch, {"engine": ("by hand",)}
        record.add(rates(case, seconds, per_call=per_call, unit="images/s", against=against))
        record.add(checkpoints(prepared.job, out / "again", turns))


def checkpoints(job: running.Job, out: Path, turns: int) -> list[dict[str, object]]:
    """Seconds of saving in the background (what training waits), to the end, and of loading."""
    folder = CheckpointFolder(out)
    seconds: dict[str, list[float]] = {"save, training waits": [], "save": [], "load": []}
    for turn in range(turns):
        began = time.perf_counter()
        folder.save(turn, state_tensors(job), {"best": 0.0})
        seconds["save, training waits"].append(time.perf_counter() - began)
        folder.wait()
        seconds["save"].append(time.perf_counter() - began)
        began = time.perf_counter()
        newest = folder.newest()[0]
        assert newest is not None
        load(newest, state_tensors(job))
        seconds["load"].append(time.perf_counter() - began)
    megabytes = sum(t.numel() * t.element_size() for t in state_tensors(job).values()) / 1e6
    case = f"checkpoint of {megabytes:.0f} MB"
    return rates(case, seconds, per_call=1, unit="a second", against={})


if __name__ == "__main__":
    main()
