"""Ground a text in a picture: every phrase's boxes, scores and characters.

    grounder = Grounder.from_pretrained("scenes-small")
    found = grounder("scene.png", "the red cup left of a house")
    found.phrases[0].text, found.phrases[0].boxes_xyxy_px, found.phrases[0].scores

Shapes: N boxes of a phrase, Q queries, T token columns.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from eyespot.data.box_transforms import resized_hw
from eyespot.data.decode import MAX_PIXELS
from eyespot.data.grounding import normalize_padded
from eyespot.data.tokens import EncodedCaption
from eyespot.models.grounder import naming_logits
from eyespot.models.masks import SegmentingDetector, detector_of
from eyespot.models.mdetr import ImageFeatures
from eyespot.ops.boxes import clip_xyxy_px
from eyespot.ops.detections import apart, detect, resize_masks
from eyespot.ops.spans import Span, positive_rows
from eyespot.predict.devices import chosen_device
from eyespot.predict.grounding import GroundedPhrase, Grounding, Referent
from eyespot.predict.images import Picture, read_picture
from eyespot.predict.parts import split_text
from eyespot.predict.stacking import one_of, padded, stacked
from eyespot.predict.texts import check_phrases, find_phrases, listed_texts
from eyespot.weights.grounders import LoadedGrounder, read_grounder, save_grounder
from eyespot.weights.named_grounders import PRETRAINED as PRETRAINED
from eyespot.weights.named_grounders import grounder_file

_BATCH = 16


class EncodedPicture(NamedTuple):
    """A picture that the backbone has read; it can be grounded in many texts at no further cost."""

    pixels: UInt8[np.ndarray, "h w 3"]
    features: ImageFeatures
    network_hw_px: tuple[int, int]  # as the network sees it


class _EncodedText(NamedTuple):
    caption: EncodedCaption
    features: Tensor  # [1, K, D]


class _Job(NamedTuple):
    """One part of one text, in one picture."""

    picture: int
    text: int
    piece: str
    offset: int  # of the piece in the text
    phrases: list[int]


class _Part(NamedTuple):
    """What was found for a job."""

    phrases: dict[int, GroundedPhrase]
    referent: Referent | None


class _Choice(NamedTuple):
    """Which boxes of a phrase are returned."""

    min_score: float
    max_iou: float


class Grounder:
    """A network with its tokenizer, called with pictures and texts.

    Args:
        loaded: From `read_grounder`.
        device: Where to run.
        max_pixels: Refuse larger pictures before they are decoded.
    """

    def __init__(
        self,
        loaded: LoadedGrounder,
        *,
        device: str | torch.device = "cpu",
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.spec = loaded.spec
        self.tokenizer = loaded.tokenizer
        self.device = chosen_device(device)
        self.model = loaded.model.to(self.device).eval()
        self.max_pixels = max_pixels

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path = "scenes-small", *, device: str | torch.device = "cpu"
    ) -> "Grounder":
        """Load a weights file, the weights of a folder, or weights by name.

        A folder is a training run's, or one that `save_pretrained` wrote. Names are the package's
        own and MDETR's published networks, as `eyespot weights list mdetr` prints them.

        Raises:
            ValueError: If the name is unknown, or the file holds something else.
            OSError: If the file cannot be read or fetched.
        """
        with grounder_file(name_or_path) as path:
            return cls(read_grounder(path), device=device)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write weights, spec and tokenizer into a folder for `from_pretrained`; return the file.

        Raises:
            OSError: If it cannot be written.
        """
        path = Path(folder) / "weights.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_grounder(self.model, self.spec, self.tokenizer, path)
        return path

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a picture is no sequence of pictures
        self,
        images: Picture | EncodedPicture,
        texts: str,
        *,
        phrases: Sequence[Span] | None = None,
        min_score: float = 0.5,
        max_iou: float = 0.5,
    ) -> Grounding: ...
    @overload
    def __call__(
        self,
        images: Picture | EncodedPicture | Sequence[Picture | EncodedPicture],
        texts: str | Sequence[str],
        *,
        phrases: Sequence[Span] | None = None,
        min_score: float = 0.5,
        max_iou: float = 0.5,
    ) -> list[Grounding]: ...
    def __call__(
        self,
        images: Picture | EncodedPicture | Sequence[Picture | EncodedPicture],
        texts: str | Sequence[str],
        *,
        phrases: Sequence[Span] | None = None,
        min_score: float = 0.5,
        max_iou: float = 0.5,
    ) -> Grounding | list[Grounding]:
        """Find every phrase of the texts in the pictures.

        One picture with many texts, one text with many pictures, or as many of one as of the
        other. Every picture and every text is encoded once, and results do not depend on what
        else is in the call.

        Args:
            images: One picture or several.
            texts: One text or several; long ones are read in parts.
            phrases: Characters [begin, end) of one text's phrases; found by rules when not given.
            min_score: Least score of a box that is returned.
            max_iou: Of a phrase's boxes that overlap more, only the most certain is returned; 1
                for all of them, as MDETR's evaluation has it.

        Returns:
            One result for one picture and one text, else a list.

        Raises:
            ValueError: If a picture cannot be read, a text is empty or names nothing, or the
                numbers of pictures and texts do not go together.
        """
        pictures = listed(images)
        sentences = listed_texts(texts)
        pairs = pair_up(len(pictures), len(sentences))
        if phrases is not None and len(sentences) > 1:
            raise ValueError(f"need one text for phrases of your own, got {len(sentences)} texts")
        spans = [
            check_phrases(text, phrases) if phrases is not None else find_phrases(text)
            for text in sentences
        ]
        encoded = self.encode(pictures)
        jobs = [
            _Job(i, j, sentences[j][part.begin : part.end], part.begin, part.phrases)
            for i, j in pairs
            for part in split_text(sentences[j], spans[j], self.tokenizer.fits)
        ]
        found = self._run(encoded, jobs, spans, _Choice(min_score, max_iou))
        results = [
            Grounding(sentences[j], encoded[i].pixels.shape[:2], *_joined(found[i, j]))
            for i, j in pairs
        ]
        single = isinstance(texts, str) and not is_list(images)
        return results[0] if single else results

    @torch.inference_mode()
    def encode(self, pictures: Iterable[Picture | EncodedPicture]) -> list[EncodedPicture]:
        """Let the backbone read pictures, to ground them in many texts.

        Pictures of one size are batched; others are not padded, so that no picture's result
        depends on another's.

        Raises:
            ValueError: If a picture cannot be read.
        """
        result: list[EncodedPicture | None] = []
        waiting: dict[tuple[int, int], list[tuple[int, np.ndarray, Tensor]]] = {}
        for place, picture in enumerate(pictures):
            if isinstance(picture, EncodedPicture):
                result.append(picture)
                continue
            result.append(None)
            pixels = read_picture(picture, max_pixels=self.max_pixels)
            small = self._resized(pixels)
            waiting.setdefault((small.shape[1], small.shape[2]), []).append((place, pixels, small))
        for group in waiting.values():
            for first in range(0, len(group), _BATCH):
                batch = group[first : first + _BATCH]
                features = self._features(torch.stack([small for _, _, small in batch]))
                for row, (place, pixels, small) in enumerate(batch):
                    size = (small.shape[1], small.shape[2])
                    result[place] = EncodedPicture(pixels, one_of(features, row), size)
        return [picture for picture in result if picture is not None]

    def _resized(self, pixels: UInt8[np.ndarray, "h w 3"]) -> UInt8[Tensor, "3 h2 w2"]:
        size = self.spec.image
        old_height, old_width = pixels.shape[:2]
        wanted = resized_hw(old_height, old_width, size.short_side_px, size.max_long_side_px)
        height, width = wanted
        if (height, width) != (old_height, old_width):
            picture = Image.fromarray(pixels)
            pixels = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
        return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)

    def _features(self, images: UInt8[Tensor, "b 3 h w"]) -> ImageFeatures:
        images = images.to(self.device)
        pad_mask = torch.zeros_like(images[:, 0], dtype=torch.bool)
        return detector_of(self.model).encode_image(normalize_padded(images, pad_mask), pad_mask)

    @torch.inference_mode()
    def _encode_texts(self, pieces: Iterable[str]) -> dict[str, _EncodedText]:
        """Every different piece of text, encoded once; equal whatever else is in the batch."""
        known: dict[str, _EncodedText] = {}
        encoded = {piece: self.tokenizer.encode(piece) for piece in dict.fromkeys(pieces)}
        names = list(encoded)
        for first in range(0, len(names), _BATCH):
            batch = names[first : first + _BATCH]
            tokens = self.tokenizer.pad([encoded[piece] for piece in batch])
            features = detector_of(self.model).encode_text(
                tokens.ids.to(self.device), tokens.pad_mask.to(self.device)
            )
            for row, piece in enumerate(batch):
                length = len(encoded[piece].ids)
                known[piece] = _EncodedText(encoded[piece], features[row : row + 1, :length])
        return known

    @torch.inference_mode()
    def _run(
        self,
        pictures: Sequence[EncodedPicture],
        jobs: Sequence[_Job],
        spans: Sequence[Sequence[Span]],
        choice: _Choice,
    ) -> dict[tuple[int, int], list[_Part]]:
        """Fuse and decode every job; jobs with equally large pictures share a batch."""
        texts = self._encode_texts(job.piece for job in jobs)
        found: dict[tuple[int, int], list[_Part]] = {}
        groups: dict[tuple[int, ...], list[_Job]] = {}
        for job in jobs:
            groups.setdefault(tuple(pictures[job.picture].features.pad_mask.shape), []).append(job)
        for group in groups.values():
            for first in range(0, len(group), _BATCH):
                batch = group[first : first + _BATCH]
                for job, part in zip(
                    batch, self._batch(pictures, texts, spans, batch, choice), strict=True
                ):
                    found.setdefault((job.picture, job.text), []).append(part)
        return found

    def _batch(
        self,
        pictures: Sequence[EncodedPicture],
        texts: dict[str, _EncodedText],
        spans: Sequence[Sequence[Span]],
        jobs: Sequence[_Job],
        choice: _Choice,
    ) -> list[_Part]:
        detector = detector_of(self.model)
        captions = [texts[job.piece] for job in jobs]
        image = stacked([pictures[job.picture].features for job in jobs])
        features, pad_mask = padded([caption.features for caption in captions])
        memory = detector.fuse(image, features, pad_mask)
        output = detector.decode(memory)
        sizes = torch.tensor([pictures[job.picture].pixels.shape[:2] for job in jobs])
        masks: list[Tensor | None] = [None] * len(jobs)
        if isinstance(self.model, SegmentingDetector):
            masks = list(
                resize_masks(
                    self.model.draw(image, memory, output),
                    [pictures[job.picture].network_hw_px for job in jobs],
                    [(height, width) for height, width in sizes.tolist()],
                )
            )
        logits = naming_logits(output, self.spec, pad_mask)
        found = detect(logits, output.boxes_cxcywh[-1], sizes.to(self.device)).boxes_xyxy_px
        boxes = [clip_xyxy_px(b, h, w) for b, (h, w) in zip(found, sizes.tolist(), strict=True)]
        probs = logits.softmax(dim=-1)
        meant: list[Referent | None] = [None] * len(jobs)
        if output.is_final_logits is not None:
            final = output.is_final_logits[-1]
            scores = detect(logits, output.boxes_cxcywh[-1], sizes.to(self.device), final).scores
            meant = [_referent(*of, choice) for of in zip(scores, boxes, masks, strict=True)]
        return [
            _Part(
                _phrases(job, caption, spans[job.text], probs[i], boxes[i], masks[i], choice),
                meant[i],
            )
            for i, (job, caption) in enumerate(zip(jobs, captions, strict=True))
        ]


