"""Average precision of detections, as COCO and LVIS define it, for many categories at once.

Detections of a category in an image take truths greedily by score; precision is the largest
one at or beyond each of 101 recalls. No Python loop runs over images, categories or detections:
the greedy step runs over *rounds* (the first detection of every image and category, then the
second, ...), and only pairs that overlap enough to match are ever kept.

Shapes: D detections, G truths, P pairs of both, A area ranges, T IoU thresholds, K categories.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

RECALLS = np.linspace(0.0, 1.0, 101)
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)

_PAIRS_AT_ONCE = 4_000_000  # bounds memory

PairedIou = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Truths(NamedTuple):
    """Annotated objects. Images are numbers in the order ties are to be broken by."""

    image: Int[np.ndarray, "g"]
    category: Int[np.ndarray, "g"]  # 0..K-1
    area_px: Float[np.ndarray, "g"]
    is_crowd: Bool[np.ndarray, "g"]  # neither found nor missed; may be matched many times


class Detections(NamedTuple):
    """Detected objects."""

    image: Int[np.ndarray, "d"]
    category: Int[np.ndarray, "d"]  # 0..K-1
    area_px: Float[np.ndarray, "d"]
    score: Float[np.ndarray, "d"]
    may_be_unlabelled: Bool[np.ndarray, "d"]  # where nothing matches, it counts as nothing


class Scores(NamedTuple):
    """Per area range, IoU threshold and category; -1 where there is no truth to find."""

    precision: Float[np.ndarray, "a t k"]  # mean over the 101 recalls
    recall: Float[np.ndarray, "m a t k"]  # one for each limit on detections


def average_precision(
    truths: Truths,
    detections: Detections,
    paired_iou: PairedIou,
    *,
    num_categories: int,
    areas_px: Sequence[tuple[float, float]],
    max_detections: Sequence[int | None],
    iou_thresholds: Float[np.ndarray, "t"] = IOU_THRESHOLDS,
) -> Scores:
    """Score detections against truths.

    Args:
        truths: What is there.
        detections: What was found, in any order; equal scores keep their order.
        paired_iou: Overlap of detection i[p] with truth j[p], for index arrays i and j.
        num_categories: K.
        areas_px: Area ranges (low, high), both ends included.
        max_detections: For recall: how many best detections of a category in an image count.
            The last one limits precision too. None: all.
        iou_thresholds: Ascending; an overlap equal to one matches.
    """
    order, rank = _rank_in_group(detections)
    if max_detections[-1] is not None:
        order, rank = order[rank < max_detections[-1]], rank[rank < max_detections[-1]]
    kept = Detections(*(column[order] for column in detections))
    found, truth, iou = _overlapping_pairs(kept, truths, order, paired_iou, iou_thresholds[0])
    # Detections in the order precision is read: by category, then score, then image.
    place = np.empty(len(order), dtype=np.int64)
    place[np.lexsort((rank, kept.image, -kept.score, kept.category))] = np.arange(len(order))
    shape = (len(areas_px), len(iou_thresholds), num_categories)
    precision, recall = np.zeros(shape), np.zeros((len(max_detections), *shape))
    for a, (low, high) in enumerate(areas_px):
        ignored = truths.is_crowd | (truths.area_px < low) | (truths.area_px > high)
        to_find = np.bincount(truths.category[~ignored], minlength=num_categories)
        counts_alone = (kept.area_px >= low) & (kept.area_px <= high) & ~kept.may_be_unlabelled
        takes = _take_greedily(found, truth, iou, rank, ignored, truths.is_crowd, iou_thresholds)
        curve = _Curve(kept.category, place, counts_alone, to_find)
        for t, (taker, taken) in enumerate(takes):
            is_hit = ~ignored[taken]
            precision[a, t] = curve.mean_precision(taker, is_hit)
            for m, limit in enumerate(max_detections):
                hits = taker[is_hit & (True if limit is None else rank[taker] < limit)]
                recall[m, a, t] = np.bincount(kept.category[hits], minlength=num_categories)
        recall[:, a] /= np.maximum(to_find, 1)
        precision[a, :, to_find == 0] = -1.0
        recall[:, a, :, to_find == 0] = -1.0
    return Scores(precision, recall)


def _rank_in_group(detections: Detections) -> tuple[np.ndarray, np.ndarray]:
    """Sort by image, category, falling score; and each one's place in its group."""
    order = np.lexsort((-detections.score, detections.category, detections.image))
    image, category = detections.image[order], detections.category[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (image[1:] != image[:-1]) | (category[1:] != category[:-1])
    start = np.flatnonzero(new)
    length = np.diff(start, append=len(order))
    return order, np.arange(len(order)) - np.repeat(start, length)


def _overlapping_pairs(
    detections: Detections,
    truths: Truths,
    order: np.ndarray,
    paired_iou: PairedIou,
    least_iou: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detection, truth and IoU of all pairs of one image and category that overlap enough."""
    stride = max(truths.category.max(initial=0), detections.category.max(initial=0)) + 1
    truth_group = truths.image * stride + truths.category
    sorted_truths = np.argsort(truth_group, kind="stable")
    group = detections.image * stride + detections.category
    begin = np.searchsorted(truth_group[sorted_truths], group, side="left")
    number = np.searchsorted(truth_group[sorted_truths], group, side="right") - begin
    total = np.cumsum(number)
    parts = []
    for first in range(0, int(total[-1]) if len(total) else 0, _PAIRS_AT_ONCE):
        pair = np.arange(first, min(first + _PAIRS_AT_ONCE, total[-1]))
        found = np.searchsorted(total, pair, side="right")
        truth = sorted_truths[begin[found] + pair - (total - number)[found]]
        iou = paired_iou(order[found], truth)
        near = iou >= least_iou
        parts.append((found[near], truth[near], iou[near]))
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    found, truth, iou = (np.concatenate(column) for column in zip(*parts, strict=True))
    return found, truth, iou


def _take_greedily(
    found: np.ndarray,
    truth: np.ndarray,
    iou: np.ndarray,
    rank: np.ndarray,
    ignored: np.ndarray,
    is_crowd: np.ndarray,
    iou_thresholds: np.ndarray,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each IoU threshold: which detections take a truth, and which one.

    By falling score, a detection takes the free truth it overlaps most, the last one of
    equals; an ignored truth only if no other is free. Crowds are always free.
    """
    # Pairs by round, detection, and how good the truth is: the last free one is the best.
    order = np.lexsort((truth, iou, ~ignored[truth], found, rank[found]))
    found, truth, iou = found[order], truth[order], iou[order]
    free = np.ones((len(iou_thresholds), len(ignored)), dtype=bool)
    overlaps = iou >= iou_thresholds[:, None]  # [T, P]
    stays_free = is_crowd[truth]
    first_of_detection = np.flatnonzero(np.diff(found, prepend=-1))
    round_of = rank[found[first_of_detection]]
    limits = [*np.flatnonzero(np.diff(round_of, prepend=-1)).tolist(), len(round_of)]
    starts = np.append(first_of_detection, len(found))
    best = np.empty((len(iou_thresholds), len(first_of_detection)), dtype=np.int64)
    for low, high in pairwise(limits):
        p, q = starts[low], starts[high]
        usable = overlaps[:, p:q] & free[:, truth[p:q]]
        candidate = np.where(usable, np.arange(p, q), -1)
        choice = np.maximum.reduceat(candidate, starts[low:high] - p, axis=1)
        best[:, low:high] = choice
        t, column = np.nonzero(choice >= 0)
        taken = choice[t, column]
        free[t, truth[taken]] = stays_free[taken]
    return [(found[pair], truth[pair]) for pair in (row[row >= 0] for row in best)]


class _Curve:
    """Reads precision off the sorted detections of every category, given which are hits."""

    def __init__(
        self,
        category: np.ndarray,
        place: np.ndarray,
        counts_alone: np.ndarray,
        to_find: np.ndarray,
    ) -> None:
        """Prepare what does not depend on the IoU threshold.

        Args:
            category: Of each detection.
            place: Of each detection in the order by category and falling score.
            counts_alone: Whether a detection that takes no truth is a false one.
            to_find: Number of truths of each category.
        """
        self.category = category
        self.place = place
        self.counts_alone = counts_alone
        self.to_find = to_find
        by_place = np.empty(len(place), dtype=bool)
        by_place[place] = counts_alone
        self.counted = np.concatenate([[0], np.cumsum(by_place)])
        sizes = np.bincount(category, minlength=len(to_find))
        self.begin = np.cumsum(sizes) - sizes
        self.hits_needed = _hits_needed(to_find)  # [K, 101]

    def mean_precision(self, taker: np.ndarray, is_hit: np.ndarray) -> np.ndarray:
        """Mean over the recalls of the best precision at or beyond each, for each category.

        Args:
            taker: Detections that take a truth.
            is_hit: Whether that truth counts; else the detection counts as nothing.
        """
        order = np.argsort(self.place[taker])
        taker, is_hit = taker[order], is_hit[order]
        # Counted detections up to each hit: those that count alone, corrected for takers.
        more = np.cumsum(is_hit.astype(np.int64) - self.counts_alone[taker])[is_hit]
        hits = taker[is_hit]
        category = self.category[hits]
        number = np.bincount(category, minlength=len(self.to_find))
        start = np.cumsum(number) - number
        nth = np.arange(len(hits)) - start[category]
        counted = self.counted[self.place[hits] + 1] + more
        before = self.counted[self.begin] + self._takers_before(taker, is_hit)
        precision = (nth + 1) / (counted - before[category] + np.spacing(1))
        best = _running_maximum_from_the_end(precision, category)
        reached = self.hits_needed <= number[:, None]
        at = np.where(reached, start[:, None] + self.hits_needed - 1, 0)
        values = np.where(reached, np.append(best, 0.0)[at], 0.0)
        return np.asarray(values.mean(axis=1))

    def _takers_before(self, taker: np.ndarray, is_hit: np.ndarray) -> np.ndarray:
        """Correction summed over the takers of all categories before each."""
        change = is_hit.astype(np.int64) - self.counts_alone[taker]
        of_category = np.bincount(self.category[taker], change, minlength=len(self.to_find))
        return np.asarray(np.cumsum(of_category) - of_category).astype(np.int64)


def _hits_needed(to_find: np.ndarray) -> np.ndarray:
    """Least number of hits, at least 1, with hits / to_find >= each recall, [K, 101]."""
    size = np.maximum(to_find, 1)[:, None]
    guess = np.floor(RECALLS * size).astype(np.int64)
    needed = guess + 2
    for hits in (guess + 1, guess, guess - 1):  # rounding may move the answer by one
        needed = np.where(hits / size >= RECALLS, hits, needed)
    return np.asarray(np.maximum(needed, 1))


def _running_maximum_from_the_end(values: np.ndarray, category: np.ndarray) -> np.ndarray:
    """Largest value at or after each place within its category; categories ascend."""
    if not len(values):
        return values
    sorted_values, height = np.unique(values, return_inverse=True)
    key = height[::-1] - category[::-1] * len(sorted_values)
    highest = np.maximum.accumulate(key)[::-1] + category * len(sorted_values)
    return np.asarray(sorted_values[highest])
