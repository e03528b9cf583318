"""From a recipe to a run: processes, device, folder, and the engine; the same for every task.

A task's module has `prepare(recipe, run, place)`, which builds everything that the engine needs.
"""

import contextlib
import importlib
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torch.distributed as torch_dist
from torch import Tensor

import eyespot
from eyespot import dist
from eyespot.design.plain_data import read_plain
from eyespot.tasks.ranges import Within, check_ranges
from eyespot.tasks.recipe_files import recipe_to_dict, task_of
from eyespot.tasks.run_folder import claimed
from eyespot.train import loop
from eyespot.train.checkpoint import (
    Checkpoint,
    DamagedCheckpointError,
    load,
    newest_checkpoint,
    read_facts,
)
from eyespot.train.job import Job, random_state, set_random_state_, state_tensors
from eyespot.train.loop import Cadence, Outcome
from eyespot.train.sharding import Parallel
from eyespot.train.update import NonFiniteError
from eyespot.weights.files import save_weights


@dataclass(frozen=True, slots=True)
class Run:
    """What belongs to a machine and a folder, and not to a recipe.

    Attributes:
        data: Training data: a folder, list, shards, or a built-in set (`eyespot data --help`).
        out: The run's folder; a run that is there already goes on.
        val: Data to evaluate on; without it the data's own validation or test split.
        device: Where to train; a GPU if there is one.
        parallel: On several processes: copies of the model, or shards of it.
        workers: Loader processes of each rank; -1 for as many as the machine has room for.
        max_bad: Largest share of damaged samples before the run stops.
        log_every: Steps from one line of metrics to the next.
        checkpoint_every: Steps from one checkpoint to the next; 0 for one an evaluation.
        keep_last: Checkpoints that stay, beside the best.
    """

    data: str
    out: Path
    val: str = ""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    parallel: Literal["ddp", "fsdp"] = "ddp"
    workers: int = -1
    max_bad: float = 0.01
    log_every: int = 20
    checkpoint_every: int = 0
    keep_last: int = 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where this process runs.

    Attributes:
        device: Of the model.
        parallel: How the model is spread over the ranks; "none" on one.
        workers: Loader processes of this rank.
        group: A group whose collectives move CPU tensors, for checkpoints; None on one rank.
        lists: Whether damaged images that an evaluation leaves out are listed in the run's folder;
            not when a run is looked at that may be under way, or other data.
    """

    device: torch.device
    parallel: Parallel
    workers: int
    group: torch_dist.ProcessGroup | None
    lists: bool = True


class Prepared(NamedTuple):
    """What a task makes of a recipe, for the engine (see `train.loop.run`).

    Attributes:
        job: The changing state.
        cadence: How long, how often.
        batches: The batches from a step on.
        train_step: One optimizer step.
        evaluate: Metrics of the job as it is.
        batch_facts: What names a batch in a capture.
        best: Which of the job's modules is the result: the average if there is one.
        advise: Sentences on a window's metrics, for a run that is not well.
        notes: Sentences for whoever watches: what is trained on what, and with which settings.
        data: Counts of the training data, which have to stay while a run goes on; None for any.
    """

    job: Job
    cadence: Cadence
    batches: Callable[[int], Iterator[Any]]
    train_step: Callable[[Job, Any], Mapping[str, Tensor]]
    evaluate: Callable[[Job], Mapping[str, float]] | None
    batch_facts: Callable[[Any], Any] | None
    best: str
    advise: Callable[[int, Mapping[str, float]], list[str]] | None = None
    notes: tuple[str, ...] = ()
    data: Mapping[str, int] | None = None


def train(recipe: Any, run: Run, *, name: str = "") -> Outcome:
    """Train a recipe to its end in `run.out`, from the newest checkpoint if there is one.

    Under torchrun, every rank calls this. The finished run leaves `weights.safetensors`.

    Args:
        recipe: Of any task.
        run: Where and with what.
        name: What the recipe was called, to be written down.

    Raises:
        RecipeError: If the folder holds a run of another recipe, another process trains in it, or
            a number is out of range.
        StoppedByNonFiniteError: If a loss is not finite; see `replay`.
    """
    with processes(run) as place, own_randomness(recipe.seed, place.device):
        prepared = prepare(recipe, run, place)
        counts = {"data": dict(prepared.data)} if prepared.data else {}
        ours = recipe_to_dict(recipe, name) | counts
        settings = {**asdict(run), "out": str(run.out)}
        start = environment(place) | _aim(prepared)
        first = dist.rank() == 0
        with claimed(run.out, ours, settings, start) if first else contextlib.nullcontext():
            dist.barrier()
            torch.manual_seed(_seed_of_rank(recipe.seed))
            outcome = loop.run(
                prepared.job,
                prepared.cadence,
                run.out,
                batches=prepared.batches,
                train_step=prepared.train_step,
                evaluate=prepared.evaluate,
                batch_facts=prepared.batch_facts,
                advise=prepared.advise,
                group=place.group,
                notes=prepared.notes,
            )
            if outcome.finished:
                write_result(prepared, run.out / "weights.safetensors")
    return outcome


def prepare(recipe: Any, run: Run, place: Place) -> Prepared:
    """Let the recipe's task build what the engine needs."""
    task = importlib.import_module(f"eyespot.tasks.{task_of(recipe)}")
    prepared: Prepared = task.prepare(recipe, run, place)
    return prepared


