"""Time against closed forms on a made-up device, and against published rows."""

import math
from dataclasses import replace

import pytest

from eyespot.design import zoo
from eyespot.design.complexity import complexity
from eyespot.design.cost import IMAGENET_IMAGES, calibrated_step, remedies, run_cost
from eyespot.design.devices import DEVICES, Device, Efficiency, device
from eyespot.design.latency import LatencyModel, Setting
from eyespot.design.layers import Layer
from eyespot.design.memory import fits
from eyespot.design.roofline import (
    communication_time,
    inference_time,
    layer_time,
    matrix_rate,
    step_time,
)
from eyespot.design.specs import AnyNetSpec
from eyespot.design.training import Crop, Training
from tests.reference import read_json

IDEAL = Device(
    "ideal", {"float32": 1e12, "float16": 8e12}, 1e11, 1e12, 0.0, 8, 1e10, 4e9, 0.0,
    Efficiency(1.0, 4, 1.0, 0.5, 32, 0.25, 0.0, 1.0),
)  # fmt: skip
SPEC = zoo.spec("RegNetY-200MF")
FULL = Training(SPEC, 8, dtype="float32")
HALF = Training(SPEC, 8, dtype="float16")
CONV = Layer("conv", 10**9, 0, 100, 100, "compute", 64)


def test_arithmetic_bounds_a_heavy_layer():
    assert layer_time(CONV, 8, FULL, IDEAL) == pytest.approx(2 * 8e9 / 1e12)
    assert layer_time(CONV, 8, FULL, IDEAL, backward=True) == pytest.approx(4 * 8e9 / 1e12)


def test_traffic_bounds_a_light_layer():
    norm = Layer("batch_norm", 0, 0, 10**6, 10**6, "compute")
    assert layer_time(norm, 8, FULL, IDEAL) == pytest.approx(3 * 4 * 8e6 / 1e11)
    assert layer_time(norm, 8, FULL, IDEAL, evaluate=True) == pytest.approx(2 * 4 * 8e6 / 1e11)
    assert layer_time(norm, 8, HALF, IDEAL, backward=True) == pytest.approx(5 * 2 * 8e6 / 1e11)
    wide = norm._replace(format="float32")
    assert layer_time(wide, 8, HALF, IDEAL) == pytest.approx(3 * 4 * 8e6 / 1e11)


def test_a_launch_is_the_least():
    slow = replace(IDEAL, launch=1.0)
    assert layer_time(CONV, 1, FULL, slow) == 1.0
    assert layer_time(CONV, 1, FULL, slow, backward=True) == 2.0


@pytest.mark.parametrize(
    ("run", "group", "rate"),
    [
        (FULL, 64, 1e12),
        (FULL, 2, 0.5e12),
        (HALF, 64, 4e12),
        (HALF, 16, 2e12),
        (HALF, 4, 1e12),
        (HALF, 12, 1e12),
    ],
)
def test_rates_of_convolutions(run, group, rate):
    assert matrix_rate(CONV._replace(group_width=group), run, IDEAL) == pytest.approx(rate)


def test_linear_layers_have_their_own_rate():
    linear = Layer("linear", 1, 1, 1, 1, "compute")
    assert matrix_rate(linear, HALF, IDEAL) == 2e12
    assert matrix_rate(linear, FULL, IDEAL) == 1e12


def test_float32_convolutions_use_tf32_where_there_is_one():
    h100 = device("h100")
    dense = CONV._replace(group_width=512)
    assert matrix_rate(dense, FULL, h100) == h100.rates["tf32"] * h100.efficiency.conv


def test_ring_in_closed_form():
    params = 10**6
    run = replace(FULL, num_devices=4)
    assert communication_time(FULL, params, IDEAL) == 0
    assert communication_time(run, params, IDEAL) == pytest.approx(2 * 4e6 * 3 / 4 / 1e10)
    run = replace(FULL, batch=64, num_devices=64)
    assert communication_time(run, params, IDEAL) == pytest.approx(2 * 4e6 * 63 / 64 / 4e9)
    run = replace(HALF, num_devices=4, sharding="fsdp")
    assert communication_time(run, params, IDEAL) == pytest.approx(3 * 2e6 * 3 / 4 / 1e10)


def test_recomputation_costs_the_blocks_forward_again():
    plain = step_time(HALF, IDEAL)
    again = step_time(replace(HALF, recompute="blocks"), IDEAL)
    assert plain.recompute == 0
    assert 0.5 * plain.forward < again.recompute < plain.forward
    assert again.total == pytest.approx(plain.total + again.recompute)


