"""A batch of grounding in equal parts, whose gradients add up to the whole batch's.

Everything that one image's loss owes to its batch stays the whole batch's: the padding of images
and captions, and the number of boxes that all sums are divided by.
"""

from itertools import accumulate

import torch
from torch import Tensor

from eyespot.data.grounding import GroundingBatch
from eyespot.data.token_targets import TokenTargets


def split_batch(
    batch: GroundingBatch, targets: TokenTargets, parts: int
) -> list[tuple[GroundingBatch, TokenTargets]]:
    """Return the parts of a batch, in order, each with its targets.

    Args:
        batch: As collated.
        targets: Of all its captions.
        parts: Into how many; must divide the number of images.
    """
    size = len(batch.captions) // parts
    assert size * parts == len(batch.captions), "the recipe was checked"
    every = [0, *accumulate(batch.num_boxes)]
    kept = [0, *accumulate(targets.num_boxes)]
    cuts = [slice(first, first + size) for first in range(0, len(batch.captions), size)]
    return [
        (
            _part_of_batch(batch, cut, slice(every[cut.start], every[cut.stop])),
            _part_of_targets(
                targets,
                cut,
                slice(every[cut.start], every[cut.stop]),
                slice(kept[cut.start], kept[cut.stop]),
            ),
        )
        for cut in cuts
    ]


def sum_of_parts(
    name: str, values: list[Tensor], parts: list[tuple[GroundingBatch, TokenTargets]]
) -> Tensor:
    """Return a batch's term from those of its parts.

    Losses are sums over boxes, each divided by the whole batch's number; the accuracy of the
    is-final head is a mean over the boxes of which it is known; the rest are means.
    """
    together = torch.stack(values)
    if name.startswith("loss"):
        return together.sum(dim=0)
    if name == "accuracy_isfinal":
        counts = together.new_tensor([_known_finals(*part) for part in parts])
        return (together * counts).sum(dim=0) / counts.sum().clamp(min=1)
    return together.mean(dim=0)


def _known_finals(batch: GroundingBatch, targets: TokenTargets) -> int:
    if batch.is_final is None:
        return 0
    return int((~batch.is_final[targets.keep].isnan()).sum())


def _part_of_batch(batch: GroundingBatch, images: slice, boxes: slice) -> GroundingBatch:
    return batch._replace(
        images=batch.images[images],
        pad_mask=batch.pad_mask[images],
        captions=batch.captions[images],
        boxes_cxcywh=batch.boxes_cxcywh[boxes],
        num_boxes=batch.num_boxes[images],
        spans=batch.spans[images],
        is_final=_rows(batch.is_final, boxes),
        masks=_rows(batch.masks, boxes),
        records=batch.records[images],
        indices=batch.indices[images],
    )


def _part_of_targets(
    targets: TokenTargets, images: slice, boxes: slice, kept: slice
) -> TokenTargets:
    tokens = targets.tokens
    return targets._replace(
        tokens=tokens._replace(
            ids=tokens.ids[images],
            pad_mask=tokens.pad_mask[images],
            offsets=tokens.offsets[images],
        ),
        positive_map=targets.positive_map[kept],
        keep=targets.keep[boxes],
        num_boxes=targets.num_boxes[images],
    )


def _rows(values: Tensor | None, rows: slice) -> Tensor | None:
    return None if values is None else values[rows]
