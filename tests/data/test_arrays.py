import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from eyespot.data.arrays import CifarBinary, IdxImages, read_idx

FASHION = Path("/usr/share/datasets/fashion-mnist")


def idx(values: np.ndarray) -> bytes:
    head = struct.pack(">HBB", 0, 8, values.ndim)
    return head + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


@pytest.fixture
def images(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (5, 28, 20), dtype=np.uint8)
    (tmp_path / "images").write_bytes(idx(values))
    (tmp_path / "images.gz").write_bytes(gzip.compress(idx(values)))
    (tmp_path / "labels").write_bytes(idx(np.array([3, 1, 4, 1, 5], np.uint8)))
    return values


def test_idx_plain_and_gzipped(tmp_path, images):
    for name in ("images", "images.gz"):
        np.testing.assert_array_equal(read_idx(tmp_path / name), images)
    data = IdxImages(tmp_path / "images.gz", tmp_path / "labels")
    assert len(data) == 5
    pixels, label, name = data[2]
    np.testing.assert_array_equal(pixels, np.stack([images[2]] * 3, -1))
    assert (label, name) == (4, "images.gz:2")
    assert IdxImages(tmp_path / "images")[0].label is None


def test_damaged_idx_files_are_refused(tmp_path, images):
    whole = idx(images)
    bad = tmp_path / "bad"
    for data, message in [
        (b"", "truncated or broken"),
        (whole[:7], "truncated or broken"),
        (whole[:-1], "need 2800 values for the shape .* got 2799"),
        (whole + b"x", "need 2800 values .* got more"),
        (b"\x89PNG" + whole, "need an IDX file of unsigned bytes"),
        (struct.pack(">HBB", 0, 13, 1) + whole[4:], "unsigned bytes .* got 0x0000, 13, 1"),
        (struct.pack(">HBB4I", 0, 8, 4, *[65_000] * 4), "need at most 2147483648 values"),
    ]:
        bad.write_bytes(data)
        with pytest.raises(ValueError, match=message):
            read_idx(bad)
    cut = tmp_path / "bad.gz"
    for data in (
        gzip.compress(whole)[:-20],
        b"not gzip at all",
        gzip.compress(whole)[:-4] + b"abcd",
    ):
        cut.write_bytes(data)
        with pytest.raises(ValueError, match="truncated or broken"):
            read_idx(cut)
    with pytest.raises(ValueError, match="no such file"):
        read_idx(tmp_path / "nowhere")


def test_labels_must_fit(tmp_path, images):
    with pytest.raises(ValueError, match=r"need a label of 0..3, got 4: sample 2 of .*labels"):
        IdxImages(tmp_path / "images", tmp_path / "labels", num_classes=4)
    (tmp_path / "few").write_bytes(idx(np.zeros(4, np.uint8)))
    with pytest.raises(ValueError, match=r"a label for each of the 5 images .* got shape \(4,\)"):
        IdxImages(tmp_path / "images", tmp_path / "few")
    with pytest.raises(ValueError, match=r"images of shape \[N, h, w\], got \(5,\)"):
        IdxImages(tmp_path / "labels")


@pytest.mark.skipif(not FASHION.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist_is_read():
    train = IdxImages(
        FASHION / "train-images-idx3-ubyte.gz", FASHION / "train-labels-idx1-ubyte.gz"
    )
    assert len(train) == 60_000
    assert train[0].image.shape == (28, 28, 3)
    labels = np.bincount([train[i].label for i in range(60_000)])
    assert labels.tolist() == [6000] * 10
    sample = np.stack([train[i].image for i in range(0, 60_000, 20)]) / 255
    assert abs(sample.mean() - 0.2860) < 0.005
    assert abs(sample.std() - 0.3530) < 0.005


@pytest.mark.parametrize(("num_classes", "label_bytes"), [(10, 1), (100, 2)])
def test_cifar_rows_are_labels_then_planes(tmp_path, num_classes, label_bytes):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, num_classes, 7)
    paths = [tmp_path / "a.bin", tmp_path / "b.bin"]
    for path, part in zip(paths, (slice(0, 4), slice(4, 7)), strict=True):
        rows = b""
        for picture, label in zip(pictures[part], labels[part], strict=True):
            coarse = bytes([19] * (label_bytes - 1))
            rows += coarse + bytes([label]) + picture.transpose(2, 0, 1).tobytes()
        path.write_bytes(rows)
    data = CifarBinary(paths, num_classes=num_classes)
    assert len(data) == 7
    for index, (pixels, label, _) in enumerate(data):
        np.testing.assert_array_equal(pixels, pictures[index])
        assert label == labels[index]
    assert [data[3].name, data[4].name, data[-1].name] == ["a.bin:3", "b.bin:0", "b.bin:2"]


def test_damaged_cifar_files_are_refused(tmp_path):
    path = tmp_path / "a.bin"
    for size, message in [(0, "got 0 bytes"), (3072, "got 3072 bytes"), (3074, "the other CIFAR")]:
        path.write_bytes(bytes(size))
        with pytest.raises(ValueError, match=message):
            CifarBinary([path])
    path.write_bytes(bytes([10]) + bytes(3072))
    with pytest.raises(ValueError, match=r"need a label of 0..9, got 10: sample 0 of .*a.bin"):
        CifarBinary([path])
    with pytest.raises(ValueError, match="no such file"):
        CifarBinary([tmp_path / "b.bin"])
    with pytest.raises(ValueError, match="10 or 100 classes, got 1 files and 20"):
        CifarBinary([path], num_classes=20)
