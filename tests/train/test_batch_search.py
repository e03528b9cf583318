"""The search against made-up machines whose best batch is known."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eyespot.design import zoo
from eyespot.train import batch_search
from eyespot.train.batch_search import search, search_batch
from eyespot.train.timing import Measured

BLANK = Measured("made up", "infer", "float32", False, False, 8, 1, 1.0, 1.0, 1.0, 3, None, None)


def machine(*, room, per_image=0.001, per_call=0.01):
    """Runs up to `room` images; a call costs a fixed time and a time an image, in ms."""
    asked = []

    def run(batch, seconds):
        asked.append(batch)
        if batch > room:
            return None
        return replace(BLANK, batch=batch, ms=per_call + per_image * batch)

    return run, asked


@given(st.integers(1, 3000))
def test_the_largest_batch_is_found_to_an_eighth(room):
    run, asked = machine(room=room)
    found = search(run, goal="largest", most=4096, budget_s=60)
    assert found.stopped_by == "memory"
    assert room - max(1, room // 8) <= found.best.batch <= room
    assert len(asked) == len(set(asked))


def test_powers_of_two_come_first_and_the_limit_is_kept():
    run, asked = machine(room=10**6)
    found = search(run, goal="largest", most=100, budget_s=60)
    assert (found.best.batch, found.stopped_by) == (64, "most")
    assert asked == [1, 2, 4, 8, 16, 32, 64]


def test_the_fastest_batch_may_be_a_small_one():
    """Beyond 32 images this machine gets slower."""

    def run(batch, seconds):
        return replace(BLANK, batch=batch, ms=10 + batch if batch <= 32 else 3.0 * batch)

    found = search(run, goal="fastest", most=4096, budget_s=60)
    assert found.best.batch == 32
    assert found.stopped_by == "speed"
    assert {24, 48} <= {m.batch for m in found.tried}


def test_time_ends_it():
    def run(batch, seconds):
        return replace(BLANK, batch=batch, ms=1000.0 * batch)

    found = search(run, goal="largest", most=4096, budget_s=20)
    assert (found.best.batch, found.stopped_by) == (4, "time")


def test_no_room_for_one_image():
    run, _ = machine(room=0)
    with pytest.raises(ValueError, match="memory for at least one image"):
        search(run, goal="largest", most=8, budget_s=1)


def test_a_real_network():
    spec = replace(zoo.spec("CIFAR-ResNet-20"), depths=(1, 1, 1))
    found = search_batch(
        spec, device=torch.device("cpu"), mode="train", image_size=8, most=4, budget_s=5
    )
    assert {1, 2, 4} <= {m.batch for m in found.tried}
    assert found.best in found.tried


def test_accelerator_memory_ends_it(monkeypatch):
    def run(spec, settings, batch, size, **kwargs):
        if batch > 5:
            raise torch.OutOfMemoryError
        return replace(BLANK, batch=batch)

    monkeypatch.setattr(batch_search, "run_and_time", run)
    monkeypatch.setattr(torch.accelerator, "empty_cache", lambda: None, raising=False)
    spec = zoo.spec("CIFAR-ResNet-20")
    found = search_batch(spec, device=torch.device("cpu"), goal="largest")
    assert (found.best.batch, found.stopped_by) == (5, "memory")


def test_mistakes_are_named():
    spec = zoo.spec("CIFAR-ResNet-20")
    with pytest.raises(ValueError, match="unknown goal"):
        search_batch(spec, device=torch.device("cpu"), goal="best")
    with pytest.raises(ValueError, match="got 0 and"):
        search_batch(spec, device=torch.device("cpu"), most=0)
