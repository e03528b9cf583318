"""PASCAL VOC's images with the classes they show, as the classification task has them.

Shapes: N images, K classes.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Int8

from eyespot.data.samples import Sample, read_image_file

_LISTS = Path("ImageSets") / "Main"


class VocImages:
    """The images of a split, without a single label, since an image may show several classes.

    Args:
        root: Such as VOCdevkit/VOC2007, with JPEGImages and ImageSets/Main.
        split: "train", "val", "trainval" or "test".

    Attributes:
        classes: In alphabetical order.
        truths: [N, K]: 1 if an image shows a class, -1 if not, 0 if only as a difficult object.

    Raises:
        ValueError: If lists are missing, or do not speak of the same images.
    """

    truths: Int8[np.ndarray, "n k"]

    def __init__(self, root: Path, split: str) -> None:
        self.root = Path(root)
        ending = f"_{split}.txt"
        lists = sorted((self.root / _LISTS).glob(f"*{ending}"))
        if not lists:
            raise ValueError(f"need lists such as aeroplane{ending} in {self.root / _LISTS}")
        self.classes = tuple(path.name.removesuffix(ending) for path in lists)
        self._names: tuple[str, ...] = ()
        columns: list[list[int]] = []
        for path in lists:
            rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line]
            if any(len(row) != 2 or row[1] not in ("1", "0", "-1") for row in rows):
                raise ValueError(f"need lines of a name and 1, 0 or -1, got others in {path}")
            names = tuple(row[0] for row in rows)
            if columns and names != self._names:
                raise ValueError(f"need the same images in every list, got others in {path}")
            self._names = names
            columns.append([int(row[1]) for row in rows])
        self.truths = np.array(columns, np.int8).T

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Sample:
        name = f"{self._names[index]}.jpg"
        return Sample(read_image_file(self.root / "JPEGImages" / name), None, name)


def is_voc_folder(source: str) -> bool:
    """Say whether a source is a folder of VOC."""
    return (Path(source) / _LISTS).is_dir()
