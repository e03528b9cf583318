import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import eyespot
from eyespot.cli import main
from eyespot.design.by_name import to_spec
from eyespot.models.build import build
from eyespot.recipes import get_recipe
from eyespot.tasks.run import Run, train
from tests.data.pictures import encode, noise_picture
from tests.tasks.bars import write_bars


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_bars(tmp_path_factory.mktemp("data") / "bars")


def common(data):
    return ["--data", data[0], "--model", data[1], "--device", "cpu", "--workers", "0"]


def test_the_list_of_kinds_needs_no_torch():
    code = (
        "import sys; from eyespot.cli import main; main(['probe']); print('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(eyespot.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert "nearest neighbours" in done.stdout
    assert done.stdout.splitlines()[-1] == "False"


def test_knn_prints_and_writes_what_it_found(data, tmp_path, capsys):
    main(["probe", "knn", "--ks", "3", "--out", str(tmp_path / "knn"), *common(data)])
    name, value = capsys.readouterr().out.split()
    results = json.loads((tmp_path / "knn" / "results.json").read_text())
    assert name == "top1_percent_k3"
    assert results["metrics"][name] == pytest.approx(float(value), abs=1e-3)
    assert results["numbers"]["backbone"]["weights"] == "random"
    assert results["damaged"] == []


@pytest.mark.parametrize(
    ("kind", "options", "metric"),
    [
        ("svm", ["--costs", "1.0"], "map_percent"),
        ("lowshot", ["--fractions", "0.5", "--penalties", "0.01"], "top1_percent_50_percent"),
    ],
)
def test_other_probes_as_json(data, capsys, kind, options, metric):
    main(["probe", kind, "--json", "--tap", "s1@1x2", *options, *common(data)])
    found = json.loads(capsys.readouterr().out)
    assert found["probe"] == kind
    assert 34 < found["metrics"][metric] <= 100


def test_linear_then_its_weights_are_no_backbone(data, tmp_path, capsys):
    out = tmp_path / "linear"
    options = ["--taps", "s1", "pool", "--epochs", "2", "--batch-size", "30", "--no-augment"]
    main(["probe", "linear", "--out", str(out), *common(data), *options])
    printed = capsys.readouterr().out
    assert "error of s1 lr 0.01 bn" in printed
    with pytest.raises(SystemExit) as stop:
        main(["probe", "knn", "--weights", str(out), *common(data)])
    assert stop.value.code == 2
    assert "is it a probe's or a head's file" in capsys.readouterr().err


def test_finetune_starts_from_weights_that_name_their_network(data, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    numbers = [
        "--epochs", "1", "--batch-size", "30", "--pictures.size-px", "16",
        "--pictures.test-resize-px", "16",
    ]  # fmt: skip
    machine = ["--data", data[0], "--device", "cpu", "--workers", "0"]
    smoke = replace(get_recipe("transfer/smoke"), model=data[1], epochs=1)
    train(smoke, Run(data[0], first, device="cpu", workers=0))
    main(["probe", "finetune", "--weights", str(first), "--out", str(second), *machine, *numbers])
    recipe = json.loads((second / "recipe.json").read_text())["recipe"]
    assert recipe["model"] == recipe["start_from"] == str(first / "weights.safetensors")
    assert recipe["schedule"]["milestones"] == [30]
    assert (second / "weights.safetensors").is_file()
    capsys.readouterr()
    main(["probe", "knn", "--weights", str(second), *common(data)[:2], "--ks", "3"])
    assert "top1_percent_k3" in capsys.readouterr().out


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A published file as if it had been fetched, and its name."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "cache/eyespot/weights/pycls--RegNetX-200MF"
    folder.mkdir(parents=True)
    weights = build(to_spec("RegNetX-200MF")).state_dict()
    path = folder / "RegNetX-200MF_dds_8gpu.pyth"
    torch.save({"model_state": weights, "cfg": "none"}, path)
    return "pycls/RegNetX-200MF", weights


def test_published_weights_begin_runs_and_say_their_licence_once(data, published, tmp_path, capsys):
    name, weights = published
    small = ["--batch-size", "30", "--epochs", "1", "--data", data[0], "--device", "cpu"]
    views = ["--pictures.size-px", "32", "--pictures.test-resize-px", "32"]
    main(["probe", "finetune", "--weights", name, "--out", str(tmp_path / "a"), *small, *views,
          "--workers", "0", "--optimizer.lr", "1e-9"])  # fmt: skip
    assert capsys.readouterr().err.count("MIT licence") == 1
    recipe = json.loads((tmp_path / "a/recipe.json").read_text())["recipe"]
    assert (recipe["model"], recipe["start_from"]) == ("RegNetX-200MF", name)
    trained = load_file(tmp_path / "a/weights.safetensors")
    begun = weights["s1.b1.f.a.weight"]
    assert torch.allclose(trained["s1.b1.f.a.weight"], begun, atol=1e-6)
    main(["embed", data[0], "--weights", name, "--split", "test", "--out", str(tmp_path / "b"),
          "--size-px", "32", "--resize-px", "32", "--device", "cpu", "--workers", "0"])  # fmt: skip
    assert capsys.readouterr().err.count("MIT licence") == 1
    main(["probe", "linear", "--weights", name, "--no-augment", "--out",
          str(tmp_path / "c"), "--size-px", "32", "--resize-px", "32", "--workers", "0",
          *small])  # fmt: skip
    assert capsys.readouterr().err.count("MIT licence") == 1
    main(["train", "swav/smoke", "--model", "RegNetX-200MF", "--start-from", name, "--out",
          str(tmp_path / "d"), "--workers", "0", *small, "--optimizer.lr", "1e-9",
          "--method.queue", "0"])  # fmt: skip
    assert capsys.readouterr().err.count("MIT licence") == 1
    trained = load_file(tmp_path / "d/weights.safetensors")
    assert torch.allclose(trained["backbone.s1.b1.f.a.weight"], begun, atol=1e-6)


def test_several_processes_speak_once(data, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    words = ["2", "-m", "eyespot", "probe", "knn", "--ks", "3", "--json", *common(data)]
    environment = {
        **os.environ, "PYTHONPATH": str(Path(eyespot.__file__).parents[1]), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    done = subprocess.run(
        [*command, *words], capture_output=True, text=True, check=True, env=environment
    )
    assert json.loads(done.stdout)["probe"] == "knn"


def test_embed_writes_features_that_probes_read(data, tmp_path, capsys):
    out = tmp_path / "features"
    for split in ("train", "test"):
        main(
            ["embed", data[0], "--weights", "random", "--model", data[1], "--split", split,
             "--out", str(out / split), "--taps", "s1", "pool", "--rows-per-shard", "40",
             "--device", "cpu", "--workers", "0"]
        )  # fmt: skip
    assert "90 images, 32 values each" in capsys.readouterr().out
    assert np.load(out / "train" / "00002.s1.npy").shape == (10, 16)
    main(["probe", "knn", "--data", str(out / "train"), "--val", str(out / "test"), "--ks", "3"])
    from_files = capsys.readouterr().out
    main(["probe", "knn", "--ks", "3", *common(data)])
    assert capsys.readouterr().out == from_files


def test_embed_writes_one_parquet_file(data, tmp_path, capsys):
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "train.parquet"
    main(
        ["embed", data[0], "--weights", "random", "--model", data[1], "--split", "train",
         "--out", str(out), "--device", "cpu", "--workers", "0", "--half"]
    )  # fmt: skip
    assert f"wrote {out}: 90 images" in capsys.readouterr().out
    table = parquet.read_table(out)
    assert table.num_rows == 90
    assert len(table["pool"][0].as_py()) == 16
    assert [path.name for path in tmp_path.iterdir()] == ["train.parquet"]


def test_embed_says_what_could_not_be_read(data, tmp_path, capsys):
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.jpg").write_bytes(b"no image")
    command = ["embed", str(images), "--weights", "random", "--model", data[1]]
    command += ["--device", "cpu", "--workers", "0", "--out"]
    with pytest.raises(SystemExit) as stop:
        main([*command, str(tmp_path / "none")])
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert "wrote" not in printed.out
    assert "got 1 bad ones of" in printed.err
    assert "a.jpg: need an image of format" in printed.err
    (images / "b.png").write_bytes(encode(noise_picture(20, 20), "PNG"))
    main([*command, str(tmp_path / "one")])
    printed = capsys.readouterr()
    assert "1 images, 16 values each" in printed.out
    assert "1 images could not be read and are listed" in printed.err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["probe", "kNN", "--data", "x"], "unknown kind of probe 'kNN'. Did you mean knn"),
        (["probe", "knn", "--data", "/nowhere", "--model", "RegNetY-200MF"], "/nowhere"),
        (["probe", "knn", "--data", "DATA", "--weights", "none"], "which is none of these"),
        (["probe", "knn", "--data", "DATA"], "need weights, or the network that random ones"),
        (["probe", "knn", "--data", "DATA", "--out", __file__], "a new name for one, got the file"),
        (["probe", "retrieval", "--data", "DATA"], "need truths"),
        (["embed", "DATA", "--weights", "random", "--out", "/tmp/x"], "need --split, one of train"),
    ],
)
def test_mistakes_are_one_sentence(data, args, says, capsys):
    with pytest.raises(SystemExit) as stop:
        main([data[0] if arg == "DATA" else arg for arg in args])
    assert stop.value.code == 2
    assert says in capsys.readouterr().err
