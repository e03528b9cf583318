"""`eyespot sweep`: run a population of points, and go on with it after any interruption."""

import json
import shlex
import signal
import sys
import time
from collections import Counter
from collections.abc import Generator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from eyespot.cli.report import null_for_nan, verdict_lines
from eyespot.design.complexity import complexity
from eyespot.design.optimizability import optimizability
from eyespot.design.samplers import Scalar, Value
from eyespot.design.space import ListedPoints, NamedNetworks, Sample, Space, sample
from eyespot.design.space_files import read_space, space_to_dict
from eyespot.design.spaces import get_space, list_spaces
from eyespot.sweep.execute import check_target
from eyespot.sweep.folder import Sweep, Target, prepare, read_sweep
from eyespot.sweep.records import Record
from eyespot.sweep.run import ask_for_retries, run_sweep

_COUNT = 64
_TRIAL = "eyespot.recipes.trial:run"


def sweep(
    space: Annotated[Positional[str | None], arg(metavar="[SPACE]")] = None,
    out: Path | None = None,
    count: int | None = None,
    seed: int | None = None,
    run: str | None = None,
    command: str | None = None,
    workers: int = 1,
    gpus: tuple[str, ...] = (),
    data: str | None = None,
    network: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME")] = (),
    settings: Annotated[
        UseAppendAction[tuple[str, ...]], arg(name="set", metavar="NAME=VALUE")
    ] = (),
    retry_failed: bool = False,
    slurm: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="KEY=VALUE")] = (),
    optuna: bool = False,
    dry_run: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Draw points of a design space, write them down, and run every one of them once.

    The same command, or `eyespot sweep --out DIR`, goes on where a sweep was; on several machines
    that share the folder they work on it together. Without a space, the spaces are listed.

    Args:
        space: A shipped space, or a space file of YAML or JSON.
        out: The sweep's folder.
        count: How many points (64, or all of a listed space); a finished sweep grows when this
            does.
        seed: Of the sample (0 if not given).
        run: What to run: a Python function, as module:function, of the point's dict.
        command: Or a command line with {lr}, {spec}, {out}, ...; its last line is JSON.
        workers: Processes at a time, or tasks of the array on Slurm.
        gpus: CUDA devices to deal out to the workers in turn.
        data: What to train on, as for `eyespot train`; each point is then a training run by the
            space's recipe.
        network: Use this network instead of the space's own; repeatable.
        settings: Give every point this setting instead of what the space draws or says, such as
            recipe=cifar/resnet_56 or epochs=10; repeatable.
        retry_failed: Also run failed points again.
        slurm: Submit to Slurm with an option of submitit, such as timeout_min=240; repeatable.
        optuna: Let an Optuna study choose the points.
        dry_run: Only say which points would be drawn; write nothing.
        as_json: Print JSON.
    """
    if space is None and out is None:
        _print_spaces(as_json)
        return
    changes = _settings(settings, data)
    plan = _plan(space, out, count, seed, run, command, changes, network, optuna, dry_run)
    begun = out is not None and (out / "sweep.json").exists()
    if plan.target.what == _TRIAL and not begun:
        from eyespot.recipes.trial import check_space

        check_space(plan.space, plan.seed, data_here=not (dry_run or slurm))
    if dry_run:
        _print_sample(plan, sample(plan.space, plan.seed, plan.count), as_json)
        return
    assert out is not None
    if optuna and slurm:
        raise ValueError("need --optuna or --slurm, and not both")
    options = _slurm_options(slurm)
    if not begun:
        check_target(plan.target, out, plan.space.samplers())
    start = time.monotonic()
    if optuna:
        from eyespot.sweep.optuna_points import run_study

        records = run_study(out, plan, workers=workers, gpus=gpus)
    else:
        prepare(out, plan)
        if slurm:
            _submit(out, workers, options, retry_failed)
            return
        records = run_sweep(out, workers, gpus=gpus, retry_failed=retry_failed)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as politely as on Ctrl-C
    try:
        states = _follow(records, as_json)
    except KeyboardInterrupt:
        go_on = shlex.join(["eyespot", "sweep", "--out", str(out)])
        print(f"stopped; go on with: {go_on}", file=sys.stderr)
        raise
    finally:
        records.close()
    seconds = time.monotonic() - start
    if as_json:
        verdict = _verdicts(out) if isinstance(plan.space.network, ListedPoints) else {}
        print(json.dumps({"out": str(out), "seconds": seconds, **states, **verdict}))
        return
    print(f"{states['done']} done, {states['failed']} failed in {seconds:.1f} s")
    if isinstance(plan.space.network, ListedPoints):
        _print_verdicts(out)
    if states["failed"]:
        again = shlex.join(["eyespot", "sweep", "--out", str(out), "--retry-failed"])
        print(f"what failed runs printed is in {out / 'runs'}; run them again with: {again}")
    if states["done"] or not states["failed"]:
        print(f"next: {shlex.join(['eyespot', 'report', str(out)])}")


def _plan(
    space: str | None,
    out: Path | None,
    count: int | None,
    seed: int | None,
    run: str | None,
    command: str | None,
    changes: dict[str, Scalar],
    network: tuple[str, ...],
    optuna: bool,
    dry_run: bool,
) -> Sweep:
    """Return what to run: what was asked for, else what the folder holds, else the defaults."""
    if out is None and not dry_run:
        raise ValueError("need --out DIR, the folder of the sweep")
    if run and command:
        raise ValueError("need --run or --command, and not both")
    old = read_sweep(out) if out is not None and (out / "sweep.json").exists() else None
    if old is None and space is None:
        raise ValueError(f"need a space to begin a sweep in {out}, got none")
    chosen = _space(space, network, changes) if space is not None else None
    listed = chosen is not None and isinstance(chosen.network, ListedPoints)
    if optuna and listed:
        raise ValueError(f"need a space to draw from for --optuna, got the list {space}")
    if not (run or command) and ("data" in changes or listed) and old is None:
        run = _TRIAL
    target = Target("callable", run) if run else Target("command", command) if command else None
    if old is None and target is None and not dry_run:
        raise ValueError(
            "need --data DATA to train, or --run module:function, or --command, got none; "
            "--run eyespot.sweep.builtin:complexity only counts"
        )
    if old is not None:
        return Sweep(
            chosen or old.space,
            old.seed if seed is None else seed,
            old.count if count is None else count,
            target or old.target,
            "study" if optuna else old.chooser,
        )
    assert chosen is not None
    return Sweep(
        chosen,
        seed or 0,
        _default_count(chosen) if count is None else count,
        target or Target("callable", ""),
        "study" if optuna else "space",
    )


def _default_count(space: Space) -> int:
    return len(space.network.rows) if isinstance(space.network, ListedPoints) else _COUNT


def _settings(texts: tuple[str, ...], data: str | None) -> dict[str, Scalar]:
    """Return what every point is to have, by name."""
    changes: dict[str, Scalar] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not (name and value):
            raise ValueError(f"need --set as NAME=VALUE, such as epochs=10, got {text!r}")
        if name == "model":
            raise ValueError(f"need --network for another network, got --set {text}")
        changes[name] = _scalar(value)
    return changes | ({} if data is None else {"data": data})


def _scalar(text: str) -> Scalar:
    """Return a number where a text is one, else the text."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return {"true": True, "false": False}.get(text, text)


