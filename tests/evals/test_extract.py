import numpy as np
import pytest
import torch
from torch.testing import assert_close

from eyespot.data.samples import Sample
from eyespot.data.views import TestView
from eyespot.evals.extract import Row, collect, extract
from eyespot.models.build import create_model
from eyespot.models.taps import Tap, TappedNetwork


class Pictures:
    """Random pictures of several sizes; some are damaged."""

    def __init__(self, count=11, damaged=()):
        self.count, self.damaged = count, damaged

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index in self.damaged:
            if index % 2:
                raise ValueError(f"picture {index} is gone")
            return Sample(b"no picture", index % 3, f"p{index}")
        rng = np.random.default_rng(index)
        return Sample(
            rng.integers(0, 256, (40 + index, 50, 3), dtype=np.uint8), index % 3, f"p{index}"
        )


VIEW = TestView(36, 32)
CPU = torch.device("cpu")


def network():
    torch.manual_seed(0)
    return TappedNetwork(create_model("RegNetY-200MF"), [Tap("s2", (2, 1)), Tap()]).eval()


def test_batches_and_workers_give_what_one_by_one_gives():
    tapped = network()
    alone = collect(extract(tapped, Pictures(), VIEW, range(11), device=CPU, batch_size=1))
    for batch_size, workers in ((4, 0), (4, 2), (64, 0)):
        options = {"batch_size": batch_size, "num_workers": workers}
        table = collect(extract(tapped, Pictures(), VIEW, range(11), device=CPU, **options))
        for got, wanted in zip(table.features, alone.features, strict=True):
            assert_close(got, wanted, rtol=1e-4, atol=1e-5)
        assert table.labels.tolist() == [i % 3 for i in range(11)]
        assert table.indices.tolist() == list(range(11))
        assert table.problems == []


def test_damaged_samples_are_listed_and_change_no_other():
    tapped = network()
    whole = collect(extract(tapped, Pictures(), VIEW, range(11), device=CPU, batch_size=4))
    broken = Pictures(damaged=(2, 4, 5, 6, 7, 9))
    parts = list(extract(tapped, broken, VIEW, range(11), device=CPU, batch_size=4))
    assert [row.index for part in parts for row in part.rows] == list(range(11))
    table = collect(iter(parts))
    assert table.indices.tolist() == [0, 1, 3, 8, 10]
    assert [row.index for row in table.problems] == [2, 4, 5, 6, 7, 9]
    assert table.problems[2] == Row(5, "5", -1, "picture 5 is gone")
    assert table.problems[0].name == "p2"
    for got, wanted in zip(table.features, whole.features, strict=True):
        assert_close(got, wanted[table.indices], rtol=1e-4, atol=1e-5)


def test_nothing_readable_is_said_with_a_reason():
    pictures = Pictures(3, damaged=(0, 1, 2))
    with pytest.raises(ValueError, match="got none of 3; the first, p0"):
        collect(extract(network(), pictures, VIEW, range(3), device=CPU))


def test_other_mistakes_are_not_taken_for_damage():
    def broken(image, *, seed, epoch, index):
        raise KeyError("our mistake")

    with pytest.raises(KeyError):
        collect(extract(network(), Pictures(), broken, range(3), device=CPU))


def test_views_of_several_sizes_are_refused():
    def as_it_is(image, *, seed, epoch, index):
        return [image]

    with pytest.raises(ValueError, match="views of one size"):
        collect(extract(network(), Pictures(), as_it_is, range(3), device=CPU))
    table = collect(extract(network(), Pictures(), as_it_is, range(3), device=CPU, batch_size=1))
    assert len(table.labels) == 3
