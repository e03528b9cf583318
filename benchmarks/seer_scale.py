"""One training step of SEER's networks, up to 1.4 billion parameters, on two CPU processes.

The network is built on the meta device and sharded, so that neither process ever holds all of it;
one SwAV step with LARC is taken on real numbers, the state is saved, and a second step is taken.
Then all numbers are wiped, loaded, compared, and the second step is taken again: it must leave the
same bits.

Run:  python benchmarks/seer_scale.py [--model rg_8gf] [--crop 64] [--folder DIR] [--quick]
RG-256GF (`--model rg_256gf --crop 32`) needs 24 GB of memory and 12 GB of disk.
"""

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as torch_dist
from common import Record, figure

from eyespot import dist
from eyespot.design.by_name import to_spec
from eyespot.design.memory import recomputed_groups
from eyespot.design.training import Training as DesignTraining
from eyespot.models.speed import SpeedSettings
from eyespot.recipes import get_recipe
from eyespot.tasks.methods import swav
from eyespot.tasks.methods.training import Sizes, Training
from eyespot.tasks.optimization import make_optimizer
from eyespot.tasks.pretrain_networks import Build, build_network
from eyespot.tasks.run import Place
from eyespot.train.checkpoint import CheckpointFolder, load
from eyespot.train.job import Job, state_tensors

RANKS = 2


def resident_gb() -> float:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e9


def available_gb() -> float:
    """Memory that the machine has left."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 1e6


class Peak(threading.Thread):
    """Looks at this process's memory twenty times a second; ends it before the machine has none."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most, self.done = 0.0, False

    def run(self) -> None:
        """Look until told to stop."""
        while not self.done:
            self.most = max(self.most, resident_gb())
            if available_gb() < 1:
                print(f"stopped at {resident_gb():.1f} GB: the machine has less than 1 GB left")
                os._exit(1)
            time.sleep(0.05)


def one_rank(rank: int, out: str, model: str, crop: int) -> None:
    """Build, step, save, load; rank 0 writes report.json."""
    torch.set_num_threads(1)
    torch_dist.init_process_group(
        "gloo", init_method=f"file://{out}/store", rank=rank, world_size=RANKS
    )
    peak = Peak()
    peak.start()
    report: dict[str, float] = {}
    recipe = get_recipe("seer/rg_256gf")
    method = replace(recipe.method, freeze_steps=0)
    spec = replace(to_spec(model), num_classes=0, image_size=crop)
    speed = SpeedSettings(dtype=torch.bfloat16)
    place = Place(torch.device("cpu"), "fsdp", 0, torch_dist.new_group(backend="gloo"))
    groups = recomputed_groups(DesignTraining(spec, 2, recompute="blocks"))
    build = Build(
        spec, lambda width: swav.make_head(method, width), "sizes", True, 0, groups, speed, 1
    )

    began = time.perf_counter()
    network = build_network(build, place)
    report["build_seconds"] = time.perf_counter() - began
    report["parameters"] = sum(p.numel() for p in network.parameters())
    report["held_parameters"] = sum(p.to_local().numel() for p in network.parameters())
    report["after_build_gb"] = resident_gb()
    report["peak_of_build_gb"] = peak.most

    optimizer = make_optimizer(network, recipe.optimizer, 8192)
    sizes = Sizes(2, 8192, 2 * RANKS, 1, 1000, 1000, 1, place.device)
    training = Training(method, sizes, network, network, optimizer, speed, 0.0, lambda: iter(()))
    job = Job({"model": network}, {"optimizer": optimizer}, place.device)
    generator = torch.Generator().manual_seed(rank)
    views = [torch.randn(2, 2, 3, crop, crop, generator=generator)]
    before = network.head.prototypes[0].weight.to_local().clone()
    began = time.perf_counter()
    values = swav.step(training, job, views, torch.arange(2))
    report["step_seconds"] = time.perf_counter() - began
    report["after_step_gb"] = resident_gb()
    report["peak_of_step_gb"] = peak.most
    report |= {name: value.item() for name, value in values.items()}
    moved = (network.head.prototypes[0].weight.to_local() - before).abs().max()
    report["prototypes_moved"] = moved.item()

    began = time.perf_counter()
    folder = CheckpointFolder(Path(out) / "checkpoints", background=False, group=place.group)
    tensors = state_tensors(job)
    folder.save(1, tensors, {})
    report["save_seconds"] = time.perf_counter() - began
    report["peak_of_save_gb"] = peak.most
    saved = _checksums(tensors)
    job.step = 1
    second = swav.step(training, job, views, torch.arange(2))["loss"]
    after = _checksums(state_tensors(job))
    for tensor in tensors.values():
        _local(tensor).zero_()
    began = time.perf_counter()
    newest, _ = folder.newest()
    load(newest, tensors, group=place.group)
    report["load_seconds"] = time.perf_counter() - began
    assert saved == _checksums(tensors), "what was loaded is not what was saved"
    assert torch.equal(second, swav.step(training, job, views, torch.arange(2))["loss"])
    assert after == _checksums(state_tensors(job)), "the step after loading leaves other numbers"
    report["loss_of_second_step"] = second.item()
    peak.done = True
    most = torch.tensor([peak.most])
    report["peak_gb_of_all"] = dist.all_reduce_sum(most).item()
    report["peak_gb"] = peak.most
    if rank == 0:
        (Path(out) / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    torch_dist.barrier()
    torch_dist.destroy_process_group()


def _local(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def _checksums(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[float, float]]:
    return {name: _checksum(tensor) for name, tensor in tensors.items()}


def _checksum(tensor: torch.Tensor) -> tuple[float, float]:
    """Sum and one weighted value of what this process holds, without a copy."""
    flat = _local(tensor).detach().flatten()
    if not len(flat):
        return 0.0, 0.0
    return flat.sum(dtype=torch.float64).item(), flat[len(flat) // 3].item()


def measure(out: Path, model: str, crop: int) -> dict[str, float]:
    """Start the processes, wait for them, and return what the first one reports."""
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=one_rank, args=(rank, str(out), model, crop))
        for rank in range(RANKS)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        sys.exit(1)
    return dict(json.loads((out / "report.json").read_text()))


def main() -> None:
    """Measure one network, and record its sizes and seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="rg_8gf")
    parser.add_argument("--crop", type=int, default=64, help="side of both crops, px")
    parser.add_argument("--folder", help="the disk to write on; else the temporary folder's")
    parser.add_argument("--quick", action="store_true", help="a small network, 32 px")
    args = parser.parse_args()
    model, crop = ("regnety_200mf", 32) if args.quick else (args.model, args.crop)
    record = Record("seer_scale")
    with tempfile.TemporaryDirectory(dir=args.folder) as out:
        report = measure(Path(out), model, crop)
    print(json.dumps(report, indent=1))
    case = f"{model} with its head, 2x{crop} px, {RANKS} processes of one thread"
    rows = [
        ("parameters", report["parameters"] / 1e6, "M"),
        ("most memory of both", report["peak_gb_of_all"], "GB"),
        *((name, report[f"{name}_seconds"], "s") for name in ("build", "step", "save", "load")),
    ]
    record.add([figure(case, who, value, unit) for who, value, unit in rows])


if __name__ == "__main__":
    main()
