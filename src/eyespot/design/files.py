"""Files that are written whole or not at all, and where those are kept that can be made again."""

import errno
import os
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder for what can be made again, in $XDG_CACHE_HOME or ~/.cache."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "eyespot"


def write_whole(path: Path, text: str) -> None:
    """Write a text file by way of a temporary one beside it, synced and renamed.

    Raises:
        OSError: If the folder cannot be written; what was there before stays.
    """
    path = Path(path)
    if not path.parent.is_dir():
        if path.parent.exists():
            raise NotADirectoryError(errno.ENOTDIR, "not a folder to write in", str(path.parent))
        missing = "no such folder to write in, make it first"
        raise FileNotFoundError(errno.ENOENT, missing, str(path.parent))
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
