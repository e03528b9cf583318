"""Whole sweeps: every point once, whatever is killed when; lost is only what was running."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from eyespot.design.samplers import FloatRange, Value
from eyespot.design.space import NamedNetworks, Space
from eyespot.design.spaces import get_space
from eyespot.sweep.execute import RunFailed, execute, resolve
from eyespot.sweep.folder import Sweep, Target, prepare, read_point, read_sweep
from eyespot.sweep.records import latest, read_journal
from eyespot.sweep.run import ask_for_retries, run_sweep
from eyespot.sweep.worker import missing_points, work

SPACE = Space(
    "lrwd",
    parameters={
        "lr": FloatRange(0.25, 5.0, "log_uniform", 1e-10),
        "wd": FloatRange(5e-5, 1e-3, "log_uniform", 1e-10),
    },
)


def sweep_of(name, count, space=SPACE, seed=1):
    return Sweep(space, seed, count, Target("callable", f"tests.sweep.runs:{name}"))


def journal(folder):
    return read_journal(folder / "results.jsonl").records


def test_every_point_runs_once_and_is_recorded(tmp_path):
    points = prepare(tmp_path, sweep_of("quadratic", 7))
    records = list(run_sweep(tmp_path, 2))
    assert sorted(r.point for r in records) == list(range(7))
    for record in records:
        assert record.status == "done"
        assert record.metrics["lr_seen"] == points[record.point].parameters["lr"]
        assert record.metrics["error"][0] == record.metrics["error"][1] + 5
    assert list(run_sweep(tmp_path, 2)) == []
    assert journal(tmp_path) == records


def test_points_are_on_disk_before_anything_runs(tmp_path):
    sweep = sweep_of("quadratic", 3, get_space("lrwd-regnety-sgd"))
    points = prepare(tmp_path, sweep)
    assert read_sweep(tmp_path) == sweep
    for point in points:
        data = read_point(tmp_path, point.index)
        assert data["parameters"] == point.parameters
        assert round(data["complexity"]["params"] / 1e6, 1) == 22.4
    assert missing_points(tmp_path, 3) == [0, 1, 2]


def test_a_sweep_can_grow_and_nothing_else(tmp_path):
    prepare(tmp_path, sweep_of("quadratic", 3))
    before = (tmp_path / "points" / "000002.json").read_bytes()
    list(run_sweep(tmp_path, 1))
    prepare(tmp_path, sweep_of("quadratic", 5))
    assert (tmp_path / "points" / "000002.json").read_bytes() == before
    assert sorted(r.point for r in run_sweep(tmp_path, 1)) == [3, 4]
    for other, word in (
        (sweep_of("quadratic", 4), "need --count of 5 or more"),
        (sweep_of("quadratic", 5, seed=2), r"another seed \(2 after 1\)"),
        (sweep_of("marked", 5), "another target"),
        (sweep_of("quadratic", 5, get_space("cifar-lrwd")), r"another space \(cifar-lrwd after"),
    ):
        with pytest.raises(ValueError, match=word):
            prepare(tmp_path, other)


def test_a_torn_point_is_written_again_and_a_changed_one_is_refused(tmp_path):
    prepare(tmp_path, sweep_of("quadratic", 2))
    path = tmp_path / "points" / "000001.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:20])
    prepare(tmp_path, sweep_of("quadratic", 2))
    assert path.read_bytes() == whole
    path.write_text(json.dumps(json.loads(whole) | {"parameters": {"lr": 1.0, "wd": 1.0}}))
    with pytest.raises(ValueError, match="draws another point 1"):
        prepare(tmp_path, sweep_of("quadratic", 3))


def test_an_unchanged_sweep_is_not_drawn_again(tmp_path, monkeypatch):
    points = prepare(tmp_path, sweep_of("quadratic", 2))
    monkeypatch.setattr("eyespot.sweep.folder.sample_space", lambda *_: pytest.fail("drawn"))
    assert prepare(tmp_path, sweep_of("quadratic", 2)) == points


def test_a_failed_run_is_a_record_with_its_last_line(tmp_path):
    prepare(tmp_path, sweep_of("failing", 4))
    records = {r.point: r for r in run_sweep(tmp_path, 2)}
    assert [records[i].status for i in range(4)] == ["done", "failed", "done", "failed"]
    assert records[3].error == "RuntimeError: no luck with point 3"
    assert "Traceback" in (tmp_path / "runs" / "000003" / "stderr.txt").read_text()
    assert (tmp_path / "runs" / "000003" / "stdout.txt").read_text() == "begun 3\n"
    assert list(run_sweep(tmp_path, 1)) == []
    (tmp_path / "mended").touch()
    again = [r for r in run_sweep(tmp_path, 1, retry_failed=True) if r.status != "retry"]
    assert [(r.point, r.status, r.attempt) for r in again] == [(1, "done", 2), (3, "done", 2)]
    assert ask_for_retries(tmp_path) == 0


def test_a_retry_that_fails_again_ends(tmp_path):
    prepare(tmp_path, sweep_of("failing", 2))
    for attempt in range(1, 6):
        records = list(run_sweep(tmp_path, 1, retry_failed=attempt > 1))
        assert (records[-1].status, records[-1].attempt) == ("failed", attempt)
        assert records[-1].error.startswith("RuntimeError")


def test_metrics_that_are_none_fail_the_run(tmp_path):
    prepare(tmp_path, sweep_of("nonsense", 1))
    (record,) = run_sweep(tmp_path, 1)
    assert record.status == "failed"
    assert record.error.startswith("ValueError: need metric 'error' as a number")


def test_a_point_that_kills_its_workers_is_given_up(tmp_path):
    prepare(tmp_path, sweep_of("deadly", 4))
    records = {r.point: r for r in run_sweep(tmp_path, 2)}
    assert {i: r.status for i, r in records.items()} == {
        0: "done",
        1: "failed",
        2: "done",
        3: "done",
    }
    assert records[1].error == "its worker was killed 3 times"
    assert records[1].attempt == 4
    (tmp_path / "mended").touch()
    again = [r for r in run_sweep(tmp_path, 1, retry_failed=True) if r.status != "retry"]
    assert [(r.point, r.status, r.attempt) for r in again] == [(1, "done", 5)]


def test_workers_that_die_before_any_run_end_the_sweep(tmp_path, monkeypatch):
    prepare(tmp_path, sweep_of("quadratic", 3))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(OSError, match="need workers that stay alive, got 7 deaths"):
        list(run_sweep(tmp_path, 2))


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("tests.sweep.runs:quadratc", "unknown function of tests.sweep.runs 'quadratc'. Did you"),
        ("tests.sweep.runs:not_callable", "unknown function of tests.sweep.runs 'not_callable'"),
        (
            "tests.sweep.nothing:f",
            "need a module that can be imported, got 'tests.sweep.nothing:f'",
        ),
        ("tests.sweep.runs", 'need a function as "module:function", got'),
    ],
)
def test_a_target_that_cannot_run_ends_the_sweep_with_one_sentence(target, sentence, tmp_path):
    prepare(tmp_path, Sweep(SPACE, 1, 3, Target("callable", target)))
    with pytest.raises(ValueError, match=sentence) as caught:
        list(run_sweep(tmp_path, 2))
    assert "\n" not in str(caught.value)
    assert journal(tmp_path) == []


def test_two_workers_on_one_folder_never_run_a_point_twice(tmp_path):
    prepare(tmp_path, sweep_of("marked", 60))
    command = [sys.executable, "-m", "eyespot.sweep.worker", str(tmp_path), "0", "60"]
    workers = [subprocess.Popen(command) for _ in range(3)]
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0, 0]
    assert Counter(r.point for r in journal(tmp_path)) == dict.fromkeys(range(60), 1)
    began = Counter(p.name[:6] for p in (tmp_path / "marks").glob("*.began"))
    assert began == {f"{i:06d}": 1 for i in range(60)}
    assert len({r.worker for r in journal(tmp_path)}) == 3


def _children(pid):
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


PARENT = """
import sys
from pathlib import Path
from eyespot.sweep.run import run_sweep
for record in run_sweep(Path(sys.argv[1]), int(sys.argv[2])):
    pass
