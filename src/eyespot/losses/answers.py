"""Question answering losses: a type head chooses which of several answer heads is asked.

Paper: MDETR (arXiv 2104.12763), section 4.3 (GQA) and appendix A (CLEVR).

Shapes: B questions, K answers of a head.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from eyespot.ops.matching import at_least_float32

IGNORED = -100
"""Target of a question in the heads of other types."""

GQA_TYPES: Mapping[str, int] = {"obj": 0, "attr": 1, "rel": 2, "global": 3, "cat": 4}
CLEVR_TYPES: Mapping[str, int] = {"binary": 0, "attr": 1, "reg": 2}


def split_answer_losses(
    type_logits: Float[Tensor, "b types"],
    answer_logits: Mapping[str, Tensor],
    types: Int[Tensor, "b"],
    answers: Mapping[str, Tensor],
    type_ids: Mapping[str, int],
    *,
    counts: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Loss and accuracy of the type head and of each type's own answer head.

    A head learns only from the questions of its type: the mean over those, or loss 0 and
    accuracy 1 when there are none. A head of shape [B] is a yes/no head (binary cross
    entropy, yes above probability 0.5); one of shape [B, K] chooses among K.

    Args:
        type_logits: Scores of the question types.
        answer_logits: For each type, its head's scores.
        types: True type of each question.
        answers: For each type, the true answer: an index or `IGNORED` in [B, K] heads,
            0 or 1 in yes/no heads. Only rows of that type are read.
        type_ids: Number of each type, `GQA_TYPES` or `CLEVR_TYPES`.
        counts: For each type, and for "type" itself, by how many questions the sum of losses is
            divided; this batch's when not given. With a whole step's, the losses of its parts add
            up (the reference: each process's own); accuracies are always the batch's.

    Returns:
        `loss_answer_NAME` and `accuracy_answer_NAME` for "type" and each type, and
        `accuracy_answer_total`: the share with right type and right answer.
    """
    type_logits = at_least_float32(type_logits)
    right_type = type_logits.argmax(dim=-1) == types
    loss_type = F.cross_entropy(type_logits, types, reduction="sum")
    result = {
        "loss_answer_type": loss_type / (len(types) if counts is None else counts["type"]),
        "accuracy_answer_type": right_type.to(type_logits).mean(),
    }
    right_answer = torch.zeros_like(right_type)
    for name, type_id in type_ids.items():
        mine = types == type_id
        loss, right = _head_loss(at_least_float32(answer_logits[name]), answers[name])
        count = mine.sum()
        divisor = count.clamp(min=1) if counts is None else counts[name]
        result[f"loss_answer_{name}"] = torch.where(mine, loss, 0.0).sum() / divisor
        share = (right & mine).sum() / count.clamp(min=1)
        result[f"accuracy_answer_{name}"] = torch.where(count > 0, share, 1.0)
        right_answer |= right & mine
    result["accuracy_answer_total"] = (right_type & right_answer).to(type_logits).mean()
    return result


def unified_answer_losses(
    logits: Float[Tensor, "b k"],
    answers: Int[Tensor, "b"],
    *,
    count: Float[Tensor, ""] | None = None,
) -> dict[str, Tensor]:
    """Cross entropy and accuracy of one head over all answers.

    Args:
        logits: Scores of the answers.
        answers: The true ones.
        count: As `counts` of `split_answer_losses`.
    """
    logits = at_least_float32(logits)
    loss = F.cross_entropy(logits, answers, reduction="sum")
    return {
        "loss_answer_total": loss / (len(answers) if count is None else count),
        "accuracy_answer_total": (logits.argmax(dim=-1) == answers).to(logits).mean(),
    }


def gqa_answer_total(losses: Mapping[str, Tensor], *, weight: float) -> Float[Tensor, ""]:
    """Sum of all losses, each times `weight` (published: 25); for split and unified heads."""
    return weight * _sum_losses(losses)


def clevr_answer_total(losses: Mapping[str, Tensor], *, type_weight: float) -> Float[Tensor, ""]:
    """Type loss times `type_weight`, plus the other losses as they are, as published."""
    return _sum_losses(losses) + (type_weight - 1) * losses["loss_answer_type"]


def _sum_losses(losses: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([v for name, v in losses.items() if name.startswith("loss_")]).sum()


def _head_loss(logits: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and rightness of every question, whatever its type."""
    if logits.ndim == 1:
        loss = F.binary_cross_entropy_with_logits(logits, answers.to(logits), reduction="none")
        return loss, (logits > 0) == (answers > 0.5)
    loss = F.cross_entropy(logits, answers, ignore_index=IGNORED, reduction="none")
    return loss, logits.argmax(dim=-1) == answers
