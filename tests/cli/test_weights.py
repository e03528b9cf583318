"""`eyespot weights` as a user types it."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import eyespot
from eyespot.cli import main
from eyespot.design.spec_files import read_spec, spec_from_dict, write_spec
from eyespot.models.build import build
from eyespot.models.heads import SwAVHead
from eyespot.weights import catalog
from eyespot.weights.files import read_file
from eyespot.weights.heads import export_swav_head, load_swav_head
from eyespot.weights.load import load_weights
from eyespot.weights.pretraining import open_head
from eyespot.weights.trunk import load_trunk
from tests.weights.networks import REGNETY, RESNET, distinct, same_weights
from tests.weights.server import serving
from tests.weights.test_layouts import CNNS, published


def run(*args):
    main(["weights", *map(str, args)])


def fails(capsys, *args):
    with pytest.raises(SystemExit) as stop:
        run(*args)
    assert stop.value.code == 2
    return capsys.readouterr().err


@pytest.fixture
def zoo_file(tmp_path):
    """A checkpoint as pycls' zoo has them, and the spec it is for."""
    source = distinct(REGNETY)
    file = tmp_path / "model.pyth"
    tree = {"epoch": 99, "model_state": source.state_dict(), "optimizer_state": {}, "cfg": "x"}
    torch.save(tree, file)
    spec = tmp_path / "net.json"
    write_spec(REGNETY, spec)
    return source, file, spec


def test_list(capsys):
    run("list", "seer/rg-32")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].split() == ["seer/RG-32", "SEER", "linear_top1_percent", "74.03"]
    run("list", "pycls", "--json")
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 36
    assert rows[18]["name"] == "pycls/RegNetY-4.0GF"
    assert rows[18]["metrics"]["top1_error_percent"] == 20.64
    assert rows[18]["sha256"] is None
    assert "got 'nothing'" in fails(capsys, "list", "nothing")


def test_list_and_help_load_no_torch():
    code = "import sys; from eyespot.cli import main; main(['weights', 'list', 'seer'])"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"],
        capture_output=True, text=True, check=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(eyespot.__file__).parents[1])},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "False"


def test_pull(capsys, tmp_path, monkeypatch, zoo_file):
    _, file, _ = zoo_file
    out = tmp_path / "got.pyth"
    entry = catalog.published("seer/RG-256")
    with serving(file.read_bytes()) as server:
        monkeypatch.setattr(
            catalog, "catalog", lambda: (replace(entry, url=server.url, sha256=None),)
        )
        run("pull", "rg-256", "--out", out)
        said = capsys.readouterr()
        assert "non-commercial" in said.err
        assert "does not fit the 256GF network" in said.err
        assert "(100%)" in said.err
        assert "gave none to check it against" in said.out
        assert out.read_bytes() == file.read_bytes()
        assert "need at most 1000 bytes" in fails(
            capsys, "pull", "rg-256", "--out", out, "--max-size", "1k"
        )
        assert "did you mean" in fails(capsys, "pull", "rg-256", "--out", tmp_path)


def test_convert_to_our_names(capsys, tmp_path, zoo_file):
    source, file, spec = zoo_file
    out = tmp_path / "out.safetensors"
    run("convert", file, "--model", spec, "--out", out)
    said = capsys.readouterr()
    assert said.out == f"wrote {out}: {len(source.state_dict())} tensors, from pycls to eyespot\n"
    assert "from BGR to RGB" in said.err
    target = build(REGNETY)
    report = load_weights(target, out)
    assert report.notes == ()
    assert torch.equal(target.stem.conv.weight, source.stem.conv.weight.flip(1))
    metadata = read_file(out).metadata
    assert metadata["channel_order"] == "rgb"
    assert spec_from_dict(json.loads(metadata["spec"])) == read_spec(spec)


@pytest.mark.parametrize("to", ["timm", "torchvision", "transformers", "vissl"])
def test_convert_to_other_names(capsys, tmp_path, zoo_file, to):
    source, file, spec = zoo_file
    out = tmp_path / "out.safetensors"
    run("convert", file, "--model", spec, "--out", out, "--to", to, "--channel-order", "rgb")
    contents = read_file(out)
    assert contents.metadata == {"format": "pt"}
    assert "s2.b1.f.a.weight" not in contents.tree
    target = build(REGNETY)
    load_weights(target, out)
    assert same_weights(target.state_dict(), source.state_dict())


def test_convert_takes_the_files_classes_and_names_what_it_leaves_out(capsys, tmp_path):
    source = distinct(replace(RESNET, num_classes=0))
    heads = {"0.prototypes0.weight": torch.zeros(9, 48)}
    _, outside, inside = CNNS["vissl-resnet"]
    model = {"trunk": published(source.state_dict(), outside, inside), "heads": heads}
    file = tmp_path / "model_phase0.torch"
    torch.save({"classy_state_dict": {"base_model": {"model": model}}}, file)
    spec = tmp_path / "net.json"
    write_spec(RESNET, spec)
    out = tmp_path / "out.safetensors"
    run("convert", file, "--model", spec, "--out", out)
    assert "left out: 0.prototypes0.weight" in capsys.readouterr().err
    assert json.loads(read_file(out).metadata["spec"])["num_classes"] == 0
    assert same_weights(read_file(out).tree, source.state_dict())


