import re

import pytest

from eyespot.data.converters.yolo import from_yolo
from tests.data.converters.files import found, put
from tests.data.pictures import encode, noise_picture

DATA = """
path: .  # of the set
train: images/train
val: [images/val]
test: lists/test.txt
names:
  0: person
  1: traffic_light
  7: bow_(weapon)
"""


def picture(path, width, height, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = "JPEG" if path.suffix == ".jpg" else "PNG"
    path.write_bytes(encode(noise_picture(height, width), kind, **options))


@pytest.fixture
def data(tmp_path):
    picture(tmp_path / "images" / "train" / "b.png", 160, 80)
    picture(tmp_path / "images" / "train" / "deep" / "c.jpg", 160, 80)
    picture(tmp_path / "images" / "train" / "nothing.png", 8, 8)
    picture(tmp_path / "images" / "val" / "a.png", 10, 20)
    put(
        tmp_path / "labels" / "train" / "b.txt",
        "1 0.5 0.5 0.25 0.5\n\n0 0.125 0.25 0.375 0.25 0.25 0.75\n1 0 1 0.125 0.25\n",
    )
    put(tmp_path / "labels" / "train" / "deep" / "c.txt", "7.0 0.5 0.5 1 1\n")
    put(tmp_path / "labels" / "train" / "nothing.txt", "\n")
    put(tmp_path / "labels" / "val" / "a.txt", "0 0.5 0.25 0.2 0.1\r\n")
    put(tmp_path / "lists" / "test.txt", "images/val/a.png\n\n../images/train/b.png\n")
    put(tmp_path / "images" / "train" / "._b.png", "what another system leaves")
    return put(tmp_path / "data.yaml", DATA)


def test_rows_and_outlines_become_boxes_in_pixels(data):
    pairs = list(from_yolo(data))
    assert found(pairs) == [
        ("person. traffic light.", [
            ((60, 20, 40, 40), ["traffic light"]),  # 80 - 40/2, 40 - 40/2
            ((20, 20, 40, 40), ["person"]),  # x from 20 to 60, y from 20 to 60
            ((-10, 70, 20, 20), ["traffic light"]),  # over the edge: stays
        ]),
        ("bow.", [((0, 0, 160, 80), ["bow"])]),
    ]  # fmt: skip
    first = pairs[0]
    assert [pair.file_name for pair in pairs] == ["images/train/b.png", "images/train/deep/c.jpg"]
    assert (first.height_px, first.width_px) == (80, 160)
    assert first.more == {"dataset_name": "yolo"}
    assert [region.more["category_id"] for region in first.regions] == [1, 0, 1]


def test_lists_of_folders_and_of_files(data):
    ((caption, ((box, _),)),) = found(from_yolo(data, "val"))
    assert caption == "person."
    assert box == pytest.approx((4, 4, 2, 2))
    names = [pair.file_name for pair in from_yolo(data, "test")]
    assert names == ["images/val/a.png", "images/train/b.png"]


def test_exporters_folders_are_found(tmp_path):
    """Names as a list, images below the split, "../" from a folder below, a path of elsewhere."""
    picture(tmp_path / "train" / "images" / "a.b.jpg", 64, 32)
    put(tmp_path / "train" / "labels" / "a.b.txt", "\ufeff0 0.5 0.5 0.5 0.5")
    text = "path: /content/gone\ntrain: ../train/images\nnames: [dog]\nnc: 1\n"
    (pair,) = from_yolo(put(tmp_path / "data.yaml", text))
    assert pair.file_name == "train/images/a.b.jpg"
    assert found([pair]) == [("dog.", [((16, 8, 32, 16), ["dog"])])]


def test_images_outside_the_root_and_labels_beside_them(tmp_path):
    picture(tmp_path / "shots" / "a.png", 64, 32)
    put(tmp_path / "shots" / "a.txt", "0 0.5 0.5 0.5 0.5")
    text = f"train: {tmp_path / 'shots'}\nnames: [dog]\n"
    (pair,) = from_yolo(put(tmp_path / "set" / "data.yaml", text))
    assert pair.file_name == str(tmp_path / "shots" / "a.png")


def test_a_jpeg_counts_as_it_is_seen(data):
    """Stored lying on its side: 160 x 80, seen as 80 x 160."""
    from PIL import Image

    path = data.parent / "images" / "train" / "deep" / "c.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(path) as image:
        image.save(path, exif=exif, icc_profile=bytes(300_000))  # the size is far behind
    put(data.parent / "labels" / "train" / "deep" / "c.txt", "7 0.5 0.5 0.5 0.25")
    _, pair = from_yolo(data)
    assert (pair.width_px, pair.height_px) == (80, 160)
    assert found([pair]) == [("bow.", [((20, 60, 40, 40), ["bow"])])]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("2 0.5 0.5 0.1 0.1", "need a class of the 3 names, 0 to 7, got 2"),
        ("-1 0.5 0.5 0.1 0.1", "got -1"),
        ("0.5 0.5 0.5 0.1 0.1", "got 0.5"),
        ("0 0.5 0.5 0.1", "need a class and four numbers, or .* got 4 numbers"),
        ("0 0.5 0.5 0.1 0.1 0.9", "got 6 numbers"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "got 8 numbers"),
        ("person 0.5 0.5 0.1 0.1", "need numbers, got 'person 0.5 0.5 0.1 0.1'"),
        ("0 80 40 10 10", "which is outside the image; are these pixels?"),
        ("0 nan 0.5 0.1 0.1", "need shares of the image's sides"),
        ("0 0.5 0.5 0 0.1", "need a box of some width and height, got 0 x 8"),
        ("0 1.01 0.5 0.01 0.1", r"need a box inside the image of 160x80 pixels"),
    ],
)
def test_a_wrong_row_is_named_with_its_line(data, row, sentence):
    path = put(data.parent / "labels" / "train" / "b.txt", f"1 0.5 0.5 0.25 0.5\n\n{row}\n")
    with pytest.raises(ValueError, match=f"{sentence}.*line 3 of {re.escape(str(path))}$"):
        list(from_yolo(data))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "train: images/train",
            "",
            "need the key 'train' in .*data.yaml, got path, val, test, names",
        ),
        (DATA[DATA.index("names") :], "", "need the key 'names' in .*data.yaml"),
        ("images/train", "images/gone", "need a folder of images or a .txt list for images/gone"),
        ("  0: person", "  0: yes", "got 0: True in the names of .*data.yaml"),
        ("  0: person", "  a: person", "got 'a': 'person' in the names of"),
        ("  0: person", "  0: ' '", "got 0: ' ' in the names of"),
        ("names:", "kpt_shape: [17, 3]\nnames:", "got key points"),
        ("names:", "names: x\nmore:", "need a list of names or numbers with names in .*, got 'x'"),
        (DATA, "[]", r"need keys such as train and names in .*data.yaml, got \[\]"),
        (DATA, "a: [", "need a data set file of YAML, got .*data.yaml"),
    ],
)
def test_a_wrong_data_yaml_is_explained(data, old, new, sentence):
    put(data, DATA.replace(old, new))
    with pytest.raises(ValueError, match=sentence):
        list(from_yolo(data))


def test_what_is_missing_is_named(data):
    put(data.parent / "lists" / "test.txt", "images/val/a.png\nimages/gone.png\n")
    with pytest.raises(ValueError, match=r"need the image .*gone.png, got none .* line 2 of .*txt"):
        list(from_yolo(data, "test"))
    put(data.parent / "lists" / "test.txt", "\n")
    with pytest.raises(
        ValueError, match="need at least one image in lists/test.txt of .*data.yaml"
    ):
        list(from_yolo(data, "test"))
    put(data.parent / "images" / "val" / "a.png", "no picture")
    with pytest.raises(ValueError, match=r"val/a.png: need an image of format"):
        list(from_yolo(data, "val"))
    put(data, DATA.replace("images/train", "labels/val"))
    with pytest.raises(ValueError, match="need at least one image .* got none in .*labels/val"):
        list(from_yolo(data))
    (data.parent / "labels" / "val" / "a.txt").unlink()
    with pytest.raises(ValueError, match="need labels such as .*labels/val/a.txt for the 1 images"):
        list(from_yolo(data, "val"))
    with pytest.raises(ValueError, match="need the file .*none.yaml, got none there"):
        list(from_yolo(data.with_name("none.yaml")))
