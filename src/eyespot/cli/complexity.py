"""`eyespot complexity`: count params, flops and activations."""

import csv
import functools
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from eyespot.cli.predicted import cached_models, describe, measured
from eyespot.design.by_name import to_spec
from eyespot.design.complexity import complexity as count
from eyespot.design.complexity import complexity_tree
from eyespot.design.quantities import short

_COLUMNS = ("model", "input_size", "params", "flops", "acts")


def complexity(
    names: Annotated[Positional[tuple[str, ...]], arg(metavar="NETWORK...")] = (),
    image_size: int | None = None,
    tree: bool = False,
    blocks: bool = False,
    table: Path | None = None,
    measure: bool = False,
    batch: int | None = None,
    device: str = "auto",
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    channels_last: bool = False,
    compiled: Annotated[bool, arg(name="compile")] = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Count params, flops (multiply-adds) and activations of one image, building nothing.

    With --measure the network is built and run on this device as well: time and memory of
    inference and of training steps. Without it, times are predicted where `eyespot calibrate` ran.

    Args:
        names: Names (`eyespot models`) or spec.json files.
        image_size: Side of the image, px; each network's own when not given.
        tree: One line a stage.
        blocks: One line a block.
        table: A CSV file with columns model,input_size: print the full CSV.
        measure: Also run it, and say how long inference and training steps take.
        batch: Images a batch to measure with; the fastest that fits is searched when not given.
        device: To measure on, as torch names it; auto is the accelerator if there is one.
        dtype: To measure in; auto is float32 on a CPU and bfloat16 elsewhere.
        channels_last: Measure with images and convolutions laid out channels-last.
        compiled: Measure through torch.compile.
        as_json: One JSON object a line.
    """
    if bool(names) == (table is not None):
        raise ValueError("need the names of networks, or --table FILE.csv, and not both")
    if table is not None:
        _print_table(table)
        return
    runs = functools.partial(
        measured, batch=batch, device=device, dtype=dtype, channels_last=channels_last,
        compiled=compiled,
    )  # fmt: skip
    for name in names:
        spec = to_spec(name)
        size = spec.image_size if image_size is None else image_size
        cost = count(spec, size)
        parts = complexity_tree(spec, size, blocks=blocks) if tree or blocks else []
        if as_json:
            row = {"model": name, "input_size": size, **cost._asdict()}
            if parts:
                row["parts"] = [{**part._asdict(), "cost": part.cost._asdict()} for part in parts]
            if measure:
                row["measured"] = [asdict(run) for run in runs(spec, size)]
            print(json.dumps(row))
            continue
        print(f"{name} at {size} px")
        for part in parts:
            where = f"{part.channels} x {part.height} x {part.width}"
            counts = " ".join(f"{short(value):>8}" for value in part.cost)
            print(f"  {part.name:12} {where:>18}  {counts}")
        for field, value in cost._asdict().items():
            print(f"  {field:6} {value:>18,}  {short(value)}")
        for model in () if measure else cached_models():
            ms = model.predict_ms(cost, batch or 1)
            print(f"  predicted {ms:.3g} ms for a batch of {batch or 1}: {model.setting.slug}")
        for run in runs(spec, size) if measure else ():
            print(f"  {describe(run)}", flush=True)


def _print_table(path: Path) -> None:
    """Count every row of a CSV of model,input_size; all of them or none."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if not {"model", "input_size"} <= set(reader.fieldnames or ()):
            raise ValueError(
                f"need the columns model and input_size in {path}, got {reader.fieldnames}"
            )
        rows = [(reader.line_num, row["model"], row["input_size"]) for row in reader]
    lines = []
    for line, name, size in rows:
        try:
            cost = count(to_spec(name), int(size))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} line {line}: {error}") from None
        lines.append((name, size, *cost))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(lines)
