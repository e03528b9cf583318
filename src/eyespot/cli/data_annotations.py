"""`eyespot data check` of annotation files for grounding: what is wrong with each record."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eyespot.data.tokens import Tokenizer

_EXAMPLES = 10  # bad records shown, of each kind
_TRIED = 100  # images that tell where all are
Images = Path | Mapping[str, Path] | None


def check_annotation_files(
    source: Path, images: Path | None, vocabulary: Path | None, max_tokens: int, as_json: bool
) -> int:
    """Print what is wrong with an annotation file, or those of a list; return how much is.

    Args:
        source: A .json file, or a .yaml list of them.
        images: Folder of the images of a file; None: where training finds them.
        vocabulary: As `read_tokenizer` takes it, to see which captions are too long.
        max_tokens: Of the longest caption, with a vocabulary.
        as_json: One JSON object a file instead of lines.
    """
    from eyespot.data.grounding_lists import is_list
    from eyespot.data.tokens import read_tokenizer

    tokenizer = None
    if vocabulary is not None:
        tokenizer = read_tokenizer(vocabulary, max_tokens=max_tokens)
    if not is_list(str(source)):
        return _check_file(source, images, tokenizer, as_json)
    if images is not None:
        raise ValueError(f"need no --images beside a list, which says where they are: {source}")
    return sum(_check_file(*one, tokenizer, as_json) for one in _files_of(source))


def _files_of(path: Path) -> Iterator[tuple[Path, Images]]:
    """The annotation files of a list, those of both splits of a folder, with their images."""
    from eyespot.data.grounding_folders import split_file
    from eyespot.data.grounding_lists import read_list

    for one in read_list(path):
        for file in dict.fromkeys(split_file(one.annotations, split) for split in ("train", "val")):
            yield file, one.images


def _check_file(path: Path, images: Images, tokenizer: "Tokenizer | None", as_json: bool) -> int:
    from eyespot.data.annotation_checks import check_annotations
    from eyespot.data.converters.pairs import read_json

    dataset = read_json(path)
    missing = {"images", "annotations"} - set(dataset if isinstance(dataset, dict) else ())
    if missing:
        raise ValueError(
            f"need an annotation file with images and annotations, got no {min(missing)}: {path}; "
            "`eyespot data convert` makes one of other datasets' files"
        )
    if not dataset["images"] and isinstance(dataset["images"], list):
        raise ValueError(f"need at least one image with a caption, got none: {path}")
    if images is None:
        images = _near(path, dataset["images"])
    report = check_annotations(dataset, images, tokenizer)
    if as_json:
        problems = [problem._asdict() for problem in report.problems]
        counts: dict[str, Any] = {"num_pairs": report.num_images, "num_boxes": report.num_boxes}
        counts["images"] = None if images is None else [str(f) for f in _folders(images)]
        print(json.dumps({"file": str(path), **counts, "problems": problems}))
        return len(problems)
    print(f"{path}: {report.num_images:,} captions, {report.num_boxes:,} boxes")
    if images is None:
        print("  images: not near it, and not looked for; --images DIR says where they are")
    for kind, count in report.counts.items():
        print(f"  {kind}: {count:,}")
        sentences = [problem.sentence for problem in report.problems if problem.kind == kind]
        for sentence in sentences[:_EXAMPLES]:
            print(f"    {sentence}")
        if count > _EXAMPLES:
            print(f"    and {count - _EXAMPLES:,} more; --json lists them all")
    if not report.problems:
        print("  nothing is wrong")
    return len(report.problems)


def _near(path: Path, rows: object) -> Path | None:
    """The folder where training finds the images of a file."""
    from eyespot.data.grounding_folders import folder_of_images

    firsts = rows[:_TRIED] if isinstance(rows, list) else []
    names = [row.get("file_name") for row in firsts if isinstance(row, dict)]
    return folder_of_images(path, [name for name in names if isinstance(name, str) and name])


def _folders(images: Path | Mapping[str, Path]) -> list[Path]:
    return list(images.values()) if isinstance(images, Mapping) else [images]
