"""Files are read without running anything in them; damaged and hostile ones are refused."""

import argparse
import collections
import contextlib
import os
import pickle
import struct
import zipfile
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from torch.testing import assert_close

from eyespot.errors import WeightsError
from eyespot.models.build import build
from eyespot.weights.files import read_file, save_weights
from eyespot.weights.load import load_weights
from tests.weights.networks import REGNETX, distinct, same_weights


class RunsCode:
    """Unpickled with pickle.load, this makes a file."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


class Unknown:
    """A class of somebody's own."""


@pytest.fixture
def saved(tmp_path):
    """Write an object with torch.save."""

    def save(tree, name="w.pth", *, zipped=True):
        torch.save(tree, tmp_path / name, _use_new_zipfile_serialization=zipped)
        return tmp_path / name

    return save


def refuse(path, match):
    with pytest.raises(WeightsError, match=match):
        read_file(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_named_and_never_run(saved, tmp_path, zipped):
    canary = tmp_path / "it_ran"
    path = saved({"w": torch.zeros(2), "x": RunsCode(canary)}, zipped=zipped)
    refuse(path, r"asks for (posix|nt|os)\.system; that is code")
    assert not canary.exists()
    # the canary is real: whoever trusts such a file runs it
    torch.load(path, weights_only=False)
    assert canary.exists()


def test_code_asked_for_by_its_public_name_is_refused(tmp_path, saved):
    canary = tmp_path / "it_ran"
    program = b"cos\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR."
    path = saved({"w": torch.zeros(2)})
    with zipfile.ZipFile(path) as old:
        entries = [(entry.filename, old.read(entry)) for entry in old.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new:
        for name, content in entries:
            new.writestr(name, program if name.endswith("data.pkl") else content)
    refuse(path, r"asks for os\.system")
    assert not canary.exists()


def test_plain_pickles_are_refused(tmp_path):
    canary = tmp_path / "it_ran"
    path = tmp_path / "w.pkl"
    path.write_bytes(pickle.dumps(RunsCode(canary)))
    refuse(path, "plain pickle, not a file of torch.save")
    assert not canary.exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("tree", "asked"),
    [
        ({"m": torch.nn.Linear(2, 2)}, r"torch\.nn\.modules\.linear\.Linear"),
        ({"m": Unknown()}, r"tests\.weights\.test_files\.Unknown"),
        ({"m": Path("x")}, r"pathlib"),
        ({"m": np.zeros(3)}, r"numpy\._core\.multiarray\._reconstruct"),
    ],
)
def test_what_is_no_data_is_named(saved, tree, asked, zipped):
    refuse(saved(tree, zipped=zipped), f"asks for {asked}")


@pytest.mark.parametrize("zipped", [True, False])
def test_what_published_checkpoints_hold_is_read(saved, zipped):
    tree = {
        "w": torch.arange(6.0).reshape(2, 3),
        "err": np.float64(23.5),
        "top1": np.float32(76.5),
        "epoch": np.int64(7),
        "args": argparse.Namespace(lr=0.1, name="x"),
        "state": collections.OrderedDict(a=torch.ones(2, dtype=torch.float16)),
        "size": torch.Size([2, 3]),
        "text": "MODEL: {}",
        "none": [None, True, (1, 2.5)],
    }
    got = read_file(saved(tree, zipped=zipped)).tree
    assert got.keys() == tree.keys()
    assert_close(got["w"], tree["w"])
    assert (float(got["err"]), float(got["top1"]), int(got["epoch"])) == (23.5, 76.5, 7)
    assert got["args"] == tree["args"]
    assert got["state"]["a"].dtype == torch.float16
    assert (got["size"], got["text"], got["none"]) == (tree["size"], tree["text"], tree["none"])


def test_scalars_as_older_numpy_wrote_them(saved):
    path = saved({"err": np.float64(23.5)})
    content = path.read_bytes()
    with zipfile.ZipFile(path) as old:
        entries = [(entry.filename, old.read(entry)) for entry in old.infolist()]
    assert b"numpy._core.multiarray" in content
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new:
        for name, data in entries:
            new.writestr(name, data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert float(read_file(path).tree["err"]) == 23.5


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("keep", [0.02, 0.5, 0.9, -1])
def test_a_file_cut_short_is_refused_whole(saved, zipped, keep):
    source, target = distinct(REGNETX), build(REGNETX)
    path = saved(source.state_dict(), zipped=zipped)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep) if keep > 0 else -1])
    before = {k: v.clone() for k, v in target.state_dict().items()}
    with pytest.raises(WeightsError, match=r"w\.pth.*download or write it again"):
        load_weights(target, path)
    assert same_weights(before, target.state_dict())


