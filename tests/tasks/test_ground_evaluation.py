"""Grounding metrics and results files, against hand oracles and the evaluators of each format."""

import json

import numpy as np
import pytest

from eyespot.data.annotations import (
    CaptionedImage,
    Region,
    read_annotations,
    write_annotations,
)
from eyespot.data.converters.flickr30k import from_flickr30k
from eyespot.data.converters.pairs import write_pairs
from eyespot.evals.coco_ap import coco_ap, coco_detections, coco_truths
from eyespot.evals.lvis_ap import lvis_fixed_ap, lvis_truths
from eyespot.ops import rle
from eyespot.tasks.ground_evaluation import expression_of, metrics_of
from eyespot.tasks.ground_masks import true_mask
from eyespot.tasks.ground_predictions import Predicted, absent_phrases, evaluated_phrases
from eyespot.tasks.ground_results import write_results
from tests.data.converters.files import put
from tests.data.converters.test_flickr30k import SENTENCES, XML
from tests.reference import read_json


def region(box, spans=((0, 3),), final=None, **more):
    return Region(tuple(map(float, box)), spans, float(box[2] * box[3]), False, final, more)


def predicted(record, boxes_xyxy, scores, *, by_phrase=None, absent=(), final=None, masks=None):
    """Predictions whose scores for each phrase are given, or those of any object."""
    scores, boxes = np.array(scores, float), np.array(boxes_xyxy, float).reshape(-1, 4)
    phrases = tuple(evaluated_phrases(record))
    rows = [scores] * len(phrases) if by_phrase is None else by_phrase
    of_phrase = np.array(rows, float).reshape(len(phrases), len(scores))
    return Predicted(
        record,
        boxes,
        scores,
        None if final is None else np.array(final, float),
        phrases,
        np.argsort(-of_phrase, axis=1, kind="stable"),
        of_phrase,
        np.array(absent, float).reshape(-1, len(scores)),
        None if masks is None else rle.encode(np.array(masks, bool)),
    )


def record(image_id, regions, caption="cup and a house", size=20, **more):
    return CaptionedImage(image_id, f"{image_id}.png", size, size, caption, tuple(regions), more)


def written(found, folder, expressions=None):
    write_results(found, folder, expressions=expressions or {})
    return {p.name: json.loads(p.read_text()) for p in folder.iterdir() if p.suffix == ".json"}


def test_phrases_count_any_box_and_the_box_around_all(tmp_path):
    """Two boxes of a phrase: one alone hits any-box; merged needs the hull."""
    two = [region((0, 0, 4, 4)), region((10, 10, 4, 4)), region((0, 10, 5, 5), ((10, 15),))]
    boxes = [[0, 0, 4, 4], [0, 0, 14, 14], [0, 10, 5, 15]]
    one = predicted(
        record(7, two, sentence_id=3, original_id="x"),
        boxes,
        [0.9, 0.8, 0.7],
        by_phrase=[[0.9, 0.5, 0.1], [0.0, 0.6, 0.5]],
    )
    found = metrics_of({7: one})
    assert (found["R@1"], found["R@5"]) == (0.5, 1.0)
    assert (found["merged_R@1"], found["merged_R@5"]) == (0.0, 1.0)
    assert found["miss"] == 0.5
    (row,) = written({7: one}, tmp_path)["phrases.json"]
    assert row["phrases"] == ["cup", "house"]
    assert (row["image_id"], row["sentence_id"], row["id"]) == ("x", 3, 7)
    assert row["boxes"] == [boxes, [boxes[1], boxes[2], boxes[0]]]