def _space(name: str, networks: tuple[str, ...], changes: dict[str, Scalar]) -> Space:
    path = Path(name)
    family, _, experiment = name.partition("/")
    if family == "optimizability":
        space = optimizability(experiment, networks)
    elif path.suffix in (".yaml", ".yml", ".json") or path.exists():
        space = read_space(path)
    else:
        space = get_space(name)
    if networks and family != "optimizability":
        if not isinstance(space.network, NamedNetworks):
            raise ValueError(f"need a space of named networks to replace them, got {space.name!r}")
        chosen = NamedNetworks(Value(networks), space.network.fields)
        space = replace(space, name=f"{space.name}-{'-'.join(networks)}", network=chosen)
    if not changes:
        return space
    if isinstance(space.network, ListedPoints):
        rows = tuple({**row, **changes} for row in space.network.rows)
        return replace(space, network=ListedPoints(rows))
    constants = {setting: Value((value,)) for setting, value in changes.items()}
    return replace(space, parameters={**space.parameters, **constants})


def _print_spaces(as_json: bool) -> None:
    for name in list_spaces():
        space = get_space(name)
        if as_json:
            print(json.dumps(space_to_dict(space)))
        else:
            print(f"{name:20} {space.about}")


def _print_sample(plan: Sweep, drawn: Sample, as_json: bool) -> None:
    if as_json:
        rows = [{"index": p.index, "parameters": p.parameters} for p in drawn.points]
        print(json.dumps({"draws": drawn.draws, "rejected": drawn.rejected, "points": rows}))
        return
    rejected = ", ".join(f"{name} {count:,}" for name, count in drawn.rejected.items())
    print(f"{plan.space.name}: {len(drawn.points):,} points of {drawn.draws:,} draws")
    print(f"  rejected: {rejected or 'none'}")
    for point in drawn.points[:5]:
        numbers = ", ".join(f"{name} {value}" for name, value in point.parameters.items())
        print(f"  {point.index:06d}  {numbers}")
        if point.spec is not None:
            cost = complexity(point.spec)
            print(
                f"          {cost.flops / 1e9:.3g}G flops, {cost.params / 1e6:.3g}M params, "
                f"{cost.acts / 1e6:.3g}M acts"
            )
    if len(drawn.points) > 5:
        print(f"  ... and {len(drawn.points) - 5:,} more")


