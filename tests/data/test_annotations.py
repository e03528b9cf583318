import json

import hypothesis.strategies as st
import pytest
from hypothesis import given

from eyespot.data.annotations import (
    CaptionedImage,
    GroundingAnnotations,
    PackedStrings,
    Region,
    parse_annotations,
    read_annotations,
    training_boxes,
    write_annotations,
)

numbers = st.floats(-1e6, 1e6, allow_nan=False)
spans = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=3).map(tuple)
more_of_region = st.sampled_from([{}, {"category_id": 3, "segmentation": [[1.5, 2.0]]}])
more_of_image = st.dictionaries(st.sampled_from(["dataset_name", "answer"]), st.text(max_size=3))
regions = st.tuples(
    st.tuples(numbers, numbers, numbers, numbers),
    spans,
    numbers,
    st.booleans(),
    st.sampled_from([None, True, False]),
    more_of_region,
)
images = st.tuples(
    st.integers(0, 2**40),
    st.text(max_size=8),
    st.integers(1, 9999),
    st.integers(1, 9999),
    st.text(max_size=12),
    st.lists(regions, max_size=3),
    more_of_image,
)


def built(rows):
    return [CaptionedImage(*r[:5], tuple(Region(*box) for box in r[5]), r[6]) for r in rows]


def image_of(*region_list, caption="a red ball", size=(100, 200)):
    return CaptionedImage(1, "a.jpg", *size, caption, region_list)


def region(*box, spans=((2, 5),), **fields):
    return Region(tuple(map(float, box)), spans, 1.0, **fields)


@given(st.lists(images, max_size=5))
def test_packing_loses_nothing(drawn):
    rows = built(drawn)
    packed = GroundingAnnotations(rows)
    assert list(packed) == rows
    assert packed[-2:] == rows[-2:]


@given(st.lists(images, max_size=4, unique_by=lambda image: image[0]))
def test_files_give_back_what_was_written(tmp_path_factory, drawn):
    rows = built(drawn)
    path = tmp_path_factory.mktemp("annotations") / "train.json"
    write_annotations(rows, path)
    assert list(read_annotations(path)) == rows
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as Windows' editors save it
    assert list(read_annotations(path)) == rows
    assert [p.name for p in path.parent.iterdir()] == ["train.json"]


def test_published_keys_are_read():
    dataset = {
        "images": [
            {
                "id": 4,
                "file_name": "x.jpg",
                "height": 5,
                "width": 6,
                "caption": "a b",
                "dataset_name": "clevr",
                "tokens_positive_eval": [[[0, 1]]],
            },
        ],
        "annotations": [
            {
                "id": 1,
                "image_id": 4,
                "bbox": [1, 2, 3, 4],
                "area": 12,
                "iscrowd": 0,
                "category_id": 1,
                "tokens": [[2, 3]],
                "isfinal": 1,
            },
        ],
    }
    (found,) = parse_annotations(json.loads(json.dumps(dataset)))
    assert found == CaptionedImage(
        4,
        "x.jpg",
        5,
        6,
        "a b",
        (Region((1.0, 2.0, 3.0, 4.0), ((2, 3),), 12.0, False, True, {"category_id": 1}),),
        {"dataset_name": "clevr", "tokens_positive_eval": [[[0, 1]]]},
    )


def test_a_box_of_several_images_is_refused():
    image = {"id": 7, "file_name": "1.jpg", "height": 9, "width": 9, "caption": "a cup"}
    box = {"id": 9, "image_id": 7, "bbox": [1, 2, 3, 4], "tokens_positive": [[0, 5]]}
    images = [image, image | {"caption": "a fork"}]
    with pytest.raises(ValueError, match="annotation 9 of image 7, which several are"):
        list(parse_annotations({"images": images, "annotations": [box]}))
    assert len(list(parse_annotations({"images": images, "annotations": []}))) == 2


def test_a_box_of_no_image_is_refused():
    rows = [{"id": 9, "image_id": 7, "bbox": [0, 0, 1, 1]}]
    with pytest.raises(ValueError, match="annotation 9 of image 7"):
        list(parse_annotations({"images": [], "annotations": rows}))


def test_training_boxes_are_clipped_and_whole():
    found = training_boxes(
        image_of(
            region(-10, 20, 60, 30),
            region(10, 10, 20, 20, is_crowd=True),
            region(250, 10, 20, 20),
            region(10, 10, 0, 20),
            region(-9, -9, 5, 5),
            region(150, 90, 100, 100, is_final=True),
        )
    )
    assert found.boxes_xyxy_px.tolist() == [[0, 20, 50, 50], [150, 90, 200, 100]]
    assert [r.is_final for r in found.regions] == [None, True]
    assert found.areas_px.tolist() == [1, 1]
    assert training_boxes(image_of()).boxes_xyxy_px.shape == (0, 4)


def test_packed_strings_refuse_an_index_out_of_range():
    packed = PackedStrings(["", "ü"])
    assert [packed[0], packed[-1]] == ["", "ü"]
    with pytest.raises(IndexError, match="got 2"):
        packed[2]


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        ("images", {"caption": 5}, "no file name and caption"),
        ("images", {"height": None}, "int"),
        ("annotations", {"bbox": "abc"}, "could not convert"),
        ("annotations", {"tokens_positive": 7}, "iterable"),
    ],
)
def test_a_broken_record_is_shown(place, change, message):
    image = {"id": 1, "file_name": "a.png", "height": 9, "width": 9, "caption": "a cat"}
    region = {"id": 1, "image_id": 1, "bbox": [0, 0, 5, 5], "tokens_positive": [[2, 5]]}
    data = {"images": [image], "annotations": [region]}
    assert next(iter(parse_annotations(data))).regions[0].spans == ((2, 5),)
    data[place][0] = data[place][0] | change
    with pytest.raises(ValueError, match=f"{message}.*eyespot data check FILE"):
        list(parse_annotations(data))
