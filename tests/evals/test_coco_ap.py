import contextlib
import io

import numpy as np
import pytest

from eyespot.evals.coco_ap import coco_ap, coco_detections, coco_truths
from tests.reference import read_json

VECTORS = read_json("coco_ap.json")
CASES = VECTORS["cases"]


def check(dataset, results, expected, kind):
    truths = coco_truths(dataset, with_masks=kind == "masks")
    found = coco_ap(truths, coco_detections(results), kind=kind)
    assert list(found) == VECTORS["order"]
    np.testing.assert_allclose(list(found.values()), expected, rtol=0, atol=1e-12)


def made_up(seed, num_images, num_categories, *, ties, crowds):
    """Objects and detections near them; some on whole pixels, so that overlaps tie."""
    rng = np.random.default_rng(seed)
    annotations, results = [], []
    for image in range(1, num_images + 1):
        for _ in range(rng.integers(0, 8)):
            box = np.round(rng.uniform([0, 0, 5, 5], 200))
            category = int(rng.integers(num_categories))
            row = {"image_id": image, "category_id": category}
            area = float(box[2] * box[3] * rng.uniform(0.3, 1))
            crowd = int(rng.random() < crowds)
            extra = {"id": len(annotations) + 1, "area": area, "iscrowd": crowd}
            annotations.append({**row, **extra, "bbox": box.tolist()})
            for _ in range(rng.integers(0, 30)):
                near = np.maximum(np.round(box + rng.normal(0, 0.1, 4) * box[[2, 3, 2, 3]]), 1)
                score = round(rng.random(), 1 if ties else 9)
                wrong = int(rng.integers(num_categories + 1))
                guess = {**row, "category_id": wrong} if rng.random() < 0.2 else row
                results.append({**guess, "bbox": near.tolist(), "score": score})
    images = [{"id": i + 1, "height": 500, "width": 500} for i in range(num_images)]
    categories = [{"id": c} for c in range(num_categories + 1)]
    return {"images": images, "annotations": annotations, "categories": categories}, results


@pytest.mark.parametrize("kind", ["boxes", "masks"])
@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_twelve_numbers_equal_the_coco_api(case, kind):
    check(case["dataset"], case["results"], case[kind], kind)


@pytest.mark.parametrize("seed", range(8))
def test_twelve_numbers_equal_the_coco_api_on_more_boxes(seed):
    coco = pytest.importorskip("pycocotools.coco", reason="the oracle is an extra")
    from pycocotools.cocoeval import COCOeval

    dataset, results = made_up(seed, 12, 4, ties=bool(seed % 2), crowds=[0, 0.3][seed % 2])
    with contextlib.redirect_stdout(io.StringIO()):
        truths = coco.COCO()
        truths.dataset = {**dataset, "info": {}}
        truths.createIndex()
        oracle = COCOeval(truths, truths.loadRes([dict(r) for r in results]), "bbox")
        oracle.evaluate()
        oracle.accumulate()
        oracle.summarize()
    check(dataset, results, oracle.stats, "boxes")


def one_object(box, area, scores_and_boxes):
    dataset = {"annotations": [{"image_id": 1, "category_id": 1, "bbox": box, "area": area}]}
    rows = [{"image_id": 1, "category_id": 1, "score": s, "bbox": b} for s, b in scores_and_boxes]
    return coco_ap(coco_truths(dataset), coco_detections(rows))


def test_a_perfect_detection_scores_one_and_absent_sizes_minus_one():
    found = one_object([0, 0, 50, 50], 2500, [(0.9, [0, 0, 50, 50])])
    assert [found[name] for name in ("AP", "APm", "AR1")] == pytest.approx([1, 1, 1])
    assert found["APs"] == found["APl"] == found["ARs"] == -1.0


def test_a_better_scored_miss_halves_precision():
    found = one_object([0, 0, 50, 50], 2500, [(0.9, [60, 60, 50, 50]), (0.8, [0, 0, 50, 50])])
    assert found["AP"] == pytest.approx(0.5)
    assert found["AR1"] == 0.0
    assert found["AR10"] == 1.0


def test_an_overlap_of_exactly_the_threshold_matches():
    found = one_object([0, 0, 10, 10], 100, [(0.9, [0, 0, 10, 5])])
    assert found["AP50"] == pytest.approx(1)
    assert found["AP"] == pytest.approx(0.1)


def two_objects(first, second, second_is_crowd, found):
    rows = [
        {"image_id": 1, "category_id": 1, "bbox": b, "area": 100, "iscrowd": crowd}
        for b, crowd in ((first, 0), (second, second_is_crowd))
    ]
    results = [
        {"image_id": 1, "category_id": 1, "score": 1 - 0.1 * i, "bbox": b}
        for i, b in enumerate(found)
    ]
    return coco_ap(coco_truths({"annotations": rows}), coco_detections(results))


def test_of_two_equal_overlaps_the_later_object_is_taken():
    found = [1, 0, 10, 10], [-3, 0, 10, 10]  # between both objects; near the first only
    result = two_objects([0, 0, 10, 10], [2, 0, 10, 10], 0, found)
    assert result["AP50"] == pytest.approx(1)


def test_an_object_is_taken_before_a_crowd_that_overlaps_more():
    result = two_objects([0, 0, 10, 7], [0, 0, 10, 10], 1, [[0, 0, 10, 10]])
    assert result["AP50"] == pytest.approx(1)


def test_nothing_found_scores_zero_and_nothing_annotated_minus_one():
    assert one_object([0, 0, 5, 5], 25, [])["AP"] == 0.0
    empty = coco_ap(coco_truths({"annotations": []}), coco_detections([]))
    assert set(empty.values()) == {-1.0}


def test_masks_that_were_not_read_are_asked_for():
    case = CASES[0]
    with pytest.raises(ValueError, match="got none in the truths"):
        coco_ap(coco_truths(case["dataset"]), coco_detections(case["results"]), kind="masks")


def test_a_missing_box_is_taken_from_the_mask():
    case = CASES[0]
    rows = [{k: v for k, v in r.items() if k != "bbox"} for r in case["results"]]
    boxes = coco_detections(rows).boxes_xywh_px
    np.testing.assert_array_equal(boxes, [r["bbox"] for r in case["results"]])
