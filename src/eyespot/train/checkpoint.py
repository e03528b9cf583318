"""Checkpoints that are whole or absent: tensors in sharded safetensors, everything else in JSON.

A checkpoint is a folder `step_000000100` with the shards of `torch.distributed.checkpoint` in
`state/`, `facts.json`, optionally `weights.safetensors`, and `manifest.json` with the size and
sha256 of every file. It is written under a temporary name and renamed when all of it is on disk,
so a folder of that name is complete; one damaged later is recognised by its manifest. No pickle
is written or read.
"""

import hashlib
import json
import os
import shutil
import threading
import warnings
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from torch import distributed as dist
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.state_dict_loader import load as load_sharded
from torch.distributed.checkpoint.state_dict_saver import async_save as save_sharded_later
from torch.distributed.checkpoint.state_dict_saver import save as save_sharded

FORMAT = "eyespot-checkpoint/1"
_FILE_BYTES = 1 << 30  # of all ranks' shards together
_PREFIX, _PARTIAL, _STATE = "step_", ".partial", "state"


class DamagedCheckpointError(ValueError):
    """A checkpoint's files are not those its manifest lists."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint on disk.

    Attributes:
        path: Its folder.
        step: Optimizer steps taken when it was written.
        facts: What was stored beside the tensors.
    """

    path: Path
    step: int
    facts: dict[str, Any]


