"""Claims: who runs which point, so that no two workers on any machines run one at the same time.

A claim is a file made with exclusive creation, claims/000017.1 for the first attempt at point 17.
Its owner touches it while it runs. When it has not been touched for `stale_s` seconds, or its
process on this machine is gone, anyone may make claims/000017.2 and run the point; exclusive
creation lets exactly one succeed, and the old owner, if it lives, finds that it lost.
"""

import json
import os
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

STALE_S = 60.0
"""Without a touch for so long, an owner on another machine is taken for dead."""


class Claim(NamedTuple):
    """A point that this process may run.

    Attributes:
        path: The claim's file.
        attempt: Which attempt at the point, from 1.
    """

    path: Path
    attempt: int


def claim_point(folder: Path, index: int, *, stale_s: float = STALE_S) -> Claim | None:
    """Claim a point, or return None if someone alive has it.

    Args:
        folder: Where claims are kept.
        index: Number of the point.
        stale_s: Without a touch for so long, an owner on another machine is taken for dead.
    """
    last = _last_attempt(folder, index)
    if last and not _is_free(_path(folder, index, last), stale_s):
        return None
    path = _path(folder, index, last + 1)
    owner = json.dumps({"host": host(), "pid": os.getpid(), "born": _born(os.getpid())})
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(owner)
    except FileExistsError:
        return None
    return Claim(path, last + 1)


def is_claimed(folder: Path, index: int, *, stale_s: float = STALE_S) -> bool:
    """Return whether someone alive has a point."""
    last = _last_attempt(folder, index)
    return last > 0 and not _is_free(_path(folder, index, last), stale_s)


def kills(folder: Path, index: int, attempts: range) -> int:
    """Return how many of these attempts at a point ended without giving it back."""
    return sum(_path(folder, index, attempt).stat().st_mtime != 0 for attempt in attempts)


def still_mine(claim: Claim) -> bool:
    """Return whether nobody took the point over in the meantime."""
    return not claim.path.with_suffix(f".{claim.attempt + 1}").exists()


def release(claim: Claim) -> None:
    """Give a point back: the next attempt need not wait."""
    os.utime(claim.path, (0, 0))


def host() -> str:
    """Return what names this machine, or this container of it."""
    with suppress(OSError):
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    return socket.gethostname()


def _last_attempt(folder: Path, index: int) -> int:
    attempt = 0
    while _path(folder, index, attempt + 1).exists():
        attempt += 1
    return attempt


def _path(folder: Path, index: int, attempt: int) -> Path:
    return folder / f"{index:06d}.{attempt}"


def _is_free(path: Path, stale_s: float) -> bool:
    with suppress(ValueError, KeyError, TypeError):
        owner = json.loads(path.read_text(encoding="utf-8"))
        if owner["host"] == host() and _born(owner["pid"]) != owner["born"]:
            return True
    return _now(path.parent) - path.stat().st_mtime > stale_s  # 0 when it was given back


def _now(folder: Path) -> float:
    """Return the time by the clock that stamps files here, which may be another machine's."""
    probe = folder / f".now-{socket.gethostname()}-{os.getpid()}"
    probe.touch()
    now = probe.stat().st_mtime
    probe.unlink(missing_ok=True)
    return now


def _born(pid: int) -> str:
    """Return when a process of this machine began, empty if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *rest = stat.rpartition(")")[2].split()
        return "" if state in "ZX" else rest[18]  # field 22 of proc(5)
    except FileNotFoundError:
        pass
    if Path("/proc/self/stat").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "alive"


class Heartbeat:
    """Touches the claim at hand from a thread, for as long as its process lives.

    Args:
        every_s: Seconds between touches.
        parent: End this process and all it started when this is no longer its parent; 0 for none.
    """

    def __init__(self, every_s: float, parent: int = 0) -> None:
        self._every_s = every_s
        self._parent = parent
        self._lock = threading.Lock()
        self._claim: Claim | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def hold(self, claim: Claim | None) -> None:
        """Touch this claim from now on; None for none."""
        with self._lock:
            self._claim = claim

    def _beat(self) -> None:
        while not self._stop.wait(self._every_s):
            if self._parent and os.getppid() != self._parent:
                os.killpg(0, signal.SIGKILL)
            with self._lock, suppress(OSError):
                if self._claim is not None:
                    os.utime(self._claim.path)
