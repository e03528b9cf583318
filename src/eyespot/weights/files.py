"""Weights files, read without running anything in them and written whole or not at all.

safetensors is data by construction. Files of torch.save are pickles, programs that is; they are
read by torch's restricted unpickler (`weights_only=True`) with the few additions published files
need. What a file asks for beyond that is named and refused, never run.
"""

import argparse
import json
import os
import pickle
import re
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from eyespot.errors import WeightsError

_SCALAR = np.float64(0).__reduce__()[0]  # numpy's rebuilder of scalars, wherever it lives
_ALLOWED: list[Any] = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    (np.dtype, "numpy.dtype"),
    *(type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?")),
    argparse.Namespace,
]
_MAX_HEADER = 100 << 20
_LEGACY_MAGIC = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"


class Contents(NamedTuple):
    """What a weights file holds.

    Attributes:
        tree: The saved object; for safetensors a flat dict of tensors.
        metadata: The file's own text entries; empty for files of torch.save.
    """

    tree: Any
    metadata: dict[str, str]


def read_file(path: str | Path) -> Contents:
    """Read a weights file: safetensors, its sharded index.json, or a file of torch.save.

    Tensors are mapped from the disk where the format allows it, on the CPU.

    Raises:
        WeightsError: If the file is damaged, is none of these, or asks for more than data.
        OSError: If it cannot be opened.
    """
    path = Path(path)
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        raise WeightsError(
            f"need a weights file, got {path}, which is empty; download or write it again"
        )
    if path.name.endswith(".json"):
        return _read_index(path)
    if _is_safetensors(start) or path.suffix == ".safetensors":
        return _read_safetensors(path)
    if start.startswith(b"PK"):
        _check_zip(path)
        return Contents(_unpickle(path, mmap=True), {})
    if _LEGACY_MAGIC in start:
        return Contents(_unpickle(path, mmap=False), {})
    raise WeightsError(
        f"need a safetensors file or one of torch.save, got {path}, which {_looks_like(start)}"
    )


def save_weights(
    state_dict: Mapping[str, Tensor], path: str | Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as safetensors, whole or not at all.

    Args:
        state_dict: Tensors on any device; those that share memory are written apart.
        path: The file; an old one is replaced at the end, and its folder is made if need be.
        metadata: Text entries of the file's header. Weights of our networks say
            `{"format": "eyespot", "channel_order": "rgb"}`.

    Raises:
        OSError: If it cannot be written.
    """
    path = Path(path)
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in state_dict.items():
        plain = tensor.detach().to("cpu").contiguous()
        memory = plain.untyped_storage().data_ptr()
        whole = plain.untyped_storage().nbytes() == plain.nbytes
        tensors[name] = plain if whole and memory not in seen else plain.clone()
        seen.add(memory)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        safetensors.torch.save_file(tensors, temporary, dict(metadata or {}))
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except safetensors.SafetensorError as error:
        os.unlink(temporary)
        raise OSError(f"need room and permission to write {path}, got: {error}") from error
    except BaseException:
        os.unlink(temporary)
        raise


def _is_safetensors(start: bytes) -> bool:
    """Whether a file starts with a plausible header length and a JSON object."""
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= _MAX_HEADER


def _looks_like(start: bytes) -> str:
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page; the download was answered with one, so check its address"
    if text.startswith(b"version https://git-lfs"):
        return "is a git-lfs pointer; run `git lfs pull` to get the file it stands for"
    if start.startswith(b"\x1f\x8b"):
        return "is gzip; unpack it first"
    if start.startswith(b"\x80"):
        return "is a plain pickle, not a file of torch.save"
    return f"starts with {start[:12]!r}; if it was downloaded, download it again"


def _read_safetensors(path: Path) -> Contents:
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return Contents(tensors, dict(file.metadata() or {}))
    except (safetensors.SafetensorError, ValueError, RuntimeError, OverflowError) as error:
        raise WeightsError(
            f"need a whole safetensors file, got {path}: {error}; download or write it again"
        ) from None


def _read_index(path: Path) -> Contents:
    """Read every shard a safetensors index names, and check that they hold what it says."""
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        names = {name: str(file) for name, file in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise WeightsError(f"need an index of safetensors with a weight_map, got {path}") from None
    shards = sorted(set(names.values()))
    outside = [name for name in shards if PurePosixPath(name).name != name or "\\" in name]
    if outside or not shards:
        raise WeightsError(f"need shards in the folder of {path}, got {outside or 'none'}")
    absent = [name for name in shards if not (path.parent / name).is_file()]
    if absent:
        raise WeightsError(f"need all shards next to {path}, missing {', '.join(absent)}")
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for shard in shards:
        contents = _read_safetensors(path.parent / shard)
        tensors |= contents.tree
        metadata |= contents.metadata
    wrong = sorted(tensors.keys() ^ names.keys())
    if wrong:
        raise WeightsError(
            f"need shards that hold what {path} lists, got a difference in {len(wrong)} tensors, "
            f"such as {', '.join(wrong[:3])}; are all shards of one version?"
        )
    return Contents(tensors, metadata)


def _check_zip(path: Path) -> None:
    """Refuse archives torch.save does not write, before anything is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise WeightsError(
            f"need a whole file of torch.save, got {path} of {path.stat().st_size} bytes, which "
            f"is cut short or damaged ({error}); download or write it again"
        ) from None
    names = [PurePosixPath(entry.filename).name for entry in entries]
    if "constants.pkl" in names:
        raise WeightsError(
            f"need a state dict, got the TorchScript program {path}; save its state_dict() instead"
        )
    if "data.pkl" not in names:
        raise WeightsError(f"need a file of torch.save, got the zip archive {path} of other things")
    claimed = sum(entry.file_size for entry in entries)
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if packed or claimed > path.stat().st_size:
        raise WeightsError(
            f"need a file as torch.save writes it, got {path} of {path.stat().st_size} bytes that "
            f"unpacks to {claimed}; torch.save never packs, so this file is not to be trusted"
        )


def _unpickle(path: Path, *, mmap: bool) -> Any:
    try:
        with torch.serialization.safe_globals(_ALLOWED), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice about its own file formats
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        raise WeightsError(_refusal(path, str(error))) from None
    except Exception as error:  # noqa: BLE001  # a damaged pickle can raise anything
        raise WeightsError(
            f"need a whole file of torch.save, got {path}, which cannot be read "
            f"({type(error).__name__}: {_first_line(error)}); download or write it again"
        ) from None


def _refusal(path: Path, reason: str) -> str:
    """The sentence for a pickle torch's restricted unpickler refused."""
    asked = re.search(
        r"GLOBAL ([\w.]+)|(?:find|import|class|type|function) ([\w.]+\.[\w.]+)", reason
    )
    if asked:
        return (
            f"need tensors and plain values, got {path}, which asks for {asked[1] or asked[2]}; "
            "that is code, and code in a weights file is never run. Save its state_dict() again "
            "where you trust it"
        )
    return (
        f"need a whole file of torch.save, got {path}: {_last_line(reason)}; download or write it "
        "again"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "Error" in line or "rror:" in line), lines[-1])[:300]