class CheckpointFolder:
    """The checkpoints of one run, newest last.

    All ranks of a run call `save`, `wait` and `load` together; rank 0 names, lists and deletes.

    Args:
        folder: Holds the checkpoints; made when missing.
        keep_last: How many of the newest stay. The one with the lowest score stays as well.
        background: Write while training goes on; `save` then returns after a copy in memory.
        group: A process group whose backend can move CPU tensors, for `background` on several
            ranks.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep_last: int = 3,
        background: bool = True,
        group: dist.ProcessGroup | None = None,
    ) -> None:
        if keep_last < 1:
            raise ValueError(f"need to keep 1 checkpoint or more, got keep_last={keep_last}")
        self.folder = Path(folder)
        self.keep_last = keep_last
        self.background = background
        self.group = group
        self._finishing: threading.Thread | None = None
        self._failure: BaseException | None = None
        self.folder.mkdir(parents=True, exist_ok=True)
        if _rank() == 0:
            for leftover in self.folder.glob(f"*{_PARTIAL}"):
                shutil.rmtree(leftover)

    def save(
        self,
        step: int,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        weights: Mapping[str, Tensor] | None = None,
        about: Mapping[str, str] | None = None,
        score: float | None = None,
    ) -> None:
        """Write a checkpoint; an earlier write still under way is waited for first.

        Args:
            step: Optimizer steps taken so far.
            tensors: The state, by name: plain tensors equal on all ranks, DTensors, or tensors of
                one rank under a name that only this rank uses.
            facts: JSON data, equal on all ranks; rank 0's is stored.
            weights: The model alone, for people who want nothing else; rank 0's is stored.
            about: What the weights file says of itself.
            score: Lower is better; the checkpoint with the lowest is never deleted.

        Raises:
            OSError: If writing failed, now or in the background since the last call.
        """
        self.wait()
        name = f"{_PREFIX}{step:09d}"
        partial = self.folder / (name + _PARTIAL)
        if _rank() == 0:
            content = {"format": FORMAT, "step": step, "score": score, "facts": dict(facts)}
            try:
                _begin(partial, content, weights, {"format": "eyespot", **(about or {})})
            except (OSError, SafetensorError) as error:
                raise self._no_room(error) from error
        _barrier(self.group)
        state = {key: value.detach() for key, value in tensors.items()}
        writer = HuggingFaceStorageWriter(
            str(partial / _STATE), _files_of(state), save_distributed=True
        )
        _expect_single_process()
        if not self.background:
            self._write_now(state, writer, partial, name)
            return
        handle = save_sharded_later(state, storage_writer=writer, process_group=self.group)
        writing = handle if isinstance(handle, Future) else handle.upload_completion
        self._finishing = threading.Thread(target=self._finish, args=(writing, partial, name))
        self._finishing.start()

    def _write_now(
        self, state: dict[str, Tensor], writer: HuggingFaceStorageWriter, partial: Path, name: str
    ) -> None:
        """Write without a copy in memory, which a model of billions may not have room for.

        Tensors in another layout (channels last) are copied: a file holds plain ones.
        """
        state = {name: tensor.contiguous() for name, tensor in state.items()}
        done: Future[Any] = Future()
        try:
            done.set_result(save_sharded(state, storage_writer=writer, process_group=self.group))
        except BaseException as error:  # noqa: BLE001 - as in _finish
            done.set_exception(error)
        self._finish(done, partial, name)
        _barrier(self.group)
        self.wait()

    def _finish(self, writing: "Future[Any]", partial: Path, name: str) -> None:
        try:
            writing.result()
            if _rank() == 0:
                self._seal(partial, name)
                self._delete_old()
        except BaseException as error:  # noqa: BLE001 - torch's is no Exception; wait raises it
            self._failure = error

    def _seal(self, partial: Path, name: str) -> None:
        """Make a written checkpoint final: manifest, fsync, rename."""
        files = sorted(path for path in partial.rglob("*") if path.is_file())
        entries = {}
        for path in files:
            _fsync(path)
            entries[str(path.relative_to(partial))] = {
                "bytes": path.stat().st_size,
                "sha256": _sha256(path),
            }
        manifest = partial / "manifest.json"
        manifest.write_text(json.dumps({"format": FORMAT, "files": entries}), encoding="utf-8")
        for path in (manifest, partial / _STATE, partial):
            _fsync(path)
        final = self.folder / name
        if final.exists():
            shutil.rmtree(final)
        os.replace(partial, final)
        _fsync(self.folder)

    def _delete_old(self) -> None:
        paths = self.paths()
        scored = [(score, path) for path in paths if (score := _score(path)) is not None]
        best = min(scored, default=(0.0, None))[1]
        for path in paths[: -self.keep_last]:
            if path != best:
                doomed = path.with_name(path.name + _PARTIAL)
                os.replace(path, doomed)
                shutil.rmtree(doomed)

    def wait(self) -> None:
        """Return when no write is under way.

        Raises:
            OSError: If the write failed; the checkpoints before it are untouched.
        """
        if self._finishing is not None:
            self._finishing.join()
            self._finishing = None
            _barrier(self.group)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise self._no_room(failure) from failure

    def _no_room(self, error: BaseException) -> OSError:
        if isinstance(error, CheckpointException):  # which says it with the ranks' tracebacks
            error = next(iter(error.failures.values()))[0]
        return OSError(
            f"need room and permission to write a checkpoint in {self.folder}, got: {error}; the "
            "earlier checkpoints are untouched"
        )

    def paths(self) -> list[Path]:
        """Return the complete checkpoints, oldest first, damaged ones included."""
        return _paths(self.folder)

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """Return what `newest_checkpoint` does."""
        return newest_checkpoint(self.folder)


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest undamaged checkpoint and a sentence for each damaged one passed over.

    Nothing is touched: the run may be under way.
    """
    notes: list[str] = []
    for path in reversed(_paths(folder)):
        try:
            return read_facts(path), notes
        except DamagedCheckpointError as error:
            notes.append(f"passed over a damaged checkpoint: {error}")
    return None, notes


def _paths(folder: Path) -> list[Path]:
    names = (p for p in folder.glob(f"{_PREFIX}*") if not p.name.endswith(_PARTIAL))
    return sorted(names)


def _begin(
    partial: Path,
    content: Mapping[str, Any],
    weights: Mapping[str, Tensor] | None,
    about: dict[str, str],
) -> None:
    """Make a checkpoint's folder, with all that one rank writes alone."""
    shutil.rmtree(partial, ignore_errors=True)
    (partial / _STATE).mkdir(parents=True)
    (partial / "facts.json").write_text(json.dumps(content), encoding="utf-8")
    if weights is not None:
        copies = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
        save_file(copies, partial / "weights.safetensors", about)