def _phrases(
    job: _Job,
    caption: _EncodedText,
    spans: Sequence[Span],
    probs: Tensor,
    boxes: Tensor,
    masks: Tensor | None,
    choice: _Choice,
) -> dict[int, GroundedPhrase]:
    """Each phrase's boxes: those of the queries whose tokens are mostly the phrase's."""
    own = [[(spans[i][0] - job.offset, spans[i][1] - job.offset)] for i in job.phrases]
    rows = positive_rows(own, caption.caption.offsets, probs.shape[-1]).to(probs)
    scores = probs @ rows.T  # [Q, phrases]
    found = {}
    for column, i in enumerate(job.phrases):
        of_phrase = scores[:, column]
        order = of_phrase.argsort(descending=True, stable=True)
        order = order[of_phrase[order] >= choice.min_score]
        order = order[apart(boxes[order], choice.max_iou)]
        begin, end = spans[i]
        found[i] = GroundedPhrase(
            job.piece[begin - job.offset : end - job.offset],
            (begin, end),
            boxes[order].cpu().double().numpy(),
            of_phrase[order].cpu().double().numpy(),
            None if masks is None else masks[order].cpu().numpy(),
        )
    return found


def _referent(
    scores: Tensor, boxes: Tensor, masks: Tensor | None, choice: _Choice
) -> Referent | None:
    """The box that scores best as what the whole text means, if it scores enough."""
    best = int(scores.argmax())
    if scores[best] < choice.min_score:
        return None
    mask = None if masks is None else masks[best].cpu().numpy()
    return Referent(boxes[best].cpu().double().numpy(), float(scores[best]), mask)


