"""Run-length masks in COCO's format: encode, decode, area, box, overlap.

COCO writes a mask column by column (top to bottom, then left to right) as lengths of runs that
alternate between outside and inside, the first one outside and possibly 0. "Compressed" means
those lengths as text: from the fourth on each minus the one two before, in groups of 5 bits,
lowest first, bit 6 saying that another group follows, plus 48.

All functions work on a batch of masks at once, as numpy arrays without a loop over masks.
"""

from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

_GROUP_BITS = 5
_MAX_GROUPS = 13  # 13 groups of 5 bits hold any int64
_RUNS_AT_ONCE = 4_000_000  # bounds memory
_TEXTS_AT_ONCE = 500  # stays in cache


class RleMasks(NamedTuple):
    """Run-length masks of N images; mask n has the runs `counts[first[n] : first[n + 1]]`."""

    counts: Int64[np.ndarray, "runs"]
    first: Int64[np.ndarray, "n_plus_1"]
    heights_px: Int64[np.ndarray, "n"]
    widths_px: Int64[np.ndarray, "n"]

    @property
    def num_masks(self) -> int:
        """How many masks there are."""
        return len(self.heights_px)


def encode(masks: Bool[np.ndarray, "n h w"]) -> RleMasks:
    """Run-length encode masks of one size."""
    num, height, width = masks.shape
    changes = np.empty_like(masks)  # from the pixel before in column-major order
    np.not_equal(masks[:, 1:], masks[:, :-1], out=changes[:, 1:])
    changes[:, 0, 0] = masks[:, 0, 0]
    np.not_equal(masks[:, 0, 1:], masks[:, -1, :-1], out=changes[:, 0, 1:])
    place = np.flatnonzero(changes)
    owner, row, column = np.unravel_index(place, masks.shape)
    position = np.sort(owner * (height * width) + column * height + row)
    owner, position = np.divmod(position, height * width)
    return from_boundaries(owner, position, np.full(num, height), np.full(num, width))


def decode(rles: RleMasks) -> Bool[np.ndarray, "n h w"]:
    """Return the masks of run-length masks of one size.

    Raises:
        ValueError: If the sizes differ.
    """
    sizes = np.unique(np.stack([rles.heights_px, rles.widths_px]), axis=1).T.tolist()
    if len(sizes) > 1:
        raise ValueError(f"need masks of one size to decode together, got sizes {sizes[:5]}")
    height, width = sizes[0] if sizes else (0, 0)
    flat = np.repeat(_inside(rles), rles.counts)
    return flat.reshape(rles.num_masks, width, height).transpose(0, 2, 1)


def from_boundaries(
    owner: np.ndarray, position: np.ndarray, heights_px: np.ndarray, widths_px: np.ndarray
) -> RleMasks:
    """Masks from the places where they change from outside to inside and back.

    Args:
        owner: Mask of each change, ascending.
        position: Column-major pixel before which it changes, strictly ascending in a mask.
        heights_px: Height of each mask.
        widths_px: Width of each mask.
    """
    num = len(heights_px)
    sizes = heights_px.astype(np.int64) * widths_px
    inner = position < sizes[owner]  # a change at the very end ends no run
    owner, position = owner[inner], position[inner]
    first = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=num) + 1)])
    ends = np.empty(first[-1], dtype=np.int64)
    ends[np.arange(len(owner)) + owner] = position
    ends[first[1:] - 1] = sizes
    counts = np.diff(ends, prepend=0)
    counts[first[1:-1]] = ends[first[1:-1]]
    return RleMasks(counts, first, heights_px.astype(np.int64), widths_px.astype(np.int64))


