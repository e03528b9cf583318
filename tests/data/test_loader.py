import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import torch

from eyespot.data.decode import decode_image
from eyespot.data.draws import Draws
from eyespot.data.loader import Examples, Loader, collate
from eyespot.data.multicrop import Crops, multi_crop, without_colours
from eyespot.data.multicrop import least_side as multi_crop_side
from eyespot.data.normalize import pca_shift
from eyespot.data.quarantine import Quarantine
from eyespot.data.samples import Sample
from eyespot.data.sampling import Order
from eyespot.data.views import TestView, TrainView
from tests.data.pictures import encode, smooth_picture

KINDS = (Crops(2, 24, (0.14, 1.0)), Crops(3, 16, (0.05, 0.14)))
VIEWS = partial(multi_crop, kinds=KINDS)


class Photos:
    """Forty JPEGs; those whose index ends in 7 are cut short."""

    def __init__(self, count=40):
        self.files = [encode(smooth_picture(30 + i, 40, i), "JPEG") for i in range(count)]

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        data = self.files[index]
        return Sample(data[:200] if index % 10 == 7 else data, index % 5, f"{index}.jpg")


PHOTOS = Photos()


def batches(photos=PHOTOS, views=VIEWS, seed=3, batch_size=8, **options):
    examples = Examples(photos, views, seed=seed, pca_std=0.1)
    return list(Loader(examples, Order(len(photos), batch_size, seed), **options))


def same(ones, others):
    assert len(ones) == len(others)
    for one, other in zip(ones, others, strict=True):
        assert one.step == other.step
        assert one.bad == other.bad
        for a, b in zip((*one.images, *one[2:5]), (*other.images, *other[2:5]), strict=True):
            assert a.dtype == b.dtype
            assert a.stride() == b.stride()
            assert torch.equal(a, b)


@pytest.fixture(scope="module")
def whole():
    return batches(stop_step=12)


def test_a_batch_holds_the_samples_of_its_step(whole):
    order = Order(40, 8, 3)
    assert [batch.step for batch in whole] == list(range(12))
    for batch in whole:
        epoch, asked = order.batch(batch.step)
        taken = [i + 1 if i % 10 == 7 else i for i in asked.tolist()]
        assert batch.indices.tolist() == taken
        assert batch.labels.tolist() == [i % 5 for i in taken]
        assert [item.index for item in batch.bad] == [i for i in asked.tolist() if i % 10 == 7]
        for sample, index in enumerate(taken):
            views = VIEWS(decode_image(PHOTOS.files[index]), seed=3, epoch=epoch, index=index)
            shift = pca_shift(Draws(3, epoch, index, 1 << 32))
            assert batch.shifts[sample].tolist() == pytest.approx(shift)
            got = [view for group in batch.images for view in group[:, sample]]
            for one, other in zip(got, views, strict=True):
                np.testing.assert_array_equal(one.permute(1, 2, 0).numpy(), other)


@pytest.mark.parametrize("draft", [False, True])
@pytest.mark.parametrize("at", [0.1, 0.3, 0.5])
def test_damage_is_noticed_wherever_the_crop_is(at, draft):
    """Zeros in a JPEG shorten its data: the damage shows at the end, below most crops."""
    data = bytearray(encode(smooth_picture(200, 160), "JPEG"))
    place = round(at * len(data) + (1 - at) * (data.index(b"\xff\xda") + 14))
    data[place : place + 40] = bytes(40)
    samples = Photos(3)
    samples.files[1] = bytes(data)
    view = TrainView(16, area=(0.05, 0.1))
    for epoch in range(5):
        least_side = view.least_side if draft else None
        found = Examples(samples, view, seed=0, least_side=least_side)[0, epoch, 1]
        assert (found.index, [bad.index for bad in found.bad]) == (2, [1])


DRAFTED = without_colours((Crops(2, 96, (0.14, 1.0)), Crops(3, 64, (0.05, 0.14))))


