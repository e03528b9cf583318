import re

import pytest

from eyespot.data.converters.voc import from_voc
from tests.data.converters.files import found, put

FIRST = """<annotation>
  <folder>VOC2007</folder>
  <filename>of elsewhere.jpg</filename>
  <size><width>353</width><height>500</height><depth>3</depth></size>
  <object>
    <name>person</name>
    <truncated>1</truncated>
    <difficult>0</difficult>
    <bndbox><xmin>8</xmin><ymin>12</ymin><xmax>352</xmax><ymax>498</ymax></bndbox>
    <part><name>head</name>
      <bndbox><xmin>9</xmin><ymin>13</ymin><xmax>20</xmax><ymax>30</ymax></bndbox></part>
  </object>
  <object>
    <name>dog</name>
    <difficult>1</difficult>
    <bndbox><ymin>1</ymin><xmin>1</xmin><xmax>353</xmax><ymax>1</ymax></bndbox>
  </object>
</annotation>
"""
SECOND = """<?xml version="1.0" encoding="UTF-8"?>
<annotation><size><width>20</width><height>10</height></size>
<object><name>garden_chair</name>
<bndbox><xmin>1.5</xmin><ymin>2</ymin><xmax>4</xmax><ymax>10</ymax></bndbox></object></annotation>
"""


@pytest.fixture
def folder(tmp_path):
    for name, ending, text in (("000001", ".jpg", FIRST), ("a 2", ".png", SECOND)):
        put(tmp_path / "Annotations" / f"{name}.xml", text)
        put(tmp_path / "JPEGImages" / f"{name}{ending}", "not opened")
    put(tmp_path / "ImageSets" / "Main" / "train.txt", "000001\na 2\n")
    put(tmp_path / "ImageSets" / "Main" / "val.txt", "a 2\r\n")
    put(tmp_path / "ImageSets" / "Main" / "dog_train.txt", "000001  1\n")
    return tmp_path


def test_corners_count_from_one_and_the_last_is_inside(folder):
    pairs = list(from_voc(folder))
    assert found(pairs) == [
        ("dog. person.", [
            ((7, 11, 345, 487), ["person"]),  # columns 8 to 352, rows 12 to 498, counted from 1
            ((0, 0, 353, 1), ["dog"]),  # the whole first row
        ]),
        ("garden chair.", [((0.5, 1, 3.5, 9), ["garden chair"])]),
    ]  # fmt: skip
    first = pairs[0]
    assert (first.file_name, first.height_px, first.width_px) == ("000001.jpg", 500, 353)
    assert first.more == {"dataset_name": "voc", "original_id": "000001"}
    assert [dict(region.more) for region in first.regions] == [
        {"difficult": 0, "category_id": 3},  # dog, garden chair, person
        {"difficult": 1, "category_id": 1},
    ]
    assert not any(region.is_crowd for region in first.regions)
    assert [pair.file_name for pair in from_voc(folder, "val")] == ["a 2.png"]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("  <size><width>353</width><height>500</height><depth>3</depth></size>", "",
         "need the size of the image, got none in {}"),
        ("<width>353</width>", "<width>0</width>", "got 0x500: line 4 of {}"),
        ("<width>353</width>", "", "need a number as width, got None: line 4 of {}"),
        ("<name>dog</name>", "", "need the name of an object, got none: line 13 of {}"),
        ("<ymax>1</ymax>", "<ymax>one</ymax>", "need a number as ymax, got 'one': line 16 of {}"),
        ("<ymax>1</ymax>", "<ymax>nan</ymax>", "need a number as ymax, got 'nan': line 16 of {}"),
        ("<ymax>1</ymax>", "<ymax>0</ymax>", "need a box of some width .* 353 x 0: line 13 of {}"),
        ("<ymin>1</ymin><xmin>1<", "<ymin>1</ymin><xmin>354<", "got 0 x 1: line 13 of {}"),
        ("<xmin>1</xmin><xmax>353<", "<xmin>354</xmin><xmax>360<",
         r"image of 353x500 pixels, got one from \(353, 0\) to \(360, 1\): line 13 of {}"),
        ("bndbox><ymin>1</ymin><xmin>1</xmin><xmax>353</xmax><ymax>1</ymax></bndbox",
         "box/", "need the bndbox of an object, got none: line 13 of {}"),
        ("</annotation>", "", "need XML without a DOCTYPE, got {}: no element found"),
        ("<annotation>", '<!DOCTYPE a [<!ENTITY b "c">]><annotation>', "{}: a DOCTYPE in line 1"),
        ("<annotation>", '<?xml version="1.0" encoding="x-y"?><annotation>', "{}: unknown encod"),
    ],
)  # fmt: skip
def test_wrong_xml_is_named_with_its_line(folder, old, new, sentence):
    assert old in FIRST
    path = put(folder / "Annotations" / "000001.xml", FIRST.replace(old, new, 1))
    with pytest.raises(ValueError, match=sentence.format(re.escape(str(path)))):
        list(from_voc(folder))


def test_what_is_missing_is_named(folder):
    with pytest.raises(ValueError, match=r"need the list .*test.txt, got train, val in .*Main"):
        list(from_voc(folder, "test"))
    (folder / "Annotations" / "a 2.xml").unlink()
    with pytest.raises(ValueError, match=r"need the file .*a 2.xml, .*: line 2 of .*train.txt"):
        list(from_voc(folder))
    (folder / "JPEGImages" / "a 2.png").unlink()
    with pytest.raises(ValueError, match=r"need the image .*a 2.jpg, .*: line 2 of .*train.txt"):
        list(from_voc(folder))
