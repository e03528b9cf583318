"""Question answering: predicted words, and accuracy overall and by kind of question.

Paper: MDETR (arXiv 2104.12763), sections 4.3 (GQA) and appendix A (CLEVR).

Shapes: B questions, K answers of a head.
"""

from collections.abc import Hashable, Mapping, Sequence

from jaxtyping import Float
from torch import Tensor

from eyespot.data.answers import GQA_TYPE_NAMES, decode_clevr_answer


def clevr_answers(
    type_logits: Float[Tensor, "b 3"],
    binary_logits: Float[Tensor, "b"],
    attribute_logits: Float[Tensor, "b 15"],
    count_logits: Float[Tensor, "b counts"],
) -> list[str]:
    """Return a word for each question: the head of the likeliest type decides.

    Yes above probability 0.5; otherwise the likeliest attribute or number.
    """
    chosen = (
        type_logits.argmax(dim=-1).tolist(),
        (binary_logits > 0).tolist(),
        attribute_logits.argmax(dim=-1).tolist(),
        count_logits.argmax(dim=-1).tolist(),
    )
    return [decode_clevr_answer(*heads) for heads in zip(*chosen, strict=True)]


def gqa_answers(
    type_logits: Float[Tensor, "b 5"],
    answer_logits: Mapping[str, Float[Tensor, "b _"]],
    vocabularies: Mapping[str, Mapping[str, int]],
) -> list[str]:
    """Return a word for each question: the head of the likeliest type decides.

    Args:
        type_logits: Scores of `GQA_TYPE_NAMES`, in that order.
        answer_logits: For each type, its head's scores.
        vocabularies: `gqa_answer2id_by_type.json`: for each `answer_TYPE` the word's number.
    """
    words = {
        name: {number: word for word, number in vocabularies[f"answer_{name}"].items()}
        for name in GQA_TYPE_NAMES
    }
    chosen = {name: logits.argmax(dim=-1).tolist() for name, logits in answer_logits.items()}
    types = [GQA_TYPE_NAMES[i] for i in type_logits.argmax(dim=-1).tolist()]
    return [words[name][chosen[name][row]] for row, name in enumerate(types)]


def answer_accuracy(
    found: Mapping[Hashable, str],
    truths: Mapping[Hashable, str],
    families: Mapping[Hashable, str] | None = None,
) -> dict[str, float]:
    """Return the share of right answers: "all", and one entry for each kind of question.

    Args:
        found: Predicted word of each question.
        truths: Right word of each question.
        families: Kind of each question, such as "count" or "exist".

    Raises:
        ValueError: If a question was not answered, or there is none.
    """
    if not truths:
        raise ValueError("need at least one question to score, got none")
    missing = [q for q in truths if q not in found]
    if missing:
        raise ValueError(
            f"need an answer to every question, got none to {len(missing)} of {len(truths)}, "
            f"the first being {missing[0]!r}"
        )
    groups: dict[str, list[bool]] = {"all": []}
    for question, truth in truths.items():
        right = found[question] == truth
        groups["all"].append(right)
        if families is not None:
            groups.setdefault(families[question], []).append(right)
    return {name: _mean(rights) for name, rights in groups.items()}


def _mean(values: Sequence[bool]) -> float:
    return sum(values) / len(values)
