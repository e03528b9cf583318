"""Self-supervised training with less memory: activations computed again, and float16."""

import json
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from eyespot.design.memory import memory
from eyespot.errors import RecipeError
from eyespot.tasks import selfsup
from eyespot.tasks.selfsup_plan import plan_facts
from eyespot.train.loss_scale import LossScale
from tests.distributed import run_ranks
from tests.tasks.selfsup_runs import FASHION, make, metrics, stored, train


@pytest.mark.parametrize(
    ("passes", "recomputed"),
    [
        pytest.param("sizes", ("blocks", "/1", "target"), marks=pytest.mark.slow),
        ("padded", ("target",)),
    ],
)
def test_what_is_recomputed_changes_no_bit(passes, recomputed, tmp_path, capsys):
    plain = make("after", tmp_path, passes=passes)
    facts = plan_facts(plain)
    most, least = (
        memory(replace(facts, dtype="float32", recompute=r)).total for r in ("none", "blocks")
    )
    target = f"{(most + least) / 2e9:.6f}gb"
    train(plain, tmp_path / "none")
    for recompute in recomputed:
        out = tmp_path / recompute.replace("/", "-")
        train(replace(plain, recompute=target if recompute == "target" else recompute), out)
        assert metrics(out) == metrics(tmp_path / "none"), recompute
        for first, second in zip(
            stored(out)[1].items(), stored(tmp_path / "none")[1].items(), strict=True
        ):
            assert first[0] == second[0]
            assert torch.equal(first[1], second[1]), first[0]
    said = capsys.readouterr().err
    assert f"blocks compute their activations again, to need {target} by prediction" in said


@pytest.mark.parametrize(
    ("recompute", "message"),
    [
        ("1/3", "need for each of 2 stages of 1, 2 blocks"),
        ("most", 'need "none", "blocks", gigabytes such as "30GB"'),
        ("0.00001GB", "with every block recomputed, got 0.00"),
    ],
)
def test_what_cannot_be_recomputed(recompute, message, tmp_path):
    with pytest.raises((RecipeError, ValueError), match=message):
        train(make("after", tmp_path, recompute=recompute), tmp_path / "run")


def test_float16_trains_as_float32_and_says_its_scale(tmp_path):
    plain = make("swav", tmp_path)
    train(plain, tmp_path / "full")
    _train_float16(plain, tmp_path / "half", FASHION)
    full, half = (
        [v for name, v in metrics(tmp_path / each) if name == "loss"] for each in ("full", "half")
    )
    assert len(half) == 12
    assert half == pytest.approx(full, rel=0.02)
    lines = [json.loads(line) for line in (tmp_path / "half/metrics.jsonl").open()]
    assert [line["loss_scale"] for line in lines if "loss" in line] == [256.0] * 12
    assert float(stored(tmp_path / "half")[1]["loss_scale.scale"]) == 256.0
    weights = load_file(tmp_path / "half" / "weights.safetensors")
    assert {value.dtype for value in weights.values()} <= {torch.float32, torch.int64}


@pytest.mark.slow
def test_a_float16_run_goes_on_exactly_and_overflows_are_left_out(tmp_path, monkeypatch):
    """The second step's loss overflows: no weight moves, and the factor is halved."""
    recipe = make("swav", tmp_path, precision="float16")
    plain = selfsup.train_step
    moved = {}

    def stopping(at):
        def step(recipe, training, pictures, rates, job, batch):
            if job.step == at:
                raise KeyboardInterrupt
            before = [p.detach().clone() for p in training.network.backbone.parameters()]
            if job.step < 2:  # 65536, to begin with, overflows on some processors
                training.scale.scale.fill_((1024.0, 1e30)[job.step])
            found = plain(recipe, training, pictures, rates, job, batch)
            if job.step == 1:
                training.scale.scale.fill_(1024.0)
            after = training.network.backbone.parameters()
            moved[job.step] = any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
            return found

        return step

    monkeypatch.setattr(selfsup, "train_step", stopping(None))
    train(recipe, tmp_path / "whole")
    assert moved == {step: step != 1 for step in range(12)}
    monkeypatch.setattr(selfsup, "train_step", stopping(7))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "parts", checkpoint_every=2)
    monkeypatch.setattr(selfsup, "train_step", stopping(None))
    train(recipe, tmp_path / "parts", checkpoint_every=2)
    first, second = stored(tmp_path / "whole"), stored(tmp_path / "parts")
    assert float(first[1]["loss_scale.scale"]) == 1024.0
    assert first[1].keys() == second[1].keys()
    for name, value in first[1].items():
        assert torch.equal(value, second[1][name]), name


@pytest.mark.slow
def test_float16_on_sharded_ranks(tmp_path):
    recipe = make("after", tmp_path, recompute="1/2")
    run_ranks(_train_float16, recipe, str(tmp_path / "one"), FASHION, "ddp", world_size=1)
    run_ranks(_train_float16, recipe, str(tmp_path / "two"), FASHION, "fsdp", world_size=2)
    one, two = metrics(tmp_path / "one"), metrics(tmp_path / "two")
    losses = [[v for name, v in each if name == "loss"] for each in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    first, second = (load_file(tmp_path / each / "weights.safetensors") for each in ("one", "two"))
    for name, value in first.items():
        assert_close(second[name], value, rtol=0.1, atol=0.02, msg=name)


def _train_float16(recipe, out, data, parallel="ddp"):
    """Train from a factor that this short run never overflows with."""
    with patch.object(selfsup, "LossScale", partial(LossScale, 256.0)):
        train(replace(recipe, precision="float16"), out, data, parallel)
