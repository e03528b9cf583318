"""Timing against sleeps of known length, and what a measurement says of itself."""

import time
from dataclasses import replace

import pytest
import torch

from eyespot.design import zoo
from eyespot.design.complexity import complexity
from eyespot.design.memory import memory
from eyespot.design.training import Crop, Training
from eyespot.models.build import build
from eyespot.train import steps, timing
from eyespot.train.resident import resident_growth
from eyespot.train.steps import Settings
from eyespot.train.timing import device_name, measure, pick_device, time_iterations

CPU = torch.device("cpu")
TINY = replace(zoo.spec("CIFAR-ResNet-20"), depths=(1, 1, 1))


def test_sleeps_take_their_time():
    times = time_iterations(lambda: time.sleep(0.02), CPU, warmup=1, iterations=5)
    assert len(times) == 5
    assert 20 <= min(times) < 60  # the others may have waited for a busy machine


def test_warm_up_is_not_timed():
    calls = []

    def step():
        calls.append(None)
        time.sleep(0.05 if len(calls) <= 2 else 0)

    times = time_iterations(step, CPU, warmup=2, iterations=4)
    assert len(calls) == 6
    assert sum(ms >= 50 for ms in times) < 2


def test_budget_stops_early_but_not_under_three():
    assert len(time_iterations(lambda: time.sleep(0.02), CPU, iterations=50, budget_s=0.2)) < 12
    assert len(time_iterations(lambda: time.sleep(0.02), CPU, iterations=50, budget_s=0.0)) == 3
    with pytest.raises(ValueError, match="got -1 and 0"):
        time_iterations(lambda: None, CPU, warmup=-1, iterations=0)


@pytest.mark.parametrize("mode", ["infer", "train"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_measured_says_what_it_measured(mode, dtype, channels_last):
    got = measure(
        TINY, device=CPU, batch=2, mode=mode, dtype=dtype, channels_last=channels_last,
        image_size=16, iterations=4,
    )  # fmt: skip
    assert (got.mode, got.dtype, got.channels_last) == (mode, dtype, channels_last)
    assert (got.batch, got.image_size, got.iterations) == (2, 16, 4)
    assert got.device == device_name(CPU)
    assert 0 < got.ms_low <= got.ms <= got.ms_high
    assert got.images_per_second == pytest.approx(2000 / got.ms)
    assert got.peak_bytes is None


@pytest.mark.parametrize(("mode", "trains"), [("train", True), ("infer", False)])
def test_a_training_step_trains_and_inference_does_not(monkeypatch, mode, trains):
    model = build(TINY)
    monkeypatch.setattr(steps, "build", lambda spec: model)
    step = steps.make_step(TINY, Settings(CPU, mode), batch=2, image_size=16)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step()
    moved = [n for n, value in model.state_dict().items() if not torch.equal(before[n], value)]
    assert ("s1.b1.f.a.weight" in moved) == trains
    assert trains or not moved
    assert all(p.grad is None for p in model.parameters())


def test_a_vit_takes_the_size_asked_for_and_refuses_others():
    spec = replace(zoo.spec("ViT-C-1GF"), depth=1)
    assert measure(spec, device=CPU, batch=1, image_size=32, iterations=3).image_size == 32
    with pytest.raises(ValueError, match="divisible by the patch size 16"):
        measure(spec, device=CPU, batch=1, image_size=40)


def test_inference_is_timed_on_signals_that_do_not_fade(monkeypatch):
    """On the noise that is timed every batch norm gives out unit variance, however deep it is."""
    model = build(zoo.spec("EfficientNet-B0"))
    monkeypatch.setattr(steps, "build", lambda spec: model)
    seen = []
    for block in (model.s3, model.s5):
        block.b1.dwise_bn.register_forward_hook(lambda m, x, out: seen.append(out.std().item()))
    step = steps.make_step(zoo.spec("EfficientNet-B0"), Settings(CPU), batch=2, image_size=96)
    assert model.s3.b1.dwise_bn.momentum == 0.1
    seen.clear()
    step()
    assert not model.training
    assert seen == pytest.approx([1, 1], rel=0.1)


def test_networks_without_classifier_train_too():
    spec = replace(zoo.spec("RegNetZ-500MF"), num_classes=0)
    assert measure(spec, device=CPU, batch=2, mode="train", image_size=32, iterations=3).ms > 0


@pytest.mark.slow
def test_memory_of_a_cpu_process_is_what_is_kept_and_more():
    """The allocator and oneDNN's reordered copies add to it; a second batch's worth must show."""
    spec = zoo.spec("EfficientNet-B0")
    settings = Settings(CPU, "train")
    grown = [resident_growth(spec, settings, batch=b, image_size=96) for b in (4, 28)]
    kept = [memory(Training(spec, b, dtype="float32", crops=(Crop(1, 96),))).total for b in (4, 28)]
    assert 1.0 < (grown[1] - grown[0]) / (kept[1] - kept[0]) < 1.6


@pytest.mark.slow
def test_memory_is_measured_in_a_fresh_process():
    ballast = torch.ones(64 << 20)  # 256 MB here, none of them there
    got = measure(
        TINY, device=CPU, batch=2, mode="train", image_size=16, iterations=3, with_memory=True
    )
    assert 4 * complexity(TINY).params < got.peak_bytes < 4 * ballast.numel()


def test_too_little_memory_is_said_before_it_is_used(monkeypatch):
    monkeypatch.setattr(timing, "_free_bytes", lambda: 10_000)
    with pytest.raises(ValueError, match="GB free; use a smaller batch"):
        measure(TINY, device=CPU, batch=2, mode="train")


def test_an_accelerator_without_memory_is_a_sentence(monkeypatch):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(timing, "make_step", full)
    with pytest.raises(ValueError, match="got 512 images of 32 px; use a smaller one"):
        measure(TINY, device=CPU, batch=512)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch": 0}, "got 0 and 32"),
        ({"image_size": 0}, "got 1 and 0"),
        ({"mode": "sleep"}, "unknown mode 'sleep'"),
        ({"dtype": "int4"}, "unknown dtype 'int4'"),
    ],
)
def test_mistakes_are_named(change, words):
    with pytest.raises(ValueError, match=words):
        measure(TINY, **{"device": CPU, "batch": 1, **change})


def test_devices_by_name():
    assert pick_device("cpu") == CPU
    assert pick_device("auto").type in ("cpu", "cuda", "mps", "xpu")
    for name in ("gpu", "cuda:63", ""):
        with pytest.raises(ValueError, match="need a device that torch can use here"):
            pick_device(name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["RegNetY-400MF", "EfficientNet-B0", "ViT-C-1GF"])
def test_peak_memory_on_a_gpu_is_the_predicted_one(name):
    spec = zoo.spec(name)
    got = measure(
        spec, device=torch.device("cuda"), batch=64, mode="train", dtype="bfloat16", iterations=3,
        with_memory=True,
    )  # fmt: skip
    assert memory(Training(spec, 64)).total == pytest.approx(got.peak_bytes, rel=0.06)
