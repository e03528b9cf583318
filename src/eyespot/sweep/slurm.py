"""Run a sweep on a Slurm cluster: an array job whose tasks are workers on the shared folder.

Needs the `sweep` extra (submitit). A task that Slurm preempts or that runs out of time queues
itself again, up to three times for time; what it was running is taken up by whoever comes next.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eyespot.sweep.folder import read_sweep
from eyespot.sweep.worker import missing_points, work

MAX_TIMEOUTS = 3


class Task:
    """One task of the array: a worker that outlives its allocation.

    Args:
        folder: The sweep's folder, on a file system that all machines share.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, number: int) -> int:
        """Run points until none is left; returns how many."""
        return work(self.folder)

    def checkpoint(self, number: int) -> Any:
        """Return what to queue when this task has to leave: the same task."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, number)


def submit(
    folder: Path, tasks: int, options: Mapping[str, str], *, cluster: str = "slurm"
) -> list[Any]:
    """Submit an array job that runs what is missing of a sweep.

    Args:
        folder: A folder that `prepare` wrote, on a shared file system.
        tasks: Tasks of the array; no more than runs that are missing.
        options: submitit's options: timeout_min, gpus_per_node, cpus_per_task, mem_gb, and Slurm's
            own with the prefix slurm_, such as slurm_partition.
        cluster: submitit's executor; "local" runs the tasks here.

    Returns:
        submitit's jobs, one a task.

    Raises:
        ValueError: If submitit is not installed, knows no such option, or nothing is missing.
    """
    try:
        import submitit
    except ImportError:
        raise ValueError(
            "need submitit to run on Slurm; install it with: pip install 'eyespot[sweep]'"
        ) from None
    folder = Path(folder).resolve()
    missing = missing_points(folder, read_sweep(folder).count)
    if not missing:
        raise ValueError(f"need runs to submit, got a finished sweep in {folder}")
    try:
        executor = submitit.AutoExecutor(
            folder / "slurm" / "%j", cluster=cluster, slurm_max_num_timeout=MAX_TIMEOUTS
        )
        parsed = {name: int(value) if value.isdigit() else value for name, value in options.items()}
        executor.update_parameters(**{"name": "eyespot-sweep", **parsed})
    except (AssertionError, NameError, RuntimeError, TypeError) as error:
        sentence = " ".join(str(error).split())
        raise ValueError(f"need a cluster and options that submitit knows: {sentence}") from None
    jobs: list[Any] = executor.map_array(Task(folder), range(min(tasks, len(missing))))
    return jobs
