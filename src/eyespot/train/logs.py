"""What a run says: metrics.jsonl for machines, lines or a progress bar for people."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO


class MetricsFile:
    """Appends records to metrics.jsonl; a resumed run first drops what came after its checkpoint.

    Args:
        path: The file.
        resume_bytes: Length up to which it is kept; 0 starts it anew.
    """

    def __init__(self, path: Path, resume_bytes: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = path.open("ab", buffering=0)
        size = self._file.tell()
        if resume_bytes > size:
            raise ValueError(
                f"need {path} with at least the {resume_bytes} bytes its checkpoint recorded, "
                f"got {size}; was it changed by hand?"
            )
        self._file.truncate(resume_bytes)

    def write(self, record: dict[str, Any]) -> None:
        """Append a record, so that a crash of this process cannot lose or split it.

        Raises:
            OSError: If there is no room.
        """
        line = (json.dumps(record) + "\n").encode()
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            raise OSError(
                f"need room and permission to write {self._path}, got: {error}; the run goes on "
                "from its newest checkpoint when it is started again"
            ) from error

    def bytes_written(self) -> int:
        """Return the file's length, all of it on disk."""
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Progress:
    """Says how far a run is: rewrites one line on a terminal, prints lines elsewhere.

    Args:
        total: Steps in all.
        start: Steps done before.
        stream: Where to; standard error when not given.
        quiet: Say nothing (every rank but the first).
    """

    def __init__(
        self, total: int, start: int = 0, *, stream: TextIO | None = None, quiet: bool = False
    ) -> None:
        self.total, self.start, self.quiet = total, start, quiet
        self.stream = stream or sys.stderr
        self.began = time.monotonic()

    def show(self, step: int, text: str) -> None:
        """Say that a step is done, with what to say of it."""
        if self.quiet:
            return
        done = step - self.start
        left = (time.monotonic() - self.began) / max(1, done) * (self.total - step)
        line = f"step {step}/{self.total}  {text}  ETA {duration(left)}"
        terminal = self.stream.isatty()
        end = "" if terminal and step < self.total else "\n"
        print(f"\r\x1b[K{line}" if terminal else line, end=end, file=self.stream, flush=True)

    def say(self, sentence: str) -> None:
        """Print a sentence on a line of its own."""
        if not self.quiet:
            start = "\r\x1b[K" if self.stream.isatty() else ""
            print(start + sentence, file=self.stream, flush=True)


def duration(seconds: float) -> str:
    """Write seconds as 12s, 3m05s, 2h07m or 4d03h."""
    whole = round(seconds)
    for unit, size, lower, low_size in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "m", 60),
        ("m", 60, "s", 1),
    ):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // low_size:02d}{lower}"
    return f"{whole}s"
