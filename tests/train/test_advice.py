"""Advice is written beside the metrics it was given on, and said once."""

import json
import time

import torch

from eyespot.train.job import Job
from eyespot.train.loop import Cadence, run


def test_advice_is_written_every_time_and_said_when_it_is_new(tmp_path, capsys):
    model = torch.nn.Linear(1, 1)
    job = Job({"model": model}, {}, torch.device("cpu"))

    def advise(step, means):
        assert means["loss"] == step - 0.5  # the mean of a window of two steps
        return [f"the loss is {means['loss']}: take care"] if step >= 4 else []

    run(
        job,
        Cadence(8, log_every=2),
        tmp_path,
        batches=lambda start: iter(range(start, 8)),
        train_step=lambda job, batch: {"loss": torch.tensor(batch + 1.0)},
        advise=advise,
    )
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    assert [line.get("advice") for line in lines] == [
        None, *([f"the loss is {loss}: take care"] for loss in (3.5, 5.5, 7.5)),
    ]  # fmt: skip
    assert capsys.readouterr().err.count("take care") == 1


def test_waiting_for_data_is_said_once_until_it_is_better(tmp_path, capsys):
    """Windows of two steps: two that wait, one that does not, and two that wait again."""
    job = Job({"model": torch.nn.Linear(1, 1)}, {}, torch.device("cpu"))

    def batches(start):
        for step in range(start, 10):
            time.sleep(0.0 if step in (4, 5) else 0.2)
            yield step

    def train_step(job, batch):
        time.sleep(0.02)
        return {"loss": torch.tensor(1.0)}

    run(job, Cadence(10, log_every=2), tmp_path, batches=batches, train_step=train_step)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    waited = [line["time"]["data_wait"] for line in lines]
    assert [share > 0.3 for share in waited] == [True, True, False, True, True]
    said = [line for line in capsys.readouterr().err.splitlines() if "of the time for data" in line]
    assert [f"waited {waited[i]:.0%} of" in line for i, line in zip((0, 3), said, strict=True)] == [
        True,
        True,
    ]
    assert "more loader workers" in said[0]