def from_coco(segmentations: Sequence[Mapping[str, Any]]) -> RleMasks:
    """Read COCO's `{"size": [h, w], "counts": ...}`, compressed or as a list of lengths.

    Raises:
        ValueError: If the runs of a mask do not cover its size exactly.
    """
    heights, widths = np.array([s["size"] for s in segmentations], dtype=np.int64).reshape(-1, 2).T
    written = [s["counts"] for s in segmentations]
    is_text = np.array([isinstance(c, str | bytes) for c in written], dtype=bool)
    texts = [c.encode() if isinstance(c, str) else c for c in written if isinstance(c, str | bytes)]
    lists = [c for c, text in zip(written, is_text, strict=True) if not text]
    starts = range(0, len(texts), _TEXTS_AT_ONCE)
    parts = [_decompress(texts[i : i + _TEXTS_AT_ONCE]) for i in starts]
    parts.append(
        (
            np.fromiter(chain.from_iterable(lists), dtype=np.int64),
            np.array([len(c) for c in lists], dtype=np.int64),
        )
    )
    counts, length = (np.concatenate(column) for column in zip(*parts, strict=True))
    first = np.concatenate([[0], np.cumsum(length)])
    order = np.argsort(~is_text, kind="stable")  # texts, then lists
    rles = RleMasks(counts, first, heights[order], widths[order])
    rles = take(rles, np.argsort(order))
    counts = rles.counts
    covered = _sum_runs(counts, rles)
    wrong = np.flatnonzero(covered != heights * widths)
    if wrong.size or (counts < 0).any():
        bad = wrong[0] if wrong.size else np.searchsorted(rles.first, counts.argmin(), "right") - 1
        raise ValueError(
            f"need runs that cover {heights[bad]} x {widths[bad]} pixels, got "
            f"{covered[bad]} pixels in mask {bad}; is its size height, then width?"
        )
    return rles


def take(rles: RleMasks, index: np.ndarray) -> RleMasks:
    """The masks at these places."""
    length = np.diff(rles.first)[index]
    first = np.concatenate([[0], np.cumsum(length)])
    run = np.arange(first[-1]) + np.repeat(rles.first[index] - first[:-1], length)
    return RleMasks(rles.counts[run], first, rles.heights_px[index], rles.widths_px[index])


def concatenate(parts: Sequence[RleMasks]) -> RleMasks:
    """All masks of at least one batch of masks, in order."""
    counts, _, heights, widths = (np.concatenate(column) for column in zip(*parts, strict=True))
    length = np.concatenate([np.diff(part.first) for part in parts])
    return RleMasks(counts, np.concatenate([[0], np.cumsum(length)]), heights, widths)


def to_coco(rles: RleMasks, *, compressed: bool = True) -> list[dict[str, Any]]:
    """Write COCO's `{"size": [h, w], "counts": ...}`: text when compressed, else a list."""
    sizes = np.stack([rles.heights_px, rles.widths_px], axis=1).tolist()
    if compressed:
        pieces: Sequence[Any] = _compress(rles)
    else:
        pieces = [rles.counts[a:b].tolist() for a, b in pairwise(rles.first.tolist())]
    return [{"size": s, "counts": c} for s, c in zip(sizes, pieces, strict=True)]


def area_px(rles: RleMasks) -> Int64[np.ndarray, "n"]:
    """Number of pixels inside each mask."""
    return _sum_runs(np.where(_inside(rles), rles.counts, 0), rles)


def boxes_xywh_px(rles: RleMasks) -> Float[np.ndarray, "n 4"]:
    """Smallest whole-pixel box around each mask; zeros for an empty mask."""
    owner, begin, end = _inside_runs(rles)
    height = rles.heights_px[owner]
    left, right = begin // height, (end - 1) // height
    one_column = left == right
    top = np.where(one_column, begin % height, 0)
    bottom = np.where(one_column, (end - 1) % height, height - 1)
    boxes = np.zeros((rles.num_masks, 4))
    present, at = np.unique(owner, return_index=True)
    if len(present):
        low = [np.minimum.reduceat(v, at) for v in (left, top)]
        high = [np.maximum.reduceat(v, at) for v in (right, bottom)]
        boxes[present, :2] = np.stack(low, axis=1)
        boxes[present, 2:] = np.stack(high, axis=1) - boxes[present, :2] + 1
    return boxes


