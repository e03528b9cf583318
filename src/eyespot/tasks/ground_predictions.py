"""What a grounding network says about a data set: boxes, scores, phrases and masks of each pair.

Shapes: Q queries, N boxes, P phrases of a caption, A phrases of it that name what is not there.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as torch_dist
from jaxtyping import Float, Int
from torch import Tensor, nn

from eyespot import dist
from eyespot.data.annotations import CaptionedImage
from eyespot.data.grounding import GroundingBatch, normalize_padded
from eyespot.data.noun_phrases import root_phrase
from eyespot.data.scenes.export import DATASET_NAME
from eyespot.data.token_targets import token_targets
from eyespot.data.tokens import Tokenizer
from eyespot.models.grounder import GrounderSpec, naming_logits
from eyespot.models.masks import SegmentationOutput
from eyespot.models.mdetr import GroundingOutput
from eyespot.ops import rle
from eyespot.ops.detections import detect, rank_queries_by_phrase, resize_masks
from eyespot.ops.spans import Span, positive_rows


class EvaluatedPhrase(NamedTuple):
    """A phrase that is looked for.

    Attributes:
        spans: Its characters in the caption.
        regions: Places of its boxes among the record's.
        boxes_xyxy_px: Those boxes, in pixels of the image file.
        types: Of the phrase, such as "people"; none if not known.
    """

    spans: tuple[Span, ...]
    regions: tuple[int, ...]
    boxes_xyxy_px: Float[np.ndarray, "n 4"]
    types: tuple[str, ...]


class Predicted(NamedTuple):
    """What is predicted for a pair of image and caption, whose annotation is beside it.

    Attributes:
        record: The pair.
        boxes_xyxy_px: One box a query, in pixels of the image file.
        scores: That a query is any object at all.
        final_scores: That the whole caption means it too; None without the head.
        phrases: The phrases that are looked for.
        order: All queries, best first for each phrase.
        phrase_scores: That a query is a phrase: the sum over its tokens.
        absent_scores: The same for the phrases that name what is not there (`absent_phrases`).
        masks: Of every query, in the size of the image file; None without the head.
    """

    record: CaptionedImage
    boxes_xyxy_px: Float[np.ndarray, "q 4"]
    scores: Float[np.ndarray, " q"]
    final_scores: Float[np.ndarray, " q"] | None
    phrases: tuple[EvaluatedPhrase, ...]
    order: Int[np.ndarray, "p q"]
    phrase_scores: Float[np.ndarray, "p q"]
    absent_scores: Float[np.ndarray, "a q"]
    masks: rle.RleMasks | None

    def ranked(self, phrase: int) -> Float[np.ndarray, "q 4"]:
        """All boxes, best first for a phrase."""
        return np.asarray(self.boxes_xyxy_px[self.order[phrase]])


@torch.no_grad()
def predict_boxes(
    model: nn.Module,
    spec: GrounderSpec,
    tokenizer: Tokenizer,
    batches: Iterable[GroundingBatch],
    device: torch.device,
) -> dict[int, Predicted]:
    """Run the model over this rank's batches; the model is left as it was, in training or not.

    Returns:
        Predictions by the `image_id` of each pair.
    """
    found: dict[int, Predicted] = {}
    before = model.training
    model.eval()
    for batch in batches:
        for one in _predict_batch(model, spec, tokenizer, batch, device):
            found[one.record.image_id] = one
    model.train(before)
    return found


def of_all_ranks(mine: Mapping[int, Predicted]) -> dict[int, Predicted]:
    """Return the predictions of all ranks, on every rank, by ascending id."""
    parts: list[Mapping[int, Predicted]] = [mine] * dist.world_size()
    if dist.world_size() > 1:
        torch_dist.all_gather_object(parts, mine)
    together = {image: one for part in parts for image, one in part.items()}
    return dict(sorted(together.items()))


def evaluated_phrases(record: CaptionedImage) -> list[EvaluatedPhrase]:
    """Return the phrases of `tokens_positive_eval` with the boxes that share a character.

    Without that key every group of boxes with the same spans is a phrase. Boxes of no size stand
    for nothing. The types of phrases are those of `phrase_types`.
    """
    listed = record.more.get("tokens_positive_eval")
    if listed is None:
        listed = list(dict.fromkeys(r.spans for r in record.regions if r.spans))
    types = record.more.get("phrase_types") or [()] * len(listed)
    sized = sized_regions(record)
    phrases = []
    for spans, kinds in zip(listed, types, strict=True):
        wanted = tuple((int(b), int(e)) for b, e in spans)
        of_phrase = tuple(
            i
            for i in sized
            if any(
                b < end and begin < e for b, e in record.regions[i].spans for begin, end in wanted
            )
        )
        if of_phrase:
            boxes = true_boxes(record, of_phrase)
            phrases.append(EvaluatedPhrase(wanted, of_phrase, boxes, tuple(kinds)))
    return phrases


def absent_phrases(record: CaptionedImage) -> list[tuple[Span, ...]]:
    """Return the phrases that name what is not there, where the data say so.

    They are those of `tokens_positive_eval` without a box; in scenes those of `tokens_negative`,
    which in other data are all of the text; and of an expression of gRefCOCO that means nothing,
    or a category of LVIS that is not in the image, the phrase that a box would have.
    """
    name, caption = str(record.more.get("dataset_name")), record.caption
    if name == DATASET_NAME:
        return [((int(b), int(e)),) for b, e in record.more.get("tokens_negative", ())]
    if name.startswith("grefcoco") and not sized_regions(record):
        return [(root_phrase(caption),)]
    if name == "lvis" and not record.regions:
        return [((0, len(caption)),)]
    named = [span for region in record.regions for span in region.spans]
    listed = [[(int(b), int(e)) for b, e in p] for p in record.more.get("tokens_positive_eval", ())]
    return [
        tuple(phrase)
        for phrase in listed
        if not any(b < end and begin < e for b, e in named for begin, end in phrase)
    ]


def sized_regions(record: CaptionedImage) -> list[int]:
    """Return the places of the boxes that have a size; GREC's files say "none" by one without."""
    return [i for i, region in enumerate(record.regions) if min(region.box_xywh_px[2:]) > 0]


