import numpy as np
import pytest

from eyespot.evals import recall
from tests.reference import read_json

CASE = read_json("mdetr_vectors.json")["flickr_recall"]
IMAGES = CASE["images"]

XML = """<annotation><filename>1.jpg</filename>
<object><name>7</name><bndbox><xmin>11</xmin><ymin>21</ymin><xmax>31</xmax><ymax>41</ymax></bndbox></object>
<object><name>7</name><name>8</name>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>6</ymax></bndbox></object>
<object><name>9</name><scene>1</scene><nobndbox>0</nobndbox></object>
</annotation>"""


def boxes_of(image):
    return {k: np.array(v, dtype=float) for k, v in IMAGES[image]["boxes"].items()}


def truths(merged):
    return {
        (image, number): recall.phrase_truths(
            recall.parse_sentence(line)[1], boxes_of(image), merged=merged
        )
        for image, record in IMAGES.items()
        for number, line in enumerate(record["sents"])
    }


def predictions():
    return {
        (p["image_id"], p["sentence_id"]): [np.array(b) for b in p["boxes"]]
        for p in CASE["predictions"]
    }


def test_sentences_parse_as_reference():
    for image, sentences in CASE["parsed_phrases"].items():
        for line, expected in zip(IMAGES[image]["sents"], sentences, strict=True):
            plain, phrases = recall.parse_sentence(line)
            known = [p for p in phrases if p.entity_id in IMAGES[image]["boxes"]]
            found = [
                {
                    "phrase": p.text,
                    "id": p.entity_id,
                    "types": list(p.types),
                    "first_word_index": p.first_word,
                }
                for p in known
            ]
            assert found == (expected or [])
            assert "[" not in plain
            assert all(plain[slice(*p.span)] == p.text for p in phrases)
            assert all(plain.split()[p.first_word] == p.text.split()[0] for p in phrases)


@pytest.mark.parametrize(
    ("merged", "name"), [(False, "expected_any_box"), (True, "expected_merged_boxes")]
)
def test_recall_matches_reference(merged, name):
    found = recall.phrase_recall(predictions(), truths(merged), least_iou=CASE["iou_threshold"])
    for k, expected in CASE[name].items():
        row = found["R@all" if k == "-1" else f"R@{k}"]
        assert row == pytest.approx(expected, rel=1e-4)


def test_recall_is_the_share_of_phrases_hit_in_time():
    box = np.array([[0.0, 0, 10, 10]])
    miss = box + 100
    found = {0: [np.concatenate([miss] * n + [box]) for n in (0, 1, 5)], 1: [miss]}
    wanted = [recall.PhraseTruth(box, ("people",))] * 3
    other = [recall.PhraseTruth(box, ("people", "scene"))]
    result = recall.phrase_recall(found, {0: wanted, 1: other})
    assert [result[k]["all"] for k in ("R@1", "R@5", "R@10", "R@all")] == [0.25, 0.5, 0.75, 0.75]
    assert [result[k]["scene"] for k in ("R@1", "R@all")] == [0, 0]


def test_half_an_overlap_hits():
    wanted = {0: [recall.PhraseTruth(np.array([[0.0, 0, 10, 10]]), ())]}
    for height, hits in ((5.0, 1), (4.9, 0)):
        found = {0: [np.array([[0.0, 0, 10, height]])]}
        assert recall.phrase_recall(found, wanted)["R@1"]["all"] == hits


def test_a_sentence_that_was_not_predicted_is_named():
    incomplete = predictions()
    del incomplete["1002", 0]
    with pytest.raises(ValueError, match=r"2 phrases of sentence \('1002', 0\), got 0"):
        recall.phrase_recall(incomplete, truths(merged=False))


def test_boxes_are_as_the_file_has_them(tmp_path):
    path = tmp_path / "1.xml"
    path.write_text(XML)
    boxes = recall.read_entity_boxes(path)
    assert {k: v.tolist() for k, v in boxes.items()} == {
        "7": [[11, 21, 31, 41], [1, 1, 5, 6]],
        "8": [[1, 1, 5, 6]],
    }
