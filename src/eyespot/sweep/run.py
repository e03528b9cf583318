"""Run a sweep with processes of this machine; others may work on the same folder meanwhile."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path

from eyespot.sweep.claims import STALE_S, host, is_claimed
from eyespot.sweep.folder import read_sweep
from eyespot.sweep.records import Record, append_record, latest, read_journal
from eyespot.sweep.worker import MAX_KILLS, UNUSABLE, missing_points

_POLL_S = 0.1
_WAIT_S = 2.0


def run_sweep(
    folder: Path,
    workers: int = 1,
    *,
    gpus: Sequence[str] = (),
    retry_failed: bool = False,
    stale_s: float = STALE_S,
) -> Generator[Record, None, None]:
    """Run what is missing of a sweep, and yield each record as it is written, by anyone.

    A worker that dies is replaced; the point it ran is run again, at most three times. When this
    generator is closed or interrupted its workers end, and the next call goes on where they were.

    Args:
        folder: A folder that `prepare` wrote.
        workers: Processes to run at a time.
        gpus: CUDA devices to deal out to the workers in turn; empty for whatever each one sees.
        retry_failed: Also run points again whose last run failed.
        stale_s: Without a touch for so long, a claim of another machine is taken for dead.

    Raises:
        ValueError: If there is no such sweep, or its runs cannot run at all.
        OSError: If workers die before they begin any run.
    """
    folder = Path(folder)
    if workers < 1:
        raise ValueError(f"need at least 1 worker, got {workers}")
    count = read_sweep(folder).count
    if retry_failed:
        ask_for_retries(folder)
    journal = folder / "results.jsonl"
    end = read_journal(journal).end
    pool = _Pool(folder, workers, gpus, stale_s)
    try:
        while missing := missing_points(folder, count):
            ready = [i for i in missing if not is_claimed(folder / "claims", i, stale_s=stale_s)]
            pool.fill(len(ready))
            if not ready:
                time.sleep(_WAIT_S)  # the rest is with other machines
            while True:
                at_work = pool.watch()
                news = read_journal(journal, end)
                end = news.end
                pool.deaths = 0 if news.records else pool.deaths
                yield from news.records
                if not at_work:
                    break
                time.sleep(_POLL_S)
    finally:
        pool.end()


def ask_for_retries(folder: Path) -> int:
    """Mark the failed points of a sweep as missing; returns how many."""
    journal = Path(folder) / "results.jsonl"
    failed = [r for r in latest(read_journal(journal).records).values() if r.status == "failed"]
    for record in failed:
        retry = Record(
            record.point, "retry", worker=f"{host()} {os.getpid()}", finished=time.time()
        )
        append_record(journal, retry)
    return len(failed)


class _Pool:
    """The worker processes of this machine."""

    def __init__(self, folder: Path, size: int, gpus: Sequence[str], stale_s: float) -> None:
        self.folder, self.size, self.gpus, self.stale_s = folder, size, gpus, stale_s
        self.deaths = 0
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def fill(self, work: int) -> None:
        for slot in range(min(self.size, work)):
            if slot not in self.processes:
                self.processes[slot] = self._start(slot)

    def _start(self, slot: int) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        threads = max(1, (os.cpu_count() or 1) // self.size)
        environment.setdefault("OMP_NUM_THREADS", str(threads))
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        command = [sys.executable, "-m", "eyespot.sweep.worker", str(self.folder)]
        with self._log(slot).open("ab") as log:
            return subprocess.Popen(
                [*command, str(os.getpid()), str(self.stale_s)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def _log(self, slot: int) -> Path:
        return self.folder / "runs" / f"worker-{slot}.txt"

    def watch(self) -> bool:
        """Replace workers that died; returns whether any is at work."""
        for slot, process in list(self.processes.items()):
            code = process.poll()
            if code is None:
                continue
            del self.processes[slot]
            if code == 0:
                continue
            _kill_group(process, signal.SIGKILL)  # what a dead worker left running
            lines = self._log(slot).read_text(encoding="utf-8", errors="replace").splitlines()
            said = lines[-1] if lines else "nothing"
            if code == UNUSABLE:
                raise ValueError(said)
            self.deaths += 1
            if self.deaths > MAX_KILLS * self.size:
                raise OSError(
                    f"need workers that stay alive, got {self.deaths} deaths without one result; "
                    f"the last said: {said}"
                )
            self.processes[slot] = self._start(slot)
        return bool(self.processes)

    def end(self) -> None:
        """End every worker: politely, then not."""
        for process in self.processes.values():
            _kill_group(process, signal.SIGTERM)
        for process in self.processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            _kill_group(process, signal.SIGKILL)
            process.wait()


def _kill_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