@pytest.mark.parametrize(
    ("views", "least_side"),
    [
        (TrainView(64), TrainView(64).least_side),
        (partial(multi_crop, kinds=DRAFTED), partial(multi_crop_side, kinds=DRAFTED)),
    ],
)
def test_a_large_jpeg_is_decoded_no_larger_than_its_views_need(views, least_side):
    """And shows what it shows when it is decoded whole, but for a level or two."""
    photos, seen = [Sample(encode(smooth_picture(900, 1200), "JPEG", quality=95), 0, "")], []

    def watched(image, **where):
        seen.append(image.shape[:2])
        return views(image, **where)

    for epoch in range(20):
        whole = Examples(photos, views, seed=5)[0, epoch, 0]
        draft = Examples(photos, watched, seed=5, least_side=least_side)[0, epoch, 0]
        for one, other in zip(whole.views, draft.views, strict=True):
            assert np.abs(one.astype(int) - other).mean() < 2
        need = least_side(900, 1200, seed=5, epoch=epoch, index=0)
        fits = [side for side in (113, 225, 338, 450) if side >= need]
        assert min(seen[-1]) == min(fits, default=900)
    assert len(set(seen)) > 1


def test_views_of_one_size_are_one_tensor(whole):
    large, small = whole[0].images
    assert large.shape == (2, 8, 3, 24, 24)
    assert small.shape == (3, 8, 3, 16, 16)
    assert small.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_any_number_of_processes_gives_the_same_bits(whole, num_workers):
    same(batches(stop_step=12, num_workers=num_workers), whole)


def test_a_spawned_process_gives_the_same_bits(whole):
    same(batches(stop_step=4, num_workers=1, start_method="spawn"), whole[:4])


@pytest.mark.parametrize(("start", "num_workers"), [(1, 0), (5, 2), (11, 1)])
def test_any_start_gives_the_same_bits(whole, start, num_workers):
    same(batches(start_step=start, stop_step=12, num_workers=num_workers), whole[start:])


def test_ranks_share_each_batch(whole):
    parts = [batches(stop_step=3, rank=rank, world_size=2) for rank in range(2)]
    for batch, first, second in zip(whole, *parts, strict=False):
        for group, one, other in zip(batch.images, first.images, second.images, strict=True):
            assert torch.equal(torch.cat([one, other], dim=1), group)


def test_the_global_generator_is_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    batches(stop_step=2, num_workers=1)
    batches(stop_step=2)
    assert torch.equal(torch.rand(3), expected)


def test_a_loader_can_be_run_again():
    examples = Examples(PHOTOS, TestView(16, 16), seed=0)
    order = Order(40, 16, 0, shuffle=False, drop_last=False)
    loader = Loader(examples, order, num_workers=2)
    first = list(loader)
    assert [len(batch.indices) for batch in first] == [16, 16, 8]
    same(list(loader), first)
    assert len(loader) == 3


def test_bad_samples_are_quarantined(tmp_path, whole):
    quarantine = Quarantine(tmp_path / "q.jsonl", budget=0.5)
    batches(stop_step=5, num_workers=2, quarantine=quarantine)
    assert quarantine.num_seen == 40
    assert quarantine.num_bad == 4
    assert len((tmp_path / "q.jsonl").read_text().splitlines()) == 4
    with pytest.raises(ValueError, match=r"at most 1.0% damaged samples, got \d+ of \d+"):
        batches(stop_step=50, num_workers=1, quarantine=Quarantine(tmp_path / "r.jsonl"))


def test_the_pixel_cap_reaches_the_decoder():
    photos = [Sample(encode(smooth_picture(side, side), "PNG"), 0, "") for side in (20, 40, 20, 20)]
    examples = Examples(photos, TestView(8, 8), seed=0, max_pixels=400)
    (batch,) = Loader(examples, Order(4, 4, 0, shuffle=False))
    assert batch.indices.tolist() == [0, 2, 2, 3]


def test_arrays_need_no_decoding():
    pixels = smooth_picture(16, 16)
    (batch,) = Loader(
        Examples([Sample(pixels, None, "")], TestView(16, 16), seed=0), Order(1, 1, 0)
    )
    np.testing.assert_array_equal(batch.images[0][0, 0].permute(1, 2, 0), pixels)
    assert batch.labels.tolist() == [-1]
    assert batch.shifts.tolist() == [[0.0, 0.0, 0.0]]