def _slurm_options(pairs: tuple[str, ...]) -> dict[str, str]:
    wrong = [pair for pair in pairs if not pair.partition("=")[2]]
    if wrong:
        raise ValueError(f"need --slurm as KEY=VALUE, such as timeout_min=240, got {wrong[0]!r}")
    return dict(pair.split("=", 1) for pair in pairs)


def _submit(out: Path, tasks: int, options: dict[str, str], retry_failed: bool) -> None:
    from eyespot.sweep.slurm import submit

    if retry_failed:
        ask_for_retries(out)
    jobs = submit(out, tasks, options)
    print(f"submitted: {len(jobs)} tasks, first job {jobs[0].job_id}")


def _follow(records: Generator[Record, None, None], as_json: bool) -> Counter[str]:
    """Print a line for each record as it comes."""
    states = Counter({"done": 0, "failed": 0})
    for record in records:
        if record.status == "retry":
            continue
        states[record.status] += 1
        if as_json:
            continue
        says = record.error or ", ".join(
            f"{name} {_last(value)}" for name, value in list(record.metrics.items())[:4]
        )
        print(f"{record.point:06d}  {record.status:6} {record.seconds:8.1f} s  {says}", flush=True)
    return states


def _print_verdicts(out: Path) -> None:
    from eyespot.sweep.summary import summarize

    try:
        lines = verdict_lines(summarize([out]))
    except ValueError as error:  # no run was done
        lines = [f"no verdict: {error}"]
    for line in lines:
        print(line)


def _verdicts(out: Path) -> dict[str, Any]:
    """What a summary says of optimizability, for `--json`; empty lists if no run was done."""
    from eyespot.sweep.summary import summarize

    names = ("optimizability", "schedules", "spreads")
    try:
        data = summarize([out])
    except ValueError:
        return {name: [] for name in names}
    return {name: null_for_nan(data[name]) for name in names}


def _last(value: object) -> str:
    value = value[-1] if isinstance(value, list) and value else value
    return f"{value:.4g}" if isinstance(value, float) else str(value)
