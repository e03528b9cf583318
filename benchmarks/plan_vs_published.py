"""Do the planner's predictions agree with what the papers printed? Prints predicted / published.

Run: python benchmarks/plan_vs_published.py

Rows marked "set" helped to choose the efficiencies of `eyespot.design.devices`; all others are
predictions. The published systems loaded real images and ran the software of their year.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

from eyespot.design import zoo
from eyespot.design.devices import device
from eyespot.design.memory import largest_batch, memory
from eyespot.design.roofline import inference_time, step_time
from eyespot.design.training import Crop, Training

IMAGENET = 1_281_167

# pycls' model zoo: train batch and test batch on 8 V100-16GB, ms to infer 64 images on one, hours
# for 100 epochs on 8; float32, PyTorch 1.6.
ZOO = (
    ("RegNetX-200MF", 1024, 800, 11, 3),
    ("RegNetX-400MF", 1024, 800, 15, 4.2),
    ("RegNetX-600MF", 1024, 800, 18, 4.5),
    ("RegNetX-800MF", 1024, 800, 23, 5.9),
    ("RegNetX-1.6GF", 1024, 800, 35, 8.9),
    ("RegNetX-3.2GF", 512, 400, 59, 15.1),
    ("RegNetX-4.0GF", 512, 400, 74, 17.9),
    ("RegNetX-6.4GF", 512, 400, 95, 24.3),
    ("RegNetX-8.0GF", 512, 400, 97, 23.7),
    ("RegNetX-12GF", 512, 400, 142, 34.6),
    ("RegNetX-16GF", 512, 400, 171, 41.3),
    ("RegNetX-32GF", 256, 200, 337, 81.8),
    ("RegNetY-200MF", 1024, 800, 12, 3.3),
    ("RegNetY-400MF", 1024, 800, 19, 5.3),
    ("RegNetY-600MF", 1024, 800, 20, 5.3),
    ("RegNetY-800MF", 1024, 800, 23, 6.1),
    ("RegNetY-1.6GF", 1024, 800, 41, 10.3),
    ("RegNetY-3.2GF", 512, 400, 69, 17),
    ("RegNetY-4.0GF", 512, 400, 69, 17.5),
    ("RegNetY-6.4GF", 512, 400, 108, 27.2),
    ("RegNetY-8.0GF", 512, 400, 115, 29.3),
    ("RegNetY-12GF", 512, 400, 152, 36.9),
    ("RegNetY-16GF", 256, 200, 208, 50.8),
    ("RegNetY-32GF", 256, 200, 331, 79.4),
    ("ResNet-50", 256, 200, 57, 14.8),
    ("ResNet-101", 256, 200, 97, 24),
    ("ResNet-152", 256, 200, 140, 33.7),
    ("ResNeXt-50", 256, 200, 85, 22.1),
    ("ResNeXt-101", 256, 200, 151, 39.9),
    ("ResNeXt-152", 256, 200, 231, 57.6),
    ("EfficientNet-B0", 256, 200, 31, 8.8),
    ("EfficientNet-B1", 256, 200, 47, 13.2),
    ("EfficientNet-B2", 256, 200, 58, 16.4),
    ("EfficientNet-B3", 256, 200, 92, 26.4),
    ("EfficientNet-B4", 128, 104, 201, 57.1),
    ("EfficientNet-B5", 64, 48, 446, 122.6),
)

# Early Convolutions, table 2: minutes per epoch on one server of 8 V100-32GB, largest batch on it
# (the paper goes no higher than 2048); mixed float16.
EARLY = (
    ("ResNet-50", 3.4, 2048),
    ("ResNet-101", 5.5, 2048),
    ("ResNet-152", 7.7, 2048),
    ("ResNet-200", 10.7, 1024),
    ("RegNetY-1GF", 3.1, 2048),
    ("RegNetY-4GF", 7.6, 2048),
    ("RegNetY-dWr-16GF", 17.9, 1024),
    ("RegNetY-dWr-32GF", 35.1, 512),
    ("RegNetZ-1GF", 4.2, 2048),
    ("RegNetZ-4GF", 12.9, 1024),
    ("RegNetZ-16GF", 32, 512),
    ("RegNetZ-32GF", 55.3, 256),
    ("EfficientNet-B2", 5.9, 2048),
    ("EfficientNet-B4", 19.4, 512),
    ("EfficientNet-B5", 41.7, 256),
    ("ViT-P-1GF", 2.6, 2048),
    ("ViT-P-4GF", 3.8, 2048),
    ("ViT-P-18GF", 11.5, 1024),
    ("ViT-P-36GF", 18.8, 512),
    ("ViT-C-1GF", 2.7, 2048),
    ("ViT-C-4GF", 3.9, 2048),
    ("ViT-C-18GF", 11.4, 1024),
    ("ViT-C-36GF", 18.6, 512),
)

# Our own measurements on one H100 80GB, bfloat16, torch 2.11, SGD with momentum, median of 6:
# batch, bytes kept for backward, peak bytes (0: not measured), ms a training step and ms of
# inference with channels-last.
H100 = (
    ("ResNet-50", 256, 11253155712, 11808759808, 64.65, 20.21),
    ("RegNetY-4.0GF", 256, 13882329024, 14440222720, 92.22, 22.96),
    ("RegNetY-128GF-seer", 32, 11468105920, 17011069952, 146.07, 41.09),
    ("RegNetY-256GF-seer-vissl", 16, 9743559156, 20622561280, 266.8, 81.92),
    ("RegNetZ-4GF", 128, 20319619584, 20818629120, 99.11, 24.52),
    ("EfficientNet-B0", 256, 11298819136, 11652755968, 56.81, 14.03),
    ("EfficientNet-B4", 64, 20950700496, 21442086912, 105.28, 26.07),
    ("ViT-P-4.0GF", 256, 7652589760, 8325681664, 46.7, 12.97),
    ("ViT-P-18GF", 128, 8674411712, 9875555328, 52.83, 15.69),
    ("ViT-C-18GF", 128, 9044646960, 10207283712, 54.19, 15.72),
    ("ResNeXt-50", 256, 14617534336, 15168896512, 81.53, 24.74),
    ("RegNetY-400MF", 256, 4313478720, 0, 38.19, 9.45),
    ("RegNetY-16GF", 128, 13070016960, 0, 140.57, 41.98),
    ("RegNetY-32GF", 64, 8812790016, 0, 137.5, 29.49),
)

# timm's benchmark results on an RTX 4090, float16 autocast, eager, images a second at batch 256.
TIMM_4090 = (
    ("RegNetY-4.0GF", 3819),
    ("RegNetY-16GF", 1584),
    ("RegNetY-32GF", 1008),
    ("RegNetY-128GF-seer", 312),
    ("ViT-P-18GF", 2787),
    ("EfficientNet-B0", 8926),
)


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


def zoo_rows() -> Iterator[Row]:
    """Compare times with the model zoo's."""
    v100 = device("v100-16gb")
    for name, train, test, ms, hours in ZOO:
        spec = zoo.spec(name)
        run = Training(spec, train, 8, "float32")
        step = step_time(run, v100).total
        got = step * IMAGENET / train * 100 / 3600
        yield Row("zoo, hours of 100 epochs (set)", name, got, hours, "h")
        got = inference_time(Training(spec, test // 8, 1, "float32"), v100) * 64 / (test // 8)
        yield Row("zoo, ms of 64 images (set)", name, 1e3 * got, ms, "ms")


def early_rows() -> Iterator[Row]:
    """Compare times and largest batches with Early Convolutions'."""
    v100 = device("v100-32gb")
    for name, minutes, batch in EARLY:
        run = Training(zoo.spec(name), batch, 8, "float16")
        got = step_time(run, v100).total * IMAGENET / batch / 60
        yield Row("Early Convolutions, minutes an epoch (set)", name, got, minutes, "min")
        most = largest_batch(run, v100)
        power = 2 ** int(math.log2(max(1, most)))
        yield Row("Early Convolutions, largest batch up to 2048", name, min(2048, power), batch, "")


def h100_rows() -> Iterator[Row]:
    """Compare times and memory with our measurements."""
    h100 = device("h100")
    for name, batch, _, peak, train_ms, infer_ms in H100:
        run = Training(zoo.spec(name), batch)
        yield Row("H100, ms a step (set)", name, 1e3 * step_time(run, h100).total, train_ms, "ms")
        got = 1e3 * inference_time(run, h100)
        yield Row("H100, ms of inference (set)", name, got, infer_ms, "ms")
        if peak:
            yield Row("H100, peak memory", name, memory(run).total / 1e9, peak / 1e9, "GB")


def seer_run() -> Training:
    """SEER's largest run of its first paper."""
    return Training(
        zoo.spec("rg-256gf"),
        8704,
        512,
        "float16",
        "larc",
        checkpointing=True,
        crops=(Crop(2, 224), Crop(4, 96)),
        head_dims=(8192, 8192, 256, 16000),
    )


def swav_run(batch: int, num_devices: int) -> Training:
    """SwAV on a ResNet-50, as its repository prints it."""
    return Training(
        zoo.spec("ResNet-50"),
        batch,
        num_devices,
        "float16",
        "larc",
        crops=(Crop(2, 224), Crop(6, 96)),
        head_dims=(2048, 128, 3000),
    )


def other_rows() -> Iterator[Row]:
    """Compare with SEER, SwAV and timm."""
    seer = seer_run()
    step = step_time(seer, device("v100-32gb")).total
    name = "SEER RG-256GF, 512 V100-32GB"
    yield Row("self-supervised", name, 1e3 * step, 6125, "ms")
    yield Row("self-supervised", name, step * math.ceil(1e9 / 8704) / 86400, 8, "days")
    v100 = device("v100-16gb")
    got = step_time(swav_run(4096, 64), v100).total * IMAGENET / 4096
    yield Row("self-supervised", "SwAV ResNet-50, 64 V100-16GB, an epoch", got, 220, "s")
    got = step_time(swav_run(256, 4), v100).total * IMAGENET / 256
    yield Row("self-supervised", "SwAV ResNet-50, 4 V100-16GB, an epoch", got, 3130, "s")
    for name, speed in TIMM_4090:
        run = Training(zoo.spec(name), 256, 1, "float16")
        got = 256 / inference_time(run, device("rtx-4090"))
        yield Row("timm, RTX 4090, images a second (set)", name, got, speed, "/s")


def main() -> None:
    """Print every comparison, table by table."""
    rows = [*zoo_rows(), *early_rows(), *h100_rows(), *other_rows()]
    for table in dict.fromkeys(row.table for row in rows):
        group = [row for row in rows if row.table == table]
        print(f"\n{table}")
        for row in group:
            print(
                f"  {row.name:40} {row.predicted:9.4g} / {row.published:<9.4g} {row.unit:4}"
                f" = {row.ratio:.2f}"
            )
        logs = [math.log(row.ratio) for row in group]
        mean = math.exp(sum(logs) / len(logs))
        spread = math.exp(math.sqrt(sum(x * x for x in logs) / len(logs)))
        print(f"  {len(group)} rows: geometric mean {mean:.2f}, typical factor {spread:.2f}")
    fit = memory(seer_run())
    print(f"\nSEER RG-256GF needs {fit.total / 1e9:.1f} GB of 34.1 GB on each V100-32GB")


if __name__ == "__main__":
    main()
