"""Questions of a grounding run: what the heads learn, and how often they are right.

Paper: MDETR (arXiv 2104.12763), section 4.3 (GQA) and appendix A (CLEVR).
Shapes: B questions, K answers of a head.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torch.distributed as torch_dist
from torch import Tensor, nn

from eyespot import dist
from eyespot.data.annotations import CaptionedImage
from eyespot.data.answers import ONLY, TYPE, UNKNOWN, YES_OR_NO, AnswerClass, AnswerWords
from eyespot.data.grounding import GroundingBatch, normalize_padded
from eyespot.data.grounding_sources import AnnotatedImages, GroundingSource, JoinedSources
from eyespot.data.tokens import Tokenizer
from eyespot.design.files import write_whole
from eyespot.errors import RecipeError
from eyespot.evals.answers import ChosenAnswer, answer_accuracy, choose_answers
from eyespot.losses.answers import (
    IGNORED,
    clevr_answer_total,
    gqa_answer_total,
    split_answer_losses,
    unified_answer_losses,
)
from eyespot.models.masks import SegmentationOutput
from eyespot.models.mdetr import GroundingOutput


@dataclass(frozen=True, slots=True)
class Questions:
    """How much answers count; what can be answered is `network.answers`.

    Attributes:
        weight: Of the losses of answers.
        weighted: What it weighs: "all" of them, as published for GQA, or the choice of the "type"
            alone, as for CLEVR.
        grounding: Whether boxes are learned too.
    """

    weight: float = 1.0
    weighted: Literal["all", "type"] = "all"
    grounding: bool = True


class Answering(NamedTuple):
    """What answers mean, and the folder that evaluations write `answers.json` to."""

    words: AnswerWords
    results: Path


class Answered(NamedTuple):
    """A question, as answered and as annotated; the true answer is None where none is given."""

    said: ChosenAnswer
    truth: str | None
    question: str
    question_id: Any
    question_type: str | None
    kind: str | None


def answer_loss(
    logits: Mapping[str, Tensor],
    records: Sequence[CaptionedImage],
    words: AnswerWords,
    questions: Questions,
    counts: Mapping[str, Tensor],
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted sum of a batch's answer losses, and the terms to log.

    Args:
        logits: Of each head.
        records: The questions.
        words: Of the network.
        questions: How much answers count.
        counts: From `question_counts`, of the whole step.

    Raises:
        ValueError: If a question has no answer, or one that no head can say.
    """
    classes = [_class_of(record, words) for record in records]
    device = next(iter(logits.values())).device
    numbers = torch.tensor([one.number for one in classes], device=device)
    if words.types == (ONLY,):
        losses = unified_answer_losses(logits[ONLY], numbers, count=counts[TYPE])
    else:
        types = torch.tensor([one.type_id for one in classes], device=device)
        type_ids = {name: i for i, name in enumerate(words.types)}
        answers = {
            name: numbers.where(types == i, 0 if words.words[name] == YES_OR_NO else IGNORED)
            for name, i in type_ids.items()
        }
        heads = {name: logits[name] for name in words.types}
        losses = split_answer_losses(logits[TYPE], heads, types, answers, type_ids, counts=counts)
    if questions.weighted == "type":
        total = clevr_answer_total(losses, type_weight=questions.weight)
    else:
        total = gqa_answer_total(losses, weight=questions.weight)
    return total, {name: losses[name].detach() for name in answer_terms(words)}


def question_counts(
    records: Sequence[CaptionedImage], words: AnswerWords, device: torch.device
) -> dict[str, Tensor]:
    """Return how many questions a rank has of each type in the mean, and of all (`TYPE`).

    Losses are divided by these, so that a step learns the same on any number of ranks. A type that
    no rank has counts 1.
    """
    types = [_class_of(record, words).type_id for record in records]
    mine = [len(types), *(types.count(i) for i in range(len(words.types)))]
    counts = dist.all_reduce_mean(torch.tensor(mine, dtype=torch.float32, device=device))
    counts = torch.where(counts > 0, counts, 1.0)
    return dict(zip((TYPE, *words.types), counts, strict=True))


def answer_terms(words: AnswerWords) -> list[str]:
    """Return the names of what `answer_loss` logs."""
    names = ["total"] if words.types == (ONLY,) else [TYPE, *words.types]
    return [*(f"loss_answer_{name}" for name in names), "accuracy_answer_total"]


def check_answers(source: GroundingSource, words: AnswerWords, questions: Questions) -> None:
    """Refuse a file with an answer that no head can say, before hours are spent on it.

    Vocabularies with "unknown" can take any answer, and their files are long: those are not read.

    Raises:
        RecipeError: If the loss of the type is to be weighed, and there is one type.
        ValueError: If there is such an answer, or a question without one.
    """
    if questions.weight < 0 or (questions.weighted == "type" and words.types == (ONLY,)):
        raise RecipeError(
            'need questions.weighted "all" for one head of all answers, and a weight of 0 or more, '
            f"got {questions}"
        )
    if all(UNKNOWN in w for w in words.words.values()):
        return
    for one in source.sources if isinstance(source, JoinedSources) else (source,):
        for record in one.annotations if isinstance(one, AnnotatedImages) else ():
            _class_of(record, words)