def true_boxes(record: CaptionedImage, chosen: Sequence[int]) -> Float[np.ndarray, "n 4"]:
    """Return annotated boxes as left, top, right, bottom."""
    rows = [record.regions[i].box_xywh_px for i in chosen]
    boxes = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _predict_batch(
    model: nn.Module,
    spec: GrounderSpec,
    tokenizer: Tokenizer,
    batch: GroundingBatch,
    device: torch.device,
) -> list[Predicted]:
    targets = token_targets(batch.captions, batch.spans, tokenizer, spec.num_classes)
    output: GroundingOutput | SegmentationOutput = model(
        normalize_padded(batch.images.to(device), batch.pad_mask.to(device)),
        batch.pad_mask.to(device),
        targets.tokens.ids.to(device),
        targets.tokens.pad_mask.to(device),
    )
    masks: list[rle.RleMasks | None] = [None] * len(batch.records)
    if isinstance(output, SegmentationOutput):
        masks = _masks(output.mask_logits, batch)
        output = output.grounding
    logits = naming_logits(output, spec, targets.tokens.pad_mask.to(device))
    boxes, sizes = output.boxes_cxcywh[-1], batch.sizes_hw_px.to(device)
    phrases = [evaluated_phrases(record) for record in batch.records]
    rows = [
        positive_rows([p.spans for p in of_image], offsets, spec.num_classes).to(device)
        for of_image, offsets in zip(phrases, targets.tokens.offsets, strict=True)
    ]
    counts = [len(row) for row in rows]
    absent = [
        positive_rows(absent_phrases(record), offsets, spec.num_classes).to(device)
        for record, offsets in zip(batch.records, targets.tokens.offsets, strict=True)
    ]
    order = rank_queries_by_phrase(logits, torch.cat(rows), counts)
    probs = logits.softmax(dim=-1)
    finals: list[np.ndarray | None] = [None] * len(batch.records)
    if output.is_final_logits is not None:
        finals = [*_array(detect(logits, boxes, sizes, output.is_final_logits[-1]).scores)]
    scores, boxes_px = map(_array, detect(logits, boxes, sizes))
    return [
        Predicted(
            record,
            boxes_px[i],
            scores[i],
            finals[i],
            tuple(phrases[i]),
            order[i].cpu().numpy(),
            _array(rows[i].to(probs) @ probs[i].T),
            _array(absent[i].to(probs) @ probs[i].T),
            masks[i],
        )
        for i, record in enumerate(batch.records)
    ]


def _masks(logits: Tensor, batch: GroundingBatch) -> list[rle.RleMasks | None]:
    """Every query's mask in the size of each image file."""
    inside = ~batch.pad_mask
    seen = [(int(one[:, 0].sum()), int(one[0].sum())) for one in inside]
    files = [(record.height_px, record.width_px) for record in batch.records]
    return [rle.encode(mask.cpu().numpy()) for mask in resize_masks(logits, seen, files)]


def _array(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()
