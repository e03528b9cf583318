"""Lists of files with their sha256, in the form that `sha256sum -c` reads."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(path: Path, digests: Mapping[str, str]) -> None:
    """Write the sha256 of files by name, through a temporary name."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.writelines(f"{digest}  {name}\n" for name, digest in digests.items())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def check_manifest(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each file of a manifest and what is wrong with it, or "" if nothing is.

    Raises:
        ValueError: If a line is no sha256 and a name.
    """
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name:
            raise ValueError(
                f"need a sha256 and a name a line, got {line!r}: line {number} of {path}"
            )
        file = path.with_name(name)
        if not file.is_file():
            yield name, "is missing"
        elif file_sha256(file) != digest:
            yield name, "differs from its sha256; was it damaged or written again?"
        else:
            yield name, ""
