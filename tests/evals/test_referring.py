import numpy as np
import pytest

from eyespot.evals.referring import Found, Referred, only_single, referring_precision
from tests.reference import read_json

CASE = read_json("mdetr_vectors.json")["refexp_eval"]


def corners(box_xywh):
    left, top, width, height = box_xywh
    return np.array([left, top, left + width, top + height], dtype=float)


def found(scores):
    return {
        int(i): Found(np.array(p[scores], dtype=float), np.array(p["boxes"], dtype=float))
        for i, p in CASE["predictions"].items()
    }


def truths():
    return {
        image["id"]: Referred(corners(box), image["dataset_name"])
        for image, box in zip(CASE["images"], CASE["gt_xywh"], strict=True)
    }


def test_reference_mode_matches_reference():
    result = referring_precision(found("scores"), truths(), criterion="giou")
    assert {k: list(v.values()) for k, v in result.items()} == {
        k: pytest.approx(v) for k, v in CASE["expected_precision_at_1_5_10"].items()
    }


def test_clevr_ref_skips_expressions_with_several_boxes():
    extra = CASE["clevrref_extra_gt"]
    boxes = {i: [t._replace(dataset="clevrref")] for i, t in truths().items()}
    boxes[extra["image_id"]].append(Referred(corners(extra["bbox_xywh"]), "clevrref"))
    single = only_single(boxes)
    assert extra["image_id"] not in single
    result = referring_precision(found("scores_refexp"), single, criterion="giou")
    expected = CASE["clevrref_expected_at_1_5_10_skipping_multi_box_images"]
    assert {k: list(v.values()) for k, v in result.items()} == {
        k: pytest.approx(v) for k, v in expected.items()
    }


def test_iou_hits_where_generalised_iou_does_not():
    wanted = {0: Referred(corners([0, 0, 10, 10]), "d")}
    diagonal = {0: Found(np.array([1.0]), corners([1.8, 1.6, 10, 10])[None])}
    # overlap 8.2 * 8.4 = 68.88, union 131.12: IoU 0.525; hull 136.88: GIoU 0.483
    assert referring_precision(diagonal, wanted)["d"]["P@1"] == 1
    assert referring_precision(diagonal, wanted, criterion="giou")["d"]["P@1"] == 0


def test_equal_scores_are_ordered_by_larger_coordinates():
    wanted = {0: Referred(corners([5, 5, 4, 4]), "d")}
    tie = {0: Found(np.ones(3), np.array([[5.0, 5, 9, 8], [5, 5, 9, 9], [0, 9, 20, 20]]))}
    assert referring_precision(tie, wanted, least_overlap=0.99)["d"]["P@1"] == 1


def test_a_missing_prediction_is_named():
    with pytest.raises(ValueError, match="got none for 0"):
        referring_precision({}, truths())