def evaluate_answers(
    model: nn.Module,
    tokenizer: Tokenizer,
    batches: Iterable[GroundingBatch],
    answering: Answering,
    device: torch.device,
) -> dict[str, float]:
    """Return the accuracy of a model on all ranks' questions together, and write its answers.

    `accuracy` is right in type and answer, as published; `accuracy_TYPE` and `accuracy_kind_KIND`
    are of the questions of a type or kind; `type_accuracy` is right in type; `word_accuracy` is
    the right word from any head, as GQA's server counts, where "unknown" is never right;
    `most_frequent` what always saying the most frequent answer would get; `miss` 1 - accuracy.
    Questions without a true answer are answered and counted in `questions` alone.

    Raises:
        ValueError: If a true answer is one that no head can say.
    """
    answered = _gathered(answer_all(model, tokenizer, batches, answering.words, device))
    if dist.rank() == 0:
        answering.results.mkdir(parents=True, exist_ok=True)
        write_answers(answered, answering.results / "answers.json")
    return answer_metrics(answered, answering.words)


@torch.no_grad()
def answer_all(
    model: nn.Module,
    tokenizer: Tokenizer,
    batches: Iterable[GroundingBatch],
    words: AnswerWords,
    device: torch.device,
) -> dict[int, Answered]:
    """Return the answer to every question by its place in the data; the model is left as it was."""
    result: dict[int, Answered] = {}
    before = model.training
    model.eval()
    for batch in batches:
        tokens = tokenizer.pad([tokenizer.encode(caption) for caption in batch.captions])
        pad_mask = batch.pad_mask.to(device)
        output: GroundingOutput | SegmentationOutput = model(
            normalize_padded(batch.images.to(device), pad_mask),
            pad_mask,
            tokens.ids.to(device),
            tokens.pad_mask.to(device),
        )
        if isinstance(output, SegmentationOutput):
            output = output.grounding
        assert output.answer_logits is not None, "the recipe has answer heads"
        said = choose_answers(output.answer_logits, words)
        for place, record, one in zip(batch.indices.tolist(), batch.records, said, strict=True):
            result[place] = _answered(record, one)
    model.train(before)
    return result


def answer_metrics(answered: Mapping[int, Answered], words: AnswerWords) -> dict[str, float]:
    """Return the metrics of answers; see `evaluate_answers`."""
    known = {place: one for place, one in answered.items() if one.truth is not None}
    metrics = {"questions": float(len(answered))}
    if not known:
        return metrics
    truths, types = {}, {}
    for place, one in known.items():
        of_type, number = _encoded(one.truth, one.question_type, one.question, words)
        types[place] = words.types[of_type]
        truths[place] = f"{types[place]}: {words.words[types[place]][number]}"
    found = {place: f"{one.said.type}: {one.said.word}" for place, one in known.items()}
    by_type = answer_accuracy(found, truths, types)
    metrics["accuracy"] = by_type.pop("all")
    if words.types != (ONLY,):
        metrics |= {f"accuracy_{name}": by_type[name] for name in words.types if name in by_type}
        said = {place: one.said.type for place, one in known.items()}
        metrics["type_accuracy"] = answer_accuracy(said, types)["all"]
    kinds = {place: one.kind for place, one in known.items() if one.kind is not None}
    if kinds:
        by_kind = answer_accuracy(found, {place: truths[place] for place in kinds}, kinds)
        metrics |= {f"accuracy_kind_{name}": by_kind[name] for name in sorted(set(kinds.values()))}
    right = sum(one.said.word == one.truth != UNKNOWN for one in known.values())
    metrics["word_accuracy"] = right / len(known)
    metrics["most_frequent"] = Counter(truths.values()).most_common(1)[0][1] / len(known)
    metrics["miss"] = 1 - metrics["accuracy"]
    return metrics


def write_answers(answered: Mapping[int, Answered], path: Path) -> None:
    """Write answers as GQA's server takes them, or without question ids as CLEVR's: a list.

    GQA: `[{"questionId": ..., "prediction": ...}, ...]`; else the words in the data's order.
    """
    ordered = [answered[place] for place in sorted(answered)]
    rows: list[Any] = [one.said.word for one in ordered]
    if ordered and all(one.question_id is not None for one in ordered):
        rows = [
            {"questionId": str(one.question_id), "prediction": one.said.word} for one in ordered
        ]
    write_whole(path, json.dumps(rows, indent=0) + "\n")


def _answered(record: CaptionedImage, said: ChosenAnswer) -> Answered:
    more = record.more
    truth = more.get("answer")
    return Answered(
        said,
        None if truth is None else str(truth),
        record.caption,
        more.get("questionId"),
        more.get("question_type"),
        more.get("question_kind"),
    )


def _class_of(record: CaptionedImage, words: AnswerWords) -> AnswerClass:
    if "answer" not in record.more:
        raise ValueError(
            f"need an answer to every question, got none to {record.caption!r} (image "
            f"{record.image_id}); `scenes` asks questions with text=question"
        )
    more = record.more
    return _encoded(str(more["answer"]), more.get("question_type"), record.caption, words)


def _encoded(
    answer: str | None, question_type: str | None, question: str, words: AnswerWords
) -> AnswerClass:
    try:
        return words.encode(str(answer), question_type)
    except ValueError as error:
        raise ValueError(f"{error} (the answer to {question!r})") from None


def _gathered(mine: dict[int, Answered]) -> dict[int, Answered]:
    """The answers of all ranks."""
    if dist.world_size() == 1:
        return mine
    parts: list[dict[int, Answered]] = [mine] * dist.world_size()
    torch_dist.all_gather_object(parts, mine)
    return {place: one for part in parts for place, one in part.items()}