def test_recall_of_flickr30k_is_that_of_its_own_files(tmp_path):
    """Converted and evaluated, against hits counted by hand from the sentences and the XML."""
    put(tmp_path / "Annotations" / "36979.xml", XML)
    put(tmp_path / "Sentences" / "36979.txt", SENTENCES)
    put(tmp_path / "val.txt", "36979\n")
    write_pairs(from_flickr30k(tmp_path, "val"), tmp_path / "val.json")
    records = list(read_annotations(tmp_path / "val.json"))
    man, ball, far = [11, 21, 111, 221], [201, 51, 301, 151], [400, 300, 450, 350]
    # "A man" first, "two balls" second; "Someone" twelfth, "a ball" never, "a man" sixth
    many = [far] * 11
    found = {
        0: predicted(records[0], [man, ball], [0, 0], by_phrase=[[0.9, 0.1], [0.9, 0.1]]),
        1: predicted(
            records[1],
            [*many, man],
            [0] * 12,
            by_phrase=[[0.9] * 11 + [0.1], [0.9] * 12, [0.9] * 5 + [0.1] * 6 + [0.8]],
        ),
        2: predicted(records[2], [man], [0]),
    }
    metrics = metrics_of(found)
    assert [metrics[f"R@{k}"] for k in (1, 5, 10, "all")] == [1 / 5, 2 / 5, 3 / 5, 4 / 5]
    assert [metrics[f"people_R@{k}"] for k in (1, 5, 10, "all")] == [1 / 3, 1 / 3, 2 / 3, 1]
    assert [metrics[f"other_R@{k}"] for k in (1, 5, 10, "all")] == [0, 1 / 2, 1 / 2, 1 / 2]
    assert [metrics[f"toys_R@{k}"] for k in (1, 5, 10, "all")] == [0, 0, 0, 0]
    assert [metrics[f"merged_other_R@{k}"] for k in (1, "all")] == [0, 0]  # the hull is too wide
    assert metrics["merged_people_R@10"] == 2 / 3


def test_clevr_ref_is_also_counted_as_its_reference_does():
    """Only expressions that speak of nothing but their referent, by GIoU."""
    name = {"dataset_name": "clevrref"}
    right, wrong = [[0, 0, 10, 10]], [[1.8, 1.8, 11.8, 11.8]]  # IoU 0.506, GIoU 0.460
    alone = [region((0, 0, 10, 10), final=True)]
    told_by = [region((0, 0, 10, 10), final=True), region((12, 12, 4, 4), final=False)]
    found = {
        0: predicted(record(0, alone, **name), right, [0.9], final=[0.9]),
        1: predicted(record(1, alone, **name), wrong, [0.9], final=[0.9]),
        2: predicted(record(2, told_by, **name), right, [0.9], final=[0.9]),
        3: predicted(record(3, told_by, **name), right, [0.9], final=[0.9]),
    }
    metrics = metrics_of(found)
    assert metrics["clevrref_P@1"] == 1
    assert metrics["clevrref_giou_P@1"] == 3 / 4
    assert metrics["clevrref_one_box_giou_P@1"] == 1 / 2
    plain = record(0, [region((0, 0, 10, 10))], dataset_name="refcoco")
    assert not any("one_box" in name for name in metrics_of({0: predicted(plain, right, [0.9])}))


def test_expressions_by_iou_and_by_the_references_giou(tmp_path):
    """Shifted by 1.8 of 10 px: IoU 0.506 hits, GIoU 0.460 does not."""
    shifted = [[1.8, 1.8, 11.8, 11.8], [0, 0, 10, 10]]
    plain = record(0, [region((0, 0, 10, 10))], dataset_name="refcoco")
    final = record(
        1,
        [region((0, 0, 10, 10), final=True), region((12, 12, 4, 4), final=False)],
        dataset_name="clevr_ref+",
    )
    two = record(
        2, [region((0, 0, 9, 9), final=True), region((5, 5, 4, 4), final=True)], dataset_name="c"
    )
    found = {
        0: predicted(plain, shifted, [0.9, 0.8]),
        1: predicted(final, [*shifted, [12, 12, 16, 16]], [0.5, 0.6, 0.9], final=[0.4, 0.5, 0.1]),
        2: predicted(two, shifted, [0.9, 0.8], final=[0.1, 0.2]),
    }
    metrics = metrics_of(found)
    assert (metrics["refcoco_P@1"], metrics["refcoco_giou_P@1"]) == (1, 0)
    assert metrics["refcoco_giou_P@5"] == 1
    assert (metrics["clevr_ref+_P@1"], metrics["clevr_ref+_giou_P@1"]) == (1, 1)
    assert "c_P@1" not in metrics  # it refers to two
    scores = {i: np.array([0.1, 0.7]) for i in (0, 1) if expression_of(found[i].record)}
    first, second = written({i: found[i] for i in (0,)} | {1: found[0]}, tmp_path, scores)[
        "referring.json"
    ]
    assert first["boxes"] == shifted[::-1]
    assert first["scores"] == [0.7, 0.1]
    assert second["dataset_name"] == "refcoco"


