"""`eyespot data` as a user types it."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from eyespot.cli import main
from eyespot.data.annotations import read_annotations
from eyespot.data.grounding_folders import open_annotated
from eyespot.data.open import find_splits, open_samples
from eyespot.data.tokens import scenes_tokenizer
from tests.data.converters.files import coco_instances, found, put
from tests.data.pictures import encode, noise_picture
from tests.data.test_open import class_folders


def run(*args):
    main(["data", *map(str, args)])


def check_finds(*args):
    """Run a check of data in which something is wrong."""
    with pytest.raises(SystemExit) as stop:
        run("check", *args)
    assert stop.value.code == 1


def fails(capsys, *args):
    with pytest.raises(SystemExit) as stop:
        run(*args)
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_check_images(tmp_path, capsys):
    class_folders(tmp_path / "train", each=3)
    class_folders(tmp_path / "val", each=1)
    (tmp_path / "train" / "dog" / "bad.png").write_bytes(b"no")
    check_finds(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("(train): 7 images, 2 classes")
    assert lines[1].split() == ["sizes", "4x5", "to", "4x5", "pixels,", "median", "4x5"]
    assert lines[3].split() == ["each", "class", "3", "to", "3", "images,", "2", "classes"]
    assert lines[4].split() == ["bad", "1"]
    assert lines[5].startswith("    dog/bad.png: need an image of format")
    assert lines[6].endswith("(val): 2 images, 2 classes")
    check_finds(tmp_path, "--json", "--sample", "2")
    train, val = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (train["num_samples"], train["num_checked"]) == (7, 2)
    assert val["labels"] == {"0": 1, "1": 1}


def test_check_decodes_on_demand(tmp_path, capsys):
    data = encode(noise_picture(50, 50), "JPEG")
    (tmp_path / "a.jpg").write_bytes(data[:-300])
    (tmp_path / "b.jpg").write_bytes(data)
    run("check", tmp_path)
    assert "bad          0" in capsys.readouterr().out
    check_finds(tmp_path, "--decode")
    assert "a.jpg: a JPEG of" in capsys.readouterr().out


def test_nothing_usable_fails(tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"no")
    assert "got 1 bad ones of" in fails(capsys, "check", tmp_path)
    assert "no such file or folder" in fails(capsys, "check", tmp_path / "gone")


def test_check_annotations(tmp_path, capsys):
    row = {"id": 1, "file_name": "a.jpg", "height": 10, "width": 10, "caption": "a cat"}
    boxes = [
        {"id": 1, "image_id": 1, "bbox": [0, 0, 5, 5], "tokens_positive": [[2, 5]]},
        {"id": 2, "image_id": 1, "bbox": [0, 0, 0, 5], "tokens_positive": [[1, 5]]},
    ]
    path = put(tmp_path / "a.json", {"images": [row], "annotations": boxes})
    check_finds(path, "--images", tmp_path)
    out = capsys.readouterr().out
    assert "1 captions, 2 boxes" in out
    for kind in ("missing file: 1", "bad box: 1", "span on whitespace: 1"):
        assert kind in out
    assert "annotations[1] (id 2) has the box [0, 0, 0, 5] of no area" in out
    check_finds(path, "--json")
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 2
    put(path, {"images": [row], "annotations": boxes[:1]})
    run("check", path)
    printed = capsys.readouterr().out
    assert "nothing is wrong" in printed
    assert "not looked for" in printed
    put(tmp_path / "images" / "b.jpg", "")  # where training would find them
    put(path, {"images": [row, {**row, "id": 2, "file_name": "b.jpg"}], "annotations": boxes[:1]})
    check_finds(path)
    printed = capsys.readouterr().out
    assert "missing file: 1" in printed
    assert f"its file {tmp_path / 'images' / 'a.jpg'} does not exist" in printed
    put(tmp_path / "images" / "a.jpg", "")
    run("check", path, "--json")
    assert json.loads(capsys.readouterr().out)["images"] == [str(tmp_path / "images")]
    vocabulary = tmp_path / "tokenizer.json"
    vocabulary.write_text(scenes_tokenizer().definition())
    check_finds(path, "--vocabulary", vocabulary, "--max-tokens", 3)  # "a cat" is four
    assert "caption too long: 2" in capsys.readouterr().out
    path.write_bytes(b"\x89PNG")
    assert "need JSON in UTF-8, got" in fails(capsys, "check", path)
    put(path, {"images": [row]})
    assert "got no annotations" in fails(capsys, "check", path)
    put(path, {"images": [], "annotations": []})
    assert "at least one image with a caption" in fails(capsys, "check", path)


def test_check_a_list_of_annotation_files(tmp_path, capsys):
    row = {"id": 1, "file_name": "a.jpg", "height": 10, "width": 10, "caption": "a cat"}
    mixed = [{**row, "data_source": "vg"}, {**row, "id": 2, "data_source": "coco"}]
    put(tmp_path / "mixed.json", {"images": mixed, "annotations": []})
    put(tmp_path / "own" / "train.json", {"images": [row], "annotations": []})
    put(tmp_path / "own" / "val.json", {"images": [row], "annotations": []})
    for folder in ("vg", "coco", "own/images"):
        put(tmp_path / folder / "a.jpg", "")
    sets = "- annotations: mixed.json\n  images: {vg: vg, coco: coco}\n- annotations: own\n"
    listed = put(tmp_path / "sets.yaml", sets)
    run("check", listed)
    printed = capsys.readouterr().out
    assert printed.count("nothing is wrong") == 3
    (tmp_path / "coco" / "a.jpg").unlink()
    mixed[0]["data_source"] = "flickr"
    put(tmp_path / "mixed.json", {"images": mixed, "annotations": []})
    check_finds(listed)
    printed = capsys.readouterr().out
    assert "images[0] has the data_source 'flickr', not one of vg, coco" in printed
    assert f"image 2: its file {tmp_path / 'coco' / 'a.jpg'} does not exist" in printed
    assert "need no --images beside a list" in fails(capsys, "check", listed, "--images", tmp_path)


def test_own_coco_folder_is_one_command(tmp_path, capsys):
    instances = coco_instances(tmp_path / "instances.json")
    captions = {"annotations": [{"id": 1, "image_id": 9, "caption": "a person and a dog"}]}
    put(tmp_path / "captions.json", captions)
    out = tmp_path / "mine.json"
    options = ["--captions", tmp_path / "captions.json", "--out", out, "--name", "mine"]
    run("convert", "coco", "--instances", instances, *options)
    assert capsys.readouterr().out == f"wrote {out}: 1 captions of 1 images, 3 boxes\n"
    ((text, boxes),) = found(read_annotations(out))
    assert (text, boxes[0]) == ("a person and a dog", ((1, 2, 30, 40), ["person"]))
    assert read_annotations(out)[0].more["dataset_name"] == "mine"
    options = ["--out", tmp_path / "rest.json", "--without", out, "--combine"]
    run("convert", "coco", "--instances", instances, *options)
    printed = capsys.readouterr().out
    assert "1 captions of 1 images, 1 boxes" in printed
    assert "left out 1 captions" in printed


def test_own_yolo_folder_becomes_data_for_grounding(tmp_path, capsys):
    for split in ("train", "val"):
        put(tmp_path / "labels" / split / "a.txt", "0 0.5 0.5 0.5 0.5\n1 0.75 0.5 1 0.5")
        picture = tmp_path / "images" / split / "a.png"
        put(picture, "").write_bytes(encode(noise_picture(20, 40), "PNG"))
    names = "train: images/train\nval: images/val\nnames: [dog, cat]"
    data = put(tmp_path / "data.yaml", names)
    for split in ("train", "val"):
        out = tmp_path / f"{split}.json"
        run("convert", "yolo", "--data", data, "--split", split, "--out", out)
        printed = capsys.readouterr().out.splitlines()
        assert printed[0] == f"wrote {out}: 1 captions of 1 images, 2 boxes"
        assert "10 pixels over the edge of the image of 40 x 20" in printed[1]
        source = open_annotated(tmp_path, split)
        record = source.caption(0, 0)
        assert record.file_name == f"images/{split}/a.png"
        assert found([record])[0][1][0] == ((10, 5, 20, 10), ["dog"])
        assert source.image(0, record) == (tmp_path / record.file_name).read_bytes()
    put(tmp_path / "labels" / "val" / "a.txt", "2 0.5 0.5 0.5 0.5")
    said = fails(capsys, "convert", "yolo", "--data", data, "--split", "val", "--out", out)
    assert "need a class of the 2 names, 0 to 1, got 2: line 1 of" in said


def test_voc_folder_becomes_data_for_grounding(tmp_path, capsys):
    picture = tmp_path / "JPEGImages" / "a.jpg"
    put(picture, "").write_bytes(encode(noise_picture(20, 40), "JPEG"))
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>40</xmax><ymax>20</ymax></bndbox>"
    thing = f"<object><name>dog</name>{box}</object>"
    size = "<size><width>40</width><height>20</height></size>"
    put(tmp_path / "Annotations" / "a.xml", f"<annotation>{size}{thing}</annotation>")
    put(tmp_path / "ImageSets" / "Main" / "trainval.txt", "a\n")
    out = tmp_path / "train.json"
    run("convert", "voc", "--folder", tmp_path, "--split", "trainval", "--out", out)
    assert capsys.readouterr().out == f"wrote {out}: 1 captions of 1 images, 1 boxes\n"
    source = open_annotated(tmp_path, "train")
    record = source.caption(0, 0)
    assert found([record]) == [("dog.", [((0, 1, 40, 19), ["dog"])])]
    assert source.image(0, record) == picture.read_bytes()
    put(tmp_path / "Annotations" / "a.xml", f"<annotation>{thing}</annotation>")
    said = fails(
        capsys, "convert", "voc", "--folder", tmp_path, "--split", "trainval", "--out", out
    )
    assert "need the size of the image, got none in" in said


def test_every_form_is_explained(tmp_path, capsys):
    forms = ["coco", "flickr30k", "refcoco", "visual-genome", "gqa", "phrasecut", "lvis", "odvg"]
    for form in (*forms, "yolo", "voc", "join"):
        with pytest.raises(SystemExit) as stop:
            run("convert", form, "--help")
        assert stop.value.code == 0
        assert "The annotation file to write" in capsys.readouterr().out
    gone = ["--lines", tmp_path / "no.jsonl", "--out", tmp_path / "o.json"]
    assert "need the file" in fails(capsys, "convert", "odvg", *gone)
    put(tmp_path / "i.json", {"images": [{}], "annotations": [], "categories": []})
    wrong = ["--instances", tmp_path / "i.json", "--out", tmp_path / "o.json"]
    assert "got no 'id' in the first record" in fails(capsys, "convert", "coco", *wrong)


def test_a_conversion_does_not_write_over_what_it_reads(tmp_path, capsys):
    path = tmp_path / "i.json"
    path.write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    before = path.read_bytes()
    for form, option in (("coco", "instances"), ("lvis", "annotations"), ("join", "annotations")):
        said = fails(capsys, "convert", form, f"--{option}", path, "--out", path)
        assert "need another --out than a file that is read, got" in said
    other = put(tmp_path / "other.json", json.loads(before))
    without = ["convert", "lvis", "--annotations", other, "--without", path, "--out", path]
    assert "need another --out than a file that is read, got" in fails(capsys, *without)
    assert path.read_bytes() == before


def test_options_of_images_are_refused_for_annotations(tmp_path, capsys):
    put(tmp_path / "a.json", {"images": [], "annotations": []})
    for option in (["--decode"], ["--sample", "3"]):
        said = fails(capsys, "check", tmp_path / "a.json", *option)
        assert "need no --sample and no --decode for annotations" in said


def test_shard(tmp_path, capsys):
    class_folders(tmp_path / "in" / "train", ("big cat", "dog"), each=3)
    class_folders(tmp_path / "in" / "val", ("big cat", "dog"), each=1)
    out = tmp_path / "out"
    run("shard", tmp_path / "in", out, "--samples-per-shard", "4", "--workers", "2")
    assert "wrote 2 shards of 6 images" in capsys.readouterr().out
    assert find_splits(str(out)) == ("train", "val")
    for split in ("train", "val"):
        old, new = (open_samples(str(p), split=split) for p in (tmp_path / "in", out))
        assert new.classes == old.classes == ("big cat", "dog")
        for i in range(len(old.samples)):
            assert old.samples[i][:2] == new.samples[i][:2]
    run("check", out)
    assert "train.sha256: 2 of 2 files are as written" in capsys.readouterr().out
    data = bytearray((out / "val-000000.tar").read_bytes())
    data[512 + 60] ^= 1  # in the first image
    (out / "val-000000.tar").write_bytes(data)
    check_finds(out)
    printed = capsys.readouterr().out
    assert "val-000000.tar differs from its sha256" in printed
    check_finds(out, "--json")
    manifests = [json.loads(line) for line in capsys.readouterr().out.splitlines()][:2]
    assert [list(row["wrong"]) for row in manifests] == [[], ["val-000000.tar"]]


def test_shard_goes_on_after_being_killed(tmp_path, capsys):
    """Killed at several moments, then run to the end: the bytes of a run that was never killed."""
    rng = np.random.default_rng(0)
    for i in range(300):
        picture = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
        put(tmp_path / "in" / str(i % 2) / f"{i:03}.png", "")
        (tmp_path / "in" / str(i % 2) / f"{i:03}.png").write_bytes(encode(picture, "PNG"))
    options = ["--samples-per-shard", "7", "--workers", "2"]
    run("shard", tmp_path / "in", tmp_path / "whole", *options)
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "eyespot", "data", "shard", str(tmp_path / "in"), str(killed)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    counts = []
    for attempt in range(3):
        with subprocess.Popen([*command, *options], env=environment) as child:
            deadline = time.time() + 60
            wanted = (counts[-1] if counts else 0) + 3 + attempt
            while len(list(killed.glob("*.tar"))) < wanted and time.time() < deadline:
                time.sleep(0.002)
            child.send_signal(signal.SIGKILL)
        time.sleep(0.3)  # orphans finish the shard they are at
        counts.append(len(list(killed.glob("*.tar"))))
    assert 0 < counts[0] < counts[1] < counts[2] < 43
    run("shard", tmp_path / "in", killed, *options)
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert sorted(path.name for path in killed.iterdir()) == names
    for name in names:
        if not name.endswith(".index"):  # which hold the time
            assert (killed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
