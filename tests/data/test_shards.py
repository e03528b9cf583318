import contextlib
import functools
import http.server
import io
import json
import multiprocessing
import os
import pathlib
import pickle
import shutil
import tarfile
import threading

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from eyespot.data.decode import decode_image
from eyespot.data.samples import Sample
from eyespot.data.sampling import Order
from eyespot.data.shard_index import build_index, load_index
from eyespot.data.shards import Shards, expand
from eyespot.data.storage import read_part
from eyespot.data.write_shards import write_shards
from tests.data.pictures import encode, noise_picture, smooth_picture

PHOTO = encode(smooth_picture(16, 16), "JPEG")


def tar_of(members, end=True, format=tarfile.USTAR_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    data = file.getvalue()
    return data if end else data[: data.rindex(b"ustar") - 257 + 512 * 2]


@pytest.fixture
def shards(tmp_path):
    """Two shards of three and two samples; the bytes of image i end in i."""
    first = [
        ("n01/000.jpg", PHOTO + b"0"),
        ("n01/000.cls", b"3"),
        ("n01/001.json", b'{"label": 4, "caption": "a frog"}'),
        ("n01/001.JPG", PHOTO + b"1"),
        ("n02/001.png", PHOTO + b"2"),
        ("n02/001.txt", b"a frog"),
        ("n02/001.cls", b"7\n"),
    ]
    second = [
        ("a.jpg", PHOTO + b"3"),
        ("a.json", b'{"cls": 0}'),
        ("b.b.jpg", b"x"),
        ("b.jpg", PHOTO + b"4"),
    ]
    (tmp_path / "s-000.tar").write_bytes(tar_of(first))
    (tmp_path / "s-001.tar").write_bytes(tar_of(second))
    return tmp_path


def test_samples_are_the_members_in_order(shards):
    data = Shards(str(shards / "s-{000..001}.tar"), num_classes=8)
    assert len(data) == 5
    assert [item.image[-1:] for item in (data[i] for i in range(4))] == [b"0", b"1", b"2", b"3"]
    assert [data[i].label for i in range(4)] == [3, 4, 7, 0]
    assert data[1].name == f"{shards}/s-000.tar/n01/001.JPG"
    assert data[2].name == f"{shards}/s-000.tar/n02/001.png"
    assert decode_image(data[-2].image).shape == (16, 16, 3)
    with pytest.raises(
        ValueError, match=r"a .cls or .json member with a label, got none for .*b.jpg"
    ):
        data[4]
    assert Shards(str(shards))[4].label is None
    with pytest.raises(IndexError):
        data[5]


def test_the_index_lies_beside_the_shard_and_is_used(shards, monkeypatch):
    Shards(str(shards))
    assert sorted(os.listdir(shards)) == [
        "s-000.tar", "s-000.tar.index", "s-001.tar", "s-001.tar.index",
    ]  # fmt: skip
    monkeypatch.setattr("eyespot.data.shard_index.build_index", None)  # not needed again
    assert len(Shards(str(shards))) == 5


def test_a_stale_or_damaged_index_is_made_anew(shards):
    shard = str(shards / "s-001.tar")
    load_index(shard)
    (shards / "s-001.tar").write_bytes(tar_of([("z.jpg", PHOTO)]))
    assert len(load_index(shard)) == 1
    sidecar = shards / "s-001.tar.index"
    whole = sidecar.read_bytes()
    for damaged in (whole[:-3], b"", b"x" * 100, whole[:8] + b"{}" + whole[10:]):
        sidecar.write_bytes(damaged)
        assert load_index(shard)[0].key == "z.jpg"
    assert sidecar.read_bytes() == whole


def test_indexes_that_cannot_lie_beside_are_kept_in_the_cache(shards, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for shard in list(shards.glob("*.tar")):
        (shards / f"{shard.name}.index" / "in the way").mkdir(parents=True)
    assert len(Shards(str(shards))) == 5
    kept = list((tmp_path / "cache/eyespot/indexes").iterdir())
    assert sorted(path.name[:6] for path in kept) == ["s-000.", "s-001."]
    times = [path.stat().st_mtime_ns for path in kept]
    assert len(Shards(str(shards))) == 5
    assert [path.stat().st_mtime_ns for path in kept] == times


def test_few_indexes_stay_in_memory_and_none_is_pickled(tmp_path, monkeypatch):
    monkeypatch.setattr("eyespot.data.shards._HELD_SAMPLES", 3)
    for number, count in enumerate([1, 1, 1, 5, 1]):
        members = [(f"{i}.jpg", PHOTO + bytes([number])) for i in range(count)]
        (tmp_path / f"{number}.tar").write_bytes(tar_of(members))
    data = Shards(str(tmp_path))
    held = {0: [0], 1: [0, 1], 2: [0, 1, 2], 8: [1, 2, 4], 7: [3], 3: [3]}
    for index, shards in held.items():
        data[index]
        assert sorted(data._indexes) == shards
        assert data._held == sum(len(found) for found in data._indexes.values())
    for index, number in enumerate([0, 1, 2, 3, 3, 3, 3, 3, 4]):
        assert data[index].image[-1] == number
    copy = pickle.loads(pickle.dumps(data))
    assert copy._indexes == {}
    assert copy._held == 0
    assert copy[3] == data[3]


def test_one_pass_in_windows_reads_no_index_again_and_again(tmp_path, monkeypatch):
    for number in range(6):
        members = [(f"{i}.jpg", PHOTO + bytes([number])) for i in range(8)]
        (tmp_path / f"{number}.tar").write_bytes(tar_of(members))
    data = Shards(str(tmp_path))
    monkeypatch.setattr("eyespot.data.shards._HELD_SAMPLES", 32)
    loaded = []
    monkeypatch.setattr(
        "eyespot.data.shards.load_index", lambda shard: loaded.append(shard) or load_index(shard)
    )
    order = Order(48, 4, seed=0, window=16)
    places = [int(i) for step in range(12) for i in order.part(step, rank=0, world_size=1)[1]]
    assert sorted(places) == list(range(48))
    assert places != sorted(places)
    for place in places:
        data[place]
    assert len(loaded) <= 6 + 3  # twice where two of the windows meet inside a shard


def _read_in_child(data, pipe):
    pipe.send([data[i].image[-1:] for i in range(4)])


def test_a_forked_process_reads_the_same(shards):
    data = Shards(str(shards))
    expected = [data[i].image[-1:] for i in range(4)]
    receive, send = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_read_in_child, args=(data, send))
    child.start()
    assert receive.recv() == expected
    child.join()
    assert data[0].image[-1:] == b"0"


def test_long_names_and_pax_headers(tmp_path):
    name = "x" * 180 + "/é" * 60 + ".jpg"
    for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        (tmp_path / "long.tar").write_bytes(
            tar_of([(name, PHOTO), ("y.jpg", b"abc")], format=format)
        )
        data = Shards(str(tmp_path / "long.tar"))
        assert data[0].image == PHOTO
        assert data[0].name.endswith(name)
        assert data[1].image == b"abc"


def refused(tmp_path, members, message, **options):
    path = tmp_path / "bad.tar"
    path.write_bytes(members if isinstance(members, bytes) else tar_of(members, **options))
    with pytest.raises(ValueError, match=message) as caught:
        Shards(str(path))
    assert "bad.tar" in str(caught.value)
    assert os.listdir(tmp_path) == ["bad.tar"]


@pytest.mark.parametrize("name", ["0.pyd", "0.pkl", "0.cls.pickle", "0.emb.PTH", "0.pkl.gz"])
def test_pickles_are_refused(tmp_path, name):
    refused(tmp_path, [("0.jpg", PHOTO), (name, b"x")], f"without pickles, .* got {name}")


def test_shards_that_are_no_data_set_are_refused(tmp_path):
    refused(tmp_path, [], "at least one sample")
    refused(tmp_path, [("0.txt", b"x")], "an image in every sample, got none for '0'")
    refused(
        tmp_path, [("0.jpg", PHOTO), ("0.png", PHOTO)], "one image a sample, got another: 0.png"
    )
    refused(tmp_path, [("0.jpg", PHOTO), ("0.jpg", PHOTO)], "each member once, got 0.jpg twice")
    refused(tmp_path, [("0.jpg", b"")], "an image of 1 to")
    refused(tmp_path, b"", "truncated or no plain tar")
    refused(tmp_path, PHOTO * 20, "truncated or no plain tar")
    for label in (b"cat", b"-1", b"1.5", b""):
        refused(tmp_path, [("0.jpg", PHOTO), ("0.cls", label)], "a label of 0 or more")
    for label in (b"{", b'{"label": "cat"}', b"[" * 100_000, b'{"label": true}'):
        refused(tmp_path, [("0.jpg", PHOTO), ("0.json", label)], "a label of 0 or more")


def test_links_and_compressed_tars_are_refused(tmp_path):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        link = tarfile.TarInfo("0.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    refused(tmp_path, file.getvalue(), "plain files in a shard")
    import gzip

    refused(tmp_path, gzip.compress(tar_of([("0.jpg", PHOTO)])), "no plain tar")


WHOLE = tar_of([(f"{i}.jpg", PHOTO) for i in range(4)])
LAST_BYTE = 4 * 512 + 4 * (-(-len(PHOTO) // 512)) * 512 + 512  # with the first end block


@given(length=st.integers(0, LAST_BYTE - 1))
@settings(max_examples=80)
def test_a_tar_cut_anywhere_is_refused(tmp_path_factory, length):
    path = tmp_path_factory.mktemp("cut") / "cut.tar"
    path.write_bytes(WHOLE[:LAST_BYTE])
    assert len(build_index(str(path))) == 4
    path.write_bytes(WHOLE[:length])
    with pytest.raises(ValueError, match=r"truncated or no plain tar"):
        build_index(str(path))


@given(seed=st.integers(0, 1 << 20))
@settings(max_examples=80)
def test_a_damaged_header_is_refused_or_changes_only_names(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    data = bytearray(WHOLE)
    data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    path = tmp_path_factory.mktemp("damaged") / "damaged.tar"
    path.write_bytes(data)
    try:
        index = build_index(str(path))
    except ValueError:
        return
    assert index.starts.tolist() == build_index_of(tmp_path_factory)


def build_index_of(factory) -> list[int]:
    path = factory.mktemp("whole") / "whole.tar"
    path.write_bytes(WHOLE)
    return build_index(str(path)).starts.tolist()


def test_a_shard_that_shrank_after_indexing_is_noticed(shards):
    data = Shards(str(shards))
    assert data[0].image[-1:] == b"0"
    path = shards / "s-000.tar"
    os.truncate(path, 1000)
    with pytest.raises(ValueError, match=r"need \d+ bytes from byte \d+ of .*s-000.tar, got \d+"):
        data[2]


def test_a_shard_that_was_replaced_by_another_stops_the_run(shards):
    data = Shards(str(shards))
    (shards / "s-001.tar").write_bytes(tar_of([("z.jpg", PHOTO)]))
    with pytest.raises(RuntimeError, match=r"s-001.tar to keep its 2 samples during a run, got 1"):
        data[3]


def test_a_replaced_file_is_opened_anew(tmp_path):
    path = tmp_path / "file"
    for text in (b"one", b"two"):
        (tmp_path / "new").write_bytes(text)
        os.utime(tmp_path / "new", ns=(0, 0))
        (tmp_path / "new").replace(path)
        assert read_part(str(path), 0, 3) == text


def test_braces_stand_for_numbers():
    assert expand("a{8..11}b") == ["a8b", "a9b", "a10b", "a11b"]
    assert expand("a{008..011}b") == ["a008b", "a009b", "a010b", "a011b"]
    assert expand("s3://x/{0..1}/{00..01}.tar") == [
        "s3://x/0/00.tar", "s3://x/0/01.tar", "s3://x/1/00.tar", "s3://x/1/01.tar",
    ]  # fmt: skip
    assert len(expand("shard-{000000..000999}.tar")) == 1000
    assert expand("plain.tar") == ["plain.tar"]
    for bad in ("{a..b}.tar", "{1,2}.tar", "{0..1.tar", "x}.tar"):
        with pytest.raises(ValueError, match="need braces like"):
            expand(bad)
    with pytest.raises(ValueError, match=r"a range that goes up, got \{3..1\}"):
        expand("{3..1}.tar")


def test_missing_shards_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"need a file, got .*7.tar: no such file"):
        Shards(str(tmp_path / "{7..8}.tar"))
    with pytest.raises(ValueError, match="need at least one shard, got none"):
        Shards(str(tmp_path))


def test_remote_shards_equal_local_ones(shards, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    local = Shards(str(shards))
    for name in ("s-000.tar", "s-001.tar"):
        memory.pipe(f"/bucket/{name}", (shards / name).read_bytes())
    address = "memory://bucket/s-{000..001}.tar"
    remote = Shards(address)
    assert len(list((tmp_path / "cache/eyespot/indexes").iterdir())) == 2
    assert [remote[i].image for i in range(5)] == [local[i].image for i in range(5)]
    assert len(Shards(address)) == 5
    for name in ("s-000.tar", "s-001.tar"):  # sidecars that were uploaded with their shards
        memory.pipe(f"/bucket/{name}.index", (shards / f"{name}.index").read_bytes())
    assert [Shards(address)[i].image for i in range(5)] == [local[i].image for i in range(5)]
    with pytest.raises(ValueError, match="no such file"):
        Shards("memory://bucket/none.tar")
    members = [(f"{i}.jpg", PHOTO) for i in range(9)]
    memory.pipe("/bucket/s-001.tar", tar_of(members))  # of another size than its index says
    assert len(Shards("memory://bucket/s-001.tar")) == 9


class Parts(http.server.SimpleHTTPRequestHandler):
    """A server of files that answers byte ranges, which Python's own does not."""

    def do_GET(self):
        if "Range" not in self.headers:
            super().do_GET()
            return
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        whole = pathlib.Path(self.translate_path(self.path)).read_bytes()
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(whole)}")
        self.send_header("Content-Length", str(len(whole[first : last + 1])))
        self.end_headers()
        self.wfile.write(whole[first : last + 1])

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def served(folder, handler):
    """Serve a folder on this machine; yields its address."""
    handler = functools.partial(handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_shards_of_a_web_server_equal_local_ones(shards):
    pytest.importorskip("aiohttp")
    local = Shards(str(shards))
    with served(shards, Parts) as address:
        remote = Shards(f"{address}/s-{{000..001}}.tar")
        assert [remote[i].image for i in range(5)] == [local[i].image for i in range(5)]


def test_a_web_server_that_sends_no_parts_is_said(shards):
    pytest.importorskip("aiohttp")

    class Whole(Parts):
        do_GET = http.server.SimpleHTTPRequestHandler.do_GET

    with (
        served(shards, Whole) as address,
        pytest.raises(ValueError, match="need a server that sends parts of files, got all of http"),
    ):
        read_part(f"{address}/s-000.tar", 512, 3)


def test_a_scheme_without_its_driver_is_said(monkeypatch):
    registry = pytest.importorskip("fsspec.registry")
    entry = {"class": "no_such_driver.Files", "err": "Install no_such_driver to read odd://"}
    monkeypatch.setitem(registry.known_implementations, "odd", entry)
    with pytest.raises(ValueError, match="need a driver to read odd://bucket/0.tar: Install no_"):
        Shards("odd://bucket/{0..1}.tar")


def test_a_remote_read_is_tried_again(shards, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/again/file", b"abcdef")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    whole, failures = type(memory).cat_file, []

    def flaky(self, path, **where):
        if len(failures) < 3:
            failures.append(path)
            raise ConnectionError("gone")
        return whole(self, path, **where)

    monkeypatch.setattr(type(memory), "cat_file", flaky)
    assert read_part("memory://again/file", 1, 3) == b"bcd"
    failures.clear()
    monkeypatch.setattr("eyespot.data.storage._TRIES", 3)
    with pytest.raises(ConnectionError):
        read_part("memory://again/file", 1, 3)


def test_json_with_other_fields_gives_no_label(tmp_path):
    members = [("0.jpg", PHOTO), ("0.json", json.dumps({"url": "x"}).encode())]
    (tmp_path / "0.tar").write_bytes(tar_of(members))
    assert Shards(str(tmp_path))[0].label is None


def test_a_shard_is_known_by_its_images_not_by_its_age(tmp_path):
    samples = [Sample(noise_picture(9, 9, i), i % 2, f"{i}.png") for i in range(8)]
    write_shards(samples, tmp_path / "a", samples_per_shard=4)
    first = Shards(str(tmp_path / "a"))
    shutil.copytree(tmp_path / "a", tmp_path / "b")  # with other times
    for shard in (tmp_path / "b").glob("*.tar"):
        os.utime(shard, (1, 1))
    assert Shards(str(tmp_path / "b")).digests.tolist() == first.digests.tolist()
    samples[5] = Sample(smooth_picture(9, 9), 1, "5.png")
    write_shards(samples, tmp_path / "c", samples_per_shard=4)
    other = Shards(str(tmp_path / "c")).digests
    assert (other == first.digests).tolist() == [True, False]
