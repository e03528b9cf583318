"""Checkpoints: whole or absent, whatever interrupts the writing."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch

from eyespot.train import checkpoint as checkpoint_module
from eyespot.train.checkpoint import (
    CheckpointFolder,
    DamagedCheckpointError,
    load,
    read_facts,
    stored_names,
)


def state(step):
    generator = torch.Generator().manual_seed(step)
    return {
        "weight": torch.randn(5, 3, generator=generator),
        "half": torch.randn(7, generator=generator).bfloat16(),
        "double": torch.randn(2, 2, generator=generator, dtype=torch.float64),
        "count": torch.tensor(step),
        "bytes": generator.get_state(),
        "empty": torch.zeros(0, 4),
        "channels_last": torch.randn(2, 3, 4, 4, generator=generator).to(
            memory_format=torch.channels_last
        ),
    }


def zeros_like(tensors):
    return {key: torch.zeros_like(value) for key, value in tensors.items()}


@pytest.mark.parametrize("background", [False, True])
def test_what_is_read_is_what_was_written(tmp_path, background):
    folder = CheckpointFolder(tmp_path, background=background)
    folder.save(12, state(12), {"seed": 3, "epoch": 1.5}, weights={"w": state(12)["weight"]})
    folder.wait()
    checkpoint, notes = folder.newest()
    assert (checkpoint.step, checkpoint.facts, notes) == (12, {"seed": 3, "epoch": 1.5}, [])
    assert stored_names(checkpoint) == set(state(12))
    tensors = zeros_like(state(12))
    load(checkpoint, tensors)
    for key, value in state(12).items():
        assert torch.equal(tensors[key], value), key


@pytest.mark.parametrize("background", [False, True])
def test_large_states_lie_in_several_files(tmp_path, background, monkeypatch):
    monkeypatch.setattr(checkpoint_module, "_FILE_BYTES", 1000)
    tensors = {f"w{i}": torch.full((10, 10), float(i)) for i in range(7)}  # 400 bytes each
    folder = CheckpointFolder(tmp_path, background=background)
    folder.save(1, tensors, {})
    folder.wait()
    newest = folder.newest()[0]
    assert len(list((newest.path / "state").iterdir())) == 4
    back = zeros_like(tensors)
    load(newest, back)
    assert all(torch.equal(back[name], value) for name, value in tensors.items())


def test_the_copy_is_taken_before_training_goes_on(tmp_path):
    folder = CheckpointFolder(tmp_path)
    weight = torch.ones(1000, 1000)
    folder.save(1, {"weight": weight}, {})
    weight.zero_()
    folder.wait()
    back = {"weight": torch.empty(1000, 1000)}
    load(folder.newest()[0], back)
    assert torch.equal(back["weight"], torch.ones(1000, 1000))


def test_the_newest_and_the_best_stay(tmp_path):
    folder = CheckpointFolder(tmp_path, keep_last=2, background=False)
    for step, score in enumerate([5.0, 1.0, 4.0, 3.0, 2.0]):
        folder.save(step, state(step), {}, score=score)
    assert [path.name for path in folder.paths()] == [f"step_00000000{step}" for step in (1, 3, 4)]


@pytest.mark.parametrize("damage", ["truncate", "flip", "delete", "manifest", "facts"])
def test_a_damaged_newest_is_reported_and_the_one_before_is_used(tmp_path, damage):
    folder = CheckpointFolder(tmp_path, background=False)
    folder.save(1, state(1), {})
    folder.save(2, state(2), {})
    newest = folder.paths()[-1]
    shard = next((newest / "state").iterdir())
    if damage == "truncate":
        os.truncate(shard, shard.stat().st_size - 1)
    elif damage == "flip":
        content = bytearray(shard.read_bytes())
        content[-1] ^= 1
        shard.write_bytes(content)
    elif damage == "delete":
        shard.unlink()
    elif damage == "manifest":
        (newest / "manifest.json").write_text("{")
    else:
        facts = json.loads((newest / "facts.json").read_text())
        (newest / "facts.json").write_text(json.dumps(facts | {"step": 7}))
    checkpoint, notes = folder.newest()
    assert checkpoint.step == 1
    assert len(notes) == 1
    assert "step_000000002" in notes[0]
    with pytest.raises(DamagedCheckpointError):
        read_facts(newest)


def test_another_networks_state_is_refused_by_name(tmp_path):
    folder = CheckpointFolder(tmp_path, background=False)
    folder.save(1, state(1), {})
    checkpoint = folder.newest()[0]
    with pytest.raises(ValueError, match=r"need weight of shape \(5, 4\).*got shape \(5, 3\)"):
        load(checkpoint, {"weight": torch.zeros(5, 4)})
    with pytest.raises(ValueError, match=r"need wieght of shape .* got none"):
        load(checkpoint, {"wieght": torch.zeros(5, 3)})


def test_an_empty_folder_has_no_newest(tmp_path):
    assert CheckpointFolder(tmp_path / "new").newest() == (None, [])


WRITER = """
import sys, torch
from pathlib import Path
from eyespot.train.checkpoint import CheckpointFolder
folder = CheckpointFolder(Path(sys.argv[1]), keep_last=2)
newest = folder.newest()[0]
step = newest.step if newest else 0
print("ready", flush=True)
while True:
    step += 1
    folder.save(step, {"value": torch.full((64, 1024), float(step))}, {"step": step})