def mask_iou(
    rles: RleMasks, others: RleMasks, is_crowd: Bool[np.ndarray, "m"] | None = None
) -> Float[np.ndarray, "n m"]:
    """Intersection over union of every mask with every other mask of the same image.

    Args:
        rles: Detected masks.
        others: Annotated masks.
        is_crowd: Marks other masks that are regions of uncounted objects: there the union is
            the area of the detected mask alone, as COCO defines it.
    """
    row, column = np.indices((rles.num_masks, others.num_masks)).reshape(2, -1)
    crowd = np.zeros(others.num_masks, dtype=bool) if is_crowd is None else is_crowd
    iou = paired_mask_iou(rles, others, row, column, crowd)
    return iou.reshape(rles.num_masks, others.num_masks)


def paired_mask_iou(
    rles: RleMasks,
    others: RleMasks,
    row: np.ndarray,
    column: np.ndarray,
    is_crowd: Bool[np.ndarray, "m"],
) -> Float[np.ndarray, "pairs"]:
    """Intersection over union of mask `row[i]` with other mask `column[i]`; see `mask_iou`."""
    near = _boxes_touch(boxes_xywh_px(rles)[row], boxes_xywh_px(others)[column])
    both = np.zeros(len(row))
    both[near] = _intersection_px(rles, others, row[near], column[near])
    area, other_area = area_px(rles)[row], area_px(others)[column]
    union = np.where(is_crowd[column], area, area + other_area - both)
    return np.asarray(both / np.maximum(union, 1))


def _boxes_touch(boxes_xywh: np.ndarray, others_xywh: np.ndarray) -> np.ndarray:
    low = np.maximum(boxes_xywh[:, :2], others_xywh[:, :2])
    sizes = boxes_xywh[:, 2:], others_xywh[:, 2:]
    high = np.minimum(boxes_xywh[:, :2] + sizes[0], others_xywh[:, :2] + sizes[1])
    return np.asarray((high > low).all(axis=1))


def _intersection_px(
    rles: RleMasks, others: RleMasks, row: np.ndarray, column: np.ndarray
) -> np.ndarray:
    """Pixels that mask row[i] and other mask column[i] share."""
    owner, begin, end = _inside_runs(rles)
    runs_of = np.bincount(owner, minlength=rles.num_masks)
    first_run = np.cumsum(runs_of) - runs_of
    table = _run_table(others)
    total = np.cumsum(runs_of[row])
    cuts = np.searchsorted(total, np.arange(0, total[-1] if len(total) else 0, _RUNS_AT_ONCE))
    shared = np.zeros(len(row))
    for low, high in pairwise([*cuts.tolist(), len(row)]):
        length = runs_of[row[low:high]]
        pair = np.repeat(np.arange(high - low), length)
        skipped = np.cumsum(length) - length - first_run[row[low:high]]
        run = np.arange(len(pair)) - np.repeat(skipped, length)
        # Of each run of the one, the other's pixels up to its end minus those up to its begin.
        mask = column[low:high][pair]
        both = _pixels_before(table, mask, end[run]) - _pixels_before(table, mask, begin[run])
        shared[low:high] = np.bincount(pair, weights=both, minlength=high - low)
    return shared


class _RunTable(NamedTuple):
    """The runs of many masks, to be searched together."""

    stride: int
    key: np.ndarray  # mask * stride + begin, ascending
    begin: np.ndarray
    before: np.ndarray  # pixels inside the mask before the run
    is_inside: np.ndarray


def _run_table(rles: RleMasks) -> _RunTable:
    stride = int((rles.heights_px * rles.widths_px).max(initial=0)) + 1
    owner = np.repeat(np.arange(rles.num_masks), np.diff(rles.first))
    is_inside = _inside(rles)
    begin = np.cumsum(rles.counts) - rles.counts
    begin -= begin[rles.first[:-1]][owner]
    inside = np.where(is_inside, rles.counts, 0)
    before = np.cumsum(inside) - inside
    before -= before[rles.first[:-1]][owner]
    return _RunTable(stride, owner * stride + begin, begin, before, is_inside)


