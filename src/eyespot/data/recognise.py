"""What kind of data lies at an address, and which splits it has; nothing is opened yet."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from eyespot.data.samples import IMAGE_ENDINGS
from eyespot.data.shards import expand
from eyespot.data.storage import is_remote

SPLITS = ("train", "val", "test")
_SPLIT_WORDS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_SPLIT_IN_NAME = re.compile(rf"(?:^|[-_.])({'|'.join(_SPLIT_WORDS)})(?=[-_.])")
_IDX = re.compile(r"(?:.*-)?(train|t10k|test)-(images|labels)[-.]idx[13]-ubyte(?:\.gz)?")
_CIFAR = {
    **{f"data_batch_{i}.bin": ("CIFAR-10", "train") for i in range(1, 6)},
    "test_batch.bin": ("CIFAR-10", "test"),
    "train.bin": ("CIFAR-100", "train"),
    "test.bin": ("CIFAR-100", "test"),
}
_CIFAR_PICKLES = frozenset(("data_batch_1", "batches.meta"))
_NO_LISTS = (".json", ".jsonl", ".yaml", ".yml")
_FORMS = (
    "class folders of images, images, .tar shards, IDX files, CIFAR's binary files, "
    "or train/ and val/ folders of these"
)


@dataclass(frozen=True)
class Place:
    """One set of samples, not opened yet.

    Args:
        kind: "image folder" (subfolders are classes), "images", "file list", "array list", "IDX",
            "CIFAR-10", "CIFAR-100", "shards" or "scenes".
        paths: The folder; the list; images and labels of IDX; all files of CIFAR or shards; or the
            string that names the scenes.
    """

    kind: str
    paths: tuple[str, ...]


def recognise(source: str) -> dict[str | None, Place]:
    """Return the sets at an address by split, or one under None if it has no splits.

    Raises:
        ValueError: If there is nothing, nothing that is known, or a mixture.
    """
    if not source:
        raise ValueError(f"need {_FORMS}, a file list or 'scenes', got an empty name")
    if source == "scenes" or source.startswith("scenes:"):
        return {split: Place("scenes", (source,)) for split in SPLITS}
    if is_remote(source) or "{" in source or source.endswith(".tar"):
        return _shards_by_split(expand(source))
    path = Path(source)
    if path.is_dir():
        return _in_folder(path)
    if not path.is_file():
        raise ValueError(
            f"need a folder, a file list, shards or 'scenes', got {source}: no such file or folder"
        )
    ending = path.suffix.lower()
    if ending in IMAGE_ENDINGS:
        raise ValueError(f"need a folder or a list of images, got the one image {source}")
    if ending in _NO_LISTS:
        raise ValueError(
            f"need images, got {source}, which is no list of them; annotation files are for "
            "grounding: `eyespot train ground/...` takes them, `eyespot data check` explains them"
        )
    if ending == ".npy":
        return {None: Place("array list", (source,))}
    return {None: Place("file list", (source,))}


def _in_folder(folder: Path) -> dict[str | None, Place]:
    files, folders = _entries(folder)
    splits = _split_folders(files, folders)
    if splits:
        return {split: _only_set(folder / name) for split, name in splits.items()}
    forms = {
        "shards": [file for file in files if file.endswith(".tar")],
        "IDX files": [file for file in files if _IDX.fullmatch(file)],
        "CIFAR's files": [file for file in files if file in _CIFAR],
        "images": [file for file in files if _is_image(file)],
    }
    found = [form for form, names in forms.items() if names]
    if len(found) > 1:
        examples = " and ".join(f"{form} ({forms[form][0]})" for form in found)
        raise ValueError(f"need one kind of data in {folder}, got {examples}")
    if forms["shards"]:
        return _shards_by_split([str(folder / name) for name in forms["shards"]])
    if forms["IDX files"]:
        return _idx_by_split(folder, forms["IDX files"])
    if forms["CIFAR's files"]:
        return _cifar_by_split(folder, forms["CIFAR's files"])
    if forms["images"]:
        return {None: Place("images", (str(folder),))}
    if len(folders) == 1:
        return _in_folder(folder / folders[0])
    if folders:
        return {None: Place("image folder", (str(folder),))}
    if _CIFAR_PICKLES.intersection(files):
        raise ValueError(
            f"need CIFAR's binary version (data_batch_1.bin, ...), got {folder} with the Python "
            "version, whose files are pickles, which can run any program"
        )
    held = f"only files such as {files[0]}" if files else "nothing"
    raise ValueError(f"need {_FORMS}, got a folder with {held}: {folder}")


def _entries(folder: Path) -> tuple[list[str], list[str]]:
    files: list[str] = []
    folders: list[str] = []
    for entry in os.scandir(folder):
        if not entry.name.startswith("."):
            (folders if entry.is_dir() else files).append(entry.name)
    return sorted(files), sorted(folders)


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_ENDINGS


def _split_folders(files: list[str], folders: list[str]) -> dict[str | None, str]:
    """Folders that are splits: train with another one, or alone; else they are classes."""
    splits: dict[str | None, str] = {}
    for name in reversed(folders):
        if name in _SPLIT_WORDS:
            splits[_SPLIT_WORDS[name]] = name
    alone = len(folders) == 1 and not any(_is_image(file) for file in files)
    if "train" not in splits or (len(splits) == 1 and not alone):
        return {}
    return {split: splits[split] for split in SPLITS if split in splits}


def _only_set(folder: Path) -> Place:
    places = _in_folder(folder)
    if len(places) > 1:
        raise ValueError(
            f"need one set in {folder}, got {len(places)}: {', '.join(map(str, places))}"
        )
    return next(iter(places.values()))


def _shards_by_split(shards: list[str]) -> dict[str | None, Place]:
    """Shards whose names all tell their split, such as train-000000.tar, are parted by it."""
    splits: dict[str | None, list[str]] = {}
    for shard in shards:
        word = _SPLIT_IN_NAME.search(shard.rsplit("/", 1)[-1])
        splits.setdefault(_SPLIT_WORDS[word[1]] if word else None, []).append(shard)
    if None in splits or len(splits) < 2:
        return {None: Place("shards", tuple(shards))}
    return {split: Place("shards", tuple(splits[split])) for split in SPLITS if split in splits}


def _idx_by_split(folder: Path, files: list[str]) -> dict[str | None, Place]:
    found: dict[str, dict[str, str]] = {}
    for name in files:
        match = _IDX.fullmatch(name)
        assert match is not None
        of_split = found.setdefault("train" if match[1] == "train" else "test", {})
        if match[2] in of_split:
            raise ValueError(
                f"need one file of {match[1]} {match[2]} in {folder}, got {of_split[match[2]]} "
                f"and {name}"
            )
        of_split[match[2]] = name
    places: dict[str | None, Place] = {}
    for split in SPLITS:
        names = found.get(split)
        if names is not None:
            if "images" not in names:
                raise ValueError(f"need images beside {names['labels']}, got none in {folder}")
            paths = [str(folder / names[part]) for part in ("images", "labels") if part in names]
            places[split] = Place("IDX", tuple(paths))
    return places


def _cifar_by_split(folder: Path, files: list[str]) -> dict[str | None, Place]:
    kinds = {_CIFAR[name][0] for name in files}
    if len(kinds) > 1:
        raise ValueError(f"need one CIFAR in {folder}, got {' and '.join(sorted(kinds))}")
    kind = kinds.pop()
    places: dict[str | None, Place] = {}
    for split in SPLITS:
        names = [name for name in files if _CIFAR[name][1] == split]
        if names:
            places[split] = Place(kind, tuple(str(folder / name) for name in names))
    return places
