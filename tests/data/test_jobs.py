import os
import signal
import subprocess
import sys
import time

import pytest

from eyespot.data.jobs import run_jobs


def square(number):
    return number**2


def refuse(number):
    if number == 3:
        raise ValueError("need no 3, got 3")
    if number == 4:
        raise OSError(28, "no space left", "file")
    return number


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [0, 1, 3, 20])
def test_all_jobs_are_done(workers):
    assert sorted(run_jobs(square, range(8), workers)) == [i**2 for i in range(8)]
    assert list(run_jobs(square, [], workers)) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_mistakes_come_back(workers):
    with pytest.raises(ValueError, match="need no 3, got 3"):
        list(run_jobs(refuse, [1, 2, 3], workers))
    with pytest.raises(OSError, match="no space left") as error:
        list(run_jobs(refuse, [1, 4], workers))
    assert error.value.filename == "file"


def test_a_worker_that_is_killed_is_noticed():
    with pytest.raises(RuntimeError, match="was it killed"):
        list(run_jobs(die, [1, 2], 2))


PARENT = """
import os, sys, time
from eyespot.data.jobs import run_jobs
def slow(number):
    open(os.path.join(sys.argv[1], str(os.getpid())), "w").close()
    time.sleep(0.1)
list(run_jobs(slow, range(3000), 2))
"""


def test_workers_end_when_their_parent_is_killed(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, env=environment) as parent:
        deadline = time.time() + 30
        while len(os.listdir(tmp_path)) < 2 and time.time() < deadline:
            time.sleep(0.05)
        parent.kill()
    while any(alive(name) for name in os.listdir(tmp_path)) and time.time() < deadline:
        time.sleep(0.05)
    left = [name for name in os.listdir(tmp_path) if alive(name)]
    for name in left:
        os.kill(int(name), signal.SIGKILL)
    assert not left


def alive(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().split(")")[1].split()[0] != "Z"
    except OSError:
        return False
