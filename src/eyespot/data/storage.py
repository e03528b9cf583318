"""Reading files by place and length, from disk or from any address that fsspec knows.

Files on disk need nothing installed. An address such as s3://bucket/name needs `fsspec` and its
driver, which are imported when the first one is read.
"""

import hashlib
import os
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from eyespot.design.files import cache_folder

_TRIES = 4
_OPEN_FILES = 64


def is_remote(address: str) -> bool:
    """Return whether an address needs fsspec."""
    return "://" in address


def size_and_time(address: str) -> tuple[int, int]:
    """Return a file's bytes and when it was last written in ns; 0 for remote files.

    Raises:
        ValueError: If there is no such file.
    """
    try:
        if is_remote(address):
            files, path = _remote(address)
            return int(_retried(lambda: files.size(path))), 0
        if Path(address).is_file():
            state = Path(address).stat()
            return state.st_size, state.st_mtime_ns
    except FileNotFoundError:
        pass
    raise ValueError(f"need a file, got {address}: no such file")


def read_if_there(address: str) -> bytes | None:
    """Return all bytes of a file, or None if there is no such file.

    Raises:
        OSError: If it cannot be read.
    """
    try:
        if not is_remote(address):
            return Path(address).read_bytes() if Path(address).is_file() else None
        files, path = _remote(address)
        return bytes(_retried(lambda: files.cat_file(path)))
    except FileNotFoundError:
        return None


def open_file(address: str) -> Any:
    """Open a file for reading bytes from its start; fsspec's files are of many types."""
    if not is_remote(address):
        return Path(address).open("rb")
    files, path = _remote(address)
    return files.open(path, "rb")


def read_part(address: str, start: int, size: int) -> bytes:
    """Return `size` bytes of a file from `start`; a remote read that fails is tried again.

    Raises:
        ValueError: If the file ends before, or a server sends more than was asked for.
        OSError: If it cannot be read.
    """
    if is_remote(address):
        data = _read_remote(address, start, size)
    else:
        state = os.stat(address)
        data = os.pread(
            _descriptor(os.getpid(), address, state.st_ino, state.st_mtime_ns), size, start
        )
    if len(data) > size:
        raise ValueError(
            f"need a server that sends parts of files, got all of {address}; serve it by one that "
            "answers byte ranges, or copy it to disk"
        )
    if len(data) != size:
        raise ValueError(
            f"need {size} bytes from byte {start} of {address}, got {len(data)}; was the file "
            "truncated or replaced?"
        )
    return data


def _read_remote(address: str, start: int, size: int) -> bytes:
    files, path = _remote(address)
    return bytes(_retried(lambda: files.cat_file(path, start=start, end=start + size)))


def _retried(read: Callable[[], Any]) -> Any:
    """Ask a server; if it fails, ask again a little later."""
    for attempt in range(_TRIES):
        try:
            return read()
        except FileNotFoundError:
            raise
        except OSError:
            if attempt == _TRIES - 1:
                raise
            time.sleep(0.5 * 2**attempt)
    raise AssertionError("the last try returns or raises")


def cached(address: str, suffix: str) -> Path:
    """Return where what is known of a file is kept, if it cannot be kept beside it."""
    unique = hashlib.sha256(address.encode()).hexdigest()[:16]
    return cache_folder() / "indexes" / f"{address.rsplit('/', 1)[-1]}.{unique}{suffix}"


class _Descriptor(int):
    """An open file, closed when nobody refers to it any more."""

    def __del__(self) -> None:
        os.close(self)


@lru_cache(maxsize=_OPEN_FILES)
def _descriptor(process: int, path: str, inode: int, written: int) -> _Descriptor:
    """Open a file once for each process that reads it, and again when it was replaced."""
    return _Descriptor(os.open(path, os.O_RDONLY | os.O_CLOEXEC))


def _remote(address: str) -> tuple[Any, str]:
    try:
        import fsspec  # type: ignore[import-untyped]
    except ImportError as error:
        raise ValueError(
            f"need fsspec to read {address}: pip install 'eyespot[data]' and its scheme's driver"
        ) from error
    try:
        files, path = fsspec.core.url_to_fs(address)
    except ImportError as error:  # of the scheme's driver
        raise ValueError(f"need a driver to read {address}: {error}") from error
    return files, str(path)
