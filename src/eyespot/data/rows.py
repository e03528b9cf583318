"""Many strings in little memory, so that workers share a list of a billion names.

A Python list of names costs a hundred bytes a name in every process that touches it. Here the
names are one block of bytes and one array of places, in memory or mapped from disk.
"""

import hashlib
import mmap
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from eyespot.data.storage import cached

_SUFFIX = ".rows"
_CHUNK = 1 << 24
_HEADER = 4  # words: magic, the text's bytes, its time in ns, number of rows
_MAGIC = 0x45594553_524F5753


class PackedStrings:
    """A read-only sequence of strings, kept as UTF-8 in one block.

    Args:
        strings: What to keep.
    """

    def __init__(self, strings: Iterable[str]) -> None:
        encoded = [os.fsencode(string) for string in strings]
        self._ends = np.cumsum([len(item) for item in encoded], dtype=np.int64)
        self._block = b"".join(encoded)

    @classmethod
    def split(cls, joined: bytes) -> "PackedStrings":
        """Return the strings of a block in which bytes of zero stand between them."""
        zeros = np.flatnonzero(np.frombuffer(joined, np.uint8) == 0)
        packed = cls(())
        packed._block = joined.replace(b"\0", b"")
        packed._ends = np.append(zeros - np.arange(len(zeros)), len(packed._block))
        return packed

    def joined(self) -> bytes:
        """Return all strings with bytes of zero between them."""
        return b"\0".join(os.fsencode(string) for string in map(self.__getitem__, range(len(self))))

    def __len__(self) -> int:
        return len(self._ends)

    def digest(self) -> bytes:
        """Return a sha256 of all strings and where each ends."""
        return hashlib.sha256(self._ends.tobytes() + self._block).digest()

    def __getitem__(self, index: int) -> str:
        index = range(len(self))[index]
        start = int(self._ends[index - 1]) if index else 0
        return os.fsdecode(self._block[start : int(self._ends[index])])


class TextRows:
    """The lines of a text file, found through a mapped index of their places.

    The index is made by one pass over the text and kept beside it as `NAME.rows`, 8 bytes a line;
    in the user's cache if the folder cannot be written. Neither is ever read into memory as a
    whole. Mappings are opened on first use in each process.

    Args:
        path: The text: UTF-8, a row a line, no empty lines.

    Raises:
        ValueError: If the text is missing or has an empty line.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise ValueError(f"need a text file of one row a line, got {self.path}: no such file")
        self._index_path = _current_index(self.path)
        self._count = int(np.fromfile(self._index_path, np.int64, _HEADER)[3])
        self._text: mmap.mmap | None = None
        self._ends: np.ndarray | None = None

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> str:
        index = range(len(self))[index]
        if self._text is None or self._ends is None:
            with self.path.open("rb") as file:
                self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._ends = np.memmap(self._index_path, np.int64, "r", offset=8 * _HEADER)
        start = int(self._ends[index - 1]) if index else 0
        return os.fsdecode(self._text[start : int(self._ends[index])].rstrip(b"\r\n"))

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_text": None, "_ends": None}


def _current_index(text: Path) -> Path:
    """Return where a text's index lies, which is made if there is none that is current."""
    beside = text.with_name(text.name + _SUFFIX)
    kept = cached(str(text.resolve()), _SUFFIX)
    for path in (beside, kept):
        if _is_current(path, text):
            return path
    try:
        _index_lines(text, beside)
        return beside
    except OSError:  # a folder of others, or a full disk
        kept.parent.mkdir(parents=True, exist_ok=True)
        _index_lines(text, kept)
        return kept


def _is_current(index: Path, text: Path) -> bool:
    if not index.is_file():
        return False
    header = np.fromfile(index, np.int64, _HEADER)
    return (
        len(header) == _HEADER
        and header[:3].tolist() == _fingerprint(text)
        and index.stat().st_size == 8 * (_HEADER + int(header[3]))
    )


def _fingerprint(path: Path) -> list[int]:
    state = path.stat()
    return [_MAGIC, state.st_size, state.st_mtime_ns]


def _index_lines(text: Path, index: Path) -> None:
    """Write the header and the end of every line, through a temporary name."""
    fingerprint = _fingerprint(text)
    temporary = index.with_name(f"{index.name}.{os.getpid()}.tmp")
    try:
        with text.open("rb") as source, temporary.open("wb") as target:
            target.write(bytes(8 * _HEADER))
            count = 0
            for ends in _line_ends(source):
                lengths = np.diff(ends)
                if (lengths == 1).any():
                    line = count + int(np.argmax(lengths == 1)) + 1
                    raise ValueError(f"need no empty lines in {text}, got one: line {line}")
                target.write(ends[1:].tobytes())
                count += len(lengths)
            target.seek(0)
            target.write(np.array([*fingerprint, count], np.int64).tobytes())
            target.flush()
            os.fsync(target.fileno())
        temporary.replace(index)
    finally:
        temporary.unlink(missing_ok=True)


def _line_ends(source: BinaryIO) -> Iterator[np.ndarray]:
    """Yield, chunk by chunk, the last end so far and the ends of the lines that follow."""
    last, done = 0, 0
    while chunk := source.read(_CHUNK):
        newlines = np.flatnonzero(np.frombuffer(chunk, np.uint8) == ord("\n"))
        ends = np.concatenate([[last], newlines + (done + 1)]).astype(np.int64)
        yield ends
        last, done = int(ends[-1]), done + len(chunk)
    if done > last:  # the last line has no newline: count one, past the end
        yield np.array([last, done + 1], np.int64)
