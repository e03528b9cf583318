import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from eyespot.data.captions import (
    CaptionedBoxes,
    combine_captions,
    consolidate_spans,
    swap_left_right,
)
from eyespot.ops.boxes import box_iou, xyxy_to_xywh
from tests.reference import read_json

VECTORS = read_json("mdetr_vectors.json")
COMBINE = VECTORS["combine_captions"]
SPANS = VECTORS["consolidate_spans"]


def captioned(point):
    boxes = [a["box_xyxy"] for a in point["annotations"]]
    return CaptionedBoxes(
        point["caption"],
        torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4),
        [[tuple(s) for s in a["tokens_positive"]] for a in point["annotations"]],
    )


@pytest.mark.parametrize("case", SPANS, ids=range(len(SPANS)))
def test_consolidated_spans_match_reference(case):
    found = consolidate_spans(case["spans"], case["caption"])
    assert [list(s) for s in found] == case["expected"]


@given(
    st.text("ab ,", max_size=20),
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 22)), max_size=4),
)
def test_consolidated_spans_are_apart_and_begin_and_end_on_letters(caption, spans):
    found = consolidate_spans([(min(s), max(s)) for s in spans], caption)
    assert all(caption[b].isalnum() and caption[e - 1].isalnum() for b, e in found)
    assert all(b < e <= len(caption) for b, e in found)
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("caption", "span", "expected"),
    [
        ("a state-of-the-art t-shirt", (2, 7), (2, 18)),
        ("a semi-open/closed door", (2, 6), (2, 18)),
        ("a well-known (blue-green) car", (19, 24), (14, 24)),
        ("self- portrait", (0, 4), (0, 6)),
        ("blue-green-", (0, 4), (0, 11)),
    ],
)
def test_hyphenated_words_reach_to_the_next_space(caption, span, expected):
    """Expected: MDETR's own preparation (scripts/utils/spans.py, ea09acc), run on these."""
    assert consolidate_spans([span], caption) == [expected]


def test_parts_of_a_hyphenated_word_become_one_span():
    assert consolidate_spans([(4, 7), (8, 14)], "the red-haired woman") == [(4, 14)]


@pytest.mark.parametrize(("room", "texts"), [(22, 1), (21, 2)])
def test_a_text_has_room_for_the_captions_and_two_characters_more(room, texts):
    points = [CaptionedBoxes("ten letter", torch.zeros(0, 4), []) for _ in range(2)]
    assert len(combine_captions(points, max_characters=room)) == texts


def test_combined_captions_match_reference():
    joined = combine_captions(
        [captioned(p) for p in COMBINE["datapoints"]],
        max_characters=COMBINE["max_total"],
        max_iou=COMBINE["iou_threshold"],
    )
    assert len(joined) == len(COMBINE["expected"])
    for (captioned_boxes, sentences, _), expected in zip(joined, COMBINE["expected"], strict=True):
        text, boxes, spans = captioned_boxes
        assert text == expected["caption"]
        assert [list(s) for s in sentences] == expected["tokens_negative"]
        wanted = expected["annotations"]
        assert xyxy_to_xywh(boxes).tolist() == [a["bbox_xywh"] for a in wanted]
        assert [[list(s) for s in box] for box in spans] == [a["tokens_positive"] for a in wanted]


captions = st.lists(
    st.tuples(st.integers(3, 60), st.lists(st.integers(0, 6), max_size=2)), min_size=1, max_size=9
)


@given(captions)
def test_a_joined_text_names_no_box_twice_loses_nothing_and_fits(drawn):
    points = []
    for number, (length, places) in enumerate(drawn):
        name = f"n{number} " + "x" * (length - 3)
        boxes = torch.tensor([[4.0 * p, 0, 4.0 * p + 6, 5] for p in places]).reshape(-1, 4)
        points.append(CaptionedBoxes(name, boxes, [[(0, 2)] for _ in places]))
    joined = combine_captions(points, max_characters=80, max_iou=0.1)
    assert sorted(i for j in joined for i in j.members) == list(range(len(points)))
    for j in joined:
        names = [j.captioned.caption[b:e] for b, e in j.sentences]
        assert names == [points[i].caption.strip() for i in j.members]
    for text, boxes, spans in (j.captioned for j in joined):
        owner = [text[slice(*s[0])] for s in spans]
        overlap = box_iou(boxes, boxes) > 0.1
        for row, column in overlap.nonzero().tolist():
            assert owner[row] == owner[column]
    for j in joined:
        longest = sum(e - b for b, e in j.sentences)
        assert len(j.sentences) == 1 or longest <= 80


def test_left_and_right_swap_and_spans_follow():
    caption, spans = (
        "the left dog, right of a leftover",
        [[(4, 8)], [(14, 19), (0, 12)], [(23, 33)]],
    )
    swapped, moved = swap_left_right(caption, spans)
    assert swapped == "the right dog, left of a leftover"
    assert [[swapped[slice(*s)] for s in box] for box in moved] == [
        ["right"],
        ["left", "the right dog"],
        ["a leftover"],
    ]
    assert swap_left_right("the leftmost, a bright lefthander", [[(4, 12)]]) == (
        "the rightmost, a bright lefthander",
        [[(4, 13)]],
    )
    case = VECTORS["transforms"]
    assert (
        swap_left_right(case["crop"]["in"]["caption"], [])[0] == case["hflip"]["expected_caption"]
    )
