"""RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO: expressions that mean objects of a COCO image."""

import io
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eyespot.data.annotations import CaptionedImage
from eyespot.data.converters.pairs import box_region, one_line, read_json, sized
from eyespot.data.noun_phrases import root_phrase


def from_refcoco(
    folder: Path, split: str, *, split_by: str | None = None
) -> Iterator[CaptionedImage]:
    """Yield a pair for each expression of a split; its box is named by the root noun phrase.

    An expression of gRefCOCO may mean several objects, all named by that phrase, or none.

    Args:
        folder: `refcoco`, `refcoco+` or `refcocog`, with `instances.json` and `refs(WHO).p`, or
            `grefcoco` with `grefs(WHO).json`; its name becomes the `dataset_name`.
        split: "train", "val", "testA", "testB" or "test".
        split_by: Who made the split: "unc", "umd" or "google"; the folder's only one if None.

    Raises:
        ValueError: If a file is missing, more than data, or has no such split.
    """
    path = _refs_file(folder, split_by)
    data = read_json(folder / "instances.json")
    images, objects = sized(data["images"]), sized(data["annotations"])
    refs = _read_refs(path)
    chosen = [ref for ref in refs if ref["split"] == split]
    if not chosen:
        known = ", ".join(sorted({ref["split"] for ref in refs}))
        raise ValueError(f"need a split of {known}, got {split!r}: {path}")
    for ref in chosen:
        image = images[str(ref["image_id"])]
        things = [objects[str(number)] for number in _objects_meant(ref)]
        size = (int(image["height"]), int(image["width"]))
        for sentence in ref["sentences"]:
            text, _ = one_line(sentence["sent"])
            regions = tuple(
                box_region(
                    thing["bbox"],
                    [root_phrase(text)],
                    area=thing["area"],
                    category_id=thing["category_id"],
                    original_id=thing["id"],
                    segmentation=thing["segmentation"],
                )
                for thing in things
            )
            more = {
                "dataset_name": folder.name,
                "data_source": "coco",
                "original_id": image["id"],
                "sentence_id": sentence["sent_id"],
                "tokens_negative": [[0, len(text)]],
            }
            yield CaptionedImage(0, image["file_name"], *size, text, regions, more)


def _objects_meant(ref: Mapping[str, Any]) -> list[int]:
    """The ids of one object, or, in gRefCOCO, of several; -1 there stands for none."""
    listed = ref["ann_id"] if isinstance(ref["ann_id"], list) else [ref["ann_id"]]
    return [number for number in listed if number != -1]


def _refs_file(folder: Path, split_by: str | None) -> Path:
    forms = ("refs(*).p", "refs(*).json", "grefs(*).json")
    found = [path for form in forms for path in sorted(folder.glob(form))]
    if split_by is not None:
        found = [path for path in found if path.stem.endswith(f"refs({split_by})")]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ValueError(
            f"need one refs(WHO).p or grefs(WHO).json in {folder}, got {names}; say "
            "which with split_by (unc, umd, google)"
        )
    return found[0]


def _read_refs(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".json":
        refs = read_json(path)
    else:
        try:
            refs = _PlainData(io.BytesIO(path.read_bytes()), encoding="utf-8").load()
        except (
            EOFError,
            IndexError,
            KeyError,
            UnicodeDecodeError,
            pickle.UnpicklingError,
        ) as error:
            raise ValueError(f"need a file of plain data, got {path}: {error}") from error
    if not isinstance(refs, list):
        raise ValueError(f"need a list of expressions, got {type(refs).__name__}: {path}")
    return refs


class _PlainData(pickle.Unpickler):
    """Reads the published files, which are pickles, and refuses every one that calls anything."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which could run a program")
