"""What a grounder returns.

Shapes: N boxes of a phrase.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from eyespot.ops import rle


@dataclass(frozen=True)
class GroundedPhrase:
    """A phrase and its boxes, the most certain first.

    Attributes:
        text: The phrase itself.
        span: Its characters [begin, end) in the text.
        boxes_xyxy_px: Left, top, right, bottom in the picture's pixels; none if nothing was found.
        scores: How much each box is this phrase's, 0 to 1.
        masks: Pixels of each box's object; None from a network without masks.
    """

    text: str
    span: tuple[int, int]
    boxes_xyxy_px: Float[np.ndarray, "n 4"]
    scores: Float[np.ndarray, " n"]
    masks: Bool[np.ndarray, "n h w"] | None = None


@dataclass(frozen=True)
class Referent:
    """The one box that a text as a whole means, such as the cup of "the cup left of a house".

    Attributes:
        box_xyxy_px: Left, top, right, bottom in the picture's pixels.
        score: How sure it is, 0 to 1.
        mask: Its pixels; None from a network without masks.
    """

    box_xyxy_px: Float[np.ndarray, "4"]
    score: float
    mask: Bool[np.ndarray, "h w"] | None = None


@dataclass(frozen=True)
class Grounding:
    """A text found in a picture.

    Attributes:
        text: The text.
        size_hw_px: Height and width of the picture.
        phrases: Its phrases, in the order they stand in it.
        referent: What the whole text means; None from a network that was not trained to tell, or
            if it is not sure of any box.
    """

    text: str
    size_hw_px: tuple[int, int]
    phrases: tuple[GroundedPhrase, ...]
    referent: Referent | None = None

    def to_dict(self, *, masks: bool = True) -> dict[str, Any]:
        """Return plain data for JSON; masks, unless left out, as COCO's compressed run lengths."""
        return {
            "text": self.text,
            "height_px": self.size_hw_px[0],
            "width_px": self.size_hw_px[1],
            "phrases": [
                {
                    "phrase": phrase.text,
                    "span": list(phrase.span),
                    "boxes_xyxy_px": np.round(phrase.boxes_xyxy_px, 2).tolist(),
                    "scores": np.round(phrase.scores, 4).tolist(),
                    **(_run_lengths(phrase.masks) if masks else {}),
                }
                for phrase in self.phrases
            ],
            "referent": self._referent(masks),
        }

    def to_coco(
        self, image_id: int = 0, category_ids: Mapping[str, int] | None = None
    ) -> list[dict[str, Any]]:
        """Return COCO's results: a row for each box, with its phrase and the phrase's characters.

        Args:
            image_id: Written to every row.
            category_ids: Number of each phrase, in lower case; phrases without one are left out.
                None: each phrase's place in the text, from 1.
        """
        rows = []
        for place, phrase in enumerate(self.phrases, start=1):
            number = place if category_ids is None else category_ids.get(phrase.text.lower())
            if number is None:
                continue
            runs = _run_lengths(phrase.masks).get("masks", [None] * len(phrase.scores))
            boxes = np.round(phrase.boxes_xyxy_px, 2)
            boxes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).round(2)
            for box, score, mask in zip(boxes.tolist(), phrase.scores.tolist(), runs, strict=True):
                row = {"image_id": image_id, "category_id": number, "bbox": box, "score": score}
                row |= {"phrase": phrase.text, "span": list(phrase.span)}
                rows.append(row if mask is None else row | {"segmentation": mask})
        return rows

    def _referent(self, masks: bool) -> dict[str, Any] | None:
        if self.referent is None:
            return None
        mask = self.referent.mask if masks else None
        runs = {} if mask is None else {"mask": rle.to_coco(rle.encode(mask[None]))[0]}
        box = np.round(self.referent.box_xyxy_px, 2).tolist()
        return {"box_xyxy_px": box, "score": round(self.referent.score, 4), **runs}

    def to_supervision(self) -> Any:
        """Return `supervision.Detections`; `class_id` is the phrase's place, `data` its text.

        Raises:
            ValueError: If supervision is not installed.
        """
        try:
            supervision = importlib.import_module("supervision")
        except ImportError:
            raise ValueError(
                "need the package supervision for its detections; pip install 'eyespot[interop]'"
            ) from None
        counts = [len(phrase.scores) for phrase in self.phrases]
        boxes = [np.empty((0, 4)), *(phrase.boxes_xyxy_px for phrase in self.phrases)]
        scores = [np.empty(0), *(phrase.scores for phrase in self.phrases)]
        names = [
            p.text for p, count in zip(self.phrases, counts, strict=True) for _ in range(count)
        ]
        return supervision.Detections(
            xyxy=np.concatenate(boxes).astype(np.float32),
            confidence=np.concatenate(scores).astype(np.float32),
            class_id=np.repeat(np.arange(len(counts)), counts),
            mask=_together([phrase.masks for phrase in self.phrases]),
            data={"class_name": np.array(names, dtype=str)},
        )


def _run_lengths(masks: Bool[np.ndarray, "n h w"] | None) -> dict[str, Any]:
    if masks is None:
        return {}
    return {"masks": rle.to_coco(rle.encode(masks), compressed=True) if len(masks) else []}


def _together(masks: list[Bool[np.ndarray, "_ h w"] | None]) -> Bool[np.ndarray, "m h w"] | None:
    known = [mask for mask in masks if mask is not None]
    return np.concatenate(known) if known and len(known) == len(masks) else None
