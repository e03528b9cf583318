"""A data set of noisy bars, one place a class, as MNIST's files; and a network small enough."""

import struct

import numpy as np

from eyespot.design.spec_files import write_spec
from eyespot.design.specs import AnyNetSpec

SMALL = AnyNetSpec(
    (1, 1), (16, 16), (2, 2), (1.0, 1.0), (8, 8), stem="res_stem_cifar", stem_width=8,
    num_classes=3, image_size=16, test_size=16,
)  # fmt: skip


def bars(count, seed, classes=3):
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % classes).astype(np.uint8)
    images = rng.integers(0, 160, (count, 16, 16), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 5 * label : 5 * label + 4] //= 4
        image[:, 5 * label : 5 * label + 2] += 170
    return images, labels


def write_idx(path, array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.tobytes())


def write_bars(folder, train=90, test=45, classes=3):
    """Write both splits and the network's spec; return the folder and the spec's path as text."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count, seed in (("train", train, 0), ("t10k", test, 1)):
        images, labels = bars(count, seed, classes)
        write_idx(folder / f"{split}-images-idx3-ubyte", images)
        write_idx(folder / f"{split}-labels-idx1-ubyte", labels)
    write_spec(SMALL, folder.parent / "spec.json")
    return str(folder), str(folder.parent / "spec.json")
