"""The thread that computes: pictures are read once, memory and queue are bounded."""

import asyncio
import io
import time

import numpy as np
import pytest
from PIL import Image
from starlette.exceptions import HTTPException

from eyespot.app import worker as workers
from eyespot.app.worker import Worker
from eyespot.predict.grounder import Grounder
from tests.predict.grounders import small_grounder


def png(seed, height=40, width=56):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class Counting(Grounder):
    """Counts the pictures that the backbone reads."""

    read = 0

    def _features(self, images):
        self.read += len(images)
        return super()._features(images)


def test_a_picture_is_read_once_for_many_texts():
    grounder = Counting(small_grounder())
    worker = Worker(grounder)
    for text in ("a cup", "a star", "two cups"):
        worker.ground(png(0), text)
    assert grounder.read == 1
    worker.ground(png(1), "a cup")
    assert grounder.read == 2


def test_old_pictures_are_forgotten(monkeypatch):
    grounder = Counting(small_grounder())
    worker = Worker(grounder)
    monkeypatch.setattr(workers, "_MAX_KEPT", 2)
    for seed in (0, 1, 0, 2, 0):  # 1 is the one longest not asked for
        worker.read(png(seed))
    assert grounder.read == 3
    worker.read(png(1))
    assert grounder.read == 4
    monkeypatch.setattr(workers, "_MAX_KEPT_BYTES", 1)
    worker.read(png(3))
    worker.read(png(3))
    assert grounder.read == 5


def test_masks_come_as_the_grounder_gives_them(monkeypatch):
    monkeypatch.setattr(workers, "LEAST_SCORE", 0.0)
    grounder = Grounder(small_grounder(with_masks=True, dim=128, num_heads=8))
    worker = Worker(grounder)
    found = worker.ground(png(0), "a red cup and two stars")
    want = grounder(png(0), "a red cup and two stars", min_score=0.0)
    assert worker.has_masks
    assert sum(len(phrase["masks"]) for phrase in found["phrases"])
    exact = [phrase.pop("exact_scores") for phrase in found["phrases"]]
    assert found == want.to_dict()
    assert exact == [phrase.scores.tolist() for phrase in want.phrases]


def test_what_the_whole_text_means_comes_with_its_exact_score(monkeypatch):
    monkeypatch.setattr(workers, "LEAST_SCORE", 0.0)
    grounder = Grounder(small_grounder(with_is_final=True))
    found = Worker(grounder).ground(png(0), "a red cup left of two stars")
    want = grounder(png(0), "a red cup left of two stars", min_score=0.0)
    assert found["referent"].pop("exact_score") == want.referent.score
    assert found["referent"] == want.to_dict()["referent"]


def test_masks_of_large_pictures_are_refused_before_they_fill_the_memory(monkeypatch):
    monkeypatch.setattr(workers, "_MAX_MASK_VALUES", 6 * 2000)
    worker = Worker(Grounder(small_grounder(with_masks=True, dim=128, num_heads=8)))
    assert worker.max_pixels == 2000
    with pytest.raises(ValueError, match="got PNG of 56 x 40; make it smaller"):
        worker.read(png(0))


def test_the_page_answers_while_the_thread_works_and_a_full_queue_is_refused(monkeypatch):
    monkeypatch.setattr(workers, "_MAX_WAITING", 2)
    worker = Worker(Grounder(small_grounder()))

    async def work():
        with worker.place():
            await worker.run(time.sleep, 0.3)

    async def together():
        both = [asyncio.ensure_future(work()) for _ in range(2)]
        begin = time.monotonic()
        await asyncio.sleep(0.01)
        assert time.monotonic() - begin < 0.25  # the loop is not held up
        with pytest.raises(HTTPException, match="try again in a moment"), worker.place():
            pass
        await asyncio.gather(*both)
        assert time.monotonic() - begin > 0.55  # one after the other
        with worker.place():
            pass

    asyncio.run(together())
    worker.close()
