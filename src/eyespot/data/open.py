"""Opens what a user gives to `--data`, whatever its kind.

Known are: a folder with a folder of images for each class; a folder of images; train/ and val/ or
test/ folders of any of these; a text file of one `path` or `path label` a line; a .npy array of
paths (with labels in the file named `labels` where this one is named `images`); MNIST's IDX files;
CIFAR's binary files; WebDataset shards as a folder, a pattern or an fsspec address; and `scenes` or
`scenes:KEY=VALUE,...`, the rendered world.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from eyespot.data.arrays import CifarBinary, IdxImages, read_idx
from eyespot.data.folders import ArrayList, FileList, ImageFolder
from eyespot.data.held_out import held_out
from eyespot.data.recognise import SPLITS, Place, recognise
from eyespot.data.rows import TextRows
from eyespot.data.samples import Sample, Samples
from eyespot.data.scene_samples import SceneSamples, parse_scenes
from eyespot.data.shards import Shards
from eyespot.data.write_shards import CLASS_NAMES

MAX_CLASSES = 1_000_000
"""Labels above are no classes; a network for them would fill the memory."""

_CIFAR_NAMES = {"CIFAR-10": "batches.meta.txt", "CIFAR-100": "fine_label_names.txt"}


@dataclass(frozen=True)
class Opened:
    """A data set and what is known of it.

    Args:
        samples: The images.
        kind: As `Place.kind` says.
        num_classes: How many classes the labels name; None without labels.
        classes: Names of the classes, by label; empty where nobody gave names.
        description: One line for a log.
    """

    samples: Samples
    kind: str
    num_classes: int | None
    classes: tuple[str, ...]
    description: str


def find_splits(source: str) -> tuple[str, ...]:
    """Return which of "train", "val" and "test" a source has; none if it is one set.

    Raises:
        ValueError: If there is no data that is known.
    """
    return tuple(split for split in recognise(source) if split is not None)


def open_samples(
    source: str,
    *,
    split: str | None = None,
    labelled: bool | None = None,
    num_classes: int | None = None,
) -> Opened:
    """Open a data set.

    Args:
        source: What the user named; this module's first lines say what is known.
        split: "train", "val" or "test". A source of one set is "train"; where there is no "val",
            "test" is taken for it, and the other way round. None: the source has one set.
        labelled: True: every sample must have a label; False: none gets one; None: as it comes.
        num_classes: How many classes labels may name; counted if not given.

    Raises:
        ValueError: If there is no such data or split, it is damaged or of mixed kinds, or labels
            are missing or out of range; the sentence says which.
    """
    place, split = _choose(recognise(source), source, split)
    opened = _open_place(place, split, labelled, num_classes)
    if labelled is False:
        opened = _without_labels(opened)
    if labelled and opened.num_classes is None:
        raise ValueError(
            f"need labels, got {opened.kind} without: {' '.join(filter(None, (source, split)))}; "
            "give each class a folder, or list `path label` lines"
        )
    if (opened.num_classes or 0) > MAX_CLASSES:
        raise ValueError(
            f"need labels below {MAX_CLASSES:,}, the numbers of classes from 0 on, got "
            f"{(opened.num_classes or 0) - 1}: {source}"
        )
    if opened.num_classes is not None and num_classes is not None:
        if opened.num_classes > num_classes:
            raise ValueError(
                f"need labels below {num_classes}, got {opened.num_classes - 1}: {source}"
            )
        opened = replace(opened, num_classes=num_classes)
    return replace(opened, description=_describe(opened, source, split))


def open_train_and_val(
    source: str,
    *,
    labelled: bool | None = None,
    part: float | int = 0.05,
    seed: int = 0,
) -> tuple[Opened, Opened]:
    """Open what to train on and what to validate on.

    Args:
        source: As for `open_samples`.
        labelled: As for `open_samples`.
        part: Share or number of samples to hold out where the source has only a training set.
        seed: Chooses another part.

    Raises:
        ValueError: As for `open_samples`, or if the two do not have the same classes.
    """
    splits = find_splits(source)
    train = open_samples(source, split="train", labelled=labelled)
    if not splits or splits == ("train",):
        parts = held_out(train.samples, part, seed=seed)
        return (
            replace(train, samples=parts[0], description=f"{train.description}; but the next"),
            replace(train, samples=parts[1], description=f"{len(parts[1])} of these, held out"),
        )
    val = open_samples(source, split="val", labelled=labelled, num_classes=train.num_classes)
    if val.classes != train.classes:
        odd = sorted(set(val.classes) ^ set(train.classes))
        raise ValueError(
            f"need the same classes to train and to validate, got {len(odd)} in only one of them, "
            f"such as {odd[0]!r}: {source}"
        )
    return train, val


class Unlabelled:
    """A data set whose labels are not looked at.

    Args:
        samples: Where images come from.
    """

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]._replace(label=None)


def _choose(
    places: dict[str | None, Place], source: str, split: str | None
) -> tuple[Place, str | None]:
    if split is not None and split not in SPLITS:
        raise ValueError(f"need a split of {', '.join(SPLITS)}, got {split!r}")
    if None in places:
        if split in ("val", "test"):
            raise ValueError(f"need a {split} split, got one set: {source}; hold out a part of it")
        return places[None], split
    if split is None:
        if len(places) == 1:
            (split,) = places
            return places[split], split
        raise ValueError(f"need one of the splits {', '.join(map(str, places))} of {source}")
    other = {"val": "test", "test": "val"}.get(split, split)
    for name in (split, other):
        if name in places:
            return places[name], name
    raise ValueError(f"need a {split} split, got {', '.join(map(str, places))}: {source}")


def _open_place(
    place: Place,
    split: str | None,
    labelled: bool | None,
    num_classes: int | None,
) -> Opened:
    paths = [Path(path) for path in place.paths]
    match place.kind:
        case "image folder" if labelled is not False:
            folder = ImageFolder(paths[0])
            return _opened(folder, place.kind, len(folder.classes), folder.classes)
        case "images" | "image folder":
            _refuse_classes_beside_images(paths[0], labelled)
            return _opened(ImageFolder(paths[0], labelled=False), "images", None)
        case "file list":
            return _open_list(paths[0], labelled)
        case "array list":
            labels = paths[0].with_name(paths[0].name.replace("images", "labels"))
            has_labels = labels != paths[0] and labels.is_file()
            array = ArrayList(paths[0], labels if has_labels else None)
            return _opened(array, place.kind, array.count_classes() if has_labels else None)
        case "IDX":
            count = int(read_idx(paths[1]).max(initial=0)) + 1 if len(paths) > 1 else None
            idx = IdxImages(*paths[:2], num_classes=num_classes or count or 1)
            return _opened(idx, place.kind, count)
        case "CIFAR-10" | "CIFAR-100":
            count = int(place.kind.removeprefix("CIFAR-"))
            names = _names_beside(paths[0], _CIFAR_NAMES[place.kind], count)
            return _opened(CifarBinary(paths, num_classes=count), place.kind, count, names)
        case "shards":
            return _open_shards(place.paths, labelled)
        case "scenes":
            scenes = SceneSamples(parse_scenes(place.paths[0]), split or "train")
            return _opened(scenes, place.kind, len(scenes.classes), scenes.classes)
    raise AssertionError(place.kind)


def _opened(
    samples: Samples, kind: str, num_classes: int | None, classes: tuple[str, ...] = ()
) -> Opened:
    return Opened(samples, kind, num_classes, classes, "")


def _refuse_classes_beside_images(folder: Path, labelled: bool | None) -> None:
    """Images beside folders of images may be classes gone wrong; only `labelled=False` says no."""
    folders = sorted(path.name for path in folder.iterdir() if path.is_dir())
    folders = [name for name in folders if not name.startswith(".")]
    if folders and labelled is not False:
        raise ValueError(
            f"need either images or a folder for each class, got images beside the folder "
            f"{folders[0]}: {folder}"
        )


def _open_list(path: Path, labelled: bool | None) -> Opened:
    rows = TextRows(path)
    if len(rows) == 0:
        raise ValueError(f"need a path, or a path and a label, a line, got the empty file {path}")
    first = rows[0]
    if (path.parent / first).is_file():
        return _opened(FileList(path), "file list", None)
    name, *label = first.rsplit(maxsplit=1) or [first]
    if not label or not (path.parent / name).is_file():
        raise ValueError(
            f"need a path, or a path and a label, a line, got {first[:80]!r} in the first line of "
            f"{path}, which is no file of {path.parent}"
        )
    if labelled is False:  # a billion labels are not worth reading for nothing
        return _opened(FileList(path, drop_labels=True), "file list", None)
    num_classes = FileList(path, num_classes=1).count_classes()
    files = FileList(path, num_classes=num_classes)
    return _opened(files, "file list", num_classes)


def _open_shards(shards: tuple[str, ...], labelled: bool | None) -> Opened:
    samples = Shards(shards)
    if samples.num_unlabelled not in (0, len(samples)) and labelled is not False:
        raise ValueError(
            f"need a label in every sample or in none, got {samples.num_unlabelled} of "
            f"{len(samples)} without one: {shards[0]}"
        )
    samples.num_classes = samples.label_limit or None
    classes = _names_beside(Path(shards[0]), CLASS_NAMES, max(1, samples.label_limit))
    if samples.num_classes and classes:
        samples.num_classes = len(classes)
        return _opened(samples, "shards", len(classes), classes)
    return _opened(samples, "shards", samples.num_classes)


def _without_labels(opened: Opened) -> Opened:
    samples = opened.samples
    if opened.kind == "shards":
        assert isinstance(samples, Shards)
        samples.num_classes = None
    elif opened.num_classes is not None:
        samples = Unlabelled(samples)
    return replace(opened, samples=samples, num_classes=None, classes=())


def _names_beside(file: Path, name: str, least: int) -> tuple[str, ...]:
    """Return the class names in a text file, a name a line; none unless there are enough."""
    path = file.with_name(name)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = tuple(line.strip() for line in lines if line.strip())
    return names if len(names) >= least else ()


def _describe(opened: Opened, source: str, split: str | None) -> str:
    labels = "no labels" if opened.num_classes is None else f"{opened.num_classes:,} classes"
    of_split = f" ({split})" if split else ""
    ignored = getattr(opened.samples, "num_ignored", 0)
    others = f"; {ignored:,} other files left out" if ignored else ""
    name = source if opened.kind == "scenes" else f"{opened.kind} {source}"
    return f"{name}{of_split}: {len(opened.samples):,} images, {labels}{others}"
