"""What does a sweep add to each run?

Counts the networks of some points and takes what is not the runs' own: claim, folder, record on
disk. Optuna does the same with its journal file, if it is installed; a bare append with fsync is
the floor that a crash-safe journal cannot go below on this disk.

Run:  python benchmarks/sweep_overhead.py [--folder DIR] [--count 200] [--turns 5] [--quick]
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import Record, rates

from eyespot.design.space import sample
from eyespot.design.spaces import get_space
from eyespot.sweep.builtin import complexity
from eyespot.sweep.folder import Sweep, Target, prepare, read_point
from eyespot.sweep.run import run_sweep
from eyespot.sweep.summary import summarize
from eyespot.sweep.worker import work

SPACE = get_space("regnetx-200mf")
TARGET = Target("callable", "eyespot.sweep.builtin:complexity")
OURS, TWO, OPTUNA = "eyespot, one process", "eyespot, two workers started", "optuna, journal file"


def main() -> None:
    """Measure turn by turn, every turn in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", help="the disk to write on; else the temporary folder's")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    count, turns = (20, 2) if args.quick else (args.count, args.turns)
    record = Record("sweep_overhead")
    drawing: dict[str, list[float]] = {"draw and keep": [], "summary": []}
    added: dict[str, list[float]] = {}
    for _ in range(turns):
        with tempfile.TemporaryDirectory(dir=args.folder) as name:
            folder = Path(name)
            drawing["draw and keep"].append(_timed(lambda: sample(SPACE, 0, count)))
            for who, seconds in turn(folder, count).items():
                added.setdefault(who, []).append(seconds)
            summary = _timed(lambda one=folder / "one": summarize([one], metric="acts"))
            drawing["summary"].append(summary)
    case = f"beside the run's own time, of {count} runs"
    against = {OURS: (OPTUNA, "append and fsync alone")}
    record.add(rates(case, added, per_call=count, unit="runs/s", against=against))
    record.add(rates(f"of {count} points", drawing, per_call=count, unit="points/s", against={}))


def turn(folder: Path, count: int) -> dict[str, float]:
    """Return the seconds that each way adds to the runs; two workers' include the runs."""
    prepare(folder / "one", Sweep(SPACE, 0, count, TARGET))
    wall = _timed(lambda: work(folder / "one"))
    points = [read_point(folder / "one", index) for index in range(count)]
    own = _timed(lambda: [complexity(point) for point in points])
    prepare(folder / "two", Sweep(SPACE, 0, count, TARGET))
    two = _timed(lambda: list(run_sweep(folder / "two", 2)))
    floor = _timed(lambda: append(folder / "floor", count))
    found = {OURS: wall - own, TWO: two, "append and fsync alone": floor}
    return found | optuna_seconds(folder / "optuna.log", points)


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def append(path: Path, count: int) -> None:
    """Append lines and force each to disk."""
    for _ in range(count):
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, b"x" * 250 + b"\n")
        os.fsync(handle)
        os.close(handle)


def optuna_seconds(journal: Path, points: list) -> dict[str, float]:
    """Return what Optuna adds with its journal file and random sampling."""
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend
    except ImportError:
        print("optuna is not installed")
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
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

    wall = _timed(lambda: study.optimize(objective, n_trials=len(points)))
    return {OPTUNA: wall - own}


if __name__ == "__main__":
    main()
