"""`eyespot weights`: list, fetch, convert, check and export weights."""

import json
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from eyespot.design.quantities import parse_count, short
from eyespot.weights import catalog
from eyespot.weights.download import download

_EVERY_S = {True: 0.2, False: 10.0}  # between lines of progress, on a terminal and off it


def list_(
    pattern: Annotated[Positional[str], arg(metavar="[PATTERN]")] = "",
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """List the published weights we know, with their licences and results.

    Args:
        pattern: Part of a name, in any case.
        as_json: One JSON object a line instead of a table.
    """
    found = catalog.find_published(pattern)
    if not found:
        names = [entry.name for entry in catalog.catalog()]
        raise ValueError(f"need part of a name such as {names[0]} or {names[-1]}, got {pattern!r}")
    for entry in found:
        if as_json:
            row = {"name": entry.name, "model": entry.model, "url": entry.url}
            licence = {"licence": entry.licence.name, "commercial_use": entry.licence.commercial}
            extra = {"sha256": entry.sha256, "note": entry.note}
            print(json.dumps({**row, **licence, "metrics": entry.metrics, **extra}))
        else:
            results = [f"{name} {value:g}" for name, value in entry.metrics.items()]
            print(f"{entry.name:38} {entry.licence.name:13} {', '.join(results[:2])}".rstrip())


def pull(
    name: Annotated[Positional[str], arg(metavar="NAME")],
    out: Path | None = None,
    max_size: str = "20G",
) -> None:
    """Fetch a published file; a broken fetch goes on where it ended.

    Args:
        name: As `eyespot weights list` prints it.
        out: The file to write; without, it goes to the user's cache, where its name finds it.
        max_size: The most bytes to fetch, such as 20G.
    """
    entry = catalog.published(name)
    if out is None:
        out = entry.cached
        if out.exists():
            print(f"{out} is there already; remove it to fetch it again")
            return
        out.parent.mkdir(parents=True, exist_ok=True)
    if out.is_dir():
        raise ValueError(
            f"need a file to write, got the folder {out}; did you mean {out / entry.file}?"
        )
    print(entry.licence.notice, file=sys.stderr)
    if entry.note:
        print(f"note: {entry.note}", file=sys.stderr)
    got = download(
        entry.url,
        out,
        max_bytes=int(parse_count(max_size, "max-size")),
        sha256=entry.sha256,
        progress=_Progress(),
    )
    if got.resumed_at:
        print(f"went on after {short(got.resumed_at)}B of an earlier try", file=sys.stderr)
    checked = "as published" if entry.sha256 else "its publisher gave none to check it against"
    print(f"wrote {out}: {short(got.num_bytes)}B, sha256 {got.sha256} ({checked})")


def convert(
    file: Annotated[Positional[Path], arg(metavar="FILE")],
    model: str,
    out: Path,
    to: Literal["timm", "torchvision", "transformers", "vissl", "detectron2", "torchvision-fpn"]
    | None = None,
    channel_order: Literal["rgb", "bgr"] | None = None,
    head: Literal["drop", "keep"] = "drop",
) -> None:
    """Write a published file as safetensors under our names, or another library's.

    Args:
        file: The published file.
        model: The network it is for: a name of `eyespot models` or a spec.json.
        out: The safetensors file to write.
        to: The library whose names to use instead of ours.
        channel_order: What the file's weights expect, if it is a bare state dict of pycls.
        head: keep writes the projector and prototypes of SwAV, SEER and our pretrainings too, under
            our names or vissl's.
    """
    from eyespot.weights.convert import convert_file, published_as

    if out.suffix != ".safetensors":
        raise ValueError(f"need a file to write that ends in .safetensors, got {out}")
    report = convert_file(file, model, out, to=to, channel_order=channel_order, head=head)
    for entry in published_as(file)[:1]:
        print(entry.licence.notice, file=sys.stderr)
    for note in report.notes:
        print(f"note: {note}", file=sys.stderr)
    if report.unused:
        print(f"left out: {', '.join(report.unused)}", file=sys.stderr)
    print(f"wrote {out}: {len(report.loaded)} tensors, from {report.layout} to {to or 'eyespot'}")


def verify(
    file: Annotated[Positional[Path], arg(metavar="FILE")],
    model: str | None = None,
    channel_order: Literal["rgb", "bgr"] | None = None,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Check that a weights file is whole, safe, finite and what it should be.

    Args:
        file: The weights file.
        model: The network it must fit: a name of `eyespot models` or a spec.json.
        channel_order: What the file's weights expect, if it is a bare state dict of pycls.
        as_json: One JSON object instead of lines.
    """
    from eyespot.weights.convert import inspect_file

    found = inspect_file(file, model, channel_order=channel_order)
    if as_json:
        print(json.dumps({"file": str(file), "model": model, **found._asdict()}))
        return
    for name, value in found._asdict().items():
        shown = ", ".join(value) or "none" if isinstance(value, tuple) else value
        print(f"{name:14} {shown}")
    if model:
        print(f"{'model':14} fits {model}")


def import_mdetr(
    file: Annotated[Positional[str], arg(metavar="FILE-OR-NAME")],
    vocabulary: Path | None = None,
    out: Path | None = None,
    answers: Path | None = None,
    averaged: bool = True,
) -> None:
    """Turn a published MDETR checkpoint into a grounder of ours: one file that describes itself.

    Args:
        file: The checkpoint, as downloaded, or its name in `eyespot weights list mdetr`, which is
            fetched into the user's cache if it is not there.
        vocabulary: RoBERTa's tokenizer.json, or a folder with its vocab.json and merges.txt;
            without, roberta/tokenizer of `eyespot weights list` is fetched into the cache.
        out: The safetensors file to write; without, that of a name goes to the cache, where the
            name finds it.
        answers: Of a network that answers GQA's questions: gqa_answer2id_by_type.json.
        averaged: Take the averaged weights, as the published results do.
    """
    from eyespot.weights import mdetr, named_grounders
    from eyespot.weights.grounders import save_grounder
    from eyespot.weights.trunk import cached_file

    entry = named_grounders.published_grounder(file)
    if entry is None and not Path(file).exists():
        raise ValueError(
            f"need a checkpoint's file, or a name of `eyespot weights list mdetr`, got {file}, "
            "which is neither"
        )
    if out is None and entry is None:
        raise ValueError("need --out, a safetensors file to write, for a checkpoint's file")
    if out is not None and out.suffix != ".safetensors":
        raise ValueError(f"need a file to write that ends in .safetensors, got {out}")
    if entry is not None:
        print(entry.licence.notice, file=sys.stderr)
        imported = named_grounders.import_published(
            entry,
            vocabulary=vocabulary,
            answers=answers,
            average=averaged,
            out=out,
            progress=_Progress(),
        )
        written = out or named_grounders.imported_file(entry)
    else:
        assert out is not None, "refused above"
        words = vocabulary or cached_file(catalog.ROBERTA_TOKENIZER)
        imported = mdetr.import_mdetr(Path(file), words, answers=answers, average=averaged)
        save_grounder(*imported.loaded, out)
        written = out
    for note in imported.notes:
        print(f"note: {note}", file=sys.stderr)
    does = "answer IMAGE QUESTION" if imported.loaded.spec.answer_heads else "ground IMAGE TEXT"
    known_as = entry.name if entry is not None and out is None else str(written)
    print(f"wrote {written}: use it with `eyespot {does} --weights {shlex.quote(known_as)}`")


def export(weights: Annotated[Positional[str], arg(metavar="WEIGHTS")], out: Path) -> None:
    """Write a grounder as a graph for other runtimes, and check what was written by running it.

    Batch, size of the images and length of the texts may differ from call to call. Beside the graph
    lie its tokenizer and a description of what goes in and comes out. Answer heads are left out.

    Args:
        weights: A grounder's weights file, a training run's folder, or weights of the package by
            name.
        out: The file to write: .onnx, or .pt2 for torch.export.
    """
    from eyespot.weights.graph_files import SUFFIXES, write_graph
    from eyespot.weights.grounders import read_grounder
    from eyespot.weights.named_grounders import grounder_file

    if out.suffix not in SUFFIXES:
        raise ValueError(f"need a file to write that ends in .onnx or .pt2, got {out}")
    with grounder_file(weights) as path:
        loaded = read_grounder(path)
    written = write_graph(loaded, out)
    if loaded.spec.answer_heads:
        print("left out: the answer heads; the graph grounds texts alone", file=sys.stderr)
    for file in written.files:
        print(f"wrote {file}")
    if written.difference is None:
        print("not checked: pip install 'eyespot[export]', and run this again", file=sys.stderr)
    else:
        print(f"checked by running it: no output differs by more than {written.difference:.1g}")


class _Progress:
    """Says on stderr how much came: one line on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self.start = self.last = time.monotonic()
        self.first: int | None = None
        self.terminal = sys.stderr.isatty()

    def __call__(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first = done
        if done != total and now - self.last < _EVERY_S[self.terminal]:
            return
        self.last = now
        rate = (done - self.first) / max(now - self.start, 1e-9)
        text = f"{short(done)}B"
        if total:
            left = f", {(total - done) / rate:.0f} s left" if rate and done < total else ""
            text = f"{text} of {short(total)}B ({done / total:.0%}){left}"
        if self.terminal:
            print(f"\r{text:60}", end="\n" if done == total else "", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)


ABOUT = "List, fetch, convert, check and export weights."

COMMANDS = {
    "list": list_,
    "pull": pull,
    "convert": convert,
    "verify": verify,
    "import-mdetr": import_mdetr,
    "export": export,
}
