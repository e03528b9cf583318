"""Let an Optuna study choose the points of a sweep instead of the space's own sampler.

Needs the `sweep` extra (optuna). Everything else stays: points are on disk before they run, any
number of workers and machines run them, and the journal tells a new study all that an old one knew.
"""

import json
import math
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eyespot.design.samplers import FloatRange, IntRange, ListOf, Sampler, Value
from eyespot.design.space import Point, network_of
from eyespot.sweep.folder import Sweep, begin, read_point, write_point, write_sweep
from eyespot.sweep.records import Record, latest, read_journal
from eyespot.sweep.rows import run_error
from eyespot.sweep.run import run_sweep

_TRIES = 5000

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import Trial


def run_study(
    folder: Path,
    sweep: Sweep,
    study: "Study | None" = None,
    *,
    workers: int = 1,
    gpus: Sequence[str] = (),
    metric: str = "error",
) -> Generator[Record, None, None]:
    """Run points that a study chooses, as many at a time as there are workers.

    Args:
        folder: The sweep's folder; a study begun there goes on.
        sweep: What to run; its chooser is "study".
        study: A study without trials that minimizes; Optuna's default one, seeded, if not given.
        workers: Processes to run at a time, and points to choose at a time.
        gpus: As `run_sweep`.
        metric: What the study minimizes; a run without it counts as failed.

    Raises:
        ValueError: If optuna is not installed, the folder holds another sweep, or no point fits.
    """
    try:
        import optuna
    except ImportError:
        raise ValueError(
            "need optuna to let a study choose; install it with: pip install 'eyespot[sweep]'"
        ) from None
    folder = Path(folder)
    if study is None:
        sampler = optuna.samplers.TPESampler(seed=sweep.seed, constant_liar=True)
        study = optuna.create_study(sampler=sampler)
    spaces = {
        name: distribution
        for parameter, each in sweep.space.samplers().items()
        for name, distribution in distributions(parameter, each).items()
    }
    old = begin(folder, sweep)
    count = old.count if old else 0
    if count:
        yield from run_sweep(folder, workers, gpus=gpus)
        _tell_all(study, folder, count, spaces, metric)
    seen = {_key(read_point(folder, index)["parameters"]) for index in range(count)}
    while count < sweep.count:
        asked = [
            _ask(study, sweep, spaces, index, seen)
            for index in range(count, min(count + workers, sweep.count))
        ]
        for _, point in asked:
            write_point(folder, point)
        count += len(asked)
        write_sweep(folder, replace(sweep, count=count))
        yield from run_sweep(folder, workers, gpus=gpus)
        records = latest(read_journal(folder / "results.jsonl").records)
        for trial, point in asked:
            error = run_error(records[point.index].metrics, metric)
            failed = optuna.trial.TrialState.FAIL
            study.tell(trial, **({"state": failed} if math.isnan(error) else {"values": error}))


def distributions(name: str, sampler: Sampler) -> "dict[str, BaseDistribution]":
    """Return Optuna's distributions of a parameter; a list has one an item, named name.0 and so on.

    Ranges keep their ends and quanta. Laws become uniform or logarithmic; a logarithmic whole
    number with a quantum above 1 becomes uniform, which Optuna can quantise, and so does what is a
    power of two or a multiple. Powers of two are choices.
    """
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    match sampler:
        case Value(values):
            return {name: CategoricalDistribution(values)}
        case ListOf(length, item):
            parts = [distributions(f"{name}.{i}", item) for i in range(length)]
            return {key: value for part in parts for key, value in part.items()}
        case IntRange() | FloatRange() if sampler.law.startswith("power2"):
            return {name: CategoricalDistribution(_powers(sampler))}
        case IntRange(low, high, law, quantum):
            log = law.startswith("log") and quantum == 1
            return {name: IntDistribution(low, high, log=log, step=1 if log else quantum)}
        case FloatRange(low, high, law):
            return {name: FloatDistribution(low, high, log=law.startswith("log"))}


def _powers(sampler: IntRange | FloatRange) -> list[float]:
    """Every value of a range of powers of two, and of multiples from the quantum on if it has."""
    number = type(sampler.low)
    powers = [sampler.low]
    while powers[-1] * 2 <= sampler.high:
        powers.append(number(powers[-1] * 2))
    if sampler.law == "power2_uniform":
        return powers
    quantum = sampler.quantum
    first, last = math.ceil(sampler.low / quantum), math.floor(sampler.high / quantum)
    multiples = [number(step * quantum) for step in range(max(first, 1), last + 1)]
    return [power for power in powers if power < quantum] + multiples


def _ask(
    study: "Study",
    sweep: Sweep,
    spaces: "dict[str, BaseDistribution]",
    index: int,
    seen: set[str],
) -> "tuple[Trial, Point]":
    """Ask until a suggestion is new and keeps to the constraints; others count as pruned."""
    import optuna

    for _ in range(_TRIES):
        trial = study.ask(spaces)
        parameters = {
            name: _value(name, sampler, trial.params)
            for name, sampler in sweep.space.samplers().items()
        }
        spec, broken = network_of(sweep.space, parameters)
        if not broken and _key(parameters) not in seen:
            seen.add(_key(parameters))
            return trial, Point(index, parameters, spec)
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    raise ValueError(
        f"need a wider space or looser constraints: none of {_TRIES:,} suggestions for point "
        f"{index} of {sweep.space.name!r} is new and fits"
    )


def _value(name: str, sampler: Sampler, suggested: dict[str, Any]) -> Any:
    if isinstance(sampler, ListOf):
        return tuple(_value(f"{name}.{i}", sampler.item, suggested) for i in range(sampler.length))
    value = suggested[name]
    if isinstance(sampler, FloatRange) and not sampler.law.startswith("power2"):
        return sampler.quantised(value)
    return value


def _key(parameters: dict[str, Any]) -> str:
    return json.dumps(parameters)


def _tell_all(
    study: "Study",
    folder: Path,
    count: int,
    spaces: "dict[str, BaseDistribution]",
    metric: str,
) -> None:
    """Tell a new study of every run in the journal that has the metric."""
    import optuna

    records = latest(read_journal(folder / "results.jsonl").records)
    for index in range(count):
        error = run_error(records[index].metrics, metric)
        if math.isnan(error):
            continue
        parameters = read_point(folder, index)["parameters"]
        flat: dict[str, Any] = {}
        for name, value in parameters.items():
            parts = enumerate(value) if isinstance(value, list) else ()
            flat |= {f"{name}.{i}": part for i, part in parts} or {name: value}
        trial = optuna.trial.create_trial(params=flat, distributions=spaces, value=error)
        study.add_trial(trial)
