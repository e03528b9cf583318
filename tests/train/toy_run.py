"""A small run of the real loop as a process: arguments OUT STEPS [fault]."""

import resource
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn

from eyespot.train.job import Job
from eyespot.train.loop import Cadence, StoppedByNonFiniteError, run
from eyespot.train.update import backward_all, step_


def make_job():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(),
        nn.Linear(8 * 36, 4),
    )  # fmt: skip
    decay = torch.optim.AdamW(model.parameters(), lr=1e-3)
    return Job({"model": model}, {"optimizer": decay}, torch.device("cpu"))


def batches(start):
    step = start
    while True:
        generator = torch.Generator().manual_seed(step)
        images = torch.randn(8, 3, 8, 8, generator=generator)
        yield step, images, torch.randint(0, 4, (8,), generator=generator)
        step += 1


def cap_files(out, size):
    """Let no file grow beyond a size from now on, once what is under way is written."""
    while list((Path(out) / "checkpoints").glob("*.partial")):
        time.sleep(0.01)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def fill_disk(out):
    """Leave no room beside a run, once what is under way is written."""
    while list((Path(out) / "checkpoints").glob("*.partial")):
        time.sleep(0.01)
    with (Path(out).parent / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            pass


def main(out, total, fault="none"):
    job = make_job()
    model, optimizer = job.modules["model"], job.optimizers["optimizer"]

    def train_step(job, batch):
        step, images, labels = batch
        if fault == "nan" and step == 13:
            images = images * float("inf")
        if fault == "no room for metrics" and step == 13:  # a line comes after it
            cap_files(out, (Path(out) / "metrics.jsonl").stat().st_size + 5)
        if fault == "no room for facts" and step == 15:  # a checkpoint comes after it
            cap_files(out, 50)
        if fault == "long step" and step == 10:
            time.sleep(60)
        if fault == "full" and step == 15:
            fill_disk(out)
        if fault == "slow":
            time.sleep(0.01)
        halves = list(zip(images.chunk(2), labels.chunk(2), strict=True))
        loss = backward_all(
            halves, lambda part: nn.functional.cross_entropy(model(part[0]), part[1]), model=model
        )
        norm = step_(optimizer, loss, clip=1.0)
        return {"loss": loss, "norm": norm}

    def evaluate(job):
        return {"error": float(model[0].weight.sum())}

    cadence = Cadence(
        int(total), log_every=7, evaluate_every=10, checkpoint_every=4, keep_last=2, score="error"
    )
    try:
        outcome = run(
            job, cadence, Path(out), batches=batches, train_step=train_step, evaluate=evaluate,
            batch_facts=lambda batch: {"step": batch[0]},
        )  # fmt: skip
    except (StoppedByNonFiniteError, OSError) as error:
        print(error)
        return
    print(outcome)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
