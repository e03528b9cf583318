"""Several annotation files as one, such as the sources of MDETR's pre-training."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from eyespot.data.annotations import CaptionedImage, parse_annotations
from eyespot.data.converters.pairs import read_json


def from_files(paths: Sequence[Path]) -> Iterator[CaptionedImage]:
    """Yield the pairs of all files, in order.

    Files that name an image alike mean the same one, unless each says another `data_source`. A pair
    that says none takes that of the others of its image.

    Args:
        paths: Annotation files.

    Raises:
        ValueError: If a file is missing or broken, or two give an image different sizes.
    """
    pairs = [(path, pair) for path in paths for pair in _read(path)]
    sources: dict[str, set[str]] = {}
    for _, pair in pairs:
        if "data_source" in pair.more:
            sources.setdefault(pair.file_name, set()).add(str(pair.more["data_source"]))
    sizes: dict[tuple[str, str], tuple[int, int]] = {}
    for path, pair in pairs:
        known = sources.get(pair.file_name, set())
        if len(known) == 1:
            pair = replace(pair, more={**pair.more, "data_source": next(iter(known))})
        size = pair.width_px, pair.height_px
        key = pair.file_name, str(pair.more.get("data_source"))
        width, height = sizes.setdefault(key, size)
        if size != (width, height):
            raise ValueError(
                f"need one size of the image {pair.file_name}, got {width}x{height} before and "
                f"{size[0]}x{size[1]} in {path}; of images of different sets say a data_source"
            )
        yield pair


def _read(path: Path) -> Iterator[CaptionedImage]:
    data = read_json(path)
    missing = {"images", "annotations"} - set(data if isinstance(data, dict) else ())
    if missing:
        raise ValueError(f"need an annotation file, got no {min(missing)} in it: {path}")
    try:
        yield from parse_annotations(data)
    except ValueError as error:
        raise ValueError(f"{error}: {path}") from None