def _pixels_before(table: _RunTable, mask: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Number of pixels of a mask before a column-major position, for many pairs of both."""
    run = np.searchsorted(table.key, mask * table.stride + position, side="right") - 1
    into = np.where(table.is_inside[run], position - table.begin[run], 0)
    return np.asarray(table.before[run] + into)


def _inside(rles: RleMasks) -> np.ndarray:
    """Whether each run lies inside its mask."""
    place = np.arange(len(rles.counts)) - np.repeat(rles.first[:-1], np.diff(rles.first))
    return np.asarray(place % 2 == 1)


def _inside_runs(rles: RleMasks) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mask, begin and end of every run inside a mask that is not empty."""
    owner = np.repeat(np.arange(rles.num_masks), np.diff(rles.first))
    end = np.cumsum(rles.counts)
    end -= (end - rles.counts)[rles.first[:-1]][owner]
    keep = _inside(rles) & (rles.counts > 0)
    return owner[keep], (end - rles.counts)[keep], end[keep]


def _sum_runs(values: np.ndarray, rles: RleMasks) -> np.ndarray:
    total = np.concatenate([[0], np.cumsum(values)])
    return np.asarray(total[rles.first[1:]] - total[rles.first[:-1]])


def _decompress(texts: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Run lengths of compressed masks, concatenated, and how many each mask has."""
    groups = np.frombuffer(b"".join(texts), dtype=np.uint8).astype(np.int64) - 48
    last = np.flatnonzero(groups < 32)  # no further group follows
    begin = np.concatenate([[0], last + 1])[: len(last)]
    shift = _GROUP_BITS * (np.arange(len(groups)) - np.repeat(begin, last - begin + 1))
    values = np.add.reduceat((groups & 31) << shift, begin) if len(last) else begin
    sign = np.where(groups[last] & 16, -1 << (shift[last] + _GROUP_BITS), 0)
    values = values | sign
    text_end = np.cumsum([len(t) for t in texts])
    first = np.concatenate([[0], np.searchsorted(last, text_end - 1, side="right")])
    return _undo_differences(values, first), np.diff(first)


def _undo_differences(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Add to each value from the fourth of a mask on the result two places before."""
    length = np.diff(first)
    begin = np.repeat(first[:-1], length)
    place = np.arange(len(values)) - begin
    summed = values.copy()
    summed[0::2] = np.cumsum(values[0::2])
    summed[1::2] = np.cumsum(values[1::2])
    padded = np.concatenate([[0], summed])
    base = np.where(place % 2 == 1, padded[begin], padded[begin + 1])
    return np.where(place == 0, values, summed - base)


def _compress(rles: RleMasks) -> list[str]:
    length = np.diff(rles.first)
    place = np.arange(len(rles.counts)) - np.repeat(rles.first[:-1], length)
    two_before = np.concatenate([[0, 0], rles.counts])[: len(rles.counts)]
    rest = rles.counts - np.where(place > 2, two_before, 0)
    groups = np.empty((len(rest), _MAX_GROUPS), dtype=np.uint8)
    used = np.zeros(groups.shape, dtype=bool)
    more = np.ones(len(rest), dtype=bool)
    for i in range(_MAX_GROUPS):
        used[:, i] = more
        group = rest & 31
        rest = rest >> _GROUP_BITS
        more = more & (rest != np.where(group & 16, -1, 0))
        groups[:, i] = group + 32 * more + 48
        if not more.any():
            break
    text = groups[used].tobytes().decode()
    ends = np.cumsum(np.concatenate([[0], used.sum(axis=1)]))[rles.first].tolist()
    return [text[a:b] for a, b in pairwise(ends)]
