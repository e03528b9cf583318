"""A worker: claims points one after the other, runs them, and records what came out.

Any number of them on any number of machines may work on one folder. Nobody has to be told about
the others; claims keep them apart.
"""

import os
import signal
import sys
import time
from pathlib import Path

from eyespot.sweep.claims import (
    STALE_S,
    Claim,
    Heartbeat,
    claim_point,
    host,
    kills,
    release,
    still_mine,
)
from eyespot.sweep.execute import Run, RunFailed, execute, resolve
from eyespot.sweep.folder import read_point, read_sweep
from eyespot.sweep.records import Record, Status, append_record, latest, read_journal

MAX_KILLS = 3
"""A point whose worker was killed so often is recorded as failed and not tried again."""

UNUSABLE = 2
"""Exit code of a worker whose target cannot run at all."""


def work(folder: Path, *, stale_s: float = STALE_S, parent: int = 0) -> int:
    """Run points until every one is done, failed, or claimed by someone alive.

    Args:
        folder: The sweep's folder.
        stale_s: Without a touch for so long, a claim's owner is taken for dead.
        parent: Process id whose end ends this worker; 0 for none.

    Returns:
        How many points were run here.

    Raises:
        ValueError: If the folder holds no sweep, or its runs cannot run at all.
    """
    folder = Path(folder)
    sweep = read_sweep(folder)
    run = resolve(sweep.target, folder, sweep.space.samplers())
    count = 0
    with Heartbeat(min(stale_s / 6, 1.0) if parent else stale_s / 6, parent) as heart:
        for index in missing_points(folder, sweep.count):
            claim = claim_point(folder / "claims", index, stale_s=stale_s)
            if claim is None:
                continue
            heart.hold(claim)
            try:
                count += _run_claimed(folder, index, claim, run)
            finally:
                heart.hold(None)
                release(claim)
    return count


def missing_points(folder: Path, count: int) -> list[int]:
    """Return the points that are neither done nor failed."""
    records = latest(read_journal(folder / "results.jsonl").records)
    return [
        index for index in range(count) if index not in records or records[index].status == "retry"
    ]


def _run_claimed(folder: Path, index: int, claim: Claim, run: Run) -> int:
    """Run a point and record it; returns 0 if there was nothing to run after all."""
    journal = folder / "results.jsonl"
    before = []
    if claim.attempt > 1:  # somebody had it before: perhaps recorded, perhaps killed
        before = [r for r in read_journal(journal).records if r.point == index]
        if before and latest(before)[index].status != "retry":
            return 0
    recorded = max((r.attempt for r in before if r.status == "failed"), default=0)
    killed = kills(folder / "claims", index, range(recorded + 1, claim.attempt))
    point = read_point(folder, index)
    start = time.monotonic()
    status: Status = "done"
    metrics, error = {}, ""
    if killed >= MAX_KILLS:
        status, error = "failed", f"its worker was killed {killed} times"
    else:
        try:
            metrics = execute(run, point, folder / "runs" / f"{index:06d}")
        except RunFailed as failure:
            status, error = "failed", str(failure)
    if not still_mine(claim):  # this process slept, and another took the point over
        return 0
    record = Record(
        point=index,
        status=status,
        metrics=metrics,
        error=error,
        seconds=time.monotonic() - start,
        attempt=claim.attempt,
        worker=f"{host()} {os.getpid()}",
        finished=time.time(),
    )
    append_record(journal, record)
    return 1


def main() -> None:
    """Work on the folder of the first argument, for the parent process of the second."""
    folder, parent, stale_s = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # give the point back
    try:
        work(Path(folder), stale_s=float(stale_s), parent=int(parent))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(UNUSABLE) from None


if __name__ == "__main__":
    main()