"""


def start(folder, workers):
    return subprocess.Popen([sys.executable, "-c", PARENT, str(folder), str(workers)])


def overlaps(folder):
    """Points that two processes ran at the same time: began, and not ended, in between."""
    marks = folder / "marks"
    runs = {}
    for path in marks.glob("*.began"):
        point, _, time_ns = path.stem.split("-")
        ended = path.with_suffix(".ended")
        end = ended.stat().st_mtime_ns if ended.exists() else None
        runs.setdefault(point, []).append((int(time_ns), end))
    return [
        point
        for point, spans in runs.items()
        for (_, end), (began, _) in zip(sorted(spans), sorted(spans)[1:], strict=False)
        if end is not None and began < end
    ]


@pytest.mark.parametrize("seed", [0, 1])
def test_workers_killed_at_random_lose_only_what_they_ran(tmp_path, seed):
    count = 80
    prepare(tmp_path, sweep_of("marked", count))
    rng = random.Random(seed)
    process = start(tmp_path, 2)
    kills = 0
    while process.poll() is None:
        time.sleep(rng.uniform(0.1, 0.5))
        workers = _children(process.pid)
        if workers and kills < 8:
            os.kill(rng.choice(workers), signal.SIGKILL)
            kills += 1
    assert process.returncode == 0
    assert kills
    records = journal(tmp_path)
    assert sorted(r.point for r in records if r.status == "done") == list(range(count))
    began = len(list((tmp_path / "marks").glob("*.began")))
    assert began <= count + kills
    assert overlaps(tmp_path) == []


def test_a_killed_sweep_goes_on_where_it_was(tmp_path):
    count = 400  # more than orphaned workers can finish before they notice
    prepare(tmp_path, sweep_of("marked", count))
    rng = random.Random(5)
    for _ in range(3):
        process = start(tmp_path, 2)
        deadline = time.monotonic() + 20
        before = len(journal(tmp_path))
        while len(journal(tmp_path)) < before + 4 and time.monotonic() < deadline:
            time.sleep(rng.uniform(0.01, 0.1))
        process.kill()
        process.wait()
    time.sleep(1.5)  # the orphaned workers notice and end
    done = {r.point for r in journal(tmp_path)}
    assert 8 <= len(done) < count
    again = list(run_sweep(tmp_path, 2))
    assert {r.point for r in again} == set(range(count)) - done
    assert Counter(r.point for r in journal(tmp_path)) == dict.fromkeys(range(count), 1)
    assert overlaps(tmp_path) == []


def test_an_interrupted_sweep_gives_its_points_back(tmp_path):
    prepare(tmp_path, sweep_of("slow", 2))
    for _ in range(4):  # more often than a point may kill its worker
        process = start(tmp_path, 2)
        deadline = time.monotonic() + 120
        marks = [tmp_path / "runs" / f"{i:06d}" / "began" for i in range(2)]
        while not all(m.exists() for m in marks) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) != 0
        for mark in marks:
            mark.unlink()
    assert journal(tmp_path) == []
    (tmp_path / "fast").touch()
    assert [r.status for r in run_sweep(tmp_path, 1)] == ["done", "done"]


def test_a_point_taken_over_is_not_recorded_by_its_old_owner(tmp_path, monkeypatch):
    prepare(tmp_path, sweep_of("quadratic", 1))
    monkeypatch.setattr("eyespot.sweep.worker.still_mine", lambda claim: False)
    assert work(tmp_path) == 0
    assert journal(tmp_path) == []


def test_a_claim_of_a_recorded_point_runs_nothing(tmp_path, monkeypatch):
    prepare(tmp_path, sweep_of("quadratic", 2))
    assert work(tmp_path) == 2
    monkeypatch.setattr("eyespot.sweep.worker.missing_points", lambda folder, count: [0, 1])
    assert work(tmp_path) == 0
    assert not (tmp_path / "claims" / "000000.2").exists()
    monkeypatch.setattr("eyespot.sweep.worker.claim_state", lambda *_, **__: "new")
    assert work(tmp_path) == 0
    assert (tmp_path / "claims" / "000000.2").stat().st_mtime == 0
    assert len(journal(tmp_path)) == 2


def test_a_folder_without_a_sweep_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"which has no sweep\.json"):
        next(run_sweep(tmp_path, 1))
    (tmp_path / "sweep.json").write_text("[]")
    with pytest.raises(ValueError, match="need a whole sweep in"):
        read_sweep(tmp_path)
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(ValueError, match=r"need a whole sweep in .*sweep\.json, got no 'space'"):
        read_sweep(tmp_path)
    (tmp_path / "sweep.json").write_text('{"space": ')
    with pytest.raises(ValueError, match="need a sweep file of JSON"):
        read_sweep(tmp_path)
    with pytest.raises(ValueError, match="need at least 1 worker, got 0"):
        next(run_sweep(tmp_path, 0))


def command(text, count=2, space=SPACE):
    return Sweep(space, 1, count, Target("command", text))


def test_a_command_gets_its_placeholders_and_says_its_metrics(tmp_path):
    space = Space("net", network=NamedNetworks(Value(("RegNetX-200MF", "RegNetX-400MF"))))
    text = f"{sys.executable} -m eyespot complexity {{spec}} --json"
    prepare(tmp_path, command(text, 2, space))
    records = {r.point: r for r in run_sweep(tmp_path, 1)}
    for index in range(2):
        assert records[index].metrics["flops"] == read_point(tmp_path, index)["complexity"]["flops"]


def test_what_a_command_may_say(tmp_path):
    folder = tmp_path / "s"
    prepare(folder, command("true", 1))
    point = {**read_point(folder, 0), "out": str(tmp_path)}

    def run(text):
        return execute(resolve(Target("command", text), folder, ["lr", "wd"]), point, tmp_path)

    lr = point["parameters"]["lr"]
    assert run("""echo 'first' '{{"error": {lr}, "n": {index}}}'""".replace("'first' ", "")) == {
        "error": lr,
        "n": 0,
    }
    assert run("""sh -c 'echo noise; echo "{{\\"error\\": 2}}"'""") == {"error": 2}
    for text, sentence in (
        ("false", "exit code 1: it said nothing"),
        ("sh -c 'echo first >&2; echo last words >&2; exit 7'", "exit code 7: last words"),
        ("true", "need a JSON object as the last line the command prints, got ''"),
        ("echo 3", "need a JSON object .* got '3'"),
        ("no-such-program {lr}", "FileNotFoundError: .*no-such-program"),
    ):
        with pytest.raises(RunFailed, match=sentence):
            run(text)
    for text, sentence in (
        ("echo {lrr}", "unknown placeholder 'lrr'. Did you mean lr"),
        ("echo {}", "unknown placeholder ''"),
        ("", "need a command to run, got an empty one"),
        ("echo '", "No closing quotation"),
        ("echo {lr", "expected '}'"),
    ):
        with pytest.raises(ValueError, match=sentence):
            run(text)


def test_workers_share_out_the_gpus_and_the_cores(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 13)
    prepare(tmp_path, sweep_of("environment", 12))
    records = list(run_sweep(tmp_path, 3, gpus=("3", "5")))
    assert {r.metrics["gpu"] for r in records} == {"3", "5"}
    assert {r.metrics["threads"] for r in records} == {"4"}
    by_worker = {(r.worker, r.metrics["gpu"]) for r in records}
    assert sorted(gpu for _, gpu in by_worker) == ["3", "3", "5"]


def test_diverged_runs_are_done_runs(tmp_path):
    prepare(tmp_path, sweep_of("diverging", 3))
    records = latest(run_sweep(tmp_path, 1))
    assert records[0].status == "done"
    assert str(records[0].metrics["error"]) == "[nan, nan]"
