"""Where each sample of a WebDataset tar lies: found by one pass, kept in a sidecar file.

A sample is a run of members whose paths are equal up to the first dot of the file name: one
image, and perhaps its label in `.cls` (a number) or in `.json` (the field "label" or "cls").
The sidecar is a safetensors file; nothing in it or in the tar is ever unpickled.
"""

import contextlib
import hashlib
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from eyespot.data.rows import PackedStrings
from eyespot.data.samples import IMAGE_ENDINGS, MAX_FILE_BYTES
from eyespot.data.storage import cached, is_remote, open_file, read_if_there, size_and_time

SUFFIX = ".index"
NO_LABEL = -1

_FORMAT = "eyespot shard index 2"
_PICKLES = frozenset(("pkl", "pickle", "pyd", "pt", "pth", "ckpt", "joblib", "dill"))
_MAX_LABEL_BYTES = 1 << 20
_BLOCK = 512
_TAIL = 32  # bytes of an image that tell it from others: checksums of a PNG, the last of a JPEG


class Entry(NamedTuple):
    """One sample of a shard: its name, the place and length of its image, its label."""

    key: str
    start: int
    size: int
    label: int


@dataclass(frozen=True)
class ShardIndex:
    """The samples of one shard, in its order.

    Args:
        keys: Names.
        starts: First byte of each image.
        sizes: Bytes of each image.
        labels: Labels; `NO_LABEL` where there is none.
        tails: A sha256 of the last bytes of all images.
    """

    keys: PackedStrings
    starts: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray
    tails: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def digest(self) -> int:
        """Return a number of 63 bits that another shard will not have.

        It knows the names, places, lengths and last bytes of all images, and not when a shard was
        written: a copy is the same shard.
        """
        places = self.starts.tobytes() + self.sizes.tobytes()
        parts = self.keys.digest() + places + self.tails.tobytes()
        return int.from_bytes(hashlib.sha256(parts).digest()[:8]) >> 1

    def __getitem__(self, index: int) -> Entry:
        return Entry(
            self.keys[index],
            int(self.starts[index]),
            int(self.sizes[index]),
            int(self.labels[index]),
        )


def load_index(shard: str) -> ShardIndex:
    """Return a shard's index: from its sidecar if that is current, else built and kept.

    It is kept beside the shard; in the user's cache if the shard is remote or its folder cannot be
    written.

    Args:
        shard: Path or address of the tar.

    Raises:
        ValueError: If the shard is missing, truncated, holds a pickle or is no WebDataset tar.
    """
    stamp = [*size_and_time(shard)]
    beside, kept = shard + SUFFIX, cached(shard, SUFFIX)
    for place in (beside, str(kept)):
        data = read_if_there(place)
        index = None if data is None else _unpack(data, stamp)
        if index is not None:
            return index
    index = build_index(shard)
    if not is_remote(shard):
        try:
            save_index(index, Path(beside), stamp)
            return index
        except OSError:
            pass  # a folder of others, or a full disk
    save_index(index, kept, stamp)
    return index


def build_index(shard: str) -> ShardIndex:
    """Read a tar once, header by header, and return its index; `load_index` says what it raises."""
    try:
        with open_file(shard) as file:
            entries, tails = [], hashlib.sha256()
            for entry in _entries(shard, file):
                entries.append(entry)
                tails.update(_tail(file, entry))
    except tarfile.TarError as error:
        raise ValueError(f"the shard {shard} is truncated or no plain tar: {error}") from error
    if not entries:
        raise ValueError(f"need at least one sample in a shard, got none: {shard}")
    return ShardIndex(
        PackedStrings(entry.key for entry in entries),
        np.array([entry.start for entry in entries], np.int64),
        np.array([entry.size for entry in entries], np.int64),
        np.array([entry.label for entry in entries], np.int64),
        np.frombuffer(tails.digest(), np.uint8),
    )


def _tail(file: Any, entry: Entry) -> bytes:
    """Read the last bytes of an image; what reads the tar finds its own place again."""
    length = min(_TAIL, entry.size)
    file.seek(entry.start + entry.size - length)
    return bytes(file.read(length))


