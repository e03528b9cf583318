"""Advice is written beside the metrics it was given on, and said once."""

import json

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