class Slow(Photos):
    def __getitem__(self, index):
        time.sleep(0.01)
        return Sample(self.files[index], 0, "")


def test_waiting_is_measured():
    loader = Loader(Examples(Slow(16), TestView(8, 8), seed=0), Order(16, 4, 0))
    assert loader.data_wait() < 0.5
    list(loader)
    assert loader.data_wait() > 0.8
    for _ in loader:
        time.sleep(0.4)
    assert loader.data_wait() < 0.5


def test_orders_of_another_data_set_or_seed_are_refused():
    examples = Examples(PHOTOS, VIEWS, seed=3)
    with pytest.raises(ValueError, match="an order of 40 samples with seed 3, got 41 samples"):
        Loader(examples, Order(41, 8, 3))
    with pytest.raises(ValueError, match="with seed 3, got 40 samples with seed 4"):
        Loader(examples, Order(40, 8, 4))
    with pytest.raises(ValueError, match="3 ranks share evenly"):
        Loader(examples, Order(40, 8, 3), world_size=3)


def test_views_of_different_sizes_are_refused():
    examples = Examples(PHOTOS, lambda image, **where: [image], seed=0)
    with pytest.raises(ValueError, match="need views of the same sizes"):
        collate([examples[0, 0, 1], examples[0, 0, 2]])


RUN = """
import hashlib, os, sys
from tests.data.test_loader import PHOTOS, VIEWS
from eyespot.data.loader import Examples, Loader
from eyespot.data.sampling import Order
start, journal = int(sys.argv[1]), open(sys.argv[2], "a")
examples, order = Examples(PHOTOS, VIEWS, seed=3), Order(40, 8, 3)
loader = Loader(examples, order, start_step=start, stop_step=30, num_workers=2)
for batch in loader:
    data = b"".join(group.numpy().tobytes() for group in batch.images)
    digest = hashlib.sha256(data).hexdigest()
    journal.write(f"{batch.step} {digest}\\n")
    journal.flush()
    if batch.step == start + 1:
        print(*(w.pid for w in loader._loader._iterator._workers), flush=True)
"""


def run(start, journal, more=""):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", RUN + more, str(start), str(journal)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("more", "code"), [("", 0), ("    if batch.step == 3:\n        raise SystemExit(3)\n", 3)]
)
def test_python_ends_while_a_loader_is_in_use(more, code, tmp_path):
    with run(0, tmp_path / "journal", more) as child:
        child.stdout.read()
        assert child.wait(timeout=60) == code


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes through /proc")
def test_a_killed_run_goes_on_with_the_same_bits_and_leaves_no_process(tmp_path):
    with run(0, tmp_path / "whole") as child:
        assert child.wait() == 0 or child.stdout.read() is None
    expected = (tmp_path / "whole").read_text().splitlines()
    assert len(expected) == 30
    journal = tmp_path / "killed"
    done = 0
    for _ in range(3):
        with run(done, journal) as child:
            workers = [int(pid) for pid in child.stdout.readline().split()]
            child.send_signal(signal.SIGKILL)
        assert len(workers) == 2
        lines = journal.read_text().splitlines(keepends=True)
        lines = [line for line in lines if line.endswith("\n")]
        journal.write_text("".join(lines))
        done = len(lines)
        end = time.monotonic() + 20
        while any(map(alive, workers)) and time.monotonic() < end:
            time.sleep(0.1)
        assert not any(map(alive, workers))
    if done < 30:
        with run(done, journal) as child:
            child.wait()
    assert journal.read_text().splitlines() == expected


@pytest.mark.slow
def test_a_killed_worker_stops_the_run_with_a_message():
    examples = Examples(PHOTOS, VIEWS, seed=3)
    loader = iter(Loader(examples, Order(40, 8, 3), stop_step=500, num_workers=1))
    next(loader)
    (worker,) = loader.gi_frame.f_locals["batches"]._workers
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="worker"):
        list(loader)