def test_a_packed_archive_is_refused_before_it_is_unpacked(saved):
    path = saved({"w": torch.zeros(4)})
    with zipfile.ZipFile(path) as old:
        entries = [(entry.filename, old.read(entry)) for entry in old.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in entries:
            new.writestr(name, content)
        new.writestr("archive/data/1", b"\0" * 30_000_000)
    assert path.stat().st_size < 100_000
    refuse(path, "unpacks to 300.*torch.save never packs")


def test_entries_that_claim_more_than_the_file_are_refused(saved):
    path = saved({"w": torch.zeros(4)})
    content = bytearray(path.read_bytes())
    entry = content.rfind(b"PK\x01\x02")  # sizes of the last entry of the directory
    content[entry + 20 : entry + 28] = struct.pack("<II", 1 << 30, 1 << 30)
    path.write_bytes(content)
    refuse(path, "unpacks to 107|damaged")


def test_other_archives_are_refused(tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "hello")
    refuse(path, "zip archive .* of other things")
    script = tmp_path / "script.pt"
    with zipfile.ZipFile(script, "w") as archive:
        archive.writestr("script/data.pkl", "")
        archive.writestr("script/constants.pkl", "")
    refuse(script, "TorchScript program")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"hello, this is text and no weights at all", "starts with b'hello, this "),
        (b"<!DOCTYPE html><html><body>404</body></html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab", "git lfs pull"),
        (b"\x1f\x8b" + bytes(60), "is gzip"),
        (b"PK\x03\x04" + bytes(range(256)) * 8, "cut short or damaged"),
        (bytes(range(255, 0, -1)) * 9, "starts with b'"),
    ],
)
def test_what_is_no_weights_file_is_named(tmp_path, content, sentence):
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    refuse(path, sentence)


HEADER = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 1 << 62) + HEADER,
        struct.pack("<Q", len(HEADER) + 1000) + HEADER + bytes(16),
        struct.pack("<Q", len(HEADER)) + HEADER + bytes(8),
        struct.pack("<Q", len(HEADER)) + HEADER + bytes(24),
        struct.pack("<Q", len(HEADER)) + HEADER.replace(b"[4]", b"[9]") + bytes(16),
        struct.pack("<Q", len(HEADER)) + HEADER.replace(b"F32", b"X32") + bytes(16),
        struct.pack("<Q", 4) + b"{}  " + bytes(4),
        struct.pack("<Q", 2) + b"{]",
        b"\0" * 7,
    ],
)
def test_safetensors_whose_header_lies_are_refused(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    refuse(path, r"need a whole safetensors file, got .*w\.safetensors")


def test_the_untouched_header_is_read(tmp_path):
    path = tmp_path / "w.bin"
    path.write_bytes(struct.pack("<Q", len(HEADER)) + HEADER + struct.pack("<4f", 1, 2, 3, 4))
    assert_close(read_file(path).tree["a"], torch.tensor([1.0, 2, 3, 4]))


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data(), kind=st.sampled_from(["zip", "legacy", "safetensors"]))
def test_damage_is_refused_or_harmless(tmp_path_factory, data, kind):
    path = tmp_path_factory.mktemp("fuzz") / "w.pth"
    tensors = {"w": torch.arange(15.0).reshape(5, 3), "v": torch.arange(7)}
    if kind == "safetensors":
        safetensors.torch.save_file(tensors, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=kind == "zip")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            content[place] = data.draw(st.integers(0, 255))
        else:
            del content[place : place + data.draw(st.integers(1, 16))]
    path.write_bytes(content)
    with contextlib.suppress(WeightsError):  # and nothing else
        read_file(path)


def write_shards(folder, **changes):
    tensors = {"a": torch.ones(2), "b": torch.zeros(3)}
    safetensors.torch.save_file({"a": tensors["a"]}, folder / "m-1.safetensors")
    safetensors.torch.save_file({"b": tensors["b"]}, folder / "m-2.safetensors")
    index = {"a": "m-1.safetensors", "b": "m-2.safetensors"} | changes
    path = folder / "m.safetensors.index.json"
    path.write_text('{"metadata": {}, "weight_map": ' + str(index).replace("'", '"') + "}")
    return path, tensors


def test_shards_are_read_together(tmp_path):
    path, tensors = write_shards(tmp_path)
    got = read_file(path).tree
    assert got.keys() == tensors.keys()
    assert all(torch.equal(got[name], tensors[name]) for name in got)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"c": "m-3.safetensors"}, "missing m-3.safetensors"),
        ({"c": "m-1.safetensors"}, "difference in 1 tensors, such as c"),
        ({"b": "../m-2.safetensors"}, "in the folder of"),
        ({"b": "/etc/passwd"}, "in the folder of"),
    ],
)
def test_shards_that_do_not_add_up_are_refused(tmp_path, changes, sentence):
    path, _ = write_shards(tmp_path, **changes)
    refuse(path, sentence)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"weight_map": 3}', '{"weight_map": {}}'])
def test_a_broken_index_is_refused(tmp_path, text):
    path = tmp_path / "m.safetensors.index.json"
    path.write_text(text)
    with pytest.raises(WeightsError, match=r"index\.json"):
        read_file(path)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        read_file(tmp_path / "none.pth")


def test_saved_weights_come_back_with_their_metadata(tmp_path):
    path = tmp_path / "w.safetensors"
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {"a": base, "b": base[1], "c": base.t(), "d": base, "e": torch.tensor(3)}
    save_weights(tensors, path, {"format": "eyespot", "channel_order": "rgb"})
    got, metadata = read_file(path)
    assert metadata == {"format": "eyespot", "channel_order": "rgb"}
    assert got.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert_close(got[name], tensor, rtol=0, atol=0)
    assert os.listdir(tmp_path) == ["w.safetensors"]


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    save_weights({"a": torch.ones(2)}, path)
    before = path.read_bytes()

    def full(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        save_weights({"a": torch.zeros(2)}, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["w.safetensors"]


def test_the_folder_of_new_weights_is_made(tmp_path):
    path = tmp_path / "new" / "w.safetensors"
    save_weights({"a": torch.ones(2)}, path)
    assert [file.name for file in path.parent.iterdir()] == ["w.safetensors"]
    assert torch.equal(read_file(path).tree["a"], torch.ones(2))
