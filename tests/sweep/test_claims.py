"""Claims: one owner at a time, and none of them for ever."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from eyespot.sweep.claims import (
    Heartbeat,
    claim_point,
    is_claimed,
    kills,
    release,
    still_mine,
)


def test_a_claim_is_exclusive_until_it_is_given_back(tmp_path):
    first = claim_point(tmp_path, 7)
    assert first.attempt == 1
    assert claim_point(tmp_path, 7) is None
    assert is_claimed(tmp_path, 7)
    assert claim_point(tmp_path, 8).attempt == 1
    release(first)
    assert not is_claimed(tmp_path, 7)
    assert still_mine(first)
    second = claim_point(tmp_path, 7)
    assert second.attempt == 2
    assert not still_mine(first)
    assert still_mine(second)
    assert kills(tmp_path, 7, range(1, 3)) == 1


def _owner(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_claim_of_another_machine_ends_when_it_is_not_touched(tmp_path):
    claim = claim_point(tmp_path, 0)
    _owner(claim.path, host="elsewhere", pid=1)
    assert claim_point(tmp_path, 0, stale_s=60) is None
    old = time.time() - 100
    os.utime(claim.path, (old, old))
    assert claim_point(tmp_path, 0, stale_s=200) is None
    assert claim_point(tmp_path, 0, stale_s=60).attempt == 2


def test_a_claim_just_made_and_still_empty_is_respected(tmp_path):
    (tmp_path / "000000.1").touch()
    assert claim_point(tmp_path, 0) is None


def test_a_killed_owner_on_this_machine_is_known_at_once(tmp_path):
    code = (
        "import sys, time, pathlib\n"
        "from eyespot.sweep.claims import claim_point\n"
        "claim_point(pathlib.Path(sys.argv[1]), 0); print('got', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "got\n"
    assert claim_point(tmp_path, 0) is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert claim_point(tmp_path, 0).attempt == 2
    process.stdout.close()


def test_a_reused_process_id_is_not_the_owner(tmp_path):
    claim = claim_point(tmp_path, 0)
    _owner(claim.path, born="1")
    assert claim_point(tmp_path, 0).attempt == 2


def _grab(folder, barrier, queue):
    barrier.wait()
    queue.put([claim_point(folder, i) is not None for i in range(100)])
    barrier.wait()  # whoever ends gives up what it claimed


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_race_has_one_winner_for_each_point(tmp_path, attempt):
    if attempt == 2:
        for i in range(100):
            release(claim_point(tmp_path, i))
    context = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(4), context.Queue()
    racers = [context.Process(target=_grab, args=(tmp_path, barrier, queue)) for _ in range(4)]
    for racer in racers:
        racer.start()
    won = [queue.get() for _ in racers]
    assert [sum(point) for point in zip(*won, strict=True)] == [1] * 100
    assert len([p for p in tmp_path.iterdir() if p.suffix == f".{attempt}"]) == 100
    for racer in racers:
        racer.join()


def test_the_heart_touches_what_is_held_and_nothing_else(tmp_path):
    held, other = claim_point(tmp_path, 0), claim_point(tmp_path, 1)
    old = time.time() - 1000
    for claim in (held, other):
        os.utime(claim.path, (old, old))
    with Heartbeat(0.02) as heart:
        heart.hold(held)
        deadline = time.monotonic() + 10
        while held.path.stat().st_mtime < old + 500 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert held.path.stat().st_mtime > old + 500
        heart.hold(None)
        release(held)
        time.sleep(0.1)
    assert held.path.stat().st_mtime == 0
    assert other.path.stat().st_mtime == pytest.approx(old, abs=1)
