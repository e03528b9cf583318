"""`eyespot sweep` and `eyespot report` as a user runs them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eyespot.design.spaces import list_spaces
from eyespot.sweep.folder import read_sweep
from eyespot.sweep.records import read_journal

ROOT = Path(__file__).parents[2]
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
COUNT_ONLY = ("--run", "eyespot.sweep.builtin:complexity")


def run(*args, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "eyespot", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=ENV,
        cwd=cwd,
    )


def test_sweep_count_and_report(tmp_path):
    out = tmp_path / "s"
    done = run("sweep", "regnetx-200mf", "--out", out, "--count", 6, "--workers", 2, *COUNT_ONLY)
    assert done.returncode == 0, done.stderr
    assert "6 done, 0 failed" in done.stdout
    assert len(done.stdout.splitlines()) == 8
    again = run("sweep", "--out", out, "--json")
    assert json.loads(again.stdout) | {"seconds": 0} == {
        "out": str(out),
        "seconds": 0,
        "done": 0,
        "failed": 0,
    }
    grown = run("sweep", "--out", out, "--count", 8)
    assert "2 done, 0 failed" in grown.stdout
    told = run("report", out)
    assert told.returncode == 2
    assert "pass --metric with one of: acts" in told.stderr
    page = run("report", out, "--metric", "acts", "--figures", tmp_path / "figures")
    assert page.returncode == 0, page.stderr
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "figures" / "edf.pdf").exists()
    few = run("report", out, "--metric", "acts", "--json", "--keep", "params=0:1e9")
    assert few.returncode == 0, few.stderr
    data = json.loads(run("report", out, "--metric", "acts", "--json").stdout)
    assert json.loads(few.stdout) == data
    records = read_journal(out / "results.jsonl").records
    assert data["groups"][0]["edf"]["least"] == min(r.metrics["acts"] for r in records) / 1e6
    assert "acts" not in data["groups"][0]["estimates"]


def test_a_training_run_with_failures(tmp_path):
    space = tmp_path / "space.yaml"
    space.write_text("name: mine\nparameters:\n  n: {kind: int, low: 1, high: 99}\n")
    out = tmp_path / "s"
    done = run("sweep", space, "--out", out, "--count", 4, "--run", "tests.sweep.runs:failing")
    assert "000001  failed" in done.stdout
    assert "RuntimeError: no luck with point 1" in done.stdout
    assert "2 done, 2 failed" in done.stdout
    assert f"run them again with: eyespot sweep --out {out} --retry-failed\n" in done.stdout
    assert done.stdout.endswith(f"next: eyespot report {out}\n")
    (out / "mended").touch()
    again = run("sweep", "--out", out, "--retry-failed")
    assert "2 done, 0 failed" in again.stdout
    page = run("report", out, "--out", tmp_path / "page.html")
    assert "mine: 4 done, 0 failed, 0 missing" in page.stdout
    assert (tmp_path / "page.html").exists()


def test_a_dry_run_writes_nothing(tmp_path):
    done = run("sweep", "regnety-200mf", "--dry-run", "--count", 3, "--seed", 5, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "regnety-200mf: 3 points of " in done.stdout
    assert "rejected: " in done.stdout
    assert "stages " in done.stdout
    as_json = run("sweep", "regnety-200mf", "--dry-run", "--count", 2, "--seed", 5, "--json")
    data = json.loads(as_json.stdout)
    assert len(data["points"]) == 2
    assert data["rejected"]["stages"] > 0
    elsewhere = ["--data", "on-the-cluster", "--dry-run", "--count", 2]
    assert run("sweep", "cifar-lrwd", *elsewhere, cwd=tmp_path).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_the_spaces_are_listed():
    done = run("sweep")
    assert [line.split()[0] for line in done.stdout.splitlines()] == list_spaces()
    rows = [json.loads(line) for line in run("sweep", "--json").stdout.splitlines()]
    assert [row["name"] for row in rows] == list_spaces()


def test_another_network_in_a_space_of_one(tmp_path):
    out = tmp_path / "s"
    args = ("lrwd-vit-adamw", "--network", "ViT-P-1GF", "--out", out, "--count", 2)
    assert run("sweep", *args, *COUNT_ONLY).returncode == 0
    assert read_sweep(out).space.name == "lrwd-vit-adamw-ViT-P-1GF"
    point = json.loads((out / "points" / "000000.json").read_text())
    assert point["parameters"]["model"] == "ViT-P-1GF"
    assert round(point["complexity"]["flops"] / 1e9, 1) == 1.1


def test_settings_take_the_place_of_the_spaces(tmp_path):
    args = ("--dry-run", "--json", "--count", 3)
    plain = json.loads(run("sweep", "cifar-regnety", *args).stdout)["points"]
    chosen = ("--set", "epochs=2", "--set", "mixup=0.2", "--set", "recipe=cifar/resnet_56")
    changed = json.loads(run("sweep", "cifar-regnety", *args, *chosen).stdout)["points"]
    for before, after in zip(plain, changed, strict=True):  # and draw the same networks
        says = {"epochs": 2, "mixup": 0.2, "recipe": "cifar/resnet_56"}
        assert after["parameters"] == before["parameters"] | says
    listed = run("sweep", "optimizability/smoke", *args, "--set", "seed=7")
    points = json.loads(listed.stdout)["points"]
    assert {point["parameters"]["seed"] for point in points} == {7}


def test_verdicts_are_in_the_json_of_a_sweep(tmp_path):
    out = tmp_path / "s"
    target = ("--run", "tests.sweep.runs:quadratic")
    done = run("sweep", "optimizability/smoke", "--out", out, "--json", "--workers", 2, *target)
    told = json.loads(done.stdout)
    report = json.loads(run("report", out, "--json").stdout)
    assert len(told["optimizability"]) == 3
    assert len(told["spreads"]) == 6
    for name in ("optimizability", "schedules", "spreads"):
        assert told[name] == report[name]


def test_a_sweep_stopped_by_a_signal_says_how_to_go_on(tmp_path):
    space = tmp_path / "space.yaml"
    space.write_text("name: mine\nparameters:\n  n: {kind: int, low: 1, high: 99}\n")
    out = tmp_path / "my sweep"
    command = [sys.executable, "-m", "eyespot", "sweep", space, "--out", out, "--count", "1"]
    process = subprocess.Popen(
        [*command, "--run", "tests.sweep.runs:slow"], stderr=subprocess.PIPE, text=True, env=ENV
    )
    deadline = time.monotonic() + 30
    while not (out / "runs" / "000000" / "began").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == f"stopped; go on with: eyespot sweep --out '{out}'\n"
    assert (out / "claims" / "000000.1").stat().st_mtime == 0
    (out / "fast").touch()
    done = run("sweep", "--out", out).stdout
    assert "1 done, 0 failed" in done
    assert done.endswith(f"next: eyespot report '{out}'\n")


def test_a_study_from_the_command_line(tmp_path):
    pytest.importorskip("optuna")
    space = tmp_path / "space.yaml"
    space.write_text(
        "name: mine\nparameters:\n"
        "  lr: {kind: float, law: log_uniform, low: 0.25, high: 5, quantum: 1e-10}\n"
        "  wd: {kind: float, law: log_uniform, low: 5e-5, high: 1e-3, quantum: 1e-10}\n"
    )
    out = tmp_path / "s"
    target = ("--run", "tests.sweep.runs:quadratic")
    done = run("sweep", space, "--out", out, "--count", 3, "--optuna", *target)
    assert "3 done, 0 failed" in done.stdout, done.stderr
    assert read_sweep(out).chooser == "study"


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["sweep", "regnetx"], "need --out DIR"),
        (["sweep", "--out", "new"], "need a space to begin a sweep in new"),
        (["sweep", "regnetx", "--out", "new"], "or --run module:function, or --command"),
        (["sweep", "regnetw", "--out", "new"], "unknown space 'regnetw'. Did you mean regnet"),
        (["sweep", "none.yaml", "--out", "new"], "none.yaml"),
        (["sweep", "bad.yaml", "--dry-run"], "bad.yaml: need a network or at least one parameter"),
        (["sweep", "regnetx", "--dry-run", "--count", "0"], "need at least 1 point, got 0"),
        (
            ["sweep", "regnetx", "--out", "new", "--run", "a:b", "--command", "c"],
            "need --run or --command, and not both",
        ),
        (
            ["sweep", "regnetx", "--dry-run", "--network", "ResNet-50"],
            "need a space of named networks to replace them, got 'regnetx'",
        ),
        (
            ["sweep", "cifar-lrwd", "--out", "new", "--count", "1", "--run", "nope:f"],
            "need a module that can be imported, got 'nope:f': ModuleNotFoundError: No module",
        ),
        (
            ["sweep", "cifar-lrwd", "--out", "new", "--run", "eyespot.sweep.builtin:complexty"],
            "unknown function of eyespot.sweep.builtin 'complexty'. Did you mean complexity?",
        ),
        (
            ["sweep", "cifar-lrwd", "--out", "new", "--run", "ends:f"],
            "need a module that can be imported, got 'ends:f': SystemExit: 3",
        ),
        (
            ["sweep", "cifar-lrwd", "--out", "new", "--command", "echo {lrr}"],
            "unknown placeholder 'lrr'. Did you mean lr",
        ),
        (
            ["sweep", "cifar-lrwd", "--out", "new", "--command", "echo {lr"],
            "need a command as a shell takes it, with {{ and }} for braces that are no placeholder",
        ),
        (
            ["sweep", "cifar-lrwd", "--out", "new", "--command", "no-such-program {lr}"],
            "need a program to run, got 'no-such-program', which is not there",
        ),
        (
            [
                "sweep", "cifar-lrwd", "--out", "new", "--count", "1", "--run", "a:b",
                "--slurm", "gpus",
            ],
            "need --slurm as KEY=VALUE, such as timeout_min=240, got 'gpus'",
        ),
        (
            ["sweep", "mine.yaml", "--out", "new", "--data", "scenes:size=32"],
            "need a recipe to train the points by, got a space without; pass --set recipe=NAME",
        ),
        (
            ["sweep", "cifar-lrwd", "--out", "new", "--data", "x", "--set", "recipe=simclr/smoke"],
            "need a recipe of supervised classification to train the points by, got simclr/smoke",
        ),
        (
            ["sweep", "cifar-lrwd", "--out", "new", "--data", "nope"],
            "nope: no such file or folder",
        ),
        (
            ["sweep", "cifar-lrwd", "--out", "new", "--data", "x", "--set", "mixupp=1"],
            "unknown field of the recipe 'mixupp'. Did you mean mixup",
        ),
        (
            ["sweep", "cifar-lrwd", "--dry-run", "--data", "x", "--set", "mixupp=1"],
            "unknown field of the recipe 'mixupp'. Did you mean mixup",
        ),
        (["sweep", "regnetx", "--dry-run", "--set", "lr"], "need --set as NAME=VALUE, such as"),
        (
            ["sweep", "cifar-lrwd", "--dry-run", "--set", "model=ResNet-50"],
            "need --network for another network, got --set model=ResNet-50",
        ),
        (["report", "none"], "need the folder of a sweep or of training runs, got none"),
        (["report", "x", "--keep", "lr=1"], "need --keep as NAME=LOW:HIGH, such as lr=0.1:1"),
        (["report"], "need the folder of at least one sweep or training run"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_and_exit_code_2(args, sentence, tmp_path):
    (tmp_path / "bad.yaml").write_text("name: empty\n")
    (tmp_path / "mine.yaml").write_text("name: mine\nparameters: {epochs: 1}\n")
    (tmp_path / "ends.py").write_text("raise SystemExit(3)\n")
    done = run(*args, cwd=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not (tmp_path / "new").exists()


def test_a_dry_run_loads_nothing_heavy():
    code = (
        "import eyespot.cli, sys\n"
        "eyespot.cli.main(['sweep', 'lrwd-vit-sgd', '--dry-run', '--count', '3'])\n"
        "print(*sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENV
    )
    heavy = {"torch", "numpy", "scipy", "matplotlib", "submitit", "optuna"}
    assert not heavy & set(done.stdout.split())