def evaluate(
    recipe: Any,
    run: Run,
    *,
    checkpoint: Path | None = None,
    say: Callable[[str], None] = lambda note: None,
) -> Mapping[str, float]:
    """Return a run's metrics, from a checkpoint: the newest that is whole if none is given.

    Args:
        recipe: Of the run.
        run: Where it is, and with what it is evaluated.
        checkpoint: Its folder.
        say: Called with a sentence for each damaged checkpoint that was passed over.

    Raises:
        ValueError: If there is no such checkpoint, or the task evaluates nothing.
    """
    stored = _checkpoint(run.out / "checkpoints", checkpoint, say)
    with processes(run) as place, own_randomness(recipe.seed, place.device):
        prepared = prepare(recipe, run, replace(place, lists=False))
        if prepared.evaluate is None:
            raise ValueError(f"need a task that evaluates, got {task_of(recipe)!r}")
        job = prepared.job
        load(stored, state_tensors(Job(job.modules, {}, job.device)), group=place.group)
        job.step = stored.step
        return prepared.evaluate(job)


def _checkpoint(folder: Path, named: Path | None, say: Callable[[str], None]) -> Checkpoint:
    """Return the named checkpoint, or else the newest of a folder that is whole."""
    if named is not None:
        try:
            return read_facts(named)
        except DamagedCheckpointError as error:
            raise ValueError(
                f"need a whole checkpoint, got {named}: {error}; leave it out to take the newest "
                f"whole one of {folder}"
            ) from None
    newest, notes = newest_checkpoint(folder)
    if newest is None:
        damaged = f" that is whole ({notes[0]})" if notes else ""
        raise ValueError(
            f"need a checkpoint in {folder}, got none{damaged}; train again with the command that "
            "began the run"
        )
    for note in notes:
        say(note)
    return newest


def evaluate_start(recipe: Any, run: Run, *, results: Path | None = None) -> Mapping[str, float]:
    """Return the metrics of what a recipe starts from (`start_from`), before any training.

    Args:
        recipe: Of any task; what it starts from is measured.
        run: On which data, and where; its folder is not used.
        results: A folder for what evaluation writes; without one it is thrown away.

    Raises:
        ValueError: If the task evaluates nothing.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        processes(run) as place,
        own_randomness(recipe.seed, place.device),
    ):
        out = Path(folder) if results is None else results
        out.mkdir(parents=True, exist_ok=True)
        prepared = prepare(recipe, replace(run, out=out), place)
        if prepared.evaluate is None:
            raise ValueError(f"need a task that evaluates, got {task_of(recipe)!r}")
        return prepared.evaluate(prepared.job)


class Replayed(NamedTuple):
    """What a captured step did when it was taken again.

    Attributes:
        error: What was not finite; empty if the step was finite this time.
        first: The first module whose output was not finite; empty if none.
    """

    error: str
    first: str


def replay(recipe: Any, run: Run, capture: Path) -> Replayed:
    """Take a captured step again, from its state, batch and random numbers.

    Raises:
        ValueError: If the capture is damaged or of another recipe.
    """
    with (
        _beside(run) as same,
        processes(run) as place,
        own_randomness(recipe.seed, place.device),
    ):
        prepared = prepare(recipe, same, place)
        job, stored = prepared.job, read_facts(capture)
        noise = random_state(job.device)
        load(stored, {**state_tensors(job), **noise}, group=place.group)
        job.step = stored.step
        batch = next(prepared.batches(job.step))
        first: list[str] = []
        with _watch(job, first):
            set_random_state_(noise, job.device)
            try:
                prepared.train_step(job, batch)
            except NonFiniteError as error:
                return Replayed(str(error), first[0] if first else "")
    return Replayed("", first[0] if first else "")


@contextlib.contextmanager
def _beside(run: Run) -> Iterator[Run]:
    """Give the run another folder, with what its own holds but the lists of damaged samples.

    Loaders write those, and drop lines of steps that they take again; the run's stay as they are.
    """
    with tempfile.TemporaryDirectory() as folder:
        for path in run.out.resolve().iterdir():
            if not path.name.startswith("quarantine"):
                (Path(folder) / path.name).symlink_to(path)
        yield replace(run, out=Path(folder))


@contextlib.contextmanager
def _watch(job: Job, first: list[str]) -> Iterator[None]:
    """Note the modules whose outputs are not finite, in the order in which they ran."""

    def hook(name: str) -> Callable[..., None]:
        def look(_: object, __: object, output: object) -> None:
            if isinstance(output, Tensor) and not bool(torch.isfinite(output).all()):
                first.append(name)

        return look

    handles = [
        module.register_forward_hook(hook(name or "the whole model"))
        for name, module in next(iter(job.modules.values())).named_modules()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def write_result(prepared: Prepared, path: Path) -> None:
    """Write the weights of the run's result; sharded ones are gathered, rank 0 writes."""
    state = prepared.job.modules[prepared.best].state_dict()
    whole = {
        key: value.full_tensor() if hasattr(value, "full_tensor") else value
        for key, value in state.items()
    }
    if dist.rank() == 0:
        save_weights(whole, path, {"format": "eyespot", **prepared.job.about})


