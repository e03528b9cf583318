"""Self-supervised training on 64 real images: right by hand, alike on ranks, exact after kills."""

import json
import math
import random
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch.testing import assert_close

from eyespot import create_model
from eyespot.data.distort import Distortion
from eyespot.data.multicrop import Crops
from eyespot.data.samples import Sample
from eyespot.data.views import TestView
from eyespot.data.write_shards import write_shards
from eyespot.errors import RecipeError, WeightsError
from eyespot.tasks import run as running
from eyespot.tasks import selfsup
from eyespot.tasks.methods import swav
from eyespot.tasks.methods.simclr import SimCLR
from eyespot.tasks.methods.swav import SwAV
from eyespot.tasks.optimization import Schedule
from eyespot.tasks.run import Run
from eyespot.tasks.selfsup import Probe
from eyespot.tasks.selfsup_evaluation import too_few
from eyespot.tasks.unlabelled import open_labelled, open_unlabelled
from eyespot.weights.load import load_weights
from eyespot.weights.trunk import load_trunk
from tests.distributed import run_ranks
from tests.tasks.selfsup_runs import (
    FASHION,
    METHODS,
    SMALL,
    TWO,
    make,
    metrics,
    stored,
    train,
)


def sinkhorn_by_hand(scores, epsilon, iters):
    """SwAV's algorithm box, in NumPy: columns are samples."""
    q = np.exp(scores.T / epsilon)
    q /= q.sum()
    for _ in range(iters):
        q /= q.sum(1, keepdims=True) * q.shape[0]
        q /= q.sum(0, keepdims=True) * q.shape[1]
    return (q * q.shape[1]).T


def test_swav_trains_as_a_loop_by_hand(tmp_path):
    """Plain torch on the same views: queue, frozen prototypes, LARC, the cosine of its own."""
    recipe = make("swav", tmp_path, epochs=3, batch_size=16)
    recipe = replace(recipe, method=replace(recipe.method, queue=32))
    run = Run(str(FASHION), tmp_path / "run", workers=0, log_every=1)
    batches = {}
    plain = selfsup.train_step

    def watched(recipe, training, pictures, rates, job, batch):
        if job.step == 0:
            watched.start = {k: v.clone() for k, v in training.network.state_dict().items()}
            watched.network = training.network
        batches[job.step] = pictures.to_views(batch, job.device)
        return plain(recipe, training, pictures, rates, job, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selfsup, "train_step", watched)
        running.train(recipe, run)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    losses = {line["step"]: line["loss"] for line in lines if "loss" in line}

    network = watched.network
    network.load_state_dict(watched.start)
    prototypes = [p.weight for p in network.head.prototypes]
    velocity = {name: torch.zeros_like(p) for name, p in network.named_parameters()}
    queue = np.zeros((2, 32, 16))
    for step in range(12):
        rate = 0.3 * (0.1 + 0.9 * step / 3 if step < 4 else
                      (1 + math.cos(math.pi * (step - 4) / 8)) / 2)  # fmt: skip
        for weight in prototypes:
            weight.data = F.normalize(weight.data, dim=1)
        features = torch.cat([network.backbone(x.flatten(0, 1)) for x in batches[step]])
        z = F.normalize(network.head.projector(features), dim=1)
        loss, full = 0.0, bool(queue[0, -1].any())
        for weight in prototypes:
            scores = (z @ weight.t()).view(4, 16, -1)
            for i in range(2):
                seen = scores[i].detach().double().numpy()
                if full:
                    seen = np.concatenate([queue[i] @ weight.detach().double().numpy().T, seen])
                code = torch.tensor(sinkhorn_by_hand(seen, 0.05, 3)[-16:]).float()
                for v in set(range(4)) - {i}:
                    log_p = (scores[v] / 0.1).log_softmax(1)
                    loss = loss - (code * log_p).sum(1).mean() / (2 * 3 * 2)
        if step >= 4:  # the queue begins with epoch 1
            new = z.detach().double().numpy().reshape(4, 16, -1)[:2]
            queue = np.concatenate([new, queue[:, :16]], axis=1)
        network.zero_grad()
        loss.backward()
        for name, p in network.named_parameters():
            if p.grad is None or ("prototypes" in name and step < 2):
                continue
            grad, norm, size = p.grad, p.grad.norm(), p.data.norm()
            if norm and size:
                grad = (grad + 1e-3 * p.data) * 1e-3 * size / (norm + 1e-3 * size + 1e-8)
            velocity[name] = 0.9 * velocity[name] + grad
            p.data -= rate * velocity[name]
        assert losses[step + 1] == pytest.approx(loss.item(), rel=1e-5 if step < 3 else 1e-3), step


