"""The loop: killed anywhere and run again, it ends where an unbroken run ends, to the bit."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from eyespot.train.checkpoint import CheckpointFolder, load, stored_names
from eyespot.train.job import random_state, set_random_state_, state_tensors
from eyespot.train.logs import duration
from tests.train import toy_run


def command(out, total, *fault):
    return [sys.executable, "-m", "tests.train.toy_run", str(out), str(total), *fault]


def finish(out, total, *fault):
    return subprocess.run(
        command(out, total, *fault), capture_output=True, text=True, check=True, timeout=120
    )


def final_state(out):
    checkpoint = CheckpointFolder(out / "checkpoints").newest()[0]
    job = toy_run.make_job()
    tensors = {**state_tensors(job, stored_names(checkpoint)), **random_state(job.device)}
    load(checkpoint, tensors)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("time", None)
    return checkpoint, tensors, lines


def assert_same_end(first, second):
    (one, tensors, lines), (two, others, other_lines) = final_state(first), final_state(second)
    assert one.step == two.step
    assert tensors.keys() == others.keys()
    for name, value in tensors.items():
        assert torch.equal(value, others[name]), name
    assert lines == other_lines
    assert one.facts == two.facts | {"metrics_bytes": one.facts["metrics_bytes"]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that nothing stopped."""
    out = tmp_path_factory.mktemp("whole")
    finish(out, 40)
    return out


def test_killed_at_random_steps_it_ends_as_if_never_killed(tmp_path):
    finish(tmp_path / "whole", 60)
    random.seed(1)
    kills = 0
    for _ in range(20):
        process = subprocess.Popen(
            command(tmp_path / "broken", 60, "slow"), stderr=subprocess.PIPE, text=True
        )
        for _ in range(random.randint(1, 4)):  # lines of progress to wait for
            process.stderr.readline()
        time.sleep(random.uniform(0, 0.15))
        finished = process.poll() is not None
        process.kill()
        process.wait()
        if finished:
            break
        kills += 1
        if kills == 4:
            break
    finish(tmp_path / "broken", 60, "slow")
    assert kills >= 2
    assert_same_end(tmp_path / "whole", tmp_path / "broken")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_and_ctrl_c_save_and_say_how_to_go_on(tmp_path, whole, number):
    process = subprocess.Popen(
        command(tmp_path / "broken", 40, "slow"), stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    process.stderr.readline()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "saved; run the same command to go on" in err
    assert "finished=False" in out
    finish(tmp_path / "broken", 40)
    assert_same_end(whole, tmp_path / "broken")


def test_ctrl_c_twice_does_not_wait(tmp_path, whole):
    """The second ends the process at once; what was saved is whole, and the run goes on."""
    process = subprocess.Popen(
        command(tmp_path / "broken", 40, "long step"), stderr=subprocess.PIPE, text=True
    )
    process.stderr.readline()
    time.sleep(0.5)  # in a step of a minute
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in err
    finish(tmp_path / "broken", 40)
    assert_same_end(whole, tmp_path / "broken")


@pytest.mark.parametrize("what", ["metrics", "facts"])
def test_a_full_disk_ends_a_run_in_a_sentence_and_it_goes_on(tmp_path, whole, what):
    """No room for the next line of metrics.jsonl, or for a checkpoint's facts.json."""
    done = finish(tmp_path / "broken", 40, f"no room for {what}")
    (sentence,) = done.stdout.splitlines()
    named = {"metrics": "broken/metrics.jsonl", "facts": "broken/checkpoints"}[what]
    assert sentence.startswith("need room and permission to write ")
    assert named in sentence
    assert "Traceback" not in done.stderr
    assert "ignored" not in done.stderr
    assert CheckpointFolder(tmp_path / "broken/checkpoints").newest()[0].step == 12
    finish(tmp_path / "broken", 40)
    assert_same_end(whole, tmp_path / "broken")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, of half a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_loses_no_checkpoint(whole, small_disk):
    done = finish(small_disk / "broken", 40, "full")
    assert done.stdout.startswith("need room and permission to write")
    assert "No space left on device" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert final_state(small_disk / "broken")[0].step == 12
    (small_disk / "filler").unlink()
    finish(small_disk / "broken", 40)
    assert_same_end(whole, small_disk / "broken")


def test_a_loss_that_is_not_finite_stops_the_run_and_can_be_met_again(tmp_path):
    done = finish(tmp_path, 60, "nan")
    assert "stopped before step 14: the loss is nan" in done.stdout
    capture = CheckpointFolder(tmp_path / "captures").newest()[0]
    assert capture.step == 13
    assert capture.facts["batch"] == {"step": 13}
    # the state is that before the step: nothing in it is infinite but running statistics
    job = toy_run.make_job()
    tensors = state_tensors(job, stored_names(capture))
    noise = random_state(job.device)
    load(capture, {**tensors, **noise})
    set_random_state_(noise, job.device)
    for name, value in tensors.items():
        if "running" not in name:
            assert value.double().isfinite().all(), name
    for name, value in tensors.items():
        if name.endswith(".step"):
            assert value == 13


def test_a_finished_run_run_again_does_nothing(tmp_path):
    finish(tmp_path, 8)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    assert "finished=True, step=8" in finish(tmp_path, 8).stdout
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_durations_for_people():
    assert [duration(s) for s in (3.4, 185, 7620, 360000)] == ["3s", "3m05s", "2h07m", "4d04h"]
