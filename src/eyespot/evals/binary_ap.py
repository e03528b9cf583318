"""Average precision of one ranking: what is relevant should come first.

Samples of equal score form one step of the curve, so their order does not matter.

Shapes: N scored samples.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Area = Literal["steps", "interpolated", "11-point"]
"""How the area under the precision-recall curve is taken.

"steps": the sum of each gain in recall times the precision there (scikit-learn's).
"interpolated": as "steps", of the largest precision at that recall or beyond (VOC from 2010 on).
"11-point": the mean of that largest precision at the recalls 0, 0.1, ..., 1 (VOC 2007).
"""


def binary_average_precision(
    scores: Float[Tensor, " n"], relevant: Bool[Tensor, " n"], area: Area = "steps"
) -> float:
    """Return the area under a ranking's precision-recall curve, in 0..1.

    Args:
        scores: The higher, the earlier.
        relevant: Which samples should come early.
        area: Which rule.

    Raises:
        ValueError: If no sample is relevant, or a score is NaN.
    """
    if not bool(relevant.any()):
        raise ValueError(f"need a relevant sample to rank first, got none among {len(relevant)}")
    if bool(scores.isnan().any()):
        raise ValueError("need scores that are numbers to rank by, got NaN")
    ordered, order = scores.sort(descending=True)
    last_of_score = torch.ones_like(relevant)
    last_of_score[:-1] = ordered[1:] != ordered[:-1]
    hits = relevant[order].cumsum(0)[last_of_score].double()
    taken = (torch.nonzero(last_of_score)[:, 0] + 1).double()
    precision, recall = hits / taken, hits / hits[-1]
    if area == "steps":
        return _sum_of_steps(precision, recall)
    best_beyond = precision.flip(0).cummax(0).values.flip(0)
    if area == "interpolated":
        return _sum_of_steps(best_beyond, recall)
    wanted = torch.arange(11, device=hits.device) * hits[-1]  # tenths of all relevant ones
    first = torch.searchsorted(10 * hits, wanted)
    return float(best_beyond[first].mean())


def _sum_of_steps(precision: Tensor, recall: Tensor) -> float:
    gain = recall.diff(prepend=recall.new_zeros(1))
    return float((precision * gain).sum())
