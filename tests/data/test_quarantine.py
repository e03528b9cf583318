import json
from pathlib import Path

import numpy as np
import pytest

from eyespot.data.quarantine import (
    BadSample,
    Quarantine,
    fetch,
    fetch_or_blank,
    list_left_out,
    too_many_damaged,
)
from eyespot.data.samples import Sample


class Numbers:
    """Sample i is a picture full of i; some are damaged when read, some when decoded."""

    def __init__(self, count, unreadable=(), undecodable=(), lost=()):
        self.count, self.unreadable = count, unreadable
        self.undecodable, self.lost = undecodable, lost

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index in self.unreadable:
            raise ValueError(f"file {index} is missing")
        if index in self.lost:
            raise ConnectionError("gone")
        return Sample(bytes([index]), index % 3, f"{index}.jpg")

    def decode(self, data, index):
        assert data[0] == index
        if data[0] in self.undecodable:
            raise ValueError("a JPEG is truncated")
        return np.full((2, 2, 3), data[0], np.uint8), (4, 4)


def test_a_good_sample_is_itself():
    samples = Numbers(5)
    found = fetch(samples, 3, samples.decode)
    assert (found.pixels == 3).all()
    assert (found.label, found.index, found.bad) == (0, 3, ())
    assert found.size == (4, 4)


def test_bad_samples_are_replaced_by_the_next_good_one():
    samples = Numbers(5, unreadable=[3], undecodable=[4, 0])
    found = fetch(samples, 3, samples.decode)
    assert (found.label, found.index) == (1, 1)
    assert (found.pixels == 1).all()
    assert found.bad == (
        BadSample(3, "3", "file 3 is missing"),
        BadSample(4, "4.jpg", "a JPEG is truncated"),
        BadSample(0, "0.jpg", "a JPEG is truncated"),
    )


def test_a_measurement_replaces_nothing():
    samples = Numbers(5, unreadable=[3], undecodable=[4])
    found = [fetch_or_blank(samples, index, samples.decode) for index in range(5)]
    assert [each.index for each in found] == [0, 1, 2, 3, 4]
    assert [each.label for each in found] == [0, 1, 2, None, None]
    assert [len(each.bad) for each in found] == [0, 0, 0, 1, 1]
    assert found[3].bad == (BadSample(3, "3", "file 3 is missing"),)
    assert found[4].bad == (BadSample(4, "4.jpg", "a JPEG is truncated"),)
    assert not found[4].pixels.any()


def test_a_data_set_of_damaged_samples_is_refused():
    samples = Numbers(5, undecodable=range(5))
    with pytest.raises(ValueError, match=r"got 5 damaged ones .* from index 2; the last is 1.jpg"):
        fetch(samples, 2, samples.decode)
    samples = Numbers(250, undecodable=range(200))
    with pytest.raises(ValueError, match="got 100 damaged ones in a row from index 50"):
        fetch(samples, 50, samples.decode)


def test_a_lost_connection_is_no_damaged_sample():
    samples = Numbers(5, lost=[3])
    with pytest.raises(ConnectionError):
        fetch(samples, 3, samples.decode)


def bad(*indices):
    return [BadSample(index, f"{index}.jpg", "broken") for index in indices]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_bad_samples_are_listed(tmp_path):
    path = tmp_path / "quarantine.jsonl"
    quarantine = Quarantine(path)
    quarantine.add(0, 8, [], set_size=1000)
    assert not path.exists()
    quarantine.add(1, 8, bad(5, 6), set_size=1000)
    quarantine.add(2, 8, bad(9), set_size=1000)
    assert lines(path) == [
        {"step": 1, "index": 5, "name": "5.jpg", "reason": "broken"},
        {"step": 1, "index": 6, "name": "6.jpg", "reason": "broken"},
        {"step": 2, "index": 9, "name": "9.jpg", "reason": "broken"},
    ]
    assert (quarantine.num_seen, quarantine.num_bad) == (24, 3)


