"""Writing a dataset as WebDataset tars: atomic, restartable, and read again before it counts."""

import io
import json
import os
import tarfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from eyespot.data.headers import read_header
from eyespot.data.jobs import run_jobs
from eyespot.data.manifest import file_sha256, write_manifest
from eyespot.data.samples import Samples
from eyespot.data.shard_index import SUFFIX, build_index, load_index, save_index
from eyespot.data.storage import read_part

CLASS_NAMES = "classes.txt"
"""The file beside shards that lists the names of the classes, a name a line."""

_ENDINGS = {"JPEG": "jpg", "TIFF": "tif"}  # of the others, the format's name


def write_shards(
    samples: Samples,
    folder: Path,
    *,
    samples_per_shard: int = 1000,
    prefix: str = "shard",
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write every sample, in order, as {prefix}-000000.tar and on; return the shards.

    A shard is written under a temporary name, synced, read again sample by sample, and only then
    renamed. Called again after a crash it keeps the shards that are whole and writes the rest;
    the same samples give the same bytes, with any number of workers. Images that are bytes are
    copied unread, so a broken one stays what it is; pixels become PNG. Labels go to `.cls`; a
    sample's key is its index. At last {prefix}.sha256 lists the shards, as `sha256sum -c` reads it.

    Args:
        samples: What to write.
        folder: Where to; made if it is missing. One call at a time writes to it.
        samples_per_shard: How many samples each tar holds; the last may hold fewer.
        prefix: How the file names start.
        workers: Processes that write; 0 writes in this one.
        progress: Told the number of shards done and of all, after each.

    Raises:
        ValueError: If the folder holds shards of another size or number of samples, or a shard
            does not read back as it was written.
    """
    if samples_per_shard < 1 or len(samples) < 1:
        raise ValueError(
            f"need at least one sample, and one a shard, got {len(samples)} samples and "
            f"{samples_per_shard} a shard"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    plan = {"samples": len(samples), "samples_per_shard": samples_per_shard}
    _check_plan(folder / f"{prefix}.json", plan)
    for leftover in folder.glob(f"{prefix}-*.tar.*.tmp"):
        leftover.unlink()
    jobs = [
        (folder / f"{prefix}-{number:06d}.tar", range(len(samples))[first:][:samples_per_shard])
        for number, first in enumerate(range(0, len(samples), samples_per_shard))
    ]
    finish = partial(_finish_shard, samples)
    digests = {}
    for path, digest in run_jobs(finish, jobs, workers):
        digests[path] = digest
        if progress is not None:
            progress(len(digests), len(jobs))
    shards = [path for path, _ in jobs]
    write_manifest(folder / f"{prefix}.sha256", {path.name: digests[path] for path in shards})
    return shards


def _check_plan(path: Path, plan: dict[str, int]) -> None:
    if path.is_file():
        found = json.loads(path.read_text())
        if found != plan:
            raise ValueError(f"need an empty folder or one of {plan}, got {found}: {path}")
    path.write_text(json.dumps(plan))


def _finish_shard(samples: Samples, job: tuple[Path, range]) -> tuple[Path, str]:
    """Write a shard unless it is whole; return its path and sha256."""
    shard, indices = job
    if not _is_whole(shard, len(indices)):
        _write_shard(samples, indices, shard)
    return shard, file_sha256(shard)


def _is_whole(shard: Path, count: int) -> bool:
    return shard.is_file() and len(load_index(str(shard))) == count


def _write_shard(samples: Samples, indices: range, shard: Path) -> None:
    temporary = shard.with_name(f"{shard.name}.{os.getpid()}.tmp")
    try:
        written = []
        with temporary.open("wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                for index in indices:
                    image, label, _ = samples[index]
                    data, ending = _as_bytes(image)
                    _add(tar, f"{index:09d}.{ending}", data)
                    if label is not None:
                        _add(tar, f"{index:09d}.cls", str(label).encode())
                    written.append((zlib.crc32(data), label))
            file.flush()
            os.fsync(file.fileno())
        _verify(temporary, written)
        temporary.replace(shard)
        _sync_folder(shard.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _verify(path: Path, written: list[tuple[int, int | None]]) -> None:
    """Read a finished tar again, write its index, and compare."""
    index = build_index(str(path))
    found = [
        (zlib.crc32(read_part(str(path), start, size)), label if label >= 0 else None)
        for _, start, size, label in (index[i] for i in range(len(index)))
    ]
    if found != written:
        raise ValueError(f"need {path} to read back as it was written, got other samples")
    state = path.stat()
    sidecar = path.with_name(path.name.split(".tar.")[0] + ".tar" + SUFFIX)
    save_index(index, sidecar, [state.st_size, state.st_mtime_ns])


def _as_bytes(image: bytes | np.ndarray) -> tuple[bytes, str]:
    if isinstance(image, np.ndarray):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        return file.getvalue(), "png"
    try:
        format = read_header(image).format
    except ValueError:  # broken: training will skip and count it
        return image, "jpg"
    return image, _ENDINGS.get(format, format.lower())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
