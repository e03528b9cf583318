"""Small data sets kept as plain arrays in files: IDX (MNIST's form) and CIFAR's binary form."""

import gzip
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from eyespot.data.samples import Sample, checked_label

_UBYTE = 0x08
_MAX_VALUES = 1 << 31
_CIFAR_PIXELS = 3 * 32 * 32


def read_idx(path: Path) -> UInt8[np.ndarray, "..."]:
    """Read an IDX file of unsigned bytes, gzipped if it ends in .gz.

    Format: two zero bytes, the type, the number of dimensions, each dimension as a big-endian
    32-bit number, then the values, last dimension fastest.

    Raises:
        ValueError: If the file is missing, of another form, or not as long as its header says.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"need an IDX file, got {path}: no such file")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            zero, kind, num_dims = struct.unpack(">HBB", file.read(4))
            if zero != 0 or kind != _UBYTE or not 1 <= num_dims <= 4:
                raise ValueError(
                    f"need an IDX file of unsigned bytes (0, 0, 8, dimensions), got {zero:#06x}, "
                    f"{kind}, {num_dims}: {path}"
                )
            shape = struct.unpack(f">{num_dims}I", file.read(4 * num_dims))
            size = math.prod(shape)
            if size > _MAX_VALUES:
                raise ValueError(f"need at most {_MAX_VALUES} values, got shape {shape}: {path}")
            values = file.read(size + 1)
    except (EOFError, OSError, struct.error, zlib.error) as error:
        raise ValueError(f"the IDX file {path} is truncated or broken: {error}") from error
    if len(values) != size:
        more = "more" if len(values) > size else len(values)
        raise ValueError(f"need {size} values for the shape {shape} of {path}, got {more}")
    return np.frombuffer(values, np.uint8).reshape(shape)


class IdxImages:
    """Grey images of an IDX file, given as RGB, with the labels of another.

    Args:
        images: File of shape [N, h, w], for example train-images-idx3-ubyte.gz.
        labels: File of shape [N], or None.
        num_classes: How many classes the labels may name.

    Raises:
        ValueError: If a file is damaged, the two do not match, or a label is out of range.
    """

    def __init__(self, images: Path, labels: Path | None = None, *, num_classes: int = 10) -> None:
        self.num_classes = num_classes
        self._name = Path(images).name
        self._images = read_idx(images)
        if self._images.ndim != 3 or len(self._images) == 0:
            raise ValueError(f"need images of shape [N, h, w], got {self._images.shape}: {images}")
        self._labels: np.ndarray | None = None
        if labels is not None:
            self._labels = read_idx(labels)
            if self._labels.shape != self._images.shape[:1]:
                raise ValueError(
                    f"need a label for each of the {len(self._images)} images of {images}, got "
                    f"shape {self._labels.shape}: {labels}"
                )
            _check_labels(self._labels, num_classes, str(labels))

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Sample:
        label = None if self._labels is None else int(self._labels[index])
        pixels = np.repeat(self._images[index][..., None], 3, axis=-1)  # [h, w, 3]
        return Sample(pixels, label, f"{self._name}:{index}")


class CifarBinary:
    """CIFAR-10 or CIFAR-100 in the "binary version", mapped from disk.

    A row is one label byte (CIFAR-100: the coarse label, then the fine one, which is used), then
    32x32 values of red, of green and of blue.

    Args:
        paths: Files, for example data_batch_1.bin to data_batch_5.bin.
        num_classes: 10 or 100.

    Raises:
        ValueError: If a file is missing or not made of whole rows, or a label is out of range.
    """

    def __init__(self, paths: Sequence[Path], *, num_classes: int = 10) -> None:
        if num_classes not in (10, 100) or not paths:
            raise ValueError(
                f"need at least one file and 10 or 100 classes, got {len(paths)} files and "
                f"{num_classes} classes"
            )
        self.num_classes = num_classes
        self._paths = [Path(path) for path in paths]
        self._rows = [
            _map_rows(path, _CIFAR_PIXELS + num_classes // 100 + 1) for path in self._paths
        ]
        self._ends = np.cumsum([len(rows) for rows in self._rows])
        for path, rows in zip(self._paths, self._rows, strict=True):
            _check_labels(rows[:, -_CIFAR_PIXELS - 1], num_classes, str(path))

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Sample:
        index = range(len(self))[index]
        which = int(np.searchsorted(self._ends, index, side="right"))
        rows = self._rows[which]
        within = index - int(self._ends[which]) + len(rows)
        row = rows[within]
        pixels = row[-_CIFAR_PIXELS:].reshape(3, 32, 32).transpose(1, 2, 0)
        name = f"{self._paths[which].name}:{within}"
        return Sample(np.ascontiguousarray(pixels), int(row[-_CIFAR_PIXELS - 1]), name)


def _map_rows(path: Path, row_bytes: int) -> np.ndarray:
    if not path.is_file():
        raise ValueError(f"need a CIFAR binary file, got {path}: no such file")
    size = path.stat().st_size
    if size == 0 or size % row_bytes:
        raise ValueError(
            f"need whole rows of {row_bytes} bytes, got {size} bytes: {path}; is it truncated, or "
            "the other CIFAR?"
        )
    return np.memmap(path, np.uint8, "r", shape=(size // row_bytes, row_bytes))


def _check_labels(labels: np.ndarray, num_classes: int, where: str) -> None:
    if (labels >= num_classes).any():
        at = int(np.argmax(labels >= num_classes))
        checked_label(int(labels[at]), num_classes, f"sample {at} of {where}")
