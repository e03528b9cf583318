"""Grounders by name: the package's, and MDETR's checkpoints as a user's cache holds them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from eyespot.cli import main
from eyespot.data.tokens import scenes_tokenizer
from eyespot.errors import WeightsError
from eyespot.models.mdetr import CLEVR_HEADS
from eyespot.predict.answerer import Answerer
from eyespot.predict.grounder import Grounder
from eyespot.weights import catalog
from eyespot.weights.grounders import read_grounder, save_grounder
from eyespot.weights.named_grounders import grounder_file
from tests.predict.grounders import small_grounder
from tests.weights import test_mdetr as checkpoints
from tests.weights.server import serving

PICTURE = np.zeros((64, 96, 3), np.uint8)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A user's cache, and no way out: every address of the catalogue is this machine's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    entries = tuple(
        replace(entry, url=f"http://127.0.0.1:9/{entry.url.rsplit('/', 1)[1]}")
        for entry in catalog.catalog()
    )
    monkeypatch.setattr(catalog, "catalog", lambda: entries)
    return tmp_path / "cache" / "eyespot" / "weights"


def pulled(cache, name, of=None):
    """Put a checkpoint where `eyespot weights pull` does; return its averaged weights."""
    folder = cache / f"mdetr--{name}"
    folder.mkdir(parents=True)
    of = of or checkpoints.spec()
    average, own = checkpoints.published(of, seed=1)
    model, _ = checkpoints.published(of)
    path = folder / f"{name}_checkpoint.pth"
    checkpoints.write(path, model=model, model_ema=average).unlink()
    return own


def with_vocabulary(cache):
    (cache / "roberta--tokenizer").mkdir(parents=True, exist_ok=True)
    words = scenes_tokenizer().definition()
    (cache / "roberta--tokenizer" / "tokenizer.json").write_text(words)


def fails(capsys, *args):
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_every_published_checkpoint_is_listed_with_its_address(capsys):
    main(["weights", "list", "mdetr/", "--json"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [
        *("pretrained_resnet101", "pretrained_EB3", "pretrained_EB5", "flickr_merged_resnet101"),
        *("refcoco_resnet101", "refcoco_EB3", "refcoco+_resnet101", "refcoco+_EB3"),
        *("refcocog_resnet101", "refcocog_EB3", "phrasecut_resnet101", "phrasecut_EB3"),
        *("gqa_resnet101", "gqa_EB5", "lvis1", "lvis10", "lvis100"),
        *("clevr", "clevr_humans", "clevr_cogent"),
    ]
    assert [row["name"] for row in rows] == [f"mdetr/{name}" for name in names]
    by_name = {row["name"]: row for row in rows}
    start = "https://zenodo.org/record/4721981/files/"
    assert by_name["mdetr/pretrained_EB5"]["url"] == f"{start}pretrained_EB5_checkpoint.pth"
    assert by_name["mdetr/refcoco+_EB3"]["url"] == f"{start}refcoco%2B_EB3_checkpoint.pth"
    assert catalog.published("refcoco+_EB3").file == "refcoco+_EB3_checkpoint.pth"
    assert by_name["mdetr/refcoco_EB3"]["metrics"]["test_a_p1_percent"] == 90.40
    assert all(row["sha256"] is None and row["licence"] == "Apache-2.0" for row in rows)


def test_a_pulled_file_lies_where_its_name_finds_it(cache, capsys, monkeypatch):
    entry = catalog.published("mdetr/refcoco+_EB3")
    with serving(b"weights") as server:
        url = f"{server.url.rsplit('/', 1)[0]}/refcoco%2B_EB3_checkpoint.pth"
        monkeypatch.setattr(catalog, "catalog", lambda: (replace(entry, url=url),))
        main(["weights", "pull", "refcoco+_EB3"])
        said = capsys.readouterr()
        path = cache / "mdetr--refcoco+_EB3" / "refcoco+_EB3_checkpoint.pth"
        assert path.read_bytes() == b"weights"
        assert "Apache 2.0" in said.err
        assert "its publisher gave none to check it against" in said.out
        asked = len(server.requests)
        main(["weights", "pull", "refcoco+_EB3"])
        assert "is there already" in capsys.readouterr().out
        assert len(server.requests) == asked


def test_a_grounder_by_the_name_of_a_pulled_checkpoint(cache):
    own = pulled(cache, "pretrained_resnet101")
    with_vocabulary(cache)
    grounder = Grounder.from_pretrained("mdetr/pretrained_resnet101")
    found = grounder.model.state_dict()
    assert all(torch.equal(found[key], value) for key, value in own.items())  # the average
    assert grounder(PICTURE, "a red cup", min_score=0).phrases[0].text == "a red cup"
    (cache / "mdetr--pretrained_resnet101" / "pretrained_resnet101_checkpoint.pth").unlink()
    again = Grounder.from_pretrained("PRETRAINED_resnet101")  # what was imported is kept
    assert again.model.state_dict().keys() == found.keys()


def test_import_by_name_from_the_command_line(cache, capsys, tmp_path):
    of = replace(checkpoints.spec(answer_heads=CLEVR_HEADS), num_queries=25, alignment_dim=0)
    own = pulled(cache, "clevr", of)
    vocabulary = tmp_path / "tokenizer.json"
    vocabulary.write_text(scenes_tokenizer().definition())
    main(["weights", "import-mdetr", "mdetr/clevr", "--vocabulary", str(vocabulary)])
    said = capsys.readouterr()
    assert "Apache 2.0" in said.err
    assert "took the averaged weights" in said.err
    assert "`eyespot answer IMAGE QUESTION --weights mdetr/clevr`" in said.out
    answerer = Answerer.from_pretrained("mdetr/clevr")
    kept = answerer.grounder.model.state_dict()
    assert torch.equal(kept["class_embed.weight"], own["class_embed.weight"])
    out = tmp_path / "mine.safetensors"
    args = ["--vocabulary", str(vocabulary), "--out", str(out), "--no-averaged"]
    main(["weights", "import-mdetr", "clevr", *args])
    stored = read_grounder(out).model.state_dict()["class_embed.weight"]
    assert not torch.equal(stored, own["class_embed.weight"])
    checkpoint = cache / "mdetr--clevr" / "clevr_checkpoint.pth"
    assert "need --out" in fails(capsys, "weights", "import-mdetr", checkpoint)
    for name in ("mdetr/clever", tmp_path / "gone.pth"):
        said = fails(capsys, "weights", "import-mdetr", name, "--out", out)
        assert (
            f"need a checkpoint's file, or a name of `eyespot weights list mdetr`, got {name}"
            in said
        )


def test_what_cannot_be_fetched_is_said_with_the_place_to_put_it(cache, capsys, tmp_path):
    pulled(cache, "lvis1")
    said = fails(capsys, "ground", tmp_path / "none.png", "a cup", "--weights", "mdetr/lvis1")
    place = cache / "roberta--tokenizer" / "tokenizer.json"
    assert "need a connection to http://127.0.0.1:9/tokenizer.json, got" in said
    assert f"or put tokenizer.json from elsewhere at {place}" in said
    with_vocabulary(cache)
    place = cache / "mdetr--lvis10" / "lvis10_checkpoint.pth"
    for args in (
        ["ground", tmp_path / "none.png", "a cup", "--weights", "mdetr/lvis10"],
        ["weights", "import-mdetr", "mdetr/lvis10"],
    ):
        said = fails(capsys, *args)
        assert "need a connection to http://127.0.0.1:9/lvis10_checkpoint.pth" in said
        assert f"or put lvis10_checkpoint.pth from elsewhere at {place}" in said
        assert "Traceback" not in said
    assert "need a connection to" in fails(capsys, "weights", "pull", "mdetr/lvis10")


def test_a_damaged_checkpoint_leaves_nothing_behind(cache):
    with_vocabulary(cache)
    pulled(cache, "lvis1")
    folder = cache / "mdetr--lvis1"
    (folder / "lvis1_checkpoint.pth").write_bytes(b"half")
    with pytest.raises(WeightsError, match="lvis1_checkpoint"):
        Grounder.from_pretrained("mdetr/lvis1")
    files = {file.name for file in folder.iterdir()}
    assert files - {".lock"} == {"lvis1_checkpoint.pth"}


def test_a_file_or_a_name_of_the_package(tmp_path):
    path = tmp_path / "a.safetensors"
    save_grounder(*small_grounder(), path)
    with grounder_file(path) as found:
        assert found == path
    with grounder_file("scenes-small") as found:
        assert read_grounder(found).spec.num_queries == 16
    with pytest.raises(ValueError, match="unknown weights 'scene-small'. Did you mean scenes-smal"):
        grounder_file("scene-small").__enter__()
    with pytest.raises(ValueError, match="unknown weights 'mdetr/lvis2'. Did you mean mdetr/lvis"):
        grounder_file("mdetr/lvis2").__enter__()
    with pytest.raises(ValueError, match="a weights file or a training run's folder will do"):
        grounder_file("nothing").__enter__()
