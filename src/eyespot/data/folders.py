"""Images in folders, and images that a text file lists."""

import os
from pathlib import Path

import numpy as np

from eyespot.data.rows import PackedStrings, TextRows
from eyespot.data.samples import IMAGE_ENDINGS, Sample, checked_label, read_image_file


class ImageFolder:
    """Every image below a folder, sorted by path.

    With labels, each folder directly below the root is a class, numbered in sorted order, as
    ImageNet is laid out. Without, the folders mean nothing. Links are followed, hidden files
    skipped.

    Args:
        root: The folder.
        labelled: Whether folders are classes.

    Attributes:
        classes: Names of the classes, by label.
        num_ignored: Files that were left out because their ending is not an image's.

    Raises:
        ValueError: If the folder is missing, a class is empty, or there is no image at all.
    """

    def __init__(self, root: Path, *, labelled: bool = True) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise ValueError(f"need a folder of images, got {self.root}: no such folder")
        self.classes: tuple[str, ...] = ()
        self.num_ignored = 0
        paths: list[str] = []
        labels: list[int] = []
        if labelled:
            self.classes = _class_names(self.root)
        for label, name in enumerate(self.classes or ("",)):
            found = self._images_below(name)
            if not found:
                where = self.root / name
                raise ValueError(f"need at least one image in every class, got none in {where}")
            paths += found
            labels += [label] * len(found)
        self._paths = PackedStrings(paths)
        self._labels = np.array(labels, np.int32)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Sample:
        name = self._paths[index]
        label = int(self._labels[index]) if self.classes else None
        return Sample(read_image_file(self.root / name), label, name)

    def listing(self) -> tuple[list[str], np.ndarray]:
        """Return names and labels, -1 without classes."""
        labels = self._labels if self.classes else np.full(len(self), -1)
        return [self._paths[i] for i in range(len(self))], labels

    def _images_below(self, folder: str) -> list[str]:
        found = []
        for place, folders, files in os.walk(self.root / folder, followlinks=True):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for file in files:
                if file.startswith("."):
                    continue
                if os.path.splitext(file)[1].lower() in IMAGE_ENDINGS:
                    found.append(os.path.relpath(os.path.join(place, file), self.root))
                else:
                    self.num_ignored += 1
        return sorted(found)


class FileList:
    """The images that a text file lists, a path a line.

    Without `num_classes` a line is a path; with it, a path, white space and a label. The list is
    never held in memory, so it may have a billion lines (see `TextRows`).

    Args:
        path: The text file.
        root: Folder that the paths start from; default the list's own.
        num_classes: Number of classes, if the lines have labels.
        drop_labels: Lines have labels, which are not looked at.

    Raises:
        ValueError: If the list is missing or empty; on access, if a line's label is missing, no
            number or out of range, or its file is missing.
    """

    def __init__(
        self,
        path: Path,
        *,
        root: Path | None = None,
        num_classes: int | None = None,
        drop_labels: bool = False,
    ) -> None:
        self.path = Path(path)
        self.drop_labels = drop_labels
        self.root = self.path.parent if root is None else Path(root)
        self.num_classes = num_classes
        self._rows = TextRows(self.path)
        if len(self._rows) == 0:
            raise ValueError(f"need at least one line, got none in {self.path}")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        name, label = self._rows[index], None
        if self.drop_labels:
            name = name.rsplit(maxsplit=1)[0]
        elif self.num_classes is not None:
            where = f"line {index + 1} of {self.path}"
            name, label = _split_label(name, where)
            checked_label(label, self.num_classes, where)
        return Sample(read_image_file(self.root / name), label, name)

    def listing(self) -> tuple[list[str], np.ndarray]:
        """Return names and labels, -1 where lines have none."""
        rows = [self._rows[i] for i in range(len(self))]
        if self.drop_labels:
            rows = [row.rsplit(maxsplit=1)[0] for row in rows]
        if self.num_classes is None:
            return rows, np.full(len(rows), -1)
        found = [_split_label(row, f"line {i} of {self.path}") for i, row in enumerate(rows, 1)]
        return [name for name, _ in found], np.array([label for _, label in found])

    def count_classes(self) -> int:
        """Return the largest label of all lines, plus one.

        Raises:
            ValueError: If a line has no label, or a negative one.
        """
        largest = -1
        for place in range(len(self)):
            _, label = _split_label(self._rows[place], f"line {place + 1} of {self.path}")
            if label < 0:
                raise ValueError(
                    f"need labels of 0 or more, got {label}: line {place + 1} of {self.path}"
                )
            largest = max(largest, label)
        return largest + 1


class ArrayList:
    """The images that a .npy array of paths lists, mapped from disk, as VISSL keeps its lists.

    Args:
        path: One-dimensional array of strings.
        labels: Array of as many whole numbers, or None.
        root: Folder that the paths start from; default the list's own.

    Raises:
        ValueError: If a file is missing or of another kind; on access, if an image is missing.
    """

    def __init__(self, path: Path, labels: Path | None = None, *, root: Path | None = None) -> None:
        self.path = Path(path)
        self.root = self.path.parent if root is None else Path(root)
        self._labels_path = labels
        self._arrays = self._open()
        names, numbers = self._arrays
        if names.ndim != 1 or names.dtype.kind not in "US" or len(names) == 0:
            raise ValueError(
                f"need an array of paths, got {names.dtype} of shape {names.shape}: {path}"
            )
        if numbers is not None and (numbers.shape != names.shape or numbers.dtype.kind not in "iu"):
            raise ValueError(
                f"need a whole number for each of the {len(names)} paths of {path}, got "
                f"{numbers.dtype} of shape {numbers.shape}: {labels}"
            )

    def __len__(self) -> int:
        return len(self._arrays[0])

    def __getitem__(self, index: int) -> Sample:
        names, numbers = self._arrays
        name = names[index]
        name = os.fsdecode(name) if isinstance(name, bytes) else str(name)
        label = None if numbers is None else int(numbers[index])
        return Sample(read_image_file(self.root / name), label, name)

    def count_classes(self) -> int:
        """Return the largest label plus one; ValueError if one is negative."""
        numbers = self._arrays[1]
        assert numbers is not None
        if numbers.min() < 0:
            at = int(numbers.argmin())
            raise ValueError(
                f"need labels of 0 or more, got {numbers[at]}: row {at} of {self._labels_path}"
            )
        return int(numbers.max()) + 1

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_arrays": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._arrays = self._open()

    def _open(self) -> tuple[np.ndarray, np.ndarray | None]:
        labels = self._labels_path
        return _map_array(self.path), None if labels is None else _map_array(labels)


def _map_array(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"need a .npy array of strings or numbers, without Python objects, got {path}: {error}"
        ) from error


def _class_names(root: Path) -> tuple[str, ...]:
    names = sorted(
        entry.name for entry in os.scandir(root) if entry.is_dir() and entry.name[0] != "."
    )
    if not names:
        raise ValueError(
            f"need a folder for each class in {root}, got none; for images without labels pass "
            "labelled=False"
        )
    return tuple(names)


def _split_label(row: str, where: str) -> tuple[str, int]:
    parts = row.rsplit(maxsplit=1)
    if len(parts) != 2 or not parts[1].removeprefix("-").isdecimal():
        raise ValueError(f"need a path, white space and a label, got {row!r}: {where}")
    return parts[0], int(parts[1])
