"""`eyespot data`: check, convert and shard data sets."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from eyespot.cli.data_convert import convert
from eyespot.cli.progress import Progress
from eyespot.design.quantities import short

if TYPE_CHECKING:
    from eyespot.data.check import ImageReport
    from eyespot.data.open import Opened

_EXAMPLES = 10  # bad samples shown


def check(
    source: Annotated[Positional[str], arg(metavar="DATA")],
    sample: int | None = None,
    decode: bool = False,
    images: Path | None = None,
    vocabulary: Path | None = None,
    max_tokens: int = 255,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Say what a data set holds, and explain every image or record that is bad.

    The exit code is 0 when nothing is wrong, 1 when something is, and 2 when nothing could be
    checked.

    Args:
        source: Anything that `--data` takes; an annotation file that ends in .json; or a list of
            them that ends in .yaml.
        sample: Look at this many images of each split; all if not given.
        decode: Decode the images too, which finds those that are cut short.
        images: Folder of the images of an annotation file, to see whether all are there; where
            training finds them, if not given.
        vocabulary: The network's tokenizer.json, or a folder with its vocabulary, to see exactly
            which captions of an annotation file are too long.
        max_tokens: Of the longest caption, with a vocabulary; 255 in the published networks.
        as_json: One JSON object a set, and one a list of sha256, instead of lines.
    """
    if source.endswith((".json", ".yaml", ".yml")):
        from eyespot.cli.data_annotations import check_annotation_files

        if sample is not None or decode:
            raise ValueError(
                "need no --sample and no --decode for annotations, of whose images only the sizes "
                f"are read, got {source}; check the folder of the images with them"
            )
        if check_annotation_files(Path(source), images, vocabulary, max_tokens, as_json):
            raise SystemExit(1)
        return
    from eyespot.data.check import check_images
    from eyespot.data.open import find_splits, open_samples

    num_wrong = _check_manifests(Path(source), as_json)
    for split in find_splits(source) or (None,):
        opened = open_samples(source, split=split)
        report = check_images(opened.samples, count=sample, decode=decode)
        if as_json:
            print(json.dumps(_as_dict(opened, report)))
        else:
            _print_images(opened, report)
        if len(report.bad) == report.num_checked:
            bad = report.bad[0]
            raise ValueError(
                f"need at least one image that can be read, got {report.num_checked} bad ones of "
                f"{source}, such as {bad.name}: {bad.reason}"
            )
        num_wrong += len(report.bad)
    if num_wrong:
        raise SystemExit(1)


def shard(
    source: Annotated[Positional[str], arg(metavar="DATA")],
    out: Annotated[Positional[Path], arg(metavar="OUT")],
    samples_per_shard: int = 1000,
    workers: int | None = None,
) -> None:
    """Write any data set as WebDataset tars; stopped at any time, the same command goes on.

    Args:
        source: Anything that `--data` takes; its splits go to shards of their names.
        out: Folder to write to.
        samples_per_shard: Images of each tar.
        workers: Processes that write; as many as there are processors if not given.
    """
    from eyespot.data.open import find_splits, open_samples
    from eyespot.data.write_shards import CLASS_NAMES, write_shards

    for split in find_splits(source) or (None,):
        opened = open_samples(source, split=split)
        print(opened.description, file=sys.stderr)
        out.mkdir(parents=True, exist_ok=True)
        if opened.classes:
            (out / CLASS_NAMES).write_text("".join(f"{name}\n" for name in opened.classes))
        shards = write_shards(
            opened.samples,
            out,
            samples_per_shard=samples_per_shard,
            prefix=split or "shard",
            workers=(os.cpu_count() or 1) if workers is None else workers,
            progress=Progress("shards"),
        )
        size = short(sum(path.stat().st_size for path in shards))
        print(f"wrote {len(shards)} shards of {len(opened.samples):,} images, {size}B, to {out}")


