"""`eyespot plan` and `eyespot calibrate` as a user runs them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eyespot import cli
from eyespot.design import zoo
from eyespot.design.complexity import complexity
from eyespot.design.devices import device
from eyespot.design.latency_files import load_latency_model, read_latency_model
from eyespot.design.memory import memory
from eyespot.design.roofline import step_time
from eyespot.design.training import Crop, Training

SOURCE = Path(cli.__file__).parents[2]
TINY = (
    "CIFAR-ResNet-20@16,CIFAR-ResNet-32@16,CIFAR-Vanilla-20@24,CIFAR-ResNet-20@32,RegNetY-200MF@32"
)


def run(capsys, *args):
    """Run a command; returns its exit code, output and error output."""
    code = 0
    try:
        cli.main([str(arg) for arg in args])
    except SystemExit as end:
        code = end.code
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_plan_as_json_is_the_library(capsys):
    code, out, _ = run(
        capsys, "plan", "rg-256gf", "--batch", 8704, "--gpus", 512, "--gpu", "v100",
        "--optimizer", "larc", "--recompute", "blocks", "--crops", "2x224,4x96",
        "--head", "8192,8192,256,16000", "--images", "1B", "--json",
    )  # fmt: skip
    assert code == 0
    got = json.loads(out)
    training = Training(
        zoo.spec("rg-256gf"), 8704, 512, "float16", "larc", recompute="blocks",
        crops=(Crop(2, 224), Crop(4, 96)), head_dims=(8192, 8192, 256, 16000),
    )  # fmt: skip
    v100 = device("v100-32gb")
    assert got["memory_total_bytes"] == memory(training).total + v100.reserved
    assert got["step_seconds"]["total"] == step_time(training, v100).total
    assert got["fits"] is True
    assert got["remedies"] == []
    assert got["cost"]["steps"] == 114_890
    hours = got["cost"]["days"] * 24 * 512
    assert got["cost"]["device_hours"] == pytest.approx(hours)


def test_plan_in_words(capsys):
    code, out, _ = run(
        capsys, "plan", "RegNetY-4.0GF", "--batch", 512, "--gpus", 8, "--epochs", 100
    )
    assert code == 0
    assert "batch 512 on 8 x h100: 64 images a device" in out
    assert "fits; the largest batch that does is" in out
    assert "250,228 steps" in out  # 100 x 1 281 167 / 512
    _, out, _ = run(capsys, "plan", "swav/smoke", "--images", 1000)
    assert re.fullmatch(r"63 steps: \d+s, 0\.0 device-hours", out.splitlines()[-1])


def test_plan_says_plainly_what_does_not_fit_and_what_would(capsys):
    _, out, _ = run(capsys, "plan", "RegNetY-16GF", "--batch", 8192, "--gpus", 8)
    assert "DOES NOT FIT. What would fit:" in out
    assert "--recompute blocks --sharding fsdp" in out
    assert "--batch" in out
    _, out, _ = run(capsys, "plan", "rg-10b", "--batch", 1, "--gpu", "4090")
    assert "DOES NOT FIT, nor does one image a device" in out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--batch", 0], "need a batch of 1 image or more, got 0"),
        (["--batch", 9, "--gpus", 2], "2 devices can share evenly, got 9"),
        (["--batch", 8, "--gpus", 0], "need 1 device or more, got 0"),
        (["--batch", 8, "--gpu", "h1000"], "unknown device 'h1000'. Did you mean h100"),
        (["--batch", 8, "--gpu", "v100", "--dtype", "bfloat16"], "need a dtype that v100-32gb has"),
        (["--batch", 8, "--crops", "2by224"], "need crops as COUNTxSIZE"),
        (["--batch", 8, "--crops", "2x0"], "got 2x0"),
        (["--batch", 8, "--crops", "2x96", "--image-size", 96], "got both"),
        (["--batch", 8, "--images", "1M", "--epochs", 1], "got both"),
        (["--batch", 8, "--image-size", 0], "need an image size of 1 px or more, got 0"),
        (["--batch", 8, "--image-size", 100], "divisible by the patch size 16"),
        (["--batch", 8, "--images", "many"], "got 'many'"),
        (["--batch", 8, "--epochs", 0], "need epochs above 0, got 0"),
        (["--batch", 8, "--head", "12,x"], "got '12,x'"),
        (["--batch", 8, "--calibration", "/nowhere.json"], "/nowhere.json"),
    ],
)
def test_plan_answers_mistakes_with_one_sentence(capsys, args, words):
    code, _, err = run(capsys, "plan", "ViT-C-4GF", *args)
    assert code == 2
    assert words in err
    assert len(err.splitlines()) == 1


def test_calibration_of_five_tiny_networks(capsys, tmp_path):
    out = tmp_path / "out"
    args = (
        "calibrate", "--device", "cpu", "--networks", TINY, "--batch", 2, "--seconds", 0.3,
        "--train", "--out", out,
    )  # fmt: skip
    code, said, _ = run(capsys, *args)
    assert code == 0
    assert "[5/5] RegNetY-200MF@32" in said
    for words in ("Pearson r of the time: acts", "R2 ", "Error on a network left out"):
        assert words in said
    model = read_latency_model(out / "calibration.json")
    assert model.num_networks == 5
    assert (out / "calibration.png").read_bytes().startswith(b"\x89PNG")
    kept = load_latency_model(model.setting.device, dtype="float32", mode="train")
    assert kept == model
    _, said, _ = run(capsys, *args)
    assert said.count("(from the journal)") == 5
    code, said, _ = run(
        capsys, "plan", "RegNetY-200MF", "--batch", 4, "--gpu", "cpu", "--dtype", "float32",
        "--image-size", 32, "--calibration", out / "calibration.json", "--json",
    )  # fmt: skip
    ms = model.predict_ms(complexity(zoo.spec("RegNetY-200MF"), 32), 4)
    assert json.loads(said)["step_seconds"]["total"] == pytest.approx(ms / 1e3)


@pytest.mark.slow
def test_killed_while_measuring_it_goes_on(tmp_path):
    journal = tmp_path / "out" / "journal.jsonl"
    command = [
        sys.executable, "-c", "from eyespot.cli import main; main()", "calibrate",
        "--device", "cpu", "--networks", TINY, "--batch", "2", "--out", str(journal.parent),
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    slow = [*command, "--seconds", "3"]
    with subprocess.Popen(slow, env=environment, stdout=subprocess.DEVNULL) as process:
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            if journal.exists() and journal.read_bytes().count(b"\n") >= 2:
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    before = journal.read_text().splitlines()[:2]
    assert len(before) == 2
    assert not (journal.parent / "calibration.json").exists()
    done = subprocess.run(
        [*command, "--seconds", "0.3"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("(from the journal)") >= 2
    assert journal.read_text().splitlines()[:2] == before
    assert len(journal.read_text().splitlines()) == 5
    assert read_latency_model(journal.parent / "calibration.json").num_networks == 5


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--batch", 0], "need a batch of 1 or more"),
        (["--seconds", 0], "a time above 0 s"),
        (["--device", "tpu9"], "need a device that torch can use here"),
        (["--networks", "ResNet-50,ResNet-101"], "need at least 5 networks to fit a line, got 2"),
        (["--networks", "ResNet-5000"], "unknown model 'ResNet-5000'"),
        (["--networks", "ViT-C-1GF@30"], "divisible by the patch size"),
    ],
)
def test_calibrate_answers_mistakes_with_one_sentence(capsys, tmp_path, args, words):
    code, _, err = run(capsys, "calibrate", "--out", tmp_path / "out", *args)
    assert code == 2
    assert words in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
