"""Measure a spread of networks for a latency model, in a journal that survives a kill.

The networks of a preset have activations, flops and params that do not move together, so that a
fit can tell them apart: wide networks on small images, narrow ones on large images.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from eyespot.design import zoo
from eyespot.design.complexity import complexity
from eyespot.design.latency import Sample, Setting
from eyespot.errors import unknown_name
from eyespot.train.steps import Settings
from eyespot.train.timing import Measured, device_name, measure

PRESETS = {
    # Under three minutes on a CPU of two cores.
    "small": (
        "RegNetY-200MF@224,RegNetY-400MF@160,RegNetY-800MF@224,RegNetY-1.6GF@128,"
        "RegNetY-4.0GF@112,RegNetY-8.0GF@96,RegNetZ-500MF@128,RegNetZ-500MF@224,RegNetZ-1GF@160,"
        "RegNetZ-4GF@96,EfficientNet-B0@128,EfficientNet-B0@224,EfficientNet-B1@192,"
        "EfficientNet-B2@128,EfficientNet-B3@96,ResNet-50@128,ResNet-50@192,ResNet-101@96,"
        "ViT-P-1GF@224,ViT-P-4GF@160,ViT-P-4GF@224,ViT-P-18GF@96,ViT-C-1GF@224,ViT-C-4GF@160"
    ),
    "large": (
        "RegNetY-400MF@224,RegNetY-1.6GF@288,RegNetY-4.0GF@224,RegNetY-8.0GF@160,"
        "RegNetY-16GF@224,RegNetY-32GF@128,RegNetZ-500MF@288,RegNetZ-1GF@232,RegNetZ-4GF@160,"
        "RegNetZ-4GF@256,EfficientNet-B0@224,EfficientNet-B1@320,EfficientNet-B2@260,"
        "EfficientNet-B3@300,EfficientNet-B4@224,ResNet-50@224,ResNet-50@320,ResNet-101@160,"
        "ResNet-152@224,ViT-P-1GF@224,ViT-P-4GF@224,ViT-P-18GF@128,ViT-P-18GF@224,ViT-C-1GF@320,"
        "ViT-C-4GF@224,ViT-C-18GF@160"
    ),
}


class Job(NamedTuple):
    """One network to measure.

    Attributes:
        name: Of the network.
        image_size: Side of the images, px.
    """

    name: str
    image_size: int


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the journal: a sample and how steady its measurement was.

    Attributes:
        setting: What it was measured with.
        sample: Network, batch, counts and median time.
        ms_low: First quartile of the times.
        ms_high: Third quartile.
        iterations: How many there were.
        load_average: Of the machine, when timing began; None where unknown.
    """

    setting: Setting
    sample: Sample
    ms_low: float
    ms_high: float
    iterations: int
    load_average: float | None

    @property
    def key(self) -> tuple[Setting, str, int, int]:
        """What makes it the answer to a job."""
        return self.setting, self.sample.name, self.sample.image_size, self.sample.batch


def read_networks(text: str) -> list[Job]:
    """Read a preset's name, or names of networks by commas, each with "@SIZE" for a size in px.

    Raises:
        ValueError: If a name is unknown, a size is no size of the network, or one is listed twice.
    """
    jobs = []
    for item in PRESETS.get(text, text).split(","):
        name, at, size = item.strip().rpartition("@")
        if not at:
            name, size = size, ""
        if not name:
            raise ValueError(unknown_name("list of networks", text, PRESETS))
        if size and not size.isdecimal():
            raise ValueError(f'need "NAME@SIZE" with a size in px, got {item.strip()!r}')
        job = Job(name, int(size) if size else zoo.spec(name).image_size)
        complexity(zoo.spec(job.name), job.image_size)
        if job in jobs:
            raise ValueError(f"need every network once, got {name}@{job.image_size} twice")
        jobs.append(job)
    return jobs


def setting_of(settings: Settings) -> Setting:
    """Return what a latency model measured with these settings holds for."""
    return Setting(
        device_name(settings.device),
        settings.dtype,
        settings.mode,
        settings.channels_last,
        settings.compiled,
    )


def measure_networks(
    jobs: Sequence[Job],
    settings: Settings,
    *,
    batch: int,
    journal: Path,
    budget_s: float,
    on_row: Callable[[Row, bool], None],
) -> list[Row]:
    """Measure networks one by one, appending each to a journal before the next.

    Networks that the journal already has for this setting and batch are not measured again.

    Args:
        jobs: What to measure.
        settings: How.
        batch: Images an iteration.
        journal: File of JSON lines, made if need be.
        budget_s: Seconds a network at most.
        on_row: Called after each with its row, and whether the journal had it.

    Raises:
        ValueError: If the journal holds something else, or a network does not run.
        OSError: If the journal cannot be written.
    """
    setting = setting_of(settings)
    journal.parent.mkdir(parents=True, exist_ok=True)
    known = {row.key: row for row in read_journal(journal)}
    rows = []
    for job in jobs:
        row = known.get((setting, job.name, job.image_size, batch))
        if row is None:
            row = _measured_row(job, settings, setting, batch, budget_s)
            _append(journal, row)
            on_row(row, False)
        else:
            on_row(row, True)
        rows.append(row)
    return rows


def _measured_row(
    job: Job, settings: Settings, setting: Setting, batch: int, budget_s: float
) -> Row:
    spec = zoo.spec(job.name)
    got: Measured = measure(
        spec,
        device=settings.device,
        batch=batch,
        mode=settings.mode,
        dtype=settings.dtype,
        channels_last=settings.channels_last,
        compiled=settings.compiled,
        image_size=job.image_size,
        budget_s=budget_s,
    )
    cost = complexity(spec, job.image_size)
    sample = Sample(job.name, job.image_size, batch, cost.params, cost.flops, cost.acts, got.ms)
    return Row(setting, sample, got.ms_low, got.ms_high, got.iterations, got.load_average)


def read_journal(path: Path) -> list[Row]:
    """Read a journal, cutting off a last line that a kill left half written.

    Raises:
        ValueError: If a whole line is no row.
    """
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    rows = []
    for i, line in enumerate(whole.decode("utf-8", "replace").splitlines(), start=1):
        try:
            rows.append(_row(json.loads(line)))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"need a journal of `eyespot calibrate`, got {path} whose line {i} is none "
                f"({error}); remove it or name another folder"
            ) from None
    return rows


def _row(data: dict[str, Any]) -> Row:
    rest = {name: value for name, value in data.items() if name not in ("setting", "sample")}
    return Row(Setting(**data["setting"]), Sample(**data["sample"]), **rest)


def _append(path: Path, row: Row) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(row)) + "\n")
        file.flush()
        os.fsync(file.fileno())
