"""The design commands as a user runs them: processes, output, exit codes."""

import csv
import io
import json
import subprocess
import sys

import pytest

from eyespot.design import zoo
from eyespot.design.complexity import complexity
from eyespot.design.spec_files import read_spec
from tests.reference import VECTORS, read_csv


def run(*args):
    return subprocess.run(
        [sys.executable, "-m", "eyespot", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_table_prints_the_reference_table():
    done = run("complexity", "--table", VECTORS / "complexity.csv")
    assert done.returncode == 0
    assert list(csv.DictReader(io.StringIO(done.stdout))) == read_csv("complexity.csv")


def test_complexity_as_json():
    done = run("complexity", "RegNetY-4GF", "vit_c_4gf", "--tree", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["flops"] for row in rows] == [
        complexity(zoo.spec(name)).flops for name in ("RegNetY-4GF", "vit_c_4gf")
    ]
    assert [part["name"] for part in rows[0]["parts"]] == ["stem", "s1", "s2", "s3", "s4", "head"]


def test_complexity_for_people():
    done = run("complexity", "ResNet-50", "--image-size", 320, "--tree")
    assert "ResNet-50 at 320 px" in done.stdout
    assert "25,557,032" in done.stdout


def test_scale_to_a_budget_and_use_the_file(tmp_path):
    out = tmp_path / "spec.json"
    done = run("scale", "RegNetY-500MF", "--flops", "4G", "--strategy", "dWr", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "flops budget: asked 4G, got" in done.stdout
    spec = read_spec(out)
    assert 3.9e9 < complexity(spec).flops <= 4e9
    again = run("complexity", out, "--json")
    assert json.loads(again.stdout)["flops"] == complexity(spec).flops


def test_scale_by_a_factor_as_json():
    done = run("scale", "RegNetY-4GF", "--factor", 4, "--strategy", "d1_w8_g8_r1", "--json")
    data = json.loads(done.stdout)
    assert data["spec"]["widths"] == [168, 336, 896, 2128]
    assert data["after"]["flops"] == complexity(zoo.spec("RegNetY-dWr-16GF")).flops


def test_models_lists_both_spellings():
    done = run("models", "vit_c*", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"ViT-C-4.0GF", "ViT-C-72GF-IN21k"} <= {row["name"] for row in rows}


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["complexity", "regnety_5fg"], "unknown model 'regnety_5fg'. Did you mean"),
        (["complexity"], "need the names of networks"),
        (["complexity", "vit_p_4gf", "--image-size", 100], "patch size 16, got 100"),
        (["complexity", "--table", "none.csv"], "none.csv"),
        (["scale", "RegNetY-4GF"], "need --factor, or one or more budgets"),
        (["scale", "RegNetY-4GF", "--flops", "4X"], "need flops as a positive number"),
        (["scale", "RegNetY-4GF", "--flops", "1"], "need a flops budget of at least"),
        (["complexity", "RegNetY-4GF", "--image-size", "0"], "need an image size of 1 px or more"),
        (
            ["scale", "RegNetY-4GF", "--factor", 2, "--out", "no/x.json"],
            "no such folder to write in",
        ),
        (["scale", "RegNetY-4GF", "--factor", 2, "--out", f"{__file__}/x.json"], "not a folder to"),
        (["plan", "regnety_5fg"], "unknown model 'regnety_5fg'"),
        (["scale", "RegNetY-4GF", "--factor", 2, "--strategy", "deep"], "unknown scaling strategy"),
        (["models", "zzz"], "unknown model 'zzz'"),
        (["scael"], "unknown command 'scael'. Did you mean scale?"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(args, sentence):
    done = run(*args)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_nothing_is_written_when_scaling_fails(tmp_path):
    out = tmp_path / "spec.json"
    done = run("scale", "RegNetY-4GF", "--flops", "1", "--out", out)
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_a_bad_row_of_a_table_is_named(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("model,input_size\nResNet-50,224\nResNet-51,224\n")
    done = run("complexity", "--table", table)
    assert done.returncode == 2
    assert "t.csv line 3: unknown model 'ResNet-51'" in done.stderr
    assert done.stdout == ""


def a_calibration(path, ms_per_act=1e-6, overhead=2.0):
    setting = {
        "device": "bench", "dtype": "float32", "mode": "infer", "channels_last": False,
        "compiled": False,
    }  # fmt: skip
    model = {
        "setting": setting, "ms_per_act": ms_per_act, "ms_per_flop": 0.0, "ms_overhead": overhead,
        "r_squared": 1.0, "r_acts": 1.0, "r_flops": 0.5, "r_params": 0.1, "left_out_error": 0.0,
        "num_networks": 9,
    }  # fmt: skip
    path.write_text(json.dumps(model))
    return path


def test_scale_to_a_latency_by_a_calibration(tmp_path):
    calibration = a_calibration(tmp_path / "calibration.json")
    done = run(
        "scale", "RegNetY-500MF", "--latency-ms", 22, "--batch", 2, "--calibration", calibration,
        "--json",
    )  # fmt: skip
    data = json.loads(done.stdout)
    # 2 images of at most 10 M activations at 1e-6 ms each, and 2 ms a call
    assert 9.3e6 < data["after"]["acts"] <= 10e6
    assert data["budget"]["got"]["latency_ms"] == pytest.approx(2 + 2e-6 * data["after"]["acts"])


def test_scale_to_a_memory(tmp_path):
    done = run("scale", "RegNetY-500MF", "--memory-gb", 6, "--batch", 32, "--json")
    data = json.loads(done.stdout)
    assert 5.0 < data["budget"]["got"]["memory_gb"] <= 6.0


def test_measure_runs_inference_and_training():
    done = run(
        "complexity", "regnety_200mf", "--image-size", 64, "--measure", "--batch", 2, "--json"
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["measured"]
    assert [row["mode"] for row in rows] == ["infer", "train"]
    assert all(row["ms"] > 0 and row["batch"] == 2 and row["peak_bytes"] > 0 for row in rows)
    assert rows[1]["ms"] > rows[0]["ms"]


def test_a_latency_nobody_measured_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    done = run("scale", "RegNetY-500MF", "--latency-ms", 40)
    assert done.returncode == 2
    assert "run `eyespot calibrate` first" in done.stderr


def test_a_missing_file_is_named():
    done = run("complexity", "none.json")
    assert done.returncode == 2
    assert done.stderr == "eyespot complexity: no such file or directory: none.json\n"
