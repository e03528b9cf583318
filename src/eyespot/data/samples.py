"""What every dataset of this room gives: an image, perhaps a label, and a name for messages."""

from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

IMAGE_ENDINGS = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".avif")
)

MAX_FILE_BYTES = 1 << 28
"""Files larger than this are refused before they are read."""


class Sample(NamedTuple):
    """One item: the file's bytes or RGB pixels [h, w, 3], a label, and where it came from."""

    image: bytes | np.ndarray
    label: int | None
    name: str


@runtime_checkable
class Samples(Protocol):
    """A dataset: a length, and an item for each index from 0."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def __getitem__(self, index: int) -> Sample:
        """Return one sample; ValueError if it cannot be had because it is damaged."""


def read_image_file(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        ValueError: If there is no such file or it is larger than `MAX_FILE_BYTES`.
    """
    if not path.is_file():
        why = "a folder; name its files" if path.is_dir() else "no such file"
        raise ValueError(f"need an image file, got {path}: {why}")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise ValueError(
            f"need an image file of at most {MAX_FILE_BYTES} bytes, got {size}: {path}"
        )
    return path.read_bytes()


def checked_label(label: int, num_classes: int, where: str) -> int:
    """Return a label that is one of 0..num_classes-1.

    Raises:
        ValueError: If it is not; `where` says which.
    """
    if not 0 <= label < num_classes:
        raise ValueError(f"need a label of 0..{num_classes - 1}, got {label}: {where}")
    return label
