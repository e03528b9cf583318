"""What a grounding network finds on a data set: recall of phrases, precision of expressions.

Paper: MDETR (arXiv 2104.12763), section 4.1.
"""

from collections.abc import Hashable, Iterable
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as torch_dist
from torch import Tensor, nn

from eyespot import dist
from eyespot.data.annotations import CaptionedImage
from eyespot.data.grounding import GroundingBatch, normalize_padded
from eyespot.data.token_targets import token_targets
from eyespot.data.tokens import Tokenizer
from eyespot.evals.coco_ap import CocoDetections, CocoTruths, coco_ap
from eyespot.evals.recall import PhraseTruth, phrase_recall
from eyespot.evals.referring import Found, Referred, only_single, referring_precision
from eyespot.models.grounder import GrounderSpec, naming_logits
from eyespot.models.masks import SegmentationOutput
from eyespot.models.mdetr import GroundingOutput
from eyespot.ops.detections import detect, rank_boxes_by_phrase
from eyespot.ops.spans import positive_rows

_KS = (1, 5, 10)


class Predictions(NamedTuple):
    """What one rank's images gave; an image is known by its annotation's id.

    Attributes:
        phrases: For each image, for each evaluated phrase, boxes in pixels, best first.
        phrase_truths: The boxes of each phrase.
        found: For each image, every query's score and box.
        referred: For each expression, the same with scores for "the whole text means this".
        truths: The annotated boxes of each image.
        expressions: The images whose text refers to single objects, and those objects.
    """

    phrases: dict[Hashable, list[np.ndarray]]
    phrase_truths: dict[Hashable, list[PhraseTruth]]
    found: dict[Hashable, Found]
    referred: dict[Hashable, Found]
    truths: dict[Hashable, np.ndarray]
    expressions: dict[Hashable, list[Referred]]


def evaluate_grounding(
    model: nn.Module,
    spec: GrounderSpec,
    tokenizer: Tokenizer,
    batches: Iterable[GroundingBatch],
    device: torch.device,
) -> dict[str, float]:
    """Return the metrics of a model on all ranks' batches together, in 0..1.

    R@k and merged R@k of the phrases in `tokens_positive_eval` (else of each box's own spans);
    P@k of referring expressions, for each data set, ranked by the is-final head too where there is
    one; class-agnostic AP and AP50 of everything that is named; `miss`, which is best when lowest:
    1 - R@1, or 1 - AP50 where no phrase is evaluated.
    """
    mine = predict_boxes(model, spec, tokenizer, batches, device)
    return metrics_of(_gathered(mine))


@torch.no_grad()
def predict_boxes(
    model: nn.Module,
    spec: GrounderSpec,
    tokenizer: Tokenizer,
    batches: Iterable[GroundingBatch],
    device: torch.device,
) -> Predictions:
    """Run the model over batches; the model is left as it was, in training or not."""
    result = Predictions({}, {}, {}, {}, {}, {})
    before = model.training
    model.eval()
    for batch in batches:
        _add_batch(result, model, spec, tokenizer, batch, device)
    model.train(before)
    return result


def metrics_of(predictions: Predictions) -> dict[str, float]:
    """Return the metrics of predictions; see `evaluate_grounding`."""
    metrics: dict[str, float] = {}
    truths = predictions.phrase_truths
    if any(truths.values()):
        merged = {image: [_hull(p) for p in phrases] for image, phrases in truths.items()}
        for prefix, wanted in (("", truths), ("merged_", merged)):
            recall = phrase_recall(predictions.phrases, wanted, ks=_KS)
            metrics |= {prefix + name: values["all"] for name, values in recall.items()}
    single = only_single(predictions.expressions)
    for dataset, precision in referring_precision(predictions.referred, single, ks=_KS).items():
        metrics |= {f"{dataset}_{name}": value for name, value in precision.items()}
    found = coco_ap(*_class_agnostic(predictions))
    metrics |= {"AP": found["AP"], "AP50": found["AP50"]}
    metrics["miss"] = 1 - metrics.get("R@1", metrics["AP50"])
    return metrics


