"""Array jobs, with submitit's executor that needs no cluster."""

from collections import Counter

import pytest

from eyespot.sweep.folder import prepare
from eyespot.sweep.records import read_journal
from eyespot.sweep.slurm import Task, submit
from tests.sweep.test_run import sweep_of

submitit = pytest.importorskip("submitit")


def test_tasks_of_an_array_share_out_the_points(tmp_path):
    prepare(tmp_path, sweep_of("marked", 12))
    jobs = submit(tmp_path, 3, {"timeout_min": "5", "slurm_partition": "gpu"}, cluster="local")
    assert sum(job.result() for job in jobs) == 12
    records = read_journal(tmp_path / "results.jsonl").records
    assert Counter(r.point for r in records) == dict.fromkeys(range(12), 1)
    assert len(jobs) == 3
    with pytest.raises(ValueError, match="need runs to submit, got a finished sweep"):
        submit(tmp_path, 1, {}, cluster="local")


def test_a_task_that_has_to_leave_queues_itself(tmp_path):
    task = Task(tmp_path)
    again = task.checkpoint(3)
    assert isinstance(again, submitit.helpers.DelayedSubmission)
    assert (again.function, again.args) == (task, (3,))


@pytest.mark.parametrize(
    ("options", "cluster", "sentence"),
    [
        ({"gpus": "1"}, "local", "need a cluster and options that submitit knows: .*gpus"),
        ({"timeout_min": "long"}, "local", "expected type"),
        ({}, "slurm", "need a cluster and options that submitit knows: .*srun"),
    ],
)
def test_options_that_submitit_does_not_know(options, cluster, sentence, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")  # no srun, on a cluster too
    prepare(tmp_path, sweep_of("marked", 1))
    with pytest.raises(ValueError, match=sentence) as caught:
        submit(tmp_path, 1, options, cluster=cluster)
    assert "\n" not in str(caught.value)


def test_without_submitit_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "submitit", None)
    with pytest.raises(ValueError, match=r"pip install 'eyespot\[sweep\]'"):
        submit(tmp_path, 1, {})
