"""What does a sweep add to each run?

Counts the networks of 200 points and reports the milliseconds a run that are not the run's own:
claim, folder, record on disk. Optuna does the same with its journal file, if it is installed; a
bare append with fsync is the floor that a crash-safe journal cannot go below on this disk.

Run: python -m benchmarks.sweep_overhead [folder to write in]
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from eyespot.design.space import sample
from eyespot.design.spaces import get_space
from eyespot.sweep.builtin import complexity
from eyespot.sweep.folder import Sweep, Target, prepare, read_point
from eyespot.sweep.run import run_sweep
from eyespot.sweep.summary import summarize
from eyespot.sweep.worker import work

COUNT = 200
SPACE = get_space("regnetx-200mf")
TARGET = Target("callable", "eyespot.sweep.builtin:complexity")


def main() -> None:
    """Print a line a question."""
    base = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.gettempdir())
    with tempfile.TemporaryDirectory(dir=base) as name:
        folder = Path(name)
        start = time.perf_counter()
        drawn = sample(SPACE, 0, COUNT)
        seconds = time.perf_counter() - start
        print(f"sampling      {drawn.draws / seconds:10,.0f} draws a second, ", end="")
        print(f"{seconds / COUNT * 1e3:.1f} ms a point kept (1 of {drawn.draws // COUNT})")
        prepare(folder / "one", Sweep(SPACE, 0, COUNT, TARGET))
        start = time.perf_counter()
        work(folder / "one")
        wall = time.perf_counter() - start
        points = [read_point(folder / "one", index) for index in range(COUNT)]
        start = time.perf_counter()
        for point in points:
            complexity(point)
        own = time.perf_counter() - start
        overhead = (wall - own) / COUNT * 1e3
        print(f"one process   {overhead:10.2f} ms a run beside its own {own / COUNT * 1e3:.2f} ms")
        prepare(folder / "two", Sweep(SPACE, 0, COUNT, TARGET))
        start = time.perf_counter()
        assert len(list(run_sweep(folder / "two", 2))) == COUNT
        wall = time.perf_counter() - start
        print(f"two workers   {wall / COUNT * 1e3:10.2f} ms a run, their start and end included")
        print(f"append, fsync {append_ms(folder / 'floor'):10.2f} ms, the floor")
        print_optuna(folder)
        start = time.perf_counter()
        summarize([folder / "one"], metric="acts")
        print(f"summary       {time.perf_counter() - start:10.2f} s for {COUNT} runs")


def append_ms(path: Path) -> float:
    """Return how long it takes to append a line and force it to disk."""
    start = time.perf_counter()
    for _ in range(COUNT):
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, b"x" * 250 + b"\n")
        os.fsync(handle)
        os.close(handle)
    return (time.perf_counter() - start) / COUNT * 1e3


def print_optuna(folder: Path) -> None:
    """Print what Optuna adds to a trial with its journal file and random sampling."""
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend
    except ImportError:
        print("optuna is not installed")
        return
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    points = [read_point(folder / "one", index) for index in range(COUNT)]
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / "optuna.log")))
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))
    own = 0.0

    def objective(trial: optuna.Trial) -> float:
        nonlocal own
        for name in ("w_0", "w_a", "w_m", "depth", "group_width", "bot_mul"):
            trial.suggest_float(name, 0, 1)
        begun = time.perf_counter()
        acts = float(complexity(points[trial.number])["acts"])
        own += time.perf_counter() - begun
        return acts

    start = time.perf_counter()
    study.optimize(objective, n_trials=COUNT)
    wall = time.perf_counter() - start
    print(f"optuna        {(wall - own) / COUNT * 1e3:10.2f} ms a trial, with its journal file")


if __name__ == "__main__":
    main()
