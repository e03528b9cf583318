import os
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest

from eyespot.data import write_shards as module
from eyespot.data.decode import decode_image
from eyespot.data.samples import Sample
from eyespot.data.shards import Shards
from eyespot.data.write_shards import write_shards
from tests.data.pictures import encode, noise_picture, smooth_picture


class Pictures:
    def __init__(self, count):
        formats = ["JPEG", "PNG", "WEBP", "TIFF"]
        self.items = [
            Sample(encode(smooth_picture(8, 9, i), formats[i % 4]), i % 3 or None, str(i))
            for i in range(count)
        ]

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def folder_bytes(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.tar")}


def test_what_is_written_is_read_back(tmp_path):
    source = Pictures(11)
    paths = write_shards(source, tmp_path, samples_per_shard=4)
    assert [path.name for path in paths] == [f"shard-00000{i}.tar" for i in range(3)]
    data = Shards(str(tmp_path))
    assert [data[i].image for i in range(11)] == [item.image for item in source.items]
    with tarfile.open(paths[1]) as tar:
        assert tar.getnames()[:4] == [
            "000000004.jpg",
            "000000004.cls",
            "000000005.png",
            "000000005.cls",
        ]
        assert tar.extractfile("000000005.cls").read() == b"2"
    with tarfile.open(paths[0]) as tar:
        assert tar.getnames()[-1] == "000000003.tif"


def test_pixels_become_png_and_broken_bytes_stay(tmp_path):
    picture = noise_picture(8, 8)
    source = [Sample(picture, 1, "pixels"), Sample(b"broken", 2, "bytes")]
    write_shards(source, tmp_path)
    data = Shards(str(tmp_path), num_classes=3)
    np.testing.assert_array_equal(decode_image(data[0].image), picture)
    assert (data[1].image, data[1].label) == (b"broken", 2)


def test_a_second_call_writes_nothing_and_repairs_what_is_not_whole(tmp_path):
    source = Pictures(11)
    first, *_, last = write_shards(source, tmp_path, samples_per_shard=4)
    before = folder_bytes(tmp_path)
    written = first.stat().st_mtime_ns
    last.unlink()
    write_shards(source, tmp_path, samples_per_shard=4)
    assert folder_bytes(tmp_path) == before
    assert first.stat().st_mtime_ns == written


def test_another_size_or_data_set_is_refused(tmp_path):
    write_shards(Pictures(5), tmp_path, samples_per_shard=4)
    with pytest.raises(ValueError, match=r"an empty folder or one of .*'samples': 6"):
        write_shards(Pictures(6), tmp_path, samples_per_shard=4)
    with pytest.raises(ValueError, match="an empty folder or one of"):
        write_shards(Pictures(5), tmp_path, samples_per_shard=5)
    with pytest.raises(ValueError, match="got 0 samples"):
        write_shards([], tmp_path)


def test_a_failure_leaves_only_whole_shards(tmp_path):
    source = Pictures(11)
    source.items[9] = None  # cannot be unpacked
    with pytest.raises(TypeError):
        write_shards(source, tmp_path, samples_per_shard=4)
    assert sorted(os.listdir(tmp_path)) == [
        "shard-000000.tar", "shard-000000.tar.index",
        "shard-000001.tar", "shard-000001.tar.index", "shard.json",
    ]  # fmt: skip


def test_a_shard_that_reads_back_otherwise_is_refused(tmp_path, monkeypatch):
    def spoil(tar, name, data):
        add(tar, name, data[:-1] + b"?" if name.endswith("2.webp") else data)

    add = module._add
    monkeypatch.setattr(module, "_add", spoil)
    with pytest.raises(ValueError, match="to read back as it was written"):
        write_shards(Pictures(4), tmp_path)
    assert os.listdir(tmp_path) == ["shard.json"]


WRITER = """
import sys, time
from tests.data.test_write_shards import Pictures
from eyespot.data.write_shards import write_shards
class Slow(Pictures):
    def __getitem__(self, index):
        time.sleep(0.004)
        return super().__getitem__(index)
print("ready", flush=True)
write_shards(Slow(60), sys.argv[1], samples_per_shard=7)
"""


def test_killed_at_any_time_and_started_again_gives_the_same_bytes(tmp_path):
    write_shards(Pictures(60), tmp_path / "whole", samples_per_shard=7)
    killed = tmp_path / "killed"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WRITER, str(killed)]
    for attempt in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
            child.stdout.readline()
            time.sleep(0.05 + 0.06 * attempt)
            child.send_signal(signal.SIGKILL)
    write_shards(Pictures(60), killed, samples_per_shard=7)
    assert folder_bytes(killed) == folder_bytes(tmp_path / "whole")
    assert len(Shards(str(killed))) == 60
