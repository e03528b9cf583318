"""Independent jobs on several processes that end when whoever started them does."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_jobs(
    work: Callable[[Job], Result], jobs: Sequence[Job], workers: int = 0
) -> Iterator[Result]:
    """Yield the result of each job, as they get done.

    A worker looks before each job whether its parent still lives, so that none is left behind by
    one that was killed.

    Args:
        work: Does one job; with workers, it, the jobs and the results must be picklable where
            processes are spawned.
        jobs: What to do.
        workers: Processes; 0 does all in this one.

    Raises:
        ValueError, OSError: If a job raised it.
        RuntimeError: If a worker ended otherwise.
    """
    if workers < 1:
        yield from map(work, jobs)
        return
    processes, readers = [], []
    try:
        for number in range(min(workers, len(jobs))):
            reader, writer = multiprocessing.Pipe(duplex=False)
            part = jobs[number::workers]
            process = multiprocessing.Process(
                target=_do_part, args=(work, part, writer, os.getpid()), daemon=True
            )
            process.start()
            writer.close()
            processes.append(process)
            readers.append(reader)
        yield from _collect(readers)
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _collect(readers: list[Connection]) -> Iterator[Any]:
    open_ones = list(readers)
    while open_ones:
        for reader in wait(open_ones):
            assert isinstance(reader, Connection)
            try:
                kind, value = reader.recv()
            except EOFError:
                raise RuntimeError("a worker ended before its jobs did; was it killed?") from None
            if kind == "result":
                yield value
            elif kind == "error":
                raise value
            else:
                open_ones.remove(reader)


def _do_part(
    work: Callable[[Any], Any], jobs: Sequence[Any], writer: Connection, parent: int
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C, and ends us
    try:
        for job in jobs:
            if os.getppid() != parent:
                return
            writer.send(("result", work(job)))
        writer.send(("done", None))
    except (ValueError, OSError) as error:
        writer.send(("error", error))