"""


def test_killed_at_any_moment_the_newest_is_whole(tmp_path):
    random.seed(0)
    last = 0
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE
        )
        process.stdout.readline()
        time.sleep(random.uniform(0.05, 0.6))
        process.kill()
        process.wait()
        folder = CheckpointFolder(tmp_path)
        checkpoint, notes = folder.newest()
        assert notes == []
        if checkpoint is None:
            continue
        back = {"value": torch.empty(64, 1024)}
        load(checkpoint, back)
        assert (back["value"] == checkpoint.step).all()
        assert checkpoint.step >= last
        last = checkpoint.step
        assert len(folder.paths()) <= 3
    assert last > 0


# Each call that a write makes, failing or killing the process at its n-th use.
FAULTS = """
import os, signal, sys, torch
from pathlib import Path
from eyespot.train.checkpoint import CheckpointFolder

def attempt(folder, name, count, mode):
    folder = CheckpointFolder(folder, keep_last=1)
    folder.save(1, {"value": torch.full((8,), 1.0)}, {})
    folder.wait()
    real, calls = getattr(os, name), 0
    def faulty(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == count:
            if mode == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(28, "No space left on device")
        return real(*args, **kwargs)
    setattr(os, name, faulty)
    try:
        folder.save(2, {"value": torch.full((8,), 2.0)}, {})
        folder.wait()
    except OSError:
        pass
    os._exit(0)

for count in range(1, int(sys.argv[3]) + 1):
    child = os.fork()
    if child == 0:
        attempt(Path(sys.argv[1]) / str(count), sys.argv[2], count, sys.argv[4])
    os.waitpid(child, 0)
"""


@pytest.mark.parametrize("mode", ["kill", "error"])
@pytest.mark.parametrize(("name", "uses"), [("fsync", 7), ("replace", 2), ("mkdir", 2)])
def test_a_fault_at_any_call_leaves_a_whole_checkpoint(tmp_path, name, uses, mode):
    command = [sys.executable, "-c", FAULTS, str(tmp_path), name, str(uses), mode]
    subprocess.run(command, check=True, timeout=200)
    steps = []
    for count in range(1, uses + 1):
        checkpoint, notes = CheckpointFolder(tmp_path / f"{count}").newest()
        assert notes == []
        back = {"value": torch.empty(8)}
        load(checkpoint, back)
        assert (back["value"] == checkpoint.step).all()
        steps.append(checkpoint.step)
    assert 1 in steps


# Each file that a write makes, ending one byte early: no room, or the process killed there.
SHORT = """
import os, resource, signal, sys, torch
from pathlib import Path
from eyespot.train.checkpoint import CheckpointFolder

def write(folder, step):
    value = {"value": torch.full((8,), float(step))}
    folder.save(step, value, {}, weights=value)
    folder.wait()

def attempt(folder, name, mode):
    folder = CheckpointFolder(folder, keep_last=1)
    write(folder, 1)
    size = (folder.paths()[0] / name).stat().st_size - 1
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if mode == "kill" else signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        write(folder, 2)
    except OSError as error:
        sys.exit(str(error).count("the earlier checkpoints are untouched") != 1)
    sys.exit(3)

attempt(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
"""


WRITTEN = {
    "facts": "facts.json",
    "weights": "weights.safetensors",
    "state": "state/shard-00001-model-00001-of-00001.safetensors",
    "manifest": "manifest.json",
}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["kill", "error"])
@pytest.mark.parametrize("name", list(WRITTEN))
def test_any_file_cut_short_leaves_the_checkpoint_before(tmp_path, name, mode):
    file = WRITTEN[name]
    command = [sys.executable, "-c", SHORT, str(tmp_path), file, mode]
    code = subprocess.run(command, timeout=100).returncode
    assert code == (-signal.SIGXFSZ if mode == "kill" else 0)
    # it was this file that the fault met: what comes before it is whole, and nothing after it
    before = {
        each: (tmp_path / "step_000000001" / each).stat().st_size for each in WRITTEN.values()
    }
    partial = tmp_path / "step_000000002.partial"
    place = list(WRITTEN).index(name)
    for i, (each, size) in enumerate(before.items()):
        found = (partial / each).stat().st_size if (partial / each).exists() else 0
        assert found == size if i < place else found < size, each
    checkpoint, notes = CheckpointFolder(tmp_path).newest()
    assert notes == []
    assert checkpoint.step == 1
    back = {"value": torch.empty(8)}
    load(checkpoint, back)
    assert (back["value"] == 1).all()


@pytest.mark.parametrize("what", ["tensors", "weights"])
def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path, what):
    code = textwrap.dedent(
        """
        import resource, signal, sys, torch
        from pathlib import Path
        from eyespot.train.checkpoint import CheckpointFolder
        folder = CheckpointFolder(Path(sys.argv[1]))
        folder.save(1, {"value": torch.ones(10)}, {})
        folder.wait()
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        large = {"value": torch.ones(1_000_000)}
        small = {"value": torch.ones(10)}
        try:
            if sys.argv[2] == "weights":
                folder.save(2, small, {}, weights=large)
            folder.save(2, large, {})
            folder.wait()
        except OSError as error:
            print(error)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), what],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "need room and permission to write a checkpoint" in done.stdout
    assert done.stdout.endswith("; the earlier checkpoints are untouched\n")
    assert len(done.stdout.splitlines()) == 1
    assert CheckpointFolder(Path(tmp_path)).newest()[0].step == 1
