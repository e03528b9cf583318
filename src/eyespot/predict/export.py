"""Features of a whole data set on disk, by any number of processes, killed as often as it likes."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from eyespot import dist
from eyespot.data.samples import Samples
from eyespot.evals.extract import Row, extract
from eyespot.evals.feature_files import About, missing_shards, start_folder, write_shard
from eyespot.predict.embedder import Embedder


def export_features(
    embedder: Embedder,
    samples: Samples,
    out: Path,
    *,
    facts: dict[str, object],
    rows_per_shard: int = 4096,
    half: bool = False,
    num_workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[int]:
    """Write the features of all samples; go on with what an earlier call left.

    Under torchrun every rank calls this and does its share of the shards. No rank waits for
    another until the end, so it may also be called on machines that know nothing of each other.

    Args:
        embedder: Made with the taps wanted.
        samples: Where images come from; damaged ones are listed with their reason.
        out: The folder (`evals.feature_files`).
        facts: Where the features come from, as plain data; must be the same when going on.
        rows_per_shard: Samples a file.
        half: Write float16.
        num_workers: Processes that read.
        progress: Called with this rank's samples done and to do.

    Returns:
        The shards that this rank wrote.

    Raises:
        ValueError: If the folder holds features of something else.
        OSError: If it cannot be written.
    """
    if rows_per_shard < 1:
        raise ValueError(f"need rows_per_shard of 1 or more, got {rows_per_shard}")
    view = [embedder.view.resize_to, embedder.view.size_px]
    taps = tuple(str(tap) for tap in embedder.taps)
    facts = {**facts, "view_px": view, "mean": embedder.mean, "std": embedder.std}
    dtype = "float16" if half else "float32"
    about = About(len(samples), rows_per_shard, taps, dtype, facts)
    if dist.rank() == 0:
        start_folder(out, about)
    dist.barrier()
    start_folder(out, about)
    mine = missing_shards(out, about)[dist.rank() :: dist.world_size()]
    dist.barrier()  # all have looked before any shard appears
    total, done = sum(len(about.indices(shard)) for shard in mine), 0
    for shard in mine:
        rows, features = _shard(embedder, samples, about.indices(shard), num_workers)
        write_shard(out, about, shard, rows, features)
        done += len(rows)
        if progress is not None:
            progress(done, total)
    dist.barrier()
    return mine


def _shard(
    embedder: Embedder, samples: Samples, indices: range, num_workers: int
) -> tuple[list[Row], list[Tensor]]:
    rows: list[Row] = []
    found: list[list[Tensor]] = [[torch.zeros(0, width) for width in embedder.widths]]
    for part in extract(
        embedder.network,
        samples,
        embedder.view,
        indices,
        device=embedder.device,
        batch_size=embedder.batch_size,
        num_workers=num_workers,
        mean=embedder.mean,
        std=embedder.std,
    ):
        rows += part.rows
        if part.features:
            found.append([features.cpu() for features in part.features])
    return rows, [torch.cat(tap) for tap in zip(*found, strict=True)]