def save_index(index: ShardIndex, path: Path, stamp: list[int]) -> None:
    """Write a sidecar through a temporary name; `stamp` is the shard's size and time."""
    arrays = {
        "keys": np.frombuffer(index.keys.joined(), np.uint8),
        "starts": index.starts,
        "sizes": index.sizes,
        "labels": index.labels,
        "tails": index.tails,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(save(arrays, metadata={_FORMAT: json.dumps(stamp)}))
    temporary.replace(path)


def _unpack(data: bytes, stamp: list[int]) -> ShardIndex | None:
    """Return a sidecar's index, or None if it is damaged or tells of another shard."""
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        size, written = json.loads(header["__metadata__"][_FORMAT])
        same_time = 0 in (written, stamp[1]) or written == stamp[1]  # 0: remote, not known
        if size != stamp[0] or not same_time:
            return None
        arrays = load(data)
        keys = PackedStrings.split(arrays["keys"].tobytes())
        index = ShardIndex(
            keys, arrays["starts"], arrays["sizes"], arrays["labels"], arrays["tails"]
        )
    except (SafetensorError, ValueError, KeyError, TypeError):
        return None
    lengths = {len(keys), len(index.starts), len(index.sizes), len(index.labels)}
    return index if len(lengths) == 1 else None


def _entries(shard: str, file: Any) -> Iterator[Entry]:
    key, entry = None, None
    seen: set[str] = set()
    for member, tar in _members(shard, file):
        folder, _, name = member.name.rpartition("/")
        stem, _, ending = name.partition(".")
        _check_member(shard, member, ending)
        if (folder, stem) != key:
            if key is not None:
                yield _complete(shard, key, entry)
            key, entry, seen = (folder, stem), Entry("", 0, 0, NO_LABEL), set()
        assert entry is not None
        if ending in seen:
            raise ValueError(f"need each member once, got {member.name} twice: {shard}")
        seen.add(ending)
        if "." + ending.lower() in IMAGE_ENDINGS:
            if entry.size:
                raise ValueError(f"need one image a sample, got another: {member.name} in {shard}")
            if not 0 < member.size <= MAX_FILE_BYTES:
                raise ValueError(
                    f"need an image of 1 to {MAX_FILE_BYTES} bytes, got {member.size}: "
                    f"{member.name} in {shard}"
                )
            entry = entry._replace(key=member.name, start=member.offset_data, size=member.size)
        elif ending in ("cls", "json"):
            label = _read_label(shard, member, tar, ending)
            if label != NO_LABEL:
                entry = entry._replace(label=label)
    if key is not None:
        yield _complete(shard, key, entry)


def _members(shard: str, file: Any) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    """Yield the files of a tar; refuse one that does not end as a tar must."""
    with tarfile.open(fileobj=file, mode="r:") as tar:
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # it would keep every one
            if not member.isdir():
                yield member, tar
        file.seek(tar.offset)
        if file.read(_BLOCK) != bytes(_BLOCK):
            raise tarfile.ReadError("no end-of-archive block")


def _check_member(shard: str, member: tarfile.TarInfo, ending: str) -> None:
    if not member.isreg() or member.issparse():
        raise ValueError(f"need plain files in a shard, got another kind: {member.name} in {shard}")
    if _PICKLES.intersection(ending.lower().split(".")):
        raise ValueError(
            f"need shards without pickles, which can run any program, got {member.name} in {shard}"
        )


def _complete(shard: str, key: tuple[str, str], entry: Entry | None) -> Entry:
    if entry is None or entry.size == 0:
        name = "/".join(filter(None, key))
        raise ValueError(f"need an image in every sample, got none for {name!r} in {shard}")
    return entry


def _read_label(shard: str, member: tarfile.TarInfo, tar: tarfile.TarFile, ending: str) -> int:
    file = tar.extractfile(member)
    data = file.read(_MAX_LABEL_BYTES) if file is not None else b""
    label: object = None
    with contextlib.suppress(ValueError, RecursionError):
        label = int(data) if ending == "cls" else json.loads(data)
    if isinstance(label, dict):
        label = label.get("label", label.get("cls"))
        if label is None:
            return NO_LABEL
    if type(label) is not int or label < 0:
        raise ValueError(f"need a label of 0 or more, got {data[:40]!r}: {member.name} in {shard}")
    return label