def _print_images(opened: "Opened", report: "ImageReport") -> None:
    print(opened.description)
    checked = report.num_checked
    if checked < len(opened.samples):
        print(f"  looked at    {checked:,} of {len(opened.samples):,}")
    if report.sizes:
        least, median, most = ("x".join(map(str, side)) for side in _sides(report))
        print(f"  sizes        {least} to {most} pixels, median {median}")
        formats = [f"{name} {count:,}" for name, count in report.formats.most_common()]
        print(f"  formats      {', '.join(formats)}, {short(report.num_bytes)}B")
    if report.labels:
        counts = report.labels.values()
        print(f"  each class   {min(counts):,} to {max(counts):,} images, {len(counts):,} classes")
        missing = (opened.num_classes or 0) - len(counts)
        if missing and checked == len(opened.samples):
            print(f"  no image     of {missing:,} classes")
    print(f"  bad          {len(report.bad):,}")
    for bad in report.bad[:_EXAMPLES]:
        print(f"    {bad.name}: {bad.reason}")
    if len(report.bad) > _EXAMPLES:
        print(f"    and {len(report.bad) - _EXAMPLES:,} more; --json lists them all")


def _sides(report: "ImageReport") -> list[tuple[int, int]]:
    """Smallest, median and largest of the widths, with those of the heights."""
    return list(zip(report.side_px(0), report.side_px(1), strict=True))


def _as_dict(opened: "Opened", report: "ImageReport") -> dict[str, Any]:
    return {
        "description": opened.description,
        "kind": opened.kind,
        "num_classes": opened.num_classes,
        "num_samples": len(opened.samples),
        "num_checked": report.num_checked,
        "num_bytes": report.num_bytes,
        "formats": dict(report.formats),
        "sizes": {f"{w}x{h}": count for (w, h), count in report.sizes.items()},
        "labels": {str(label): report.labels[label] for label in sorted(report.labels)},
        "bad": [vars(bad) for bad in report.bad],
    }


def _check_manifests(folder: Path, as_json: bool) -> int:
    """Compare shards with the sha256 that were written with them; return how many differ."""
    from eyespot.data.manifest import check_manifest

    num_wrong = 0
    for manifest in sorted(folder.glob("*.sha256")) if folder.is_dir() else []:
        found = dict(check_manifest(manifest))
        wrong = {name: problem for name, problem in found.items() if problem}
        num_wrong += len(wrong)
        if as_json:
            print(json.dumps({"manifest": str(manifest), "num_files": len(found), "wrong": wrong}))
            continue
        print(f"{manifest}: {len(found) - len(wrong)} of {len(found)} files are as written")
        for name, problem in wrong.items():
            print(f"    {name} {problem}")
    return num_wrong


def answers(
    annotations: Annotated[Positional[Path], arg(metavar="FILE")], out: Path, least: int = 1
) -> None:
    """Write the vocabulary of a file's answers, for `eyespot train answer/... --network.answers`.

    Types are classes in GQA's order, others by name; words the most frequent first, then
    "unknown", which stands for all others.

    Args:
        annotations: A file of questions with `answer` and `question_type`.
        out: The JSON file to write.
        least: How often a word must be an answer to be in it.
    """
    from eyespot.data.annotations import read_annotations
    from eyespot.data.answers import count_answer_words, write_answer_words

    if least < 1:
        raise ValueError(f"need least of 1 or more, got {least}")
    words = count_answer_words(read_annotations(annotations), least=least)
    write_answer_words(words, out)
    sizes = ", ".join(f"{name} {len(of_type)}" for name, of_type in words.words.items())
    print(f"wrote {out}: {sizes}")


ABOUT = """Check, convert and shard data sets.

--data takes, here and elsewhere: a folder with a folder of images for each class; a folder of
images; train and val or test folders of either; a text file of one `path` or `path label` a line; a
.npy array of paths; MNIST's IDX files; CIFAR's binary files; WebDataset tars as a folder, a pattern
or an fsspec address; and the built-in `scenes`, or `scenes:KEY=VALUE,...`, a rendered world.
Grounding takes annotation files (.json), folders with them, and lists of both (.yaml)."""

COMMANDS = {"check": check, "convert": convert, "shard": shard, "answers": answers}
