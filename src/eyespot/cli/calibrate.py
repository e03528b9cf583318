"""`eyespot calibrate`: measure this device, and keep a model that predicts run times on it."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from eyespot.design.complexity import Complexity
from eyespot.design.latency import MIN_NETWORKS, LatencyModel, Sample, fit_latency

if TYPE_CHECKING:
    from collections.abc import Callable

    from eyespot.train.calibration import Row
    from eyespot.train.steps import Settings


def calibrate(
    device: str = "auto",
    batch: int | None = None,
    train: bool = False,
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    channels_last: bool = False,
    compiled: Annotated[bool, arg(name="compile")] = False,
    networks: str = "auto",
    seconds: float = 5.0,
    out: Path | None = None,
) -> None:
    """Measure a spread of networks and fit time = a acts + b flops + c to them.

    The model is kept in the user's cache, and in calibration.json for `eyespot plan --calibration`.
    Interrupted, the same command goes on where it stopped.

    Args:
        device: As torch names it; auto is the accelerator if there is one.
        batch: Images at a time; when not given 8 on a CPU; elsewhere 512, or 256 in training, so
            that the device is busy and not its driver.
        train: Time whole training steps instead of inference.
        dtype: auto is float32 on a CPU and bfloat16 elsewhere.
        channels_last: Lay out images and convolutions channels-last.
        compiled: Run through torch.compile.
        networks: small, large, or names by commas, each with @SIZE for another size in px; auto is
            small on a CPU and large elsewhere.
        seconds: Time for each network at most, not counting its building.
        out: Folder for the journal, calibration.json and calibration.png; runs/calibration/...
            when not given.
    """
    from eyespot.design.latency_files import save_latency_model
    from eyespot.train.calibration import measure_networks, read_networks, setting_of
    from eyespot.train.steps import Settings
    from eyespot.train.timing import pick_device

    where = pick_device(device)
    on_cpu = where.type == "cpu"
    chosen = ("float32" if on_cpu else "bfloat16") if dtype == "auto" else dtype
    settings = Settings(where, "train" if train else "infer", chosen, channels_last, compiled)
    usual = 8 if on_cpu else 256 if train else 512
    count = usual if batch is None else batch
    if count < 1 or seconds <= 0:
        raise ValueError(
            f"need a batch of 1 or more and a time above 0 s, got {count} and {seconds:g}"
        )
    if networks == "auto":
        networks = "small" if on_cpu else "large"
    jobs = read_networks(networks)
    if len(jobs) < MIN_NETWORKS:
        raise ValueError(f"need at least {MIN_NETWORKS} networks to fit a line, got {len(jobs)}")
    folder = out or Path("runs/calibration") / setting_of(settings).slug
    folder.mkdir(parents=True, exist_ok=True)
    _announce(settings, len(jobs), count, folder)
    with _progress(len(jobs)) as on_row:
        rows = measure_networks(
            jobs, settings, batch=count, journal=folder / "journal.jsonl", budget_s=seconds,
            on_row=on_row,
        )  # fmt: skip
    samples = [row.sample for row in rows]
    model = fit_latency(setting_of(settings), samples)
    absolute = fit_latency(setting_of(settings), samples, "absolute").left_out_error
    _write(model, rows, folder)
    _summarise(model, absolute, samples)
    print(f"Written: {folder / 'calibration.json'}, {folder / 'calibration.png'}")
    print(f"Kept: {save_latency_model(model)}")


def _announce(settings: "Settings", networks: int, batch: int, folder: Path) -> None:
    from eyespot.train.calibration import setting_of

    what = setting_of(settings)
    doing = "training steps" if what.mode == "train" else "inference"
    extras = ", channels-last" * what.channels_last + ", compiled" * what.compiled
    print(f"{what.device}: {doing} of {networks} networks, {what.dtype}{extras}, batch {batch}")
    print(f"Journal: {folder / 'journal.jsonl'} (the same command goes on after an interruption)")


@contextmanager
def _progress(total: int) -> "Iterator[Callable[[Row, bool], None]]":
    """A bar with the time left on a terminal, a line a network elsewhere."""
    done = 0

    def line(row: "Row", known: bool) -> str:
        sample = row.sample
        spread = f"{row.ms_low:.3g}-{row.ms_high:.3g}"
        load = "" if row.load_average is None else f"  load {row.load_average:.1f}"
        note = "  (from the journal)" if known else ""
        name = f"{sample.name}@{sample.image_size}"
        return f"{name:28} {sample.ms:9.4g} ms  ({spread}){load}{note}"

    if not sys.stdout.isatty():

        def plain(row: "Row", known: bool) -> None:
            nonlocal done
            done += 1
            print(f"[{done:{len(str(total))}}/{total}] {line(row, known)}", flush=True)

        yield plain
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("measuring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, speed_estimate_period=3600) as progress:
        task = progress.add_task("", total=total)

        def drawn(row: "Row", known: bool) -> None:
            progress.console.print(line(row, known), highlight=False)
            progress.advance(task)

        yield drawn


def _write(model: LatencyModel, rows: "list[Row]", folder: Path) -> None:
    from eyespot.design.files import write_whole
    from eyespot.report.plots import calibration_figure

    data = {"model": asdict(model), "rows": [asdict(row) for row in rows]}
    write_whole(folder / "calibration.json", json.dumps(data, indent=2) + "\n")
    calibration_figure(model, [row.sample for row in rows], folder / "calibration.png")


def _summarise(model: LatencyModel, absolute: float, samples: list[Sample]) -> None:
    print()
    print(f"{'network':28} {'measured':>10} {'predicted':>10} {'ratio':>6}   ms of the batch")
    for sample in samples:
        predicted = model.predict_ms(
            Complexity(sample.params, sample.flops, sample.acts), sample.batch
        )
        name = f"{sample.name}@{sample.image_size}"
        print(f"{name:28} {sample.ms:10.4g} {predicted:10.4g} {predicted / sample.ms:6.2f}")
    print()
    print(
        f"time = {1e6 * model.ms_per_act:.3g} ms per M acts"
        f" + {1e9 * model.ms_per_flop:.3g} ms per G flops + {model.ms_overhead:.3g} ms a call"
    )
    print(f"R2 {model.r_squared:.3f} over {model.num_networks} networks")
    print(
        f"Pearson r of the time: acts {model.r_acts:.2f}, flops {model.r_flops:.2f}, "
        f"params {model.r_params:.2f}"
    )
    print(
        f"Error on a network left out: {model.left_out_error:.1%} in the median "
        f"({absolute:.1%} when absolute errors are fitted)"
    )
