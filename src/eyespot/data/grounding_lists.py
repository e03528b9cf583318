"""Several sets of images with captions and boxes, listed in a YAML file, read as one.

MDETR's pre-training (arXiv 2104.12763, section 3) reads two annotation files, one of them with
images of two folders:

    - annotations: final_flickr_separateGT_train.json
      images: flickr30k/train
    - annotations: final_mixed_train.json
      images: {coco: coco/train2014, vg: vg/images}

Paths start from the list's folder.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from eyespot.data.grounding_folders import open_annotated
from eyespot.data.grounding_sources import JoinedSources
from eyespot.design.plain_data import fill, read_plain, short


class ListedSet(NamedTuple):
    """One set of a list.

    Attributes:
        annotations: An annotation file, or a folder that has one of the split that is asked for.
        images: The folder that file names start from; or folders by `data_source`, as the images
            of the file say it; None: to be found near the file.
    """

    annotations: Path
    images: Path | dict[str, Path] | None


@dataclass(frozen=True)
class _Row:
    """A set as it is written."""

    annotations: str
    images: Any = None


def is_list(source: str) -> bool:
    """Whether a text after `--data` names a list of sets."""
    return source.endswith((".yaml", ".yml"))


def read_list(path: Path) -> list[ListedSet]:
    """Return the sets of a list.

    Raises:
        ValueError: If there is no such file, or it is no list of sets.
    """
    if not path.is_file():
        raise ValueError(f"need a YAML file that lists sets, got {path}: none there")
    rows = read_plain(path, "list")
    if not isinstance(rows, list) or not rows or not all(isinstance(r, Mapping) for r in rows):
        raise ValueError(
            "need a list of sets, each with annotations and images (docs/data.md), got "
            f"{short(rows)} in {path}"
        )
    try:
        written = [fill(_Row, row, "set") for row in rows]
        return [
            ListedSet(path.parent / row.annotations, _folders(row.images, path.parent))
            for row in written
        ]
    except ValueError as error:
        raise ValueError(f"{error}: a set of {path}") from None


def open_list(path: Path, split: str) -> JoinedSources:
    """Open the sets of a list, one after the other.

    Args:
        path: The YAML file.
        split: "train" or "val": which one of a set that is a folder.

    Raises:
        ValueError: If the list or a set cannot be read, or images are not where it says.
    """
    return JoinedSources(
        [open_annotated(one.annotations, split, one.images) for one in read_list(path)]
    )


def _folders(images: Any, start: Path) -> Path | dict[str, Path] | None:
    """The images of a set, from the folder that paths start from."""
    if images is None:
        return None
    if isinstance(images, str):
        return start / images
    if isinstance(images, Mapping) and images and all(isinstance(v, str) for v in images.values()):
        return {str(name): start / folder for name, folder in images.items()}
    raise ValueError(
        "need images as a folder, or folders by data_source, such as {coco: train2014, vg: vg}, "
        f"got {short(images)}"
    )
