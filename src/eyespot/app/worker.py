"""The one thread that computes: a grounder, the pictures it has read, and a queue before it."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from starlette.exceptions import HTTPException

from eyespot.data.headers import FORMATS, read_header
from eyespot.models.masks import SegmentingDetector
from eyespot.predict.chunker import noun_phrases
from eyespot.predict.grounder import EncodedPicture, Grounder

LEAST_SCORE = 0.05
"""Boxes that score less are not sent; the page's threshold begins here."""

MAX_PIXELS = 40_000_000

_MAX_MASK_VALUES = 1 << 28  # one of a query and pixel, a GiB in float32
_MAX_WAITING = 16
_MAX_KEPT = 8
_MAX_KEPT_BYTES = 1 << 28

_T = TypeVar("_T")


class Worker:
    """Runs everything that takes long in one thread, in the order in which it was asked.

    So the page answers while the network runs, and no two users meet in it.

    Args:
        grounder: The network with its tokenizer.
    """

    def __init__(self, grounder: Grounder) -> None:
        self._grounder = grounder
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="grounder")
        self._waiting = 0
        self._kept: OrderedDict[bytes, EncodedPicture] = OrderedDict()
        self.has_masks = isinstance(grounder.model, SegmentingDetector)
        self.max_pixels = MAX_PIXELS
        if self.has_masks:
            self.max_pixels = min(MAX_PIXELS, _MAX_MASK_VALUES // grounder.spec.num_queries)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for a file, from before it is sent until it is done with.

        Raises:
            HTTPException: If none is free.
        """
        if self._waiting >= _MAX_WAITING:
            raise HTTPException(503, f"{_MAX_WAITING} others are waiting; try again in a moment")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def run(self, work: Callable[..., _T], *args: object) -> _T:
        """Return what a function returns that runs in the thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)

    def close(self) -> None:
        """Forget the queue; what runs ends."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def read(self, data: bytes) -> EncodedPicture:
        """Let the backbone read a picture, unless it is one of the last that it has read.

        Raises:
            ValueError: If it cannot be read, or is too large.
        """
        name = hashlib.sha256(data).digest()
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name]
        try:
            header = read_header(data)
        except ValueError:
            raise ValueError(
                f"need a picture as {', '.join(FORMATS)}, got a file that is none of these, or "
                "is cut off at its beginning"
            ) from None
        if header.width * header.height > self.max_pixels:
            raise ValueError(
                f"need a picture of at most {self.max_pixels / 1e6:.1f} megapixels, got "
                f"{header.format} of {header.width} x {header.height}; make it smaller"
            )
        (encoded,) = self._grounder.encode([data])
        self._keep(name, encoded)
        return encoded

    def ground(self, data: bytes, text: str) -> dict[str, Any]:
        """Find every phrase of a text in a picture.

        Returns:
            `Grounding.to_dict()` of all boxes that score `LEAST_SCORE`, and every phrase's
            `exact_scores` and the referent's `exact_score`, which are not rounded.

        Raises:
            ValueError: If the picture cannot be read, or the text names nothing.
        """
        if text.strip() and not noun_phrases(text):
            raise ValueError(
                "need a text that names things, as in 'the red cup left of a house', got one "
                "without a noun phrase"
            )
        found = self._grounder(self.read(data), text, min_score=LEAST_SCORE)
        plain: dict[str, Any] = found.to_dict()
        for entry, phrase in zip(plain["phrases"], found.phrases, strict=True):
            entry["exact_scores"] = phrase.scores.tolist()
        if found.referent is not None:
            plain["referent"]["exact_score"] = found.referent.score
        return plain

    def _keep(self, name: bytes, encoded: EncodedPicture) -> None:
        """Keep a picture and forget old ones, so that memory stays bounded."""
        self._kept[name] = encoded
        while len(self._kept) > 1 and (
            len(self._kept) > _MAX_KEPT
            or sum(_num_bytes(kept) for kept in self._kept.values()) > _MAX_KEPT_BYTES
        ):
            self._kept.popitem(last=False)


def _num_bytes(picture: EncodedPicture) -> int:
    maps: list[torch.Tensor] = [*picture.features.maps, picture.features.projected]
    return int(picture.pixels.nbytes) + sum(m.nbytes for m in maps)
