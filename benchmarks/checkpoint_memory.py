"""Does `eyespot plan` know what a SwAV step needs, with and without activation checkpointing?

Measured is what PyTorch's allocator holds at the fullest moment of the task's own step: on a CPU
counted from the profiler's records of every allocation, on a GPU as CUDA's allocator counts it.
What libraries keep for themselves is in neither. Predicted is `design.memory`, which the plan adds
a device's reserve to.

Run:  python benchmarks/checkpoint_memory.py [--device cuda] [--quick]
"""

import argparse
from collections.abc import Callable
from dataclasses import replace

import torch
from common import Record, figure
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from workloads import make_views, swav_call

from eyespot.data.multicrop import Crops
from eyespot.design.by_name import to_spec
from eyespot.design.memory import memory, recomputed_groups
from eyespot.design.training import Crop, Groups, Training
from eyespot.models.speed import SpeedSettings
from eyespot.train.job import state_tensors

PROTOTYPES = 3000
HEAD = (2048, 128, PROTOTYPES)
MODELS = ("ResNet-50", "RegNetY-800MF", "RegNetY-4.0GF", "EfficientNet-B0")


def peak_on_cpu(step: Callable[[], object], held: int) -> int:
    """Bytes held before the step, and the most that it adds."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        step()
    events = found.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = [event for event in events if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(changes, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return held + most


def peak_on_gpu(step: Callable[[], object]) -> int:
    """Bytes of CUDA's allocator at the fullest moment."""
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()


def measure(
    model: str, views: list[Tensor], settings: SpeedSettings, device: str, groups: Groups
) -> int:
    """Return the peak of a second step; the first makes the optimizer's state."""
    step = swav_call(model, views, PROTOTYPES, settings, device, groups=groups)
    step()
    if device == "cuda":
        return peak_on_gpu(step)
    job = step.job  # type: ignore[attr-defined]
    tensors = [*state_tensors(job).values(), *views]
    return peak_on_cpu(step, sum(t.numel() * t.element_size() for t in tensors))


def main() -> None:
    """Measure every network twice and print predicted over measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    cuda = args.device == "cuda"
    batch = args.batch or (32 if cuda else 4)
    large, small = (224, 96) if cuda else (160, 64)
    crops = (Crops(2, large, (0.14, 1.0)), Crops(4, small, (0.05, 0.14)))
    record = Record("checkpoint_memory", args.device)
    settings = SpeedSettings(torch.bfloat16 if cuda else torch.float32, channels_last=True)
    views = make_views(crops, batch, args.device)
    for model in MODELS[1:2] if args.quick else MODELS:
        planned = Training(
            replace(to_spec(model), num_classes=0), batch,
            dtype="bfloat16" if cuda else "float32", optimizer="larc",
            crops=tuple(Crop(kind.count, kind.size_px) for kind in crops), head_dims=HEAD,
        )  # fmt: skip
        case = f"{model}, 2x{large} + 4x{small} px, batch {batch}, {planned.dtype}"
        most, least = (memory(replace(planned, recompute=r)).total for r in ("none", "blocks"))
        between = f"{(most + least) / 2e9:.4f}GB"
        for how, recompute in {
            "all kept": "none", "checkpointed": "blocks", "half of that saved": between
        }.items():  # fmt: skip
            run = replace(planned, recompute=recompute)
            got = measure(model, views, settings, args.device, recomputed_groups(run)) / 1e6
            said = memory(run).total / 1e6
            record.add(
                [
                    figure(case, f"{how}, measured", got, "MB"),
                    figure(case, f"{how}, planned", said, "MB", of={"the measured": got}),
                ]
            )


if __name__ == "__main__":
    main()