def read_facts(path: Path) -> Checkpoint:
    """Check a checkpoint against its manifest and return what is stored beside its tensors.

    Raises:
        DamagedCheckpointError: If a file is missing, changed or unreadable; it is named.
    """
    verify(path)
    content = json.loads((path / "facts.json").read_text(encoding="utf-8"))
    if content.get("format") != FORMAT:
        raise DamagedCheckpointError(
            f"{path} has the format {content.get('format')!r}, this version reads {FORMAT!r}"
        )
    return Checkpoint(path, int(content["step"]), content["facts"])


def verify(path: Path) -> None:
    """Compare every file of a checkpoint with the manifest.

    Raises:
        DamagedCheckpointError: If they differ; the first file that does is named.
    """
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        files = [
            (name, entry["bytes"], entry["sha256"]) for name, entry in manifest["files"].items()
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedCheckpointError(f"{path} has no readable manifest.json ({error})") from None
    if not any(name == "facts.json" for name, _, _ in files):
        raise DamagedCheckpointError(f"{path} has a manifest.json that lists no facts.json")
    for name, size, sha256 in files:
        file = path / name
        if not file.is_file() or file.stat().st_size != size:
            raise DamagedCheckpointError(f"{file} is missing or has another size than written")
        if _sha256(file) != sha256:
            raise DamagedCheckpointError(f"{file} has other content than written")


def load(
    checkpoint: Checkpoint, tensors: Mapping[str, Tensor], *, group: dist.ProcessGroup | None = None
) -> None:
    """Fill tensors in place from a checkpoint, whatever number of ranks wrote it.

    Args:
        checkpoint: From `CheckpointFolder.newest` or `read_facts`.
        tensors: By name, as they were saved; each rank its own shards.
        group: As in `CheckpointFolder`.

    Raises:
        ValueError: If the checkpoint lacks one of the names or holds it in another shape.
    """
    state = {key: value.detach() for key, value in tensors.items()}
    stored = (
        HuggingFaceStorageReader(str(checkpoint.path / _STATE)).read_metadata().state_dict_metadata
    )
    for key, value in state.items():
        size = getattr(stored.get(key), "size", None)
        if size is None or tuple(size) != tuple(value.shape):
            got = "none" if size is None else f"shape {tuple(size)}"
            raise ValueError(
                f"need {key} of shape {tuple(value.shape)} in {checkpoint.path}, got {got}; was "
                "the checkpoint written by another recipe?"
            )
    _expect_single_process()
    reader = HuggingFaceStorageReader(str(checkpoint.path / _STATE))
    load_sharded(state, storage_reader=reader, process_group=group)


def stored_names(checkpoint: Checkpoint) -> set[str]:
    """Return the names of all tensors of a checkpoint."""
    metadata = HuggingFaceStorageReader(str(checkpoint.path / _STATE)).read_metadata()
    return set(metadata.state_dict_metadata)


def _expect_single_process() -> None:
    """Silence torch's remark that a run on one process is not distributed."""
    warnings.filterwarnings("ignore", message="torch.distributed is disabled")


class _Files(dict[str, int]):
    """The number of each tensor's file; the first for tensors that only other ranks have."""

    def __missing__(self, name: str) -> int:
        return 1


def _files_of(state: Mapping[str, Tensor]) -> _Files:
    """Number the files that tensors go to: a file is put together in memory, so none is large."""
    files, number, size = _Files(), 1, 0
    for name, tensor in state.items():
        size += tensor.numel() * tensor.element_size()
        if size > _FILE_BYTES:
            number, size = number + 1, tensor.numel() * tensor.element_size()
        files[name] = number
    return files


def _score(path: Path) -> float | None:
    try:
        score = json.loads((path / "facts.json").read_text(encoding="utf-8"))["score"]
    except (OSError, ValueError, KeyError):
        return None
    return None if score is None else float(score)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def _barrier(group: dist.ProcessGroup | None) -> None:
    if dist.is_initialized():
        dist.barrier(group=group)