def test_more_than_the_budget_stops_the_run(tmp_path):
    quarantine = Quarantine(tmp_path / "q", budget=0.01)
    quarantine.add(0, 100, bad(*range(10)), set_size=10**6)  # ten are free in a large set
    with pytest.raises(
        ValueError,
        match=r"at most 1.0% .* got 11 of 200; .* 77.jpg: broken",
    ):
        quarantine.add(1, 100, bad(77), set_size=10**6)
    assert len(lines(tmp_path / "q")) == 11

    quarantine = Quarantine(tmp_path / "r", budget=0.01)
    for step in range(100):
        quarantine.add(step, 100, bad(step), set_size=10**6)  # exactly the budget
    with pytest.raises(ValueError, match="got 102 of 10100"):
        quarantine.add(100, 100, bad(201, 202), set_size=10**6)


@pytest.mark.parametrize(
    ("size", "budget", "allowed"),
    [(64, 0.01, 1), (100, 0.01, 1), (200, 0.01, 2), (999, 0.01, 9), (5000, 0.01, 50),
     (64, 0.5, 32), (64, 0.0, 0)],
)  # fmt: skip
def test_the_budget_holds_for_sets_of_any_size(tmp_path, size, budget, allowed):
    """For three epochs with as many as allowed; one more stops the run within an epoch.

    They are spread evenly: as many early as late.
    """

    def epochs(count, num_bad, path):
        quarantine = Quarantine(path, budget=budget)
        spaced = {(place + 1) * size // num_bad - 1 for place in range(num_bad)}
        for step in range(count * size):
            index = step % size
            quarantine.add(step, 1, bad(index) if index in spaced else [], set_size=size)
        return quarantine.num_bad

    assert epochs(3, allowed, tmp_path / "allowed") == allowed
    with pytest.raises(ValueError, match=f"at most {budget:.1%} damaged"):
        epochs(1, allowed + 1, tmp_path / "more")
    assert not too_many_damaged(allowed, size, budget)
    assert too_many_damaged(allowed + 1, size, budget)


def test_what_a_measurement_leaves_out_is_listed_once_and_not_counted(tmp_path):
    path = tmp_path / "q"
    quarantine = Quarantine(path, budget=0.5)
    list_left_out(path, 3, [])
    assert not path.exists()
    quarantine.add(2, 8, bad(5), set_size=1000)
    list_left_out(path, 3, bad(5))
    list_left_out(path, 7, bad(5, 6))
    listed = [(line["step"], line["index"], line.get("measured", False)) for line in lines(path)]
    assert listed == [(2, 5, False), (3, 5, True), (7, 6, True)]
    assert Quarantine(path, start_step=4, num_seen=32).num_bad == 1
    assert [line["step"] for line in lines(path)] == [2, 3]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_disk_is_named(tmp_path):
    (tmp_path / "q").symlink_to("/dev/full")
    quarantine = Quarantine(tmp_path / "q")
    quarantine.add(0, 8, [], set_size=1000)
    with pytest.raises(OSError, match=r"need room .*q, got: .*No space left on device"):
        quarantine.add(1, 8, bad(5), set_size=1000)


def test_a_resumed_run_counts_as_if_never_stopped(tmp_path):
    path = tmp_path / "q"
    whole = Quarantine(path)
    for step in range(6):
        whole.add(step, 50, bad(step), set_size=1000)
    text = path.read_text()
    path.write_text(text + '{"step": 7, "ind')  # killed while writing
    resumed = Quarantine(path, start_step=4, num_seen=200)
    assert (resumed.num_seen, resumed.num_bad) == (200, 4)
    for step in (4, 5):
        resumed.add(step, 50, bad(step), set_size=1000)
    assert path.read_text() == text
    assert (resumed.num_seen, resumed.num_bad) == (whole.num_seen, whole.num_bad)