FAST = [("swav", "fsdp", 2)]
SLOW = [(name, parallel, 2) for name in METHODS for parallel in ("ddp", "fsdp")]
SLOW = [case for case in [*SLOW, ("swav", "ddp", 4), ("swav", "fsdp", 4)] if case not in FAST]


@pytest.mark.parametrize(
    ("name", "parallel", "ranks"),
    [*FAST, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)],
)
def test_any_number_of_processes_trains_alike(name, parallel, ranks, tmp_path):
    recipe = make(name, tmp_path)
    run_ranks(train, recipe, str(tmp_path / "one"), FASHION, "ddp", True, world_size=1)
    run_ranks(train, recipe, str(tmp_path / "many"), FASHION, parallel, True, world_size=ranks)
    one, many = metrics(tmp_path / "one"), metrics(tmp_path / "many")
    assert [each for each, _ in one] == [each for each, _ in many]
    for (each, value), (_, other) in zip(one, many, strict=True):
        assert other == pytest.approx(value, rel=1e-9, abs=1e-12), each
    first, second = (load_file(tmp_path / each / "weights.safetensors") for each in ("one", "many"))
    for key, value in first.items():
        assert_close(second[key], value, rtol=1e-8, atol=1e-11, msg=key)


def crash_at(recipe, out, parallel, steps):
    """Train until some steps are done, then die without a word."""
    plain = selfsup.train_step

    def dying(recipe, training, pictures, rates, job, batch):
        if job.step == steps:
            raise KeyboardInterrupt
        return plain(recipe, training, pictures, rates, job, batch)

    selfsup.train_step = dying
    try:
        train(recipe, out, FASHION, parallel, True, checkpoint_every=2)
    except KeyboardInterrupt:
        pass
    finally:
        selfsup.train_step = plain
    return torch.zeros(1)


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_a_run_goes_on_with_fewer_and_fewer_processes(parallel, tmp_path):
    recipe, out = make("swav", tmp_path), str(tmp_path / "many")
    run_ranks(train, recipe, str(tmp_path / "one"), FASHION, "ddp", True, world_size=1)
    run_ranks(crash_at, recipe, out, parallel, 7, world_size=4)
    run_ranks(crash_at, recipe, out, parallel, 10, world_size=2)
    run_ranks(train, recipe, out, FASHION, "ddp", True, world_size=1)
    steps = [json.loads(line)["ranks"] for line in (tmp_path / "many/environment.jsonl").open()]
    assert steps == [4, 2, 1]
    for (each, value), (_, other) in zip(
        metrics(tmp_path / "one"), metrics(tmp_path / "many"), strict=True
    ):
        assert other == pytest.approx(value, rel=1e-9, abs=1e-12), each
    (_, first, _), (_, second, _) = stored(tmp_path / "one"), stored(tmp_path / "many")
    assert first["queue.batches"].any()
    assert_close(second["queue.batches"], first["queue.batches"], rtol=1e-9, atol=1e-12)


SCRIPT = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from eyespot.tasks import run as running, selfsup
from eyespot.tasks.recipe_files import read_recipe
step = selfsup.train_step
def slow(*args):
    time.sleep(0.05)
    return step(*args)
selfsup.train_step = slow
running.train(read_recipe(Path(sys.argv[1])), running.Run(sys.argv[2], Path(sys.argv[3]),
              workers=int(sys.argv[4]), log_every=2, checkpoint_every=3))
