"""Do the planner's predictions agree with published and measured figures?

Run:  python benchmarks/plan_vs_published.py [--quick]

Prints every ratio; records each table's geometric mean with its least and largest ratio, and the
runs of SEER and SwAV one by one. It computes for a second, so --quick does the same.

Tables marked "set" helped to choose the efficiencies of `eyespot.design.devices`; in SEER's, the
rule for odd widths was added after seeing the first row; nothing was set on the others. The
published systems loaded real images and ran the software of their year.
"""

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from common import Record, figure

from eyespot.design import zoo
from eyespot.design.cost import IMAGENET_IMAGES, run_cost
from eyespot.design.devices import device
from eyespot.design.memory import largest_batch, memory
from eyespot.design.roofline import inference_time, step_time
from eyespot.design.training import Crop, Training

VECTORS = Path(__file__).parent.parent / "tests" / "vectors"


class Row(NamedTuple):
    """One comparison."""

    table: str
    name: str
    predicted: float
    published: float
    unit: str

    @property
    def ratio(self) -> float:
        """Predicted over published."""
        return self.predicted / self.published


def read(name: str) -> Any:
    """Read a file of published or measured numbers."""
    return json.loads((VECTORS / name).read_text())


def zoo_rows() -> Iterator[Row]:
    """Compare times with those of pycls' model zoo."""
    v100 = device("v100-16gb")
    for row in read("published_speed.json")["zoo"]:
        name, batch, test = row["model"], row["train_batch"], row["test_batch"] // 8
        run = Training(zoo.spec(name), batch, 8, "float32")
        got = step_time(run, v100).total * IMAGENET_IMAGES / batch * 100 / 3600
        yield Row("model zoo: hours of 100 epochs (set)", name, got, row["train_hours"], "h")
        run = Training(zoo.spec(name), test, 1, "float32")
        got = 1e3 * inference_time(run, v100) * 64 / test
        yield Row("model zoo: ms for 64 images (set)", name, got, row["infer_ms"], "ms")


def early_rows() -> Iterator[Row]:
    """Compare times and largest batches with those of Early Convolutions."""
    v100 = device("v100-32gb")
    for row in read("published_speed.json")["early"]:
        name, batch = row["model"], row["batch"]
        run = Training(zoo.spec(name), batch, 8, "float16", ema=True)
        got = step_time(run, v100).total * IMAGENET_IMAGES / batch / 60
        yield Row("Early Convolutions: minutes an epoch (set)", name, got, row["minutes"], "min")
        power = 2 ** int(math.log2(max(1, largest_batch(run, v100))))
        table = "Early Convolutions: largest power of two as batch, up to 2048"
        yield Row(table, name, min(2048, power), batch, "")


def h100_rows() -> Iterator[Row]:
    """Compare times and memory with measurements on an H100."""
    h100 = device("h100")
    for row in read("h100_steps.json")["rows"]:
        name = row["model"]
        run = Training(zoo.spec(name), row["batch"])
        got = 1e3 * step_time(run, h100).total
        yield Row("H100: ms a step, channels-last (set)", name, got, row["train_ms"][1], "ms")
        got = 1e3 * inference_time(run, h100)
        yield Row("H100: ms of inference, channels-last (set)", name, got, row["infer_ms"][1], "ms")
        if row["peak_bytes"]:
            got = memory(run).total / 1e9
            yield Row("H100: peak memory of a step", name, got, row["peak_bytes"] / 1e9, "GB")


def seer_run(recompute: str = "blocks") -> Training:
    """SEER's RG-256GF on 512 V100-32GB."""
    return Training(
        zoo.spec("rg-256gf"),
        8704,
        512,
        "float16",
        "larc",
        recompute=recompute,
        crops=(Crop(2, 224), Crop(4, 96)),
        head_dims=(8192, 8192, 256, 16000),
    )


def self_supervised_rows() -> Iterator[Row]:
    """Compare times with those of SEER and SwAV."""
    published = read("published_speed.json")
    seer = published["seer"]
    step = step_time(seer_run(), device("v100-32gb")).total
    days = run_cost(seer_run(), step, seer["images"]).days
    yield Row("SEER, 512 V100-32GB", "RG-256GF, a step", 1e3 * step, seer["step_ms"], "ms")
    yield Row("SEER, 512 V100-32GB", "RG-256GF, 1B images", days, seer["days"], "days")
    for row in published["swav"]:
        run = Training(
            zoo.spec("ResNet-50"),
            row["batch"],
            row["devices"],
            "float16",
            "larc",
            crops=(Crop(2, 224), Crop(6, 96)),
            head_dims=(2048, 128, 3000),
        )
        got = step_time(run, device("v100-16gb")).total * IMAGENET_IMAGES / row["batch"]
        name = f"ResNet-50 on {row['devices']}, an epoch"
        yield Row("SwAV, V100-16GB", name, got, row["epoch_seconds"], "s")


def timm_rows() -> Iterator[Row]:
    """Compare inference with timm's benchmark."""
    for row in read("published_speed.json")["timm_4090"]:
        run = Training(zoo.spec(row["model"]), 256, 1, "float16")
        got = 256 / inference_time(run, device("rtx-4090"))
        table = "timm, RTX 4090: images a second (set)"
        yield Row(table, row["model"], got, row["images_per_second"], "/s")


def main() -> None:
    """Print every comparison, table by table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.parse_args()
    record = Record("plan_vs_published")
    rows = [*zoo_rows(), *early_rows(), *h100_rows(), *self_supervised_rows(), *timm_rows()]
    for table in dict.fromkeys(row.table for row in rows):
        group = [row for row in rows if row.table == table]
        print(f"\n{table}")
        for row in group:
            figures = f"{row.predicted:9.4g} / {row.published:<9.4g} {row.unit:4}"
            print(f"  {row.name:30} {figures} = {row.ratio:.2f}")
        logs = [math.log(row.ratio) for row in group]
        mean = math.exp(sum(logs) / len(logs))
        factor = math.exp(math.sqrt(sum(x * x for x in logs) / len(logs)))
        print(f"  {len(group)} rows: geometric mean {mean:.2f}, typical factor {factor:.2f}")
        if len(group) < 5:
            for row in group:
                case, said = f"{table}: {row.name}", {"the published": row.published}
                record.add([figure(case, "planned", row.predicted, row.unit, of=said)])
            continue
        whole = figure(
            f"{table}, {len(group)} networks",
            "planned over published, mean (least-largest)",
            mean,
            "x",
        )
        ratios = [row.ratio for row in group]
        record.add([whole | {"low": min(ratios), "high": max(ratios), "turns": len(group)}])
    v100 = device("v100-32gb")
    for recompute in ("blocks", "none"):
        run = seer_run(recompute)
        need = (memory(run).total + v100.reserved) / 1e9
        words = "without" if recompute == "none" else "with"
        most = largest_batch(run, v100) // run.num_devices
        print(
            f"\nSEER RG-256GF {words} checkpointing needs {need:.1f} of {v100.memory / 1e9:.1f} GB "
            f"at 17 images a device; {most} would fit"
        )


if __name__ == "__main__":
    main()
