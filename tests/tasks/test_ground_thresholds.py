"""The curve over scores is that of what a Grounder returns."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from eyespot.data.scene_captions import SceneCaptions
from eyespot.ops.boxes import box_iou
from eyespot.predict.grounder import Grounder
from eyespot.recipes.ground import scenes_small
from eyespot.tasks.ground import prepare
from eyespot.tasks.ground_predictions import true_boxes
from eyespot.tasks.run import Place, Run


def counted(grounder, source, min_score):
    """Boxes shown and right, annotated boxes, and absent phrases that are not found."""
    shown = right = wanted = 0
    quiet = []
    for index in range(len(source)):
        record = source.caption(index, 0)
        more = record.more
        spans = [tuple(span) for (span,) in more["tokens_positive_eval"]]
        absent = [tuple(span) for span in more["tokens_negative"]]
        found = grounder(
            source.image(index, record),
            record.caption,
            phrases=spans + absent,
            min_score=min_score,
        )
        for phrase in found.phrases:
            shown += len(phrase.scores)
            if phrase.span in absent:
                quiet.append(not len(phrase.scores))
                continue
            named = [i for i, region in enumerate(record.regions) if phrase.span in region.spans]
            truths = torch.from_numpy(true_boxes(record, named))
            iou = box_iou(torch.from_numpy(phrase.boxes_xyxy_px), truths)
            wanted += len(named)
            right += len({int(row.argmax()) for row in iou if row.max() >= 0.5})
    return shown, right, wanted, np.mean(quiet)


def test_the_curve_is_of_what_a_grounder_returns(tmp_path):
    recipe = replace(scenes_small(), start_from="scenes-small")
    changed = "scenes:val_count=12,absent=2"
    place = Place(torch.device("cpu"), "none", 0, None)
    begun = prepare(recipe, Run(out=tmp_path, data="scenes", val=changed), place)
    metrics = begun.evaluate(begun.job)
    file = json.loads((tmp_path / "results" / "scenes" / "scores.json").read_text())
    assert file["best"]["min_score"] == metrics["average_best_min_score"]
    source = SceneCaptions(replace(recipe.scenes, val_count=12, absent=2), "val")
    grounder = Grounder.from_pretrained("scenes-small")
    for row in (file["curve"][19], file["curve"][99], file["best"]):
        shown, right, wanted, quiet = counted(grounder, source, row["min_score"])
        assert row["precision"] == pytest.approx(right / shown)
        assert row["recall"] == pytest.approx(right / wanted)
        assert row["absent_not_found"] == pytest.approx(quiet)
        assert row["f1"] == pytest.approx(2 * right / (shown + wanted))