def test_expressions_of_any_number_are_right_as_a_set(tmp_path):
    """Two of two, none of none, one of two, and one by IoU alone (shifted by 1.8 of 10 px)."""
    places = [(0, 0, 10, 10), (12, 0, 8, 8)]
    corners = [[x, y, x + w, y + h] for x, y, w, h in places]
    told = {"dataset_name": "grefcoco", "caption": "two cups"}
    meant = [
        [region(place) for place in places],
        [],
        [region(place) for place in places],
        [region(places[0])],
        [region((0, 0, 0, 0))],  # how the published script says none
    ]
    said = [
        (corners, [0.7, 0.9]),
        (corners, [0.69, 0.1]),
        (corners, [0.69, 0.9]),
        ([[1.8, 1.8, 11.8, 11.8]], [0.8]),
        (corners, [0.69, 0.71]),
    ]
    found = {
        i: predicted(record(i, regions, **told), boxes, scores)
        for i, (regions, (boxes, scores)) in enumerate(zip(meant, said, strict=True))
    }
    metrics = metrics_of(found)
    assert metrics["grefcoco_Pr@F1=1"] == 3 / 5
    assert metrics["grefcoco_giou_Pr@F1=1"] == 2 / 5
    assert (metrics["grefcoco_N-acc"], metrics["grefcoco_T-acc"]) == (1 / 2, 1)
    assert not found[4].phrases
    assert not any("P@" in name for name in metrics)  # no RefCOCO: that has one box each
    many = predicted(found[1].record, [corners[0]] * 12, np.linspace(0.71, 0.9, 12))
    rows = written({0: many}, tmp_path, {0: many.scores})["referring.json"]
    assert len(rows[0]["boxes"]) == 12


def test_the_best_threshold_is_of_what_is_shown(tmp_path):
    """Of "cup", 0.9 is right and 0.8 is the same box again, not shown; the house is not there."""
    one = record(0, [region((0, 0, 10, 10))], tokens_positive_eval=[[[0, 3]], [[10, 15]]])
    boxes = [[-15, 0, 10, 10], [0, 0, 10, 9], [0, 10, 9, 19]]  # the first is cut to the image
    assert absent_phrases(one) == [((10, 15),)]
    scores = {"by_phrase": [[0.9, 0.8, 0.3]], "absent": [[0.1, 0.2, 0.4]]}
    found = {0: predicted(one, boxes, [0.5, 0.5, 0.5], **scores)}
    metrics = metrics_of(found)
    assert metrics["best_min_score"] == pytest.approx(0.655)  # the middle of 0.405 to 0.9
    assert (metrics["best_precision"], metrics["best_recall"]) == (1, 1)
    assert metrics["absent_not_found"] == 1
    file = written(found, tmp_path)["scores.json"]
    assert file["best"] == {
        "min_score": pytest.approx(0.655),
        "precision": 1,
        "recall": 1,
        "f1": 1,
        "absent_not_found": 1,
    }
    assert len(file["curve"]) <= 200
    low = file["curve"][49]  # 0.25: "cup" has two boxes, "house" one
    assert low == {
        "min_score": 0.25,
        "precision": pytest.approx(1 / 3),
        "recall": 1,
        "f1": 0.5,
        "absent_not_found": 0,
    }
    there = predicted(record(0, [region((0, 0, 10, 10))]), boxes, [0.9, 0.8, 0.3])
    assert "absent_not_found" not in metrics_of({0: there})
    nothing = predicted(record(0, []), boxes, [0.9, 0.8, 0.3])
    assert "best_min_score" not in metrics_of({0: nothing})


