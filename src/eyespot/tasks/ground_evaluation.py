"""How good a grounding network's predictions are, by every protocol that the data allow.

Paper: MDETR (arXiv 2104.12763), sections 4.1 to 4.3.
"""

from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from eyespot import dist
from eyespot.data.annotations import CaptionedImage
from eyespot.data.grounding import GroundingBatch
from eyespot.data.tokens import Tokenizer
from eyespot.evals.grec import grec_scores
from eyespot.evals.phrasecut import phrasecut_scores
from eyespot.evals.recall import PhraseTruth, phrase_recall
from eyespot.evals.referring import Criterion, Found, Referred, only_single, referring_precision
from eyespot.models.grounder import GrounderSpec
from eyespot.tasks.ground_average_precision import average_precisions
from eyespot.tasks.ground_masks import box_overlaps, mask_overlaps
from eyespot.tasks.ground_predictions import (
    Predicted,
    of_all_ranks,
    predict_boxes,
    sized_regions,
    true_boxes,
)
from eyespot.tasks.ground_results import write_results
from eyespot.tasks.ground_thresholds import threshold_metrics

_KS = (1, 5, 10)


def evaluate_grounding(
    model: nn.Module,
    spec: GrounderSpec,
    tokenizer: Tokenizer,
    batches: Iterable[GroundingBatch],
    device: torch.device,
    results: Path | None = None,
) -> dict[str, float]:
    """Return the metrics of a model on all ranks' batches together, in 0..1.

    What is reported depends on what the data say (`metrics_of`). Predictions are written to the
    folder `results`, if given, in the formats of the public evaluators (`ground_results`).
    """
    found = of_all_ranks(predict_boxes(model, spec, tokenizer, batches, device))
    if results is not None and dist.rank() == 0:
        expressions = {
            image: referring_scores(one)
            for image, one in found.items()
            if expression_of(one.record) is not None or set_meant(one.record) is not None
        }
        write_results(found, results, expressions=expressions)
    return metrics_of(found)


def metrics_of(found: Mapping[int, Predicted]) -> dict[str, float]:
    """Return the metrics of predictions.

    - R@k of the phrases in `tokens_positive_eval` (else of each box's own spans), R@all of all
      queries, and merged_R@k, where each phrase's boxes are replaced by the one around them
      (Flickr30k Entities); where `phrase_types` are known TYPE_R@k and merged_TYPE_R@k too.
    - P@k of referring expressions with one referent, for each data set, by IoU, and by GIoU as the
      published numbers were made; ranked by the is-final head too where there is one. Where other
      boxes than the referent's are annotated, one_box_giou_P@k counts only expressions without
      such, as the published evaluator of CLEVR-Ref+ does.
    - Pr@F1=1, N-acc and T-acc of expressions with any number of referents (gRefCOCO), likewise.
    - AP and AP50 of everything that is named, as one class; with categories, category_AP over
      those that each caption names; for LVIS its fixed AP.
    - best_min_score, the threshold for phrases' scores with the best F1, its best_precision and
      best_recall; absent_not_found of phrases that name what is not there (`ground_thresholds`).
    - With masks: mask_AP, and mean_iou, cum_iou, Pr@t of the union of what is found (PhraseCut).
    - For PhraseCut: box_mean_iou and box_Pr@t of the union of the boxes that are found.
    - miss, best when lowest: 1 - R@1, or 1 - AP50 where no phrase is evaluated.
    """
    metrics = _phrases(found)
    metrics |= _expressions(found)
    metrics |= _sets(found)
    metrics |= average_precisions(found)
    metrics |= threshold_metrics(found)
    overlaps = mask_overlaps(found)
    if overlaps:
        metrics |= phrasecut_scores(list(overlaps.values()))
    of_boxes = box_overlaps(found)
    if of_boxes:
        scores = phrasecut_scores(list(of_boxes.values()))
        metrics |= {f"box_{name}": value for name, value in scores.items() if name != "cum_iou"}
    metrics["miss"] = 1 - metrics.get("R@1", metrics["AP50"])
    return metrics