"""


def start(recipe, out, workers):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(recipe), str(FASHION), str(out), str(workers)],
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swav", "moco", "deepcluster"])
def test_killed_at_random_it_ends_as_if_never_killed(name, tmp_path):
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(running.recipe_to_dict(make(name, tmp_path, epochs=6))))
    whole = start(recipe, tmp_path / "whole", 0)
    assert whole.wait(100) == 0, whole.stderr.read()
    random.seed(4)
    kills = 0
    for workers in (2, 0, 1):
        process = start(recipe, tmp_path / "broken", workers)
        for _ in range(random.randint(2, 5)):
            process.stderr.readline()
        time.sleep(random.uniform(0, 0.2))
        kills += process.poll() is None
        process.kill()
        process.wait()
    last = start(recipe, tmp_path / "broken", 2)
    assert last.wait(100) == 0, last.stderr.read()
    assert kills >= 2
    (step, tensors, lines), (other_step, others, other_lines) = map(
        stored, (tmp_path / "whole", tmp_path / "broken")
    )
    assert step == other_step == 24
    assert tensors.keys() == others.keys()
    for key, value in tensors.items():
        assert torch.equal(value, others[key]), key
    assert lines == other_lines


@pytest.fixture
def shards(tmp_path):
    """96 images without labels in six shards."""
    generator = np.random.default_rng(0)
    samples = [
        Sample(generator.integers(0, 256, (24, 20 + i % 5, 3), dtype=np.uint8), None, f"{i:03}")
        for i in range(96)
    ]
    write_shards(samples, tmp_path / "shards", samples_per_shard=16)
    return tmp_path / "shards"


def served(recipe, source, out, **changes):
    """Which samples each step of a run was given."""
    seen, plain = [], selfsup.train_step

    def watched(recipe, training, pictures, rates, job, batch):
        seen.append(batch.indices.tolist())
        return plain(recipe, training, pictures, rates, job, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selfsup, "train_step", watched)
        running.train(recipe, replace(Run(str(source), out, workers=0), **changes))
    return seen


def test_one_pass_over_shards_serves_each_sample_once_whatever_the_workers(tmp_path, shards):
    recipe = make("after", tmp_path, epochs=1, window=32)
    steps = served(recipe, shards, tmp_path / "one")
    assert len(steps) == 6
    assert sorted(index for step in steps for index in step) == list(range(96))
    spans = [max(step) - min(step) for step in steps]  # a window of 32, or two that meet
    assert sorted(spans)[2] < 32
    assert served(recipe, shards, tmp_path / "two", workers=2) == steps


def test_a_list_of_shards_that_shrank_is_refused(tmp_path, shards):
    recipe = make("after", tmp_path, epochs=2, window=32)
    with pytest.raises(KeyboardInterrupt):
        stop_after(3, recipe, shards, tmp_path / "run")
    (shards / sorted(path.name for path in shards.glob("*.tar"))[-1]).unlink()
    with pytest.raises(
        RecipeError, match=r"begun with, 96 in 6 shards, got 80 in 5 shards: a step"
    ):
        running.train(recipe, Run(str(shards), tmp_path / "run", workers=0))


def test_a_shard_replaced_by_another_of_as_many_images_is_refused(tmp_path, shards):
    recipe = make("after", tmp_path, epochs=2, window=32)
    with pytest.raises(KeyboardInterrupt):
        stop_after(3, recipe, shards, tmp_path / "run")
    generator = np.random.default_rng(9)
    others = [
        Sample(generator.integers(0, 256, (24, 20, 3), dtype=np.uint8), None, f"{i:03}")
        for i in range(16)
    ]
    write_shards(others, tmp_path / "other", samples_per_shard=16)
    (new,) = (tmp_path / "other").glob("*.tar")
    new.replace(sorted(shards.glob("*.tar"))[2])
    with pytest.raises(RecipeError, match="got 96 in 6 shards with other images: a step"):
        running.train(recipe, Run(str(shards), tmp_path / "run", workers=0))


def stop_after(steps, recipe, source, out, **changes):
    plain = selfsup.train_step

    def dying(recipe, training, pictures, rates, job, batch):
        if job.step == steps:
            time.sleep(1)  # for the checkpoint
            raise KeyboardInterrupt
        return plain(recipe, training, pictures, rates, job, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selfsup, "train_step", dying)
        run = Run(str(source), out, workers=0, checkpoint_every=2)
        running.train(recipe, replace(run, **changes))


def test_colours_on_the_device_are_the_loaders_and_go_on_to_the_bit(tmp_path, shards):
    recipe = make("after", tmp_path, epochs=2, window=32, colours="device")
    running.train(recipe, Run(str(shards), tmp_path / "whole", workers=0, checkpoint_every=2))
    with pytest.raises(KeyboardInterrupt):
        stop_after(5, recipe, shards, tmp_path / "run")
    running.train(recipe, Run(str(shards), tmp_path / "run", workers=2, checkpoint_every=2))
    (step, tensors, _), (other_step, others, _) = (
        stored(tmp_path / each) for each in ("whole", "run")
    )
    assert step == other_step == 12
    for key, value in tensors.items():
        assert torch.equal(value, others[key]), key
    late, early = (
        views_of(replace(recipe, colours=where), shards, tmp_path) for where in ("device", "loader")
    )
    for one, other in zip(late, early, strict=True):
        assert (one - other).abs().mean() < 0.02  # of the spread of a channel: one level


def test_classes_too_small_for_their_neighbours_are_said_beforehand(tmp_path):
    labelled = open_labelled(str(FASHION), "")  # 64 images of 10 classes
    assert not too_few(make("swav", tmp_path, probe=Probe(neighbours=6)), labelled)
    said = too_few(make("swav", tmp_path, probe=Probe(neighbours=7)), labelled)
    assert "64 labelled images of 10 classes, of which 7 neighbours vote" in said
    fewer = make("swav", tmp_path, probe=Probe(images=50, neighbours=6))
    assert "50 labelled images of 10 classes" in too_few(fewer, labelled)
    assert not too_few(fewer, None)


def test_queue_stream_and_plateau_go_on_to_the_bit(tmp_path, shards):
    """Killed in the middle of a window of losses, in the second pass over shards, queue full."""
    schedule = Schedule(
        "plateau", warmup_epochs=0.5, warmup_start=0.1, plateau_steps=2, drop=0.5, per="step"
    )
    recipe = make("swav", tmp_path, epochs=3, window=32, schedule=schedule)
    places = {"workers": 0, "checkpoint_every": 2, "log_every": 1}
    running.train(recipe, Run(str(shards), tmp_path / "whole", **places))
    for stop in (5, 12):
        with pytest.raises(KeyboardInterrupt):
            stop_after(stop, recipe, shards, tmp_path / "run", log_every=1)
    running.train(recipe, Run(str(shards), tmp_path / "run", **(places | {"workers": 2})))
    (step, tensors, lines), (other_step, others, other_lines) = (
        stored(tmp_path / each) for each in ("whole", "run")
    )
    assert step == other_step == 18
    assert lines == other_lines
    assert tensors.keys() == others.keys()
    for key, value in tensors.items():
        assert torch.equal(value, others[key]), key
    assert tensors["queue.batches"].flatten(1, 2).any(-1).all()
    lines = [line for line in lines if "lr" in line]
    losses, factor, lowest = [], 1.0, math.inf  # the rates by hand, from the losses
    for line in lines:
        up = min(1.0, 0.1 + 0.9 * (line["step"] - 1) / 3)
        assert line["lr"] == pytest.approx(0.3 * up * factor), line["step"]
        if line["step"] > 3:
            losses.append(line["loss"])
        if len(losses) == 2:
            factor *= 1.0 if sum(losses) / 2 < lowest else 0.5
            lowest, losses = min(lowest, sum(losses) / 2), []
    assert factor < 1
    assert tensors["plateau.factor"].item() == factor


def samples_of_ranks(recipe, source, out):
    steps = served(recipe, source, out, parallel="ddp")
    return torch.tensor(steps)


def test_any_number_of_ranks_serves_the_samples_of_shards_in_one_order(tmp_path, shards):
    recipe = make("after", tmp_path, epochs=1, window=32)
    wanted = torch.tensor(served(recipe, shards, tmp_path / "one"))  # [steps, 16]
    parts = run_ranks(samples_of_ranks, recipe, str(shards), tmp_path / "two", world_size=2)
    assert torch.equal(torch.cat(list(parts), dim=1), wanted)


def views_of(recipe, source, tmp_path):
    place = running.Place(torch.device("cpu"), "none", 0, None)
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selfsup, "train_step", lambda *args: seen.append(args))
        prepared = running.prepare(recipe, Run(str(source), tmp_path / "views", workers=0), place)
        batch = next(prepared.batches(0))
        prepared.train_step(prepared.job, batch)
    ((_, _, pictures, _, job, _),) = seen
    return pictures.to_views(batch, job.device)


def test_labels_are_never_looked_at(tmp_path):
    assert open_unlabelled(str(FASHION)).samples[0].label is None
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a.jpg 0\n{tmp_path}/b.jpg -5\n")


def test_a_run_begins_with_an_earlier_ones_weights_head_and_all(tmp_path):
    recipe = make("after", tmp_path, epochs=1)
    running.train(recipe, Run(str(FASHION), tmp_path / "first", workers=0))
    weights = tmp_path / "first/weights.safetensors"
    trained = load_file(weights)
    for head in (True, False):
        second = replace(recipe, start_from=str(weights), start_head=head, seed=9)
        network = prepared_network(second, tmp_path)
        for key, value in network.state_dict().items():
            if "num_batches" not in key:
                same = head or key.startswith("backbone.")
                assert torch.equal(value, trained[key]) == same, key
    backbone = create_model(recipe.model, num_classes=0)
    load_weights(backbone, weights)
    assert torch.equal(backbone.s1.b1.f.a.weight, trained["backbone.s1.b1.f.a.weight"])
    other = replace(recipe.method, prototypes=(21,))
    with pytest.raises(
        WeightsError, match=r"prototypes.0.weight \(needs \[21, 16\], got \[20, 16\]"
    ):
        prepared_network(
            replace(recipe, method=other, start_from=str(weights), start_head=True), tmp_path
        )


@pytest.mark.parametrize("zero", [True, False])
def test_residual_branches_begin_with_nothing_if_asked(zero, tmp_path):
    network = prepared_network(make("moco", tmp_path, zero_init=zero), tmp_path)
    gains = [v for k, v in network.named_parameters() if k.endswith("f.c_bn.weight")]
    assert len(gains) == 3
    assert all(bool((gain == (0 if zero else 1)).all()) for gain in gains)


def prepared_network(recipe, tmp_path):
    place = running.Place(torch.device("cpu"), "none", 0, None)
    run = Run(str(FASHION), tmp_path / "second", workers=0)
    return running.prepare(recipe, run, place).job.modules["model"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"method": SwAV(**SMALL, prototypes=(1000,))}, "got 16 images at a time and a queue of 0"),
        ({"method": SwAV(**SMALL, prototypes=(20,), queue=40)}, "whole batches of 16, got 40; 32"),
        ({"method": SwAV(**SMALL, prototypes=(20,), queue=8)}, "whole batches of 16, got 8; 16"),
        ({"method": SwAV(**SMALL, prototypes=(20,), epsilon=0.0)}, "got 0.0, 0.1 and 3"),
        ({"method": SwAV(**SMALL, prototypes=())}, "got prototypes ()"),
        ({"crops": (Crops(1, 28, (0.3, 1.0)),)}, "got 1 views and coded_views 2; add crops"),
        ({"crops": (Crops(2, 0, (0.3, 1.0)),)}, "got 2 of 0 px"),
        ({"crops": TWO, "method": replace(METHODS["moco"], queue=40)}, "of 16, got 40; 32"),
        ({"method": METHODS["moco"]}, "need 2 views of an image for MoCo, got 4"),
        ({"method": METHODS["byol"]}, "need 2 views of an image for BYOL, got 4"),
        ({"method": METHODS["deepcluster"], "epochs": 1}, "need more than one epoch"),
        ({"method": SimCLR(**SMALL), "batch_size": 1}, "got 4 views of 1"),
        ({"batch_size": 128}, "at most the 64 images there are, got 128"),
        ({"batch_size": 15, "accumulate": 2}, "share evenly, got 15"),
        ({"epochs": 0}, "got 0, 16, 1, 0, 0, 0"),
        ({"model": "ViT-P-1GF", "passes": "padded"}, "got a ViT"),
        ({"model": "ViT-P-1GF", "zero_init": True}, "RegNet or ResNet for zero_init, got ViT-P"),
        ({"schedule": Schedule("swav")}, 'need per "step"'),
        (
            {"method": replace(METHODS["after"], power_law=math.nan)},
            "power_law of 0 or more",
        ),
        ({"method": replace(METHODS["after"], epsilon=math.nan)}, "got nan, 0.1 and 3"),
        (
            {"method": replace(METHODS["after"], hidden_dims=(32, 0))},
            "hidden_dims of 1 or more",
        ),
        ({"method": replace(METHODS["after"], queue_epoch=-1)}, "queue_epoch of 0 or more, got -1"),
        ({"method": replace(METHODS["deepcluster"], temperature=0.0)}, "above 0, got 0.0"),
        ({"std": (0.0, 1.0, 1.0)}, "three numbers above 0 for std"),
        ({"sync_bn_ranks": -1}, "sync_bn_ranks of 0 or more, got -1"),
        ({"crops": (Crops(2, 28, (0.3, 1.0), Distortion(hue=0.6)),)}, "hue of 0 to 0.5, got 0.6"),
        ({"crops": (Crops(2, 28, (0.3, 1.0), Distortion(blur_sigma=(2.0, 1.0))),)}, "got 2 and 1"),
        ({"probe": Probe(images=0)}, "probe.images of 2 or more, got 0"),
        ({"probe": Probe(images=50, neighbours=50)}, "than the 50 neighbours that vote, got 50"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(changes, sentence, tmp_path):
    recipe = replace(make("after", tmp_path), **changes)
    with pytest.raises(RecipeError, match=sentence.replace("(", r"\(").replace(")", r"\)")):
        running.train(recipe, Run(str(FASHION), tmp_path / "run", workers=0))
    assert not (tmp_path / "run").exists()


def test_a_probe_looks_at_images_as_the_run_did(tmp_path):
    recipe = make("simclr", tmp_path, epochs=1, mean=(0.3, 0.3, 0.3), std=(0.2, 0.2, 0.2))
    recipe = replace(recipe, probe=replace(recipe.probe, resize_px=30))
    train(recipe, tmp_path / "run")
    trunk = load_trunk(tmp_path / "run")
    assert trunk.view() == TestView(30, 28)
    assert trunk.colours() == (recipe.mean, recipe.std)


def test_parts_of_a_batch_give_the_mean_of_their_gradients(tmp_path):
    """SimCLR in two parts: the loss of each is that of its eight images alone."""
    whole = make("simclr", tmp_path, steps=1, batch_size=8)
    losses = []
    plain = selfsup.train_step

    def watched(recipe, training, pictures, rates, job, batch):
        values = plain(recipe, training, pictures, rates, job, batch)
        losses.append(values["loss"].item())
        return values

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selfsup, "train_step", watched)
        train(whole, tmp_path / "small")
        train(replace(whole, batch_size=16, accumulate=2), tmp_path / "parts")
    assert losses[1] < math.log(4 * 7 + 1) * 1.2  # of 29 choices, not 61
    assert len(losses) == 2


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("ill", [0, 1])
def test_an_ill_set_of_prototypes_is_seen_whichever_it_is_and_in_all_parts(ill, parts, tmp_path):
    """One set points one way: what its health says does not hide behind the last set's."""
    recipe = make("after", tmp_path, steps=1, accumulate=parts)
    method = SwAV(**SMALL, prototypes=(20, 20), normalize="after", freeze_steps=9)
    place = running.Place(torch.device("cpu"), "none", 0, None)
    run = Run(str(FASHION), tmp_path / "run", workers=0)
    prepared = running.prepare(replace(recipe, method=method), run, place)
    sets = prepared.job.modules["model"].head.prototypes
    with torch.no_grad():
        sets[1 - ill].weight.copy_(F.normalize(sets[1 - ill].weight, dim=1))
        sets[ill].weight.zero_()
        sets[ill].weight[3] = 5.0  # of length 20, and all others are nothing
    measured, plain = [], swav.code_health

    def watched(scores, codes, *, temperature):
        measured.append(plain(scores, codes, temperature=temperature))
        return measured[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(swav, "code_health", watched)
        values = prepared.train_step(prepared.job, next(prepared.batches(0)))
    assert len(measured) == 2 * parts
    low, high = ("code_usage_entropy", "prototypes_used"), ("code_entropy", "greatest_score")
    for name in low:
        assert values[name] == min(each[name] for each in measured)
    for name in high:
        assert values[name] == max(each[name] for each in measured)
    assert values["greatest_score"] > 1.5 > measured[1 - ill]["greatest_score"]
    assert -1 <= values["likeness"] <= 1
