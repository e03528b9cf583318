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