def test_hidden_communication_costs_nothing_and_the_rest_does():
    slow = replace(IDEAL, link=1e5)
    run = replace(FULL, num_devices=2)
    step = step_time(run, slow)
    assert step.exposed == pytest.approx(step.communication - step.backward)
    assert step_time(run, IDEAL).exposed == 0


def test_views_cost_what_they_cost_alone():
    both = step_time(replace(HALF, crops=(Crop(2, 224), Crop(6, 96))), IDEAL).forward
    large = step_time(replace(HALF, crops=(Crop(2, 224),)), IDEAL).forward
    local = step_time(replace(HALF, crops=(Crop(6, 96),)), IDEAL).forward
    assert both == pytest.approx(large + local)


def typical_factor(ratios):
    return math.exp(math.sqrt(sum(math.log(r) ** 2 for r in ratios) / len(ratios)))


def test_model_zoo_within_a_fifth():
    rows = read_json("published_speed.json")["zoo"]
    v100 = device("v100-16gb")
    train, infer = [], []
    for row in rows:
        spec = zoo.spec(row["model"])
        step = step_time(Training(spec, row["train_batch"], 8, "float32"), v100).total
        hours = step * IMAGENET_IMAGES / row["train_batch"] * 100 / 3600
        train.append(hours / row["train_hours"])
        each = row["test_batch"] // 8
        ms = 1e3 * inference_time(Training(spec, each, 1, "float32"), v100) * 64 / each
        infer.append(ms / row["infer_ms"])
    assert typical_factor(train) < 1.2
    assert typical_factor(infer) < 1.2


def test_seer_within_a_fifth():
    seer = read_json("published_speed.json")["seer"]
    run = Training(
        zoo.spec("rg-256gf"), seer["batch"], seer["devices"], "float16", "larc",
        recompute="blocks", crops=(Crop(2, 224), Crop(4, 96)),
        head_dims=(8192, 8192, 256, 16000),
    )  # fmt: skip
    step = step_time(run, device("v100-32gb")).total
    assert 1e3 * step == pytest.approx(seer["step_ms"], rel=0.2)
    assert run_cost(run, step, seer["images"]).days == pytest.approx(seer["days"], rel=0.2)


def test_cost_in_closed_form():
    cost = run_cost(replace(HALF, num_devices=8), 2.0, 81)
    assert (cost.steps, cost.days, cost.device_hours) == (11, 22 / 86400, 8 * 22 / 3600)
    with pytest.raises(ValueError, match="got 0"):
        run_cost(HALF, 1.0, 0)


def test_step_from_a_calibration():
    setting = Setting("gpu", "float16", "train")
    model = LatencyModel(setting, 2e-6, 1e-9, 3.0, 1.0, 1.0, 1.0, 1.0, 0.0, 9)
    flat = AnyNetSpec((1,), (8,), (2,), (1.0,), (8,), image_size=32)
    run = Training(flat, 4, dtype="float16", recompute="blocks")
    cost = complexity(flat, 32)
    ms = 4 * (2e-6 * cost.acts + 1e-9 * cost.flops) + 3.0
    step = calibrated_step(run, model, IDEAL)
    assert step.total == pytest.approx(ms / 1e3 * 4 / 3)
    with pytest.raises(ValueError, match="calibration of training in float32"):
        calibrated_step(replace(run, dtype="float32"), model, IDEAL)


def test_remedies_fit_and_change_something():
    v100 = device("v100-16gb")
    run = Training(zoo.spec("RegNetY-16GF"), 768, 8, "float32")
    assert not fits(run, v100)
    found = remedies(run, v100)
    assert [remedy.change for remedy in found] == [
        "--dtype float16",
        "--recompute blocks",
        "--recompute blocks --sharding fsdp",
        "--batch 576",
    ]
    assert all(fits(remedy.training, v100) for remedy in found)
    assert remedies(Training(zoo.spec("rg-10b"), 1), device("rtx-4090")) == []


def test_devices_by_name():
    assert device("V100").name == "v100-32gb"
    assert device("RTX 4090").name == "rtx-4090"
    with pytest.raises(ValueError, match="Did you mean h100"):
        device("h1000")
    for gpu in DEVICES.values():
        assert gpu.reserved < gpu.memory
        assert gpu.best_dtype in gpu.rates


def test_a_dtype_the_device_lacks_is_refused():
    with pytest.raises(ValueError, match="float32, float16"):
        step_time(Training(SPEC, 8, dtype="bfloat16"), device("v100"))
