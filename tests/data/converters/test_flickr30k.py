import pytest

from eyespot.data.converters.flickr30k import from_flickr30k
from tests.data.converters.files import found, put

XML = """<annotation>
  <filename>36979.jpg</filename>
  <size><width>500</width><height>375</height><depth>3</depth></size>
  <object><name>11</name><bndbox>
    <xmin>11</xmin><ymin>21</ymin><xmax>111</xmax><ymax>221</ymax></bndbox></object>
  <object><name>12</name><name>14</name><bndbox>
    <xmin>201</xmin><ymin>51</ymin><xmax>301</xmax><ymax>151</ymax></bndbox></object>
  <object><name>12</name><bndbox>
    <xmin>321</xmin><ymin>61</ymin><xmax>421</xmax><ymax>161</ymax></bndbox></object>
  <object><name>13</name><scene>1</scene><nobndbox>1</nobndbox></object>
  <object><name>15</name><bndbox>
    <xmin>11</xmin><ymin>21</ymin><xmax>112</xmax><ymax>222</ymax></bndbox></object>
</annotation>
"""
SENTENCES = """[/EN#11/people A man] throws [/EN#12/other two balls] over [/EN#13/scene the grass] .
[/EN#15/people Someone] with [/EN#14/other/toys a ball] is [/EN#11/people a man] .
[/EN#0/notvisual Nobody] here .
"""


@pytest.fixture
def folder(tmp_path):
    put(tmp_path / "Annotations" / "36979.xml", XML)
    put(tmp_path / "Sentences" / "36979.txt", SENTENCES)
    put(tmp_path / "val.txt", "36979\n")
    return tmp_path


MAN, BALL, OTHER = (11, 21, 100, 200), (201, 51, 100, 100), (321, 61, 100, 100)


def test_boxes_apart(folder):
    pairs = list(from_flickr30k(folder, "val"))
    assert found(pairs) == [
        ("A man throws two balls over the grass .", [
            (MAN, ["A man"]), (BALL, ["two balls"]), (OTHER, ["two balls"]),
        ]),
        # the boxes of entities 15 and 11 are one object: the last of them stays, with both names
        ("Someone with a ball is a man .", [(MAN, ["Someone", "a man"]), (BALL, ["a ball"])]),
        ("Nobody here .", []),
    ]  # fmt: skip
    assert [pair.more["tokens_positive_eval"] for pair in pairs] == [
        [[[0, 5]], [[13, 22]]],
        [[[0, 7]], [[13, 19]], [[23, 28]]],
        [],
    ]
    assert [pair.more["phrase_types"] for pair in pairs] == [
        [["people"], ["other"]],
        [["people"], ["other", "toys"], ["people"]],
        [],
    ]
    assert pairs[1].more["sentence_id"] == 1
    assert pairs[1].more["original_img_id"] == 36979
    assert (pairs[0].file_name, pairs[0].height_px, pairs[0].width_px) == ("36979.jpg", 375, 500)


def test_boxes_merged(folder):
    (first, *_) = from_flickr30k(folder, "val", merged=True)
    assert found([first])[0][1] == [(MAN, ["A man"]), ((201, 51, 220, 110), ["two balls"])]


def test_what_is_missing_is_named(folder):
    with pytest.raises(ValueError, match=r"test.txt in .*, got no test.txt"):
        list(from_flickr30k(folder, "test"))
    (folder / "Sentences" / "36979.txt").unlink()
    with pytest.raises(ValueError, match="need the file .*Sentences/36979.txt"):
        list(from_flickr30k(folder, "val"))