def test_phrases_of_what_is_not_there():
    """Only where the data say so: elsewhere `tokens_negative` is all of the text."""
    cup = [region((0, 0, 4, 4))]
    negative = {"tokens_negative": [[10, 15]]}
    assert absent_phrases(record(0, cup, dataset_name="flickr", **negative)) == []
    assert absent_phrases(record(0, [], dataset_name="eyespot_scenes", **negative)) == [((10, 15),)]
    assert absent_phrases(record(0, cup, dataset_name="grefcoco")) == []
    none = record(0, [], caption="the cup on a house", dataset_name="grefcoco")
    assert absent_phrases(none) == [((0, 7),)]
    assert absent_phrases(record(0, [], caption="cup", dataset_name="lvis")) == [((0, 3),)]


def scattered(seed, image_id, *, masks=False):
    """A random image with boxes of three categories and predictions near them."""
    rng = np.random.default_rng(seed)
    spans = [((0, 3),), ((4, 9),), ((10, 15),)]
    regions, boxes = [], []
    for category in range(3):
        for _ in range(rng.integers(0, 3)):
            left, top = rng.integers(0, 20, 2)
            width, height = rng.integers(4, 12, 2)
            inside = np.zeros((1, 32, 32), bool)
            inside[0, top : top + height, left : left + width] = True
            more = {"segmentation": rle.to_coco(rle.encode(inside))[0]} if masks else {}
            box = (left, top, width, height)
            regions.append(region(box, spans[category], category_id=category + 5, **more))
            near = np.array([left, top, left + width, top + height]) + rng.normal(0, 0.8, 4)
            boxes.append(near)
    boxes += [np.array([0, 0, 5, 5.0])]
    one = record(image_id, regions, size=32, original_id=image_id + 100)
    drawn = np.zeros((len(boxes), 32, 32), bool)
    for mask, (left, top, right, bottom) in zip(drawn, np.array(boxes).round(), strict=True):
        mask[max(0, int(top)) : int(bottom), max(0, int(left)) : int(right)] = True
    count = len(evaluated_phrases(one))
    return predicted(
        one,
        boxes,
        rng.random(len(boxes)),
        by_phrase=rng.random((count, len(boxes))) if count else None,
        masks=drawn if masks else None,
    )


@pytest.mark.parametrize("masks", [False, True])
def test_average_precisions_are_those_of_the_written_files(tmp_path, masks):
    """The annotation file and the results file, scored by COCO's evaluator, give the metrics."""
    found = {i: scattered(i, i, masks=masks) for i in range(6)}
    metrics = metrics_of(found)
    files = written(found, tmp_path / "results")
    write_annotations([one.record for one in found.values()], tmp_path / "truth.json")
    dataset = json.loads((tmp_path / "truth.json").read_text())
    for row in dataset["annotations"]:
        row["category_id"] = 1
    truths = coco_truths(dataset, with_masks=masks)
    detections = coco_detections(files["detections.json"])
    assert metrics["AP"] == pytest.approx(coco_ap(truths, detections)["AP"], abs=1e-9)
    assert 0.05 < metrics["AP"] < 1
    if masks:
        of_masks = coco_ap(truths, detections, kind="masks")
        assert metrics["mask_AP"] == pytest.approx(of_masks["AP"], abs=1e-9)
    else:
        assert "mask_AP" not in metrics
    named = json.loads((tmp_path / "truth.json").read_text())
    for row in named["annotations"]:
        row["image_id"] += 100
    by_name = coco_ap(coco_truths(named), coco_detections(files["categories.json"]))
    assert metrics["category_AP"] == pytest.approx(by_name["AP"], abs=1e-9)