@contextlib.contextmanager
def processes(run: Run) -> Iterator[Place]:
    """Join torchrun's processes if there are any, and leave them at the end."""
    check_ranges(
        {
            "workers": Within(run.workers, -1),
            "max_bad": Within(run.max_bad, 0, 1),
            "checkpoint_every": Within(run.checkpoint_every, 0),
            "keep_last": Within(run.keep_last, 1),
        }
    )
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if run.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("need a CUDA device for device cuda, got none; try --device cpu")
    cuda = torch.cuda.is_available() and run.device != "cpu"
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    joined = ranks > 1 and not torch_dist.is_initialized()
    if joined:
        torch_dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    try:
        many = dist.world_size() > 1
        group = torch_dist.new_group(backend="gloo") if many else None
        parallel: Parallel = run.parallel if many else "none"
        yield Place(device, parallel, _workers(run, cuda), group)
    finally:
        if joined:
            torch_dist.destroy_process_group()


def _workers(run: Run, cuda: bool) -> int:
    """As many loader processes as asked for, or as there are cores to spare."""
    if run.workers >= 0:
        return run.workers
    local_ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    mine = (cores or 1) // local_ranks
    return max(1, min(16, mine - 1)) if cuda else min(2, max(0, mine - 1))


@contextlib.contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch for this run alone: what was drawn before goes on as if nothing had been."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


def _seed_of_rank(seed: int) -> int:
    """A seed for noise of this rank's own, such as dropout."""
    return random.Random(f"{seed} {dist.rank()}").getrandbits(63)


def _aim(prepared: Prepared) -> dict[str, Any]:
    """How many steps a run is to take, and the metric that is best when lowest, if there is one."""
    score = prepared.cadence.score if prepared.evaluate else ""
    return {"steps": prepared.cadence.total_steps, "score": score}


def environment(place: Place) -> dict[str, Any]:
    """Return what this run runs on, for its folder."""
    cuda = place.device.type == "cuda"
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "eyespot": eyespot.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.platform(),
        "device": torch.cuda.get_device_name(place.device) if cuda else platform.processor(),
        "ranks": dist.world_size(),
        "parallel": place.parallel,
        "threads": torch.get_num_threads(),
        "workers": place.workers,
        "command": sys.argv,
    }


def stored_run(out: Path, **changes: Any) -> Run:
    """Return how a run's folder was trained, with changes.

    Raises:
        ValueError: If the folder holds no run.
    """
    path = out / "run.json"
    if not path.is_file():
        raise ValueError(f"need the folder of a training run, got {out}, which has no run.json")
    stored = read_plain(path, "run")
    try:
        return Run(**{**stored, "out": out, **changes})
    except TypeError as error:
        raise ValueError(f"need what `eyespot train` writes in {path}, got: {error}") from None