def _joined(parts: Sequence[_Part]) -> tuple[tuple[GroundedPhrase, ...], Referent | None]:
    """The phrases of a text's parts in order, and the most certain of what each part means."""
    phrases = {i: phrase for part in parts for i, phrase in part.phrases.items()}
    meant = [part.referent for part in parts if part.referent is not None]
    best = max(meant, key=lambda referent: referent.score, default=None)
    return tuple(phrases[i] for i in sorted(phrases)), best


def listed(
    images: Picture | EncodedPicture | Sequence[Picture | EncodedPicture],
) -> list[Picture | EncodedPicture]:
    """Return pictures as a list, be it one or several."""
    return list(images) if is_list(images) else [images]  # type: ignore[list-item, arg-type]


def is_list(images: object) -> bool:
    """Say whether these are several pictures."""
    return isinstance(images, list | tuple) and not isinstance(images, EncodedPicture)


def pair_up(num_pictures: int, num_texts: int) -> list[tuple[int, int]]:
    """Return which picture goes with which text, as places in both lists.

    Raises:
        ValueError: If the numbers do not go together.
    """
    if not num_pictures or not num_texts:
        raise ValueError(
            f"need at least one picture and one text, got {num_pictures} and {num_texts}"
        )
    if num_pictures == num_texts:
        return [(i, i) for i in range(num_texts)]
    if 1 not in (num_pictures, num_texts):
        raise ValueError(
            "need one picture, one text, or as many of one as of the other, got "
            f"{num_pictures} pictures and {num_texts} texts"
        )
    return [(i, j) for i in range(num_pictures) for j in range(num_texts)]