def _add_batch(
    result: Predictions,
    model: nn.Module,
    spec: GrounderSpec,
    tokenizer: Tokenizer,
    batch: GroundingBatch,
    device: torch.device,
) -> None:
    targets = token_targets(batch.captions, batch.spans, tokenizer, spec.num_classes)
    output: GroundingOutput | SegmentationOutput = model(
        normalize_padded(batch.images.to(device), batch.pad_mask.to(device)),
        batch.pad_mask.to(device),
        targets.tokens.ids.to(device),
        targets.tokens.pad_mask.to(device),
    )
    if isinstance(output, SegmentationOutput):
        output = output.grounding
    phrases = [evaluated_phrases(record) for record in batch.records]
    rows = [
        positive_rows([p.spans for p in of_image], offsets, spec.num_classes)
        for of_image, offsets in zip(phrases, targets.tokens.offsets, strict=True)
    ]
    sizes = batch.sizes_hw_px.to(device)
    logits, boxes = naming_logits(output, spec, targets.tokens.pad_mask), output.boxes_cxcywh[-1]
    ranked = rank_boxes_by_phrase(
        logits, boxes, sizes, torch.cat(rows).to(device), [len(row) for row in rows]
    )
    final = None if output.is_final_logits is None else output.is_final_logits[-1]
    scores, boxes_px = detect(logits, boxes, sizes)
    final_scores = detect(logits, boxes, sizes, final).scores
    for i, record in enumerate(batch.records):
        image = record.image_id
        result.phrases[image] = [_array(of_phrase) for of_phrase in ranked[i]]
        result.phrase_truths[image] = [PhraseTruth(p.boxes_xyxy_px, ()) for p in phrases[i]]
        result.found[image] = Found(_array(scores[i]), _array(boxes_px[i]))
        result.truths[image] = _boxes(record, range(len(record.regions)))
        expression = _expression(record)
        if expression is not None:
            result.expressions[image] = expression
            result.referred[image] = Found(_array(final_scores[i]), _array(boxes_px[i]))


class EvaluatedPhrase(NamedTuple):
    """A phrase that is looked for, and its boxes in pixels of the image file."""

    spans: tuple[tuple[int, int], ...]
    boxes_xyxy_px: np.ndarray


def evaluated_phrases(record: CaptionedImage) -> list[EvaluatedPhrase]:
    """Return the phrases of `tokens_positive_eval` with the boxes that share a character.

    Without that key every group of boxes with the same spans is a phrase.
    """
    listed = record.more.get("tokens_positive_eval")
    if listed is None:
        listed = list(dict.fromkeys(r.spans for r in record.regions if r.spans))
    phrases = []
    for spans in listed:
        wanted = tuple((int(b), int(e)) for b, e in spans)
        of_phrase = [
            i
            for i, region in enumerate(record.regions)
            if any(b < end and begin < e for b, e in region.spans for begin, end in wanted)
        ]
        if of_phrase:
            phrases.append(EvaluatedPhrase(wanted, _boxes(record, of_phrase)))
    return phrases


def _expression(record: CaptionedImage) -> list[Referred] | None:
    """The boxes that a referring expression means; None if the text is no expression."""
    name = str(record.more.get("dataset_name", "expressions"))
    finals = [i for i, region in enumerate(record.regions) if region.is_final]
    if finals:
        return [Referred(box, name) for box in _boxes(record, finals)]
    if name.startswith(("refcoco", "refexp")):
        return [Referred(box, name) for box in _boxes(record, range(len(record.regions)))]
    return None


def _boxes(record: CaptionedImage, chosen: Iterable[int]) -> np.ndarray:
    rows = [record.regions[i].box_xywh_px for i in chosen]
    boxes = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _hull(truth: PhraseTruth) -> PhraseTruth:
    boxes = truth.boxes_xyxy_px
    around = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    return truth._replace(boxes_xyxy_px=around[None])


def _class_agnostic(predictions: Predictions) -> tuple[CocoTruths, CocoDetections]:
    """All boxes as one class, for average precision."""
    images = list(predictions.truths)
    number = {image: i for i, image in enumerate(images)}
    truths = [(number[i], box) for i in images for box in predictions.truths[i]]
    found = [
        (number[i], box, score)
        for i in images
        for score, box in zip(*predictions.found[i], strict=True)
    ]
    wanted = _xywh([box for _, box in truths])
    return (
        CocoTruths(
            np.array([i for i, _ in truths], np.int64),
            np.zeros(len(truths), np.int64),
            wanted,
            wanted[:, 2] * wanted[:, 3],
            np.zeros(len(truths), bool),
        ),
        CocoDetections(
            np.array([i for i, _, _ in found], np.int64),
            np.zeros(len(found), np.int64),
            _xywh([box for _, box, _ in found]),
            np.array([score for _, _, score in found], np.float64),
        ),
    )


def _xywh(boxes_xyxy: list[np.ndarray]) -> np.ndarray:
    boxes = np.array(boxes_xyxy, dtype=np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def _array(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()


def _gathered(mine: Predictions) -> Predictions:
    """The predictions of all ranks."""
    if dist.world_size() == 1:
        return mine
    parts: list[Predictions] = [mine] * dist.world_size()
    torch_dist.all_gather_object(parts, mine)
    together = Predictions({}, {}, {}, {}, {}, {})
    for part in parts:
        together.phrases.update(part.phrases)
        together.phrase_truths.update(part.phrase_truths)
        together.found.update(part.found)
        together.referred.update(part.referred)
        together.truths.update(part.truths)
        together.expressions.update(part.expressions)
    return together
