import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eyespot.data.annotations import CaptionedImage, Region, read_annotations
from eyespot.data.converters.pairs import (
    combine_pairs,
    list_names,
    mentions,
    one_line,
    read_json,
    read_names,
    write_pairs,
)
from tests.data.converters.files import found


def pair(caption, boxes, name="a.jpg", **more):
    regions = [
        Region(
            box, ((caption.index(word), caption.index(word) + len(word)),), 7.0, more={"word": word}
        )
        for word, box in boxes
    ]
    return CaptionedImage(0, name, 100, 200, caption, tuple(regions), {"dataset_name": "x", **more})


PAIRS = [
    pair("the red cup", [("red cup", (0, 0, 10, 10))], sentence_id=1),
    pair("a dog", [("dog", (50, 50, 10, 10))], name="b.jpg"),
    pair(
        "a spoon by a plate", [("spoon", (30, 0, 10, 10)), ("plate", (60, 0, 9, 9))], sentence_id=2
    ),
    pair("cup", [("cup", (1, 0, 10, 10))], sentence_id=3),
]


def test_captions_of_an_image_are_joined_with_their_boxes():
    joined = list(combine_pairs(PAIRS))
    assert found(joined) == [
        ("cup. a spoon by a plate.", [
            ((1, 0, 10, 10), ["cup"]), ((30, 0, 10, 10), ["spoon"]), ((60, 0, 9, 9), ["plate"]),
        ]),
        ("the red cup.", [((0, 0, 10, 10), ["red cup"])]),
        ("a dog.", [((50, 50, 10, 10), ["dog"])]),
    ]  # fmt: skip
    assert [[region.more["word"] for region in one.regions] for one in joined] == [
        ["cup", "spoon", "plate"], ["red cup"], ["dog"],
    ]  # fmt: skip
    assert joined[0].more == {"dataset_name": "x", "tokens_negative": [[0, 3], [5, 23]]}
    assert joined[1].more["sentence_id"] == 1


def test_what_is_written_is_numbered_and_checked(tmp_path):
    out = tmp_path / "new" / "out.json"
    written = write_pairs(PAIRS, out, without=["b.jpg"])
    assert written == (3, 1, 4, 1, [])
    read = read_annotations(out)
    assert [one.image_id for one in read] == [0, 1, 2]
    assert found(read) == found([PAIRS[0], *PAIRS[2:]])
    assert write_pairs(PAIRS, out, combine=True)[:3] == (3, 2, 5)
    outside = pair("a cup", [("cup", (300, 0, 5, 5))])
    assert [p.kind for p in write_pairs([outside], out).problems] == ["box outside the image"]


def test_nothing_to_write_and_foreign_records_are_explained(tmp_path):
    def broken():
        yield PAIRS[0]
        {}["bbox"]

    with pytest.raises(ValueError, match="need at least one image with a caption"):
        write_pairs(PAIRS, tmp_path / "o.json", without=["a.jpg", "b.jpg"])
    with pytest.raises(ValueError, match="got no 'bbox' after the pair of a.jpg"):
        write_pairs(broken(), tmp_path / "o.json")
    assert not (tmp_path / "o.json").exists()
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ValueError, match="need JSON, got .*bad.json"):
        read_json(tmp_path / "bad.json")
    with pytest.raises(ValueError, match="need the file .*gone.json, got none there"):
        read_json(tmp_path / "gone.json")


def test_names_to_leave_out(tmp_path):
    write_pairs(PAIRS, tmp_path / "a.json")
    assert read_names(tmp_path / "a.json") == ["a.jpg", "b.jpg"]
    (tmp_path / "a.txt").write_text("x.jpg\ny.jpg\n")
    assert read_names(tmp_path / "a.txt") == ["x.jpg", "y.jpg"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("dog", "A dog and two dogs, no hotdog", ["dog", "dogs"]),
        ("person", "People see a person", ["People", "person"]),
        ("bus", "Buses pass a bus stop", ["Buses", "bus"]),
        ("teddy bear", "teddy bears", ["teddy bears"]),
        ("berry", "berries", ["berries"]),
        ("fire woman", "fire women", ["fire women"]),
        ("c++", "c++ book", ["c++"]),
        ("cat", "a category", []),
    ],
)
def test_mentions(name, text, said):
    assert [text[begin:end] for begin, end in mentions(name, text)] == said


def test_listed_names_fit():
    assert list(list_names(["cat", "traffic light"])) == [
        ("cat. traffic light.", {"cat": (0, 3), "traffic light": (5, 18)})
    ]
    listed = list(list_names([f"name{i}" for i in range(20)], max_characters=40))
    assert all(len(text) <= 40 for text, _ in listed)
    assert [text[b:e] for text, spans in listed for b, e in spans.values()] == [
        f"name{i}" for i in range(20)
    ]


@given(st.text("ab \t\n", max_size=20))
def test_one_line_keeps_words_and_where_they_are(text):
    clean, moved = one_line(text)
    assert clean == " ".join(text.split())
    for place, char in enumerate(text):
        if not char.isspace():
            assert clean[moved(place)] == char
    assert json.dumps(moved(len(text))) == str(len(clean))
