import numpy as np
import pytest

from eyespot.evals import phrasecut
from tests.reference import read_json

CASE = read_json("mdetr_vectors.json")["phrasecut_eval"]
TASKS = CASE["tasks"]


def predicted(task):
    return np.array([list(row) for row in task["pred_mask_rows"]]) == "1"


def boxes_overlap(task):
    return phrasecut.box_overlap(task["pred_boxes_xywh"], task["gt_boxes_xywh"])


@pytest.mark.parametrize("task", TASKS, ids=range(len(TASKS)))
def test_each_task_matches_reference(task):
    found = phrasecut.polygon_overlap(predicted(task), task["gt_polygons"])
    assert found == (task["expected_mask_inter"], task["expected_mask_union"])
    both, either = boxes_overlap(task)
    assert both / either == pytest.approx(task["expected_box_iou"])


def test_scores_match_reference():
    expected = CASE["expected"]
    masks = [phrasecut.polygon_overlap(predicted(t), t["gt_polygons"]) for t in TASKS]
    scores = phrasecut.phrasecut_scores(masks)
    assert scores["mean_iou"] == pytest.approx(expected["mean_mask_iou"])
    assert scores["cum_iou"] == pytest.approx(expected["cum_mask_iou"])
    assert {k[3:]: v for k, v in scores.items() if k[:2] == "Pr"} == pytest.approx(expected["pr"])
    boxes = phrasecut.phrasecut_scores([boxes_overlap(t) for t in TASKS])
    assert boxes["mean_iou"] == pytest.approx(expected["mean_box_iou"])
    assert {k[3:]: v for k, v in boxes.items() if k[:2] == "Pr"} == pytest.approx(
        expected["box_pr"]
    )


def test_an_iou_of_the_threshold_does_not_count():
    scores = phrasecut.phrasecut_scores([phrasecut.Overlap(1, 2), phrasecut.Overlap(3, 4)])
    assert scores["Pr@0.5"] == 0.5
    assert scores["mean_iou"] == 0.625
    assert scores["cum_iou"] == pytest.approx(4 / 6)


def test_nothing_there_and_nothing_found_scores_zero():
    assert phrasecut.phrasecut_scores([phrasecut.Overlap(0, 0)])["mean_iou"] == 0


def test_no_task_is_refused():
    with pytest.raises(ValueError, match="at least one task"):
        phrasecut.phrasecut_scores([])


def test_boxes_beyond_the_image_are_part_of_the_union():
    """By hand: pixels 1..3 of 1..3 in both directions, and 1..3 of 1..8."""
    both, either = phrasecut.box_overlap([[1, 1, 9.5, 4]], [[1, 1.9, 4, 3.2]])
    assert (both, either) == (3 * 3, 3 * 8)
    assert phrasecut.box_overlap([], [[1, 1, 4, 4]]) == (0, 9)
    assert phrasecut.box_overlap([], []) == (0, 0)
