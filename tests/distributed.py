"""Runs a function in several gloo processes, for the tests that need real ones."""

import multiprocessing
import tempfile
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as torch_dist

TIMEOUT_S = 120
PRELOAD = ["torch", "torch.distributed.fsdp", "torch.distributed.tensor"]


def run_ranks(function: Callable[..., Any], *args: Any, world_size: int = 2) -> list[Any]:
    """Return what `function(*args)` returned on each rank of a fresh gloo process group.

    The function must be importable, and return tensors or plain containers of them. The processes
    are forked from a server that has imported torch but never run it, so they start in moments.
    """
    context: ForkServerContext = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            context.Process(target=_one_rank, args=(function, args, rank, world_size, folder))
            for rank in range(world_size)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(TIMEOUT_S)
            if process.is_alive():
                process.kill()
        return [_result(Path(folder), rank) for rank in range(world_size)]


def _one_rank(
    function: Callable[..., Any], args: tuple[Any, ...], rank: int, world_size: int, folder: str
) -> None:
    torch.set_num_threads(1)
    try:
        torch_dist.init_process_group(
            "gloo",
            init_method=f"file://{folder}/store",
            rank=rank,
            world_size=world_size,
            timeout=timedelta(seconds=TIMEOUT_S / 2),
        )
        torch.save(function(*args), f"{folder}/{rank}.pt")
        torch_dist.barrier()
        torch_dist.destroy_process_group()
    except BaseException:
        Path(folder, f"{rank}.txt").write_text(traceback.format_exc())
        raise


def _result(folder: Path, rank: int) -> Any:
    problem = folder / f"{rank}.txt"
    if problem.exists():
        raise RuntimeError(f"rank {rank} failed:\n{problem.read_text()}")
    if not (folder / f"{rank}.pt").exists():
        raise RuntimeError(f"rank {rank} ended without a result within {TIMEOUT_S} s")
    return torch.load(folder / f"{rank}.pt", weights_only=True)