def test_lvis_scores_are_those_of_the_reference(tmp_path):
    """Its annotations, told as one text a category and image, predicted by the same boxes."""
    case = read_json("mdetr_vectors.json")["lvis_fixed_ap"]
    frequency = {c["id"]: c["frequency"] for c in case["categories"]}
    found = {}
    for image in case["images"]:
        rows = [r for r in case["annotations_xywh"] if r["image_id"] == image["id"]]
        for category in sorted({r["category_id"] for r in rows} | {*image["neg_category_ids"]}):
            one = record(
                len(found),
                [
                    Region(tuple(r["bbox"]), ((0, 3),), float(r["area"]))
                    for r in rows
                    if r["category_id"] == category
                ],
                caption="cup",
                size=1000,
                original_id=image["id"],
                category_id=category,
                frequency=frequency[category],
                not_exhaustive=category in image["not_exhaustive_category_ids"],
            )
            of_pair = [
                p
                for p in case["predictions_xyxy"]
                if (p["image_id"], p["category_id"]) == (image["id"], category)
            ]
            boxes = [box for p in of_pair for box in p["boxes"]]
            scores = [score for p in of_pair for score in p["scores"]]
            found[len(found)] = predicted(one, boxes, scores)
    metrics = metrics_of(found)
    expected = case["expected_topk10000"]
    for name in ("AP", "AP50", "APr", "APc", "APf"):
        assert metrics[f"lvis_{name}"] == pytest.approx(expected[name], rel=1e-4, abs=1e-5)
    results = coco_detections(written(found, tmp_path)["lvis.json"])
    dataset = {"annotations": case["annotations_xywh"]} | {
        key: case[key] for key in ("images", "categories")
    }
    again = lvis_fixed_ap(lvis_truths(dataset), results)
    assert metrics["lvis_AP"] == pytest.approx(again["AP"], abs=1e-3)  # boxes are rounded


def test_masks_of_a_phrase_are_scored_and_written_as_phrasecut_does(tmp_path):
    """A 6x4 rectangle, outline included; of three queries two score enough, one of them right."""
    polygon = [2, 3, 7, 3, 7, 6, 2, 6]
    one = record(
        4,
        [region((2, 3, 5, 3), segmentation=[polygon])],
        dataset_name="phrasecut",
        original_id=9,
        task_id="9__1",
    )
    truth = np.zeros((20, 20), bool)
    truth[3:7, 2:8] = True
    np.testing.assert_array_equal(true_mask(one), truth)
    masks = np.zeros((3, 20, 20), bool)
    masks[0, 3:7, 2:8] = True
    masks[1, 10:16, 10:12] = True
    masks[2] = True
    found = {4: predicted(one, [[2, 3, 8, 7], [10, 10, 12, 16], [0, 0, 20, 20]],
                          [0.8, 0.71, 0.7], masks=masks)}  # fmt: skip
    metrics = metrics_of(found)
    assert metrics["mean_iou"] == metrics["cum_iou"] == pytest.approx(24 / 36)
    assert (metrics["Pr@0.6"], metrics["Pr@0.7"]) == (1, 0)
    assert metrics["box_mean_iou"] == pytest.approx((4 * 2) / (5 * 3 + 1 * 5))
    assert metrics["box_Pr@0.5"] == 0
    written(found, tmp_path)
    stored = np.load(tmp_path / "phrasecut.npy", allow_pickle=True).item()[9]["9__1"]
    mask = np.unpackbits(stored["pred_mask"])[:400].reshape(20, 20)
    np.testing.assert_array_equal(mask, masks[0] | masks[1])
    assert stored["pred_boxlist"] == [[2, 3, 6, 4], [10, 10, 2, 6]]
    write_results({}, tmp_path, expressions={})
    assert not list(tmp_path.iterdir())  # nothing of an earlier evaluation stays


def test_an_expressions_mask_is_its_referents():
    """The mask of what is meant, not of what it is told by; ranked by the is-final head."""
    runs = [np.zeros((1, 20, 20), bool) for _ in range(2)]
    runs[0][0, :5], runs[1][0, 10:] = True, True
    regions = [
        region((0, y, 20, 5), final=final, segmentation=rle.to_coco(rle.encode(mask))[0])
        for y, final, mask in zip((0, 10), (True, False), runs, strict=True)
    ]
    found = {
        0: predicted(
            record(0, regions),
            [[0, 0, 20, 5], [0, 10, 20, 20]],
            [0.9, 0.95],
            final=[0.8, 0.1],
            masks=np.concatenate(runs),
        )
    }
    assert metrics_of(found)["mean_iou"] == 1
