"""Answer a question about a picture, and show what it speaks of.

answerer = Answerer.from_pretrained("runs/answer/weights.safetensors")
said = answerer("scene.png", "What color is the small cup?")
said.answer, said.confidence, said.grounding.phrases[0].boxes_xyxy_px
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import torch

from eyespot.data.answers import words_of_heads
from eyespot.data.decode import MAX_PIXELS
from eyespot.errors import WeightsError
from eyespot.evals.answers import ChosenAnswer, choose_answers
from eyespot.models.masks import detector_of
from eyespot.ops.spans import Span
from eyespot.predict.chunker import noun_phrases
from eyespot.predict.grounder import (
    EncodedPicture,
    Grounder,
    is_list,
    listed,
    pair_up,
)
from eyespot.predict.grounding import Grounding
from eyespot.predict.images import Picture
from eyespot.predict.texts import listed_texts
from eyespot.weights.grounders import LoadedGrounder, read_grounder
from eyespot.weights.named_grounders import grounder_file

_HOW_MANY = re.compile(r"\bhow\s+(many|much)\s+", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """A question answered.

    Attributes:
        question: The question.
        answer: One of the network's words.
        answer_type: Which kind of answer the network took the question to want; "" where one head
            says everything.
        confidence: Probability of the type times that of the answer among the type's, 0 to 1.
        grounding: The phrases of the question with their boxes; no phrase if it names nothing.
    """

    question: str
    answer: str
    answer_type: str
    confidence: float
    grounding: Grounding

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        found = self.grounding.to_dict()
        del found["text"]
        return {
            "question": self.question,
            "answer": self.answer,
            "type": self.answer_type,
            "confidence": round(self.confidence, 4),
            **found,
        }


class Answerer:
    """A network with answer heads, called with pictures and questions.

    Args:
        loaded: From `read_grounder`.
        device: Where to run.
        max_pixels: Refuse larger pictures before they are decoded.

    Raises:
        WeightsError: If the network answers nothing, or what its answers mean is not known.
    """

    def __init__(
        self,
        loaded: LoadedGrounder,
        *,
        device: str | torch.device = "cpu",
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        heads = loaded.spec.answer_heads
        if not heads:
            raise WeightsError(
                "need weights that answer questions, got a network without answer heads; train one "
                "with `eyespot train answer/...`, or ground texts with it by `eyespot ground`"
            )
        if not all(head.words for head in heads):
            raise WeightsError(
                "need weights that know the words of their answers, got answer heads without; "
                "import the checkpoint again with --answers gqa_answer2id_by_type.json"
            )
        self.words = words_of_heads({head.name: head.words for head in heads})
        self.grounder = Grounder(loaded, device=device, max_pixels=max_pixels)

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path, *, device: str | torch.device = "cpu"
    ) -> "Answerer":
        """Load a weights file, the weights of a training run's folder, or of the package by name.

        Raises:
            ValueError: If the name is unknown, or the file holds something else.
            OSError: If the file cannot be read.
        """
        with grounder_file(name_or_path) as path:
            return cls(read_grounder(path), device=device)

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a picture is no sequence of pictures
        self,
        images: Picture | EncodedPicture,
        questions: str,
        *,
        min_score: float = 0.5,
        max_iou: float = 0.5,
    ) -> Answer: ...
    @overload
    def __call__(
        self,
        images: Picture | EncodedPicture | Sequence[Picture | EncodedPicture],
        questions: str | Sequence[str],
        *,
        min_score: float = 0.5,
        max_iou: float = 0.5,
    ) -> list[Answer]: ...
    def __call__(
        self,
        images: Picture | EncodedPicture | Sequence[Picture | EncodedPicture],
        questions: str | Sequence[str],
        *,
        min_score: float = 0.5,
        max_iou: float = 0.5,
    ) -> Answer | list[Answer]:
        """Answer questions about pictures, and find what they speak of.

        One picture with many questions, one question with many pictures, or as many of one as of
        the other. Every picture is encoded once, and results do not depend on what else is in the
        call.

        Args:
            images: One picture or several.
            questions: One question or several.
            min_score: Least score of a box that is returned.
            max_iou: Of a phrase's boxes that overlap more, only the most certain is returned.

        Returns:
            One answer for one picture and one question, else a list.

        Raises:
            ValueError: If a picture cannot be read, a question is empty or too long, or the numbers
                of pictures and questions do not go together.
        """
        pictures = listed(images)
        asked = listed_texts(questions)
        pairs = pair_up(len(pictures), len(asked))
        for question in asked:
            self.check(question)
        encoded = self.grounder.encode(pictures)
        answers = []
        for i, j in pairs:
            said = self._say(encoded[i], asked[j])
            found = self._find(encoded[i], asked[j], min_score, max_iou)
            answers.append(Answer(asked[j], said.word, said.type, said.confidence, found))
        return answers[0] if isinstance(questions, str) and not is_list(images) else answers

    def check(self, question: str) -> None:
        """Refuse a question that this network cannot read at once.

        Raises:
            ValueError: If it is empty or too long.
        """
        if not question.strip():
            raise ValueError("need a question, got an empty one")
        tokenizer = self.grounder.tokenizer
        if not tokenizer.fits(question):
            raise ValueError(
                f"need a question of at most {tokenizer.max_tokens} tokens, got one of "
                f"{len(question):,} characters that has more; ask in fewer words"
            )

    @torch.inference_mode()
    def _say(self, picture: EncodedPicture, question: str) -> ChosenAnswer:
        grounder = self.grounder
        detector = detector_of(grounder.model)
        tokens = grounder.tokenizer.pad([grounder.tokenizer.encode(question)])
        pad_mask = tokens.pad_mask.to(grounder.device)
        text = detector.encode_text(tokens.ids.to(grounder.device), pad_mask)
        output = detector.decode(detector.fuse(picture.features, text, pad_mask))
        assert output.answer_logits is not None, "the network has answer heads"
        return choose_answers(output.answer_logits, self.words)[0]

    def _find(
        self, picture: EncodedPicture, question: str, min_score: float, max_iou: float
    ) -> Grounding:
        spans = _named(question)
        if not spans:
            return Grounding(question, picture.pixels.shape[:2], ())
        found: Grounding = self.grounder(
            picture, question, phrases=spans, min_score=min_score, max_iou=max_iou
        )
        return found


def _named(question: str) -> list[Span]:
    """The noun phrases of a question; the "many" of "how many" belongs to none."""
    begins = {found.start(1): found.end() for found in _HOW_MANY.finditer(question)}
    spans = [(begins.get(begin, begin), end) for begin, end in noun_phrases(question)]
    return [(begin, end) for begin, end in spans if begin < end]