def expression_of(record: CaptionedImage) -> list[Referred] | None:
    """The boxes that a referring expression means; None if the text is no expression."""
    name = str(record.more.get("dataset_name", "expressions"))
    finals = [i for i, region in enumerate(record.regions) if region.is_final]
    if finals:
        return [Referred(box, name) for box in true_boxes(record, finals)]
    if name.startswith(("refcoco", "refexp")):
        every = range(len(record.regions))
        return [Referred(box, name) for box in true_boxes(record, every)]
    return None


def set_meant(record: CaptionedImage) -> np.ndarray | None:
    """The boxes that an expression of gRefCOCO means, which may be none; None for other texts."""
    if not str(record.more.get("dataset_name")).startswith("grefcoco"):
        return None
    return true_boxes(record, sized_regions(record))


def _phrases(found: Mapping[int, Predicted]) -> dict[str, float]:
    if not any(one.phrases for one in found.values()):
        return {}
    ranked = {i: [one.ranked(p) for p in range(len(one.phrases))] for i, one in found.items()}
    truths = {
        i: [PhraseTruth(p.boxes_xyxy_px, p.types) for p in one.phrases] for i, one in found.items()
    }
    merged = {image: [_hull(p) for p in phrases] for image, phrases in truths.items()}
    metrics: dict[str, float] = {}
    for prefix, wanted in (("", truths), ("merged_", merged)):
        recall = phrase_recall(ranked, wanted)  # type: ignore[arg-type]  # int is Hashable
        for name, values in recall.items():
            metrics[prefix + name] = values["all"]
            types = sorted(values.keys() - {"all"})
            metrics |= {f"{prefix}{one}_{name}": values[one] for one in types}
    return metrics


def _expressions(found: Mapping[int, Predicted]) -> dict[str, float]:
    expressions: dict[Hashable, list[Referred]] = {}
    ranked: dict[Hashable, Found] = {}
    lonely: set[Hashable] = set()
    told_by_others: set[str] = set()
    for image, one in found.items():
        meant = expression_of(one.record)
        if meant is not None:
            expressions[image] = meant
            ranked[image] = Found(referring_scores(one), one.boxes_xyxy_px)
            if len(one.record.regions) == 1:
                lonely.add(image)
            elif any(region.is_final is False for region in one.record.regions):
                told_by_others.add(meant[0].dataset)
    single = only_single(expressions)
    alone = {
        image: truth
        for image, truth in single.items()
        if image in lonely and truth.dataset in told_by_others
    }
    metrics: dict[str, float] = {}
    modes: tuple[tuple[Criterion, str, dict[Hashable, Referred]], ...] = (
        ("iou", "", single),
        ("giou", "giou_", single),
        ("giou", "one_box_giou_", alone),
    )
    for criterion, prefix, truths in modes:
        scores = referring_precision(ranked, truths, ks=_KS, criterion=criterion)
        for dataset, precision in scores.items():
            metrics |= {f"{dataset}_{prefix}{name}": value for name, value in precision.items()}
    return metrics


def _sets(found: Mapping[int, Predicted]) -> dict[str, float]:
    sets: dict[str, dict[Hashable, np.ndarray]] = {}
    ranked: dict[Hashable, Found] = {}
    for image, one in found.items():
        meant = set_meant(one.record)
        if meant is not None:
            sets.setdefault(str(one.record.more["dataset_name"]), {})[image] = meant
            ranked[image] = Found(referring_scores(one), one.boxes_xyxy_px)
    metrics: dict[str, float] = {}
    for dataset, truths in sets.items():
        scores = grec_scores(ranked, truths)
        by_giou = grec_scores(ranked, truths, criterion="giou")
        metrics |= {f"{dataset}_{name}": value for name, value in scores.items()}
        metrics[f"{dataset}_giou_Pr@F1=1"] = by_giou["Pr@F1=1"]
    return metrics


def referring_scores(one: Predicted) -> np.ndarray:
    """Scores that rank boxes for the whole text: objects, times final where that is known."""
    return one.scores if one.final_scores is None else one.final_scores


def _hull(truth: PhraseTruth) -> PhraseTruth:
    boxes = truth.boxes_xyxy_px
    around = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    return truth._replace(boxes_xyxy_px=around[None])
