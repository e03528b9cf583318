"""The training loop that every task shares: iterate, log, evaluate, checkpoint, resume, stop.

It knows no task. A task gives it batches by step, a `train_step` that takes one optimizer step,
and an `evaluate`. After a kill at any moment, running again goes on from the newest checkpoint and
ends with the very state and metrics of a run that was never stopped.
"""

import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from eyespot import dist
from eyespot.train.checkpoint import Checkpoint, CheckpointFolder, load, stored_names
from eyespot.train.job import Job, random_state, set_random_state_, state_tensors
from eyespot.train.logs import MetricsFile, Progress
from eyespot.train.update import NonFiniteError


@dataclass(frozen=True, slots=True)
class Cadence:
    """How long a run is, and how often it does what.

    Attributes:
        total_steps: Optimizer steps of the whole run.
        log_every: Steps from one line of metrics to the next.
        evaluate_every: Steps from one evaluation to the next; 0 for one at the end only.
        checkpoint_every: Steps from one checkpoint to the next; 0 for one at the end only.
        keep_last: Checkpoints that stay, beside the best.
        score: The metric of `evaluate` that is best when lowest; empty for none.
    """

    total_steps: int
    log_every: int = 20
    evaluate_every: int = 0
    checkpoint_every: int = 0
    keep_last: int = 3
    score: str = ""

    def __post_init__(self) -> None:
        if self.total_steps < 1 or self.log_every < 1:
            raise ValueError(
                "need total_steps and log_every of 1 or more, got "
                f"{self.total_steps} and {self.log_every}"
            )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        finished: Whether all steps are done; if not, it was asked to stop and can go on.
        step: Optimizer steps taken.
        metrics: The last evaluation.
    """

    finished: bool
    step: int
    metrics: dict[str, float]


class StoppedByNonFiniteError(ArithmeticError, ValueError):
    """A run met a loss or gradient that is not finite, and wrote down how to meet it again."""


def run(
    job: Job,
    cadence: Cadence,
    out: Path,
    *,
    batches: Callable[[int], Iterator[Any]],
    train_step: Callable[[Job, Any], Mapping[str, Tensor]],
    evaluate: Callable[[Job], Mapping[str, float]] | None = None,
    batch_facts: Callable[[Any], Any] | None = None,
    advise: Callable[[int, Mapping[str, float]], list[str]] | None = None,
    group: torch.distributed.ProcessGroup | None = None,
    notes: Sequence[str] = (),
) -> Outcome:
    """Train to the end, or until asked to stop, from the newest checkpoint if there is one.

    Args:
        job: The state; filled from the checkpoint when resuming.
        cadence: How long and how often.
        out: The run's folder: `metrics.jsonl` and `checkpoints/`.
        batches: Yields the batches of steps start, start + 1, ... given the start.
        train_step: Takes one optimizer step on a batch and returns scalars, the `loss` among them.
        evaluate: Returns metrics of the job as it is.
        batch_facts: Returns JSON data that names a batch, to be stored if its loss is not finite.
        advise: Returns sentences on the mean metrics of the steps up to one: what is wrong, why,
            and what helps; they are written down, and said when they are new.
        group: For checkpoints on several ranks (see `CheckpointFolder`).
        notes: Sentences to say at the start.

    Raises:
        StoppedByNonFiniteError: If a loss is not finite; a capture of the step is in `captures/`.
        OSError: If a checkpoint cannot be written.
    """
    folder = CheckpointFolder(out / "checkpoints", keep_last=cadence.keep_last, group=group)
    checkpoint, skipped = folder.newest()
    facts = _resume(job, checkpoint) if checkpoint else {}
    progress = Progress(cadence.total_steps, job.step, quiet=dist.rank() != 0)
    for note in (*notes, *skipped):
        progress.say(note)
    if checkpoint:
        progress.say(f"resuming from step {job.step} ({checkpoint.path})")
    log = _Log(out, facts, progress, advise)
    source = batches(job.step)
    with _StopRequest() as stop:
        while job.step < cadence.total_steps and not stop.agreed(job.step, cadence.log_every):
            batch = log.timed_next(source)
            before = random_state(job.device)
            try:
                values = train_step(job, batch)
            except NonFiniteError as error:
                name = batch_facts(batch) if batch_facts else None
                where = _capture(job, out, before, {"batch": name, "error": str(error)}, group)
                raise StoppedByNonFiniteError(
                    f"stopped before step {job.step + 1}: {error}. "
                    f"Run `{shlex.join(['eyespot', 'replay', str(where)])}`"
                ) from None
            job.step += 1
            log.add(values)
            if job.step % cadence.log_every == 0 or job.step == cadence.total_steps:
                log.flush(job.step)
            if evaluate and _due(job.step, cadence.evaluate_every, cadence.total_steps):
                began = time.monotonic()
                metrics = evaluate(job)
                log.evaluation(job.step, metrics, time.monotonic() - began)
                job.best = min(job.best, log.metrics.get(cadence.score, job.best))
            if _due(job.step, cadence.checkpoint_every, cadence.total_steps):
                _save(folder, job, log, cadence)
        finished = job.step >= cadence.total_steps
        if not finished:
            _save(folder, job, log, cadence)
        folder.wait()
    log.close()
    if not finished:
        progress.say(f"stopped at step {job.step} and saved; run the same command to go on")
    return Outcome(finished, job.step, log.metrics)


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            values.setdefault(name, []).append(value)
    return {name: sum(some) / len(some) for name, some in values.items()}


def _due(step: int, every: int, total: int) -> bool:
    return step == total or (every > 0 and step % every == 0)


def _resume(job: Job, checkpoint: Checkpoint) -> dict[str, Any]:
    names = stored_names(checkpoint)
    tensors = state_tensors(job, names)
    noise = random_state(job.device)
    ours = noise if noise.keys() <= names else {}
    load(checkpoint, {**tensors, **ours})
    if ours:
        set_random_state_(ours, job.device)
    job.step = checkpoint.step
    job.best = float(checkpoint.facts["best"])
    return checkpoint.facts


def _save(folder: CheckpointFolder, job: Job, log: "_Log", cadence: Cadence) -> None:
    facts = {"best": job.best, **log.facts()}
    weights = next(iter(job.modules.values())).state_dict()
    whole = all(not hasattr(value, "full_tensor") for value in weights.values())
    folder.save(
        job.step,
        {**state_tensors(job), **random_state(job.device)},
        facts,
        weights=weights if whole else None,
        about=job.about,
        score=log.metrics.get(cadence.score),
    )


def _capture(
    job: Job,
    out: Path,
    before: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    group: torch.distributed.ProcessGroup | None,
) -> Path:
    """Write the state that met a loss that is not finite, and the random state before it."""
    captures = CheckpointFolder(out / "captures", background=False, group=group)
    captures.save(job.step, {**state_tensors(job), **before}, {"best": job.best, **facts})
    return captures.paths()[-1]


_SLOW_DATA = 0.3  # share of time waited for batches above which it is said
_OPENING = 12  # characters of a sentence of advice that tell it from others, whatever its numbers


class _Log:
    """The metrics of a run: a window of steps, their means in a file, the last evaluation.

    Steps need not have the same values; a mean is over those of the window that have it.
    """

    def __init__(
        self,
        out: Path,
        facts: Mapping[str, Any],
        progress: Progress,
        advise: Callable[[int, Mapping[str, float]], list[str]] | None,
    ) -> None:
        self.file = (
            MetricsFile(out / "metrics.jsonl", facts.get("metrics_bytes", 0))
            if dist.rank() == 0
            else None
        )
        self.rows: list[dict[str, float]] = list(facts.get("rows", []))
        self.window: list[Mapping[str, Tensor]] = []
        self.metrics: dict[str, float] = dict(facts.get("metrics", {}))
        self.progress = progress
        self.advise = advise
        self.said: list[str] = []
        self.slow_data = False
        self.began = time.monotonic()
        self.waited = 0.0
        self.steps = 0

    def timed_next(self, source: Iterator[Any]) -> Any:
        began = time.monotonic()
        batch = next(source)
        self.waited += time.monotonic() - began
        return batch

    def add(self, values: Mapping[str, Tensor]) -> None:
        self.window.append({name: value.detach() for name, value in values.items()})
        self.steps += 1

    def flush(self, step: int) -> None:
        self._settle()
        means = _means(self.rows)
        seconds = time.monotonic() - self.began
        record: dict[str, Any] = {"step": step, **means}
        sentences = self.advise(step, means) if self.advise else []
        if sentences:
            record["advice"] = sentences
        record["time"] = {
            "seconds_per_step": seconds / max(1, self.steps),
            "data_wait": self.waited / seconds if seconds else 0.0,
        }
        self._write(record)
        text = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
        self.progress.show(step, f"{text}  data wait {record['time']['data_wait']:.0%}")
        openings = [sentence[:_OPENING] for sentence in sentences]
        for sentence in sentences:
            if sentence[:_OPENING] not in self.said:
                self.progress.say(sentence)
        self.said = openings
        slow = record["time"]["data_wait"] > _SLOW_DATA
        if slow and not self.slow_data:
            self.progress.say(
                f"training waited {record['time']['data_wait']:.0%} of the time for data; more "
                "loader workers, smaller stored images or shards would make it faster"
            )
        self.slow_data = slow
        self.rows, self.steps, self.waited = [], 0, 0.0
        self.began = time.monotonic()

    def evaluation(self, step: int, metrics: Mapping[str, float], seconds: float) -> None:
        self.metrics = dict(metrics)
        self._write({"step": step, "evaluation": self.metrics})
        text = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        self.progress.say(f"evaluation at step {step}: {text}")
        self.began += seconds  # the steps of this window did not take them

    def facts(self) -> dict[str, Any]:
        self._settle()
        written = self.file.bytes_written() if self.file else 0
        return {"rows": self.rows, "metrics": self.metrics, "metrics_bytes": written}

    def _settle(self) -> None:
        """Turn the window's tensors into rows of numbers, each the mean over the ranks.

        Ranks are averaged in their order, so that a row is the same whenever it is settled.
        """
        if not self.window:
            return
        values = torch.stack([value.double() for row in self.window for value in row.values()])
        ranks = dist.all_gather_cat(values[None])  # [ranks, values of all steps]
        means = iter(ranks.mean(0).tolist())
        self.rows += [{name: next(means) for name in row} for row in self.window]
        self.window = []

    def _write(self, record: dict[str, Any]) -> None:
        if self.file:
            self.file.write(record)

    def close(self) -> None:
        if self.file:
            self.file.close()


class _StopRequest:
    """Turns SIGTERM and Ctrl-C into a request that all ranks answer at the same step."""

    def __init__(self) -> None:
        self.asked = False
        self.before: dict[int, Any] = {}

    def __enter__(self) -> "_StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self.before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True

    def agreed(self, step: int, every: int) -> bool:
        """Whether to stop now; with several ranks they ask each other every few steps."""
        if dist.world_size() == 1:
            return self.asked
        if step % every:
            return False
        flag = torch.tensor(float(self.asked))
        if torch.distributed.get_backend() == "nccl":
            flag = flag.cuda()
        return bool(dist.all_reduce_max(flag))
