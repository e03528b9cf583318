import numpy as np
import pytest

from eyespot.evals.coco_ap import CocoDetections, coco_detections
from eyespot.evals.lvis_ap import lvis_fixed_ap, lvis_truths
from tests.reference import read_json

CASE = read_json("mdetr_vectors.json")["lvis_fixed_ap"]


def dataset(annotations=None, **changed):
    rows = CASE["annotations_xywh"] if annotations is None else annotations
    return {"annotations": rows, **{k: CASE[k] for k in ("images", "categories")}, **changed}


def detections():
    rows = []
    for found in CASE["predictions_xyxy"]:
        for score, (left, top, right, bottom) in zip(found["scores"], found["boxes"], strict=True):
            box = [left, top, right - left, bottom - top]
            keys = {k: found[k] for k in ("image_id", "category_id")}
            rows.append({**keys, "bbox": box, "score": score})
    return coco_detections(rows)


@pytest.mark.parametrize(
    ("limit", "name"), [(10_000, "expected_topk10000"), (5, "expected_topk5_per_category")]
)
def test_nine_numbers_match_reference(limit, name):
    found = lvis_fixed_ap(lvis_truths(dataset()), detections(), max_per_category=limit)
    assert list(found) == list(CASE[name])
    np.testing.assert_allclose(
        list(found.values()), list(CASE[name].values()), rtol=1e-4, atol=1e-5
    )


def test_order_of_images_in_the_file_does_not_matter():
    shuffled = dataset(images=CASE["images"][::-1], categories=CASE["categories"][::-1])
    assert lvis_fixed_ap(lvis_truths(shuffled), detections()) == lvis_fixed_ap(
        lvis_truths(dataset()), detections()
    )


def one_box(neg, not_exhaustive, scores_and_boxes):
    images = [
        {"id": 1, "neg_category_ids": [], "not_exhaustive_category_ids": []},
        {"id": 2, "neg_category_ids": neg, "not_exhaustive_category_ids": not_exhaustive},
    ]
    box = [0, 0, 50, 50]
    annotations = [{"image_id": 1, "category_id": 5, "bbox": box, "area": 2500}]
    if not_exhaustive:
        far = [400, 400, 50, 50]
        annotations.append({"image_id": 2, "category_id": 5, "bbox": far, "area": 2500})
    truths = lvis_truths(
        {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 5, "frequency": "r"}, {"id": 6, "frequency": "f"}],
        }
    )
    found = coco_detections(
        [{"image_id": i, "category_id": 5, "score": s, "bbox": b} for i, s, b in scores_and_boxes]
    )
    return lvis_fixed_ap(truths, found)


MISS_THEN_HIT = [(2, 0.9, [0, 0, 50, 50]), (1, 0.8, [0, 0, 50, 50])]


def test_a_miss_counts_only_where_the_category_was_looked_for():
    assert one_box([], [], MISS_THEN_HIT)["AP"] == pytest.approx(1)
    assert one_box([5], [], MISS_THEN_HIT)["AP"] == pytest.approx(0.5)


def test_a_miss_does_not_count_where_boxes_may_be_lacking():
    assert one_box([], [5], MISS_THEN_HIT)["AP"] == pytest.approx(51 / 101)


def test_frequencies_without_objects_are_undefined():
    found = one_box([], [], MISS_THEN_HIT)
    assert found["APr"] == pytest.approx(1)
    assert found["APf"] == found["APc"] == -1


def test_a_stranger_is_refused_with_its_id():
    found = detections()
    strange = CocoDetections(found.image_ids + 1000, *found[1:])
    first = found.image_ids[0] + 1000
    with pytest.raises(ValueError, match=f"got {first}, which it does not have"):
        lvis_fixed_ap(lvis_truths(dataset()), strange)
