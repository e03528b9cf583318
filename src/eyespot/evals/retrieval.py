"""Instance retrieval: find the pictures of one building, and how well they were found.

Papers: Philbin et al., "Object retrieval with large vocabularies" (CVPR 2007), for the average
precision; Radenovic et al. (arXiv 1803.11285), section 3, for easy, medium and hard.

Shapes: Q queries, N images of the database, D width.
"""

from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

Protocol = Literal["easy", "medium", "hard"]
"""What counts as found: easy images; easy and hard ones; hard ones alone. Junk never counts, nor
do easy images in "hard" and hard ones in "easy"."""

DEPTHS = (1, 5, 10)


class QueryTruth(NamedTuple):
    """What a query should find.

    Attributes:
        name: Of the query's image.
        box_xyxy_px: Part of the image to look for; None for all of it.
        easy: Places in the database of images that clearly show it.
        hard: Of images that show it badly.
        junk: Of images that count neither way.
    """

    name: str
    box_xyxy_px: tuple[float, float, float, float] | None
    easy: tuple[int, ...]
    hard: tuple[int, ...]
    junk: tuple[int, ...]


class Found(NamedTuple):
    """How well queries found what they should.

    Attributes:
        mean_ap: Mean average precision, in 0..1.
        precisions: Mean precision among the first k, for each k of `DEPTHS`.
        num_queries: Queries that had something to find.
    """

    mean_ap: float
    precisions: dict[int, float]
    num_queries: int


def rank_database(
    queries: Float[Tensor, "q d"],
    database: Float[Tensor, "n d"],
    *,
    unknown: Sequence[int] = (),
    block: int = 256,
) -> Int64[np.ndarray, "q n"]:
    """Return the database's places for each query, most similar first, equal ones in order.

    Args:
        queries: Their descriptors.
        database: Its descriptors.
        unknown: Places whose image could not be read; they come last.
        block: Queries at a time.
    """
    orders = []
    for part in torch.split(queries, block):
        similarities = part @ database.T  # [block, N]
        similarities[:, list(unknown)] = -torch.inf
        orders.append(similarities.argsort(dim=1, descending=True, stable=True).cpu())
    return torch.cat(orders).numpy()


def score_rankings(
    rankings: Int64[np.ndarray, "q n"], truths: Sequence[QueryTruth], protocol: Protocol
) -> Found:
    """Score rankings of a whole database; queries with nothing to find are left out.

    Raises:
        ValueError: If there is not one ranking a query, a place lies outside the database, or no
            query has anything to find.
    """
    if len(rankings) != len(truths):
        raise ValueError(f"need a ranking for each of {len(truths)} queries, got {len(rankings)}")
    aps, precisions = [], []
    for ranking, truth in zip(rankings, truths, strict=True):
        positive, junk = _split(truth, protocol)
        outside = [place for place in (*positive, *junk) if not 0 <= place < len(ranking)]
        if outside:
            raise ValueError(
                f"need a database of all {max(outside) + 1} images that {truth.name!r} speaks of, "
                f"got {len(ranking)}"
            )
        if positive:
            ranks = _ranks(ranking, positive, junk)
            aps.append(_average_precision(ranks))
            precisions.append([_precision(ranks, k) for k in DEPTHS])
    if not aps:
        raise ValueError(f"need a query with {protocol} images to find, got none")
    means = np.mean(precisions, axis=0).tolist()
    return Found(float(np.mean(aps)), dict(zip(DEPTHS, means, strict=True)), len(aps))


def _split(truth: QueryTruth, protocol: Protocol) -> tuple[tuple[int, ...], tuple[int, ...]]:
    match protocol:
        case "easy":
            return truth.easy, truth.junk + truth.hard
        case "medium":
            return truth.easy + truth.hard, truth.junk
        case "hard":
            return truth.hard, truth.junk + truth.easy


def _ranks(ranking: np.ndarray, positive: Collection[int], junk: Collection[int]) -> np.ndarray:
    """Return the ranks of the positive images, from 0, when the junk is taken out."""
    kept = ranking[~np.isin(ranking, list(junk))]
    return np.flatnonzero(np.isin(kept, list(positive)))


def _average_precision(ranks: np.ndarray) -> float:
    """Return the area under precision over recall, by trapezoids from precision 1."""
    found = np.arange(len(ranks))
    before = np.where(ranks == 0, 1.0, found / np.maximum(ranks, 1))
    after = (found + 1) / (ranks + 1)
    return float(np.mean((before + after) / 2))


def _precision(ranks: np.ndarray, depth: int) -> float:
    """Return the precision among the first images; not looking beyond the last positive one."""
    depth = min(depth, int(ranks.max()) + 1)
    return float((ranks < depth).sum() / depth)