@pytest.fixture
def seer_file(tmp_path):
    """A checkpoint as VISSL has SEER's, and the spec it is for."""
    source = distinct(replace(REGNETY, num_classes=0))
    head = SwAVHead((source.num_features, 12, 12, 6), (9,), batch_norm=True)
    for i, tensor in enumerate(head.state_dict().values()):
        tensor.fill_(i + 1)
    _, outside, inside = CNNS["vissl-regnet"]
    trunk = published(source.state_dict(), outside, inside)
    model = {"trunk": trunk, "heads": export_swav_head(head, "vissl")}
    file = tmp_path / "model_phase0.torch"
    torch.save({"classy_state_dict": {"base_model": {"model": model}}}, file)
    spec = tmp_path / "net.json"
    write_spec(REGNETY, spec)
    return source.state_dict(), head.state_dict(), model, file, spec


def test_convert_keeps_a_head_there_and_back(capsys, tmp_path, seer_file):
    trunk, head, model, file, spec = seer_file
    ours, back = tmp_path / "ours.safetensors", tmp_path / "back.safetensors"
    run("convert", file, "--model", spec, "--out", ours, "--head", "keep")
    said = capsys.readouterr().err
    assert f"kept the head: {len(head)} tensors" in said
    assert "left out" not in said
    written = read_file(ours)
    expected = {f"backbone.{k}": v for k, v in trunk.items()}
    expected |= {f"head.{k}": v for k, v in head.items()}
    assert same_weights(written.tree, expected)
    assert written.metadata["method"] == "swav"
    assert same_weights(load_trunk(ours).network.state_dict(), trunk)
    assert same_weights(open_head(ours, head), head)
    run("convert", ours, "--model", ours, "--out", back, "--to", "vissl", "--head", "keep")
    named = model["heads"] | model["trunk"]
    assert same_weights(read_file(back).tree, named)
    assert same_weights(load_swav_head(back).state_dict(), head)


def test_heads_that_cannot_be_kept_are_refused(capsys, tmp_path, seer_file, zoo_file):
    _, _, _, file, spec = seer_file
    out = tmp_path / "out.safetensors"
    options = ["--model", spec, "--out", out, "--head", "keep"]
    error = fails(capsys, "convert", file, *options, "--to", "timm")
    assert "need our names or VISSL's to keep a pretraining's head, got those of timm" in error
    assert "need SwAV's head 0" in fails(capsys, "convert", zoo_file[1], *options)
    assert not out.exists()


def test_convert_refuses(capsys, tmp_path, zoo_file):
    _, file, spec = zoo_file
    out = tmp_path / "out.safetensors"
    message = fails(capsys, "convert", file, "--model", "RegNetY-4.0GF", "--out", out)
    assert "The weights have stage widths 16,24,32,48" in message
    assert not out.exists()
    message = fails(capsys, "convert", file, "--model", spec, "--out", tmp_path / "out.pth")
    assert "ends in .safetensors" in message


def test_verify(capsys, tmp_path, zoo_file):
    source, file, spec = zoo_file
    run("verify", file, "--model", spec)
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["layout"] == "pycls"
    assert lines["sizes"] == "stage widths 16,24,32,48 and depths 1,2,1,1"
    assert lines["checksum"] == "unknown: no published file has this name"
    assert lines["num_classes"] == "5"
    assert lines["model"] == f"fits {spec}"
    named = tmp_path / "EN-B0_dds_8gpu.pyth"
    named.write_bytes(file.read_bytes())
    run("verify", named, "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["published"] == ["pycls/EfficientNet-B0"]
    assert found["checksum"] == "unknown: its publisher gave none"
    assert found["num_parameters"] == sum(t.numel() for t in source.state_dict().values())
    assert found["dtypes"] == ["float32", "int64"]


def test_verify_refuses(capsys, tmp_path, monkeypatch, zoo_file):
    source, file, _ = zoo_file
    assert "The weights have" in fails(capsys, "verify", file, "--model", "ResNet-50")
    weights = source.state_dict()
    weights["s1.b1.f.a.weight"] = weights["s1.b1.f.a.weight"].clone()
    weights["s1.b1.f.a.weight"][0, 0] = float("nan")
    bad = tmp_path / "nan.pth"
    torch.save(weights, bad)
    message = fails(capsys, "verify", bad)
    assert "NaN or infinity in 1 tensors" in message
    assert "s1.b1.f.a.weight" in message
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(content)
    assert "damage" in fails(capsys, "verify", damaged)
    entry = replace(
        catalog.published("pycls/ResNet-50"), url="https://x/model.pyth", sha256="ab" * 32
    )
    monkeypatch.setattr("eyespot.weights.convert.catalog", lambda: (entry,))
    assert "this is not the published file" in fails(capsys, "verify", file)
