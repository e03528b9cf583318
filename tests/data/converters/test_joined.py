"""Several files joined, against the published algorithm told anew with exact numbers."""

import random
from dataclasses import replace
from fractions import Fraction

import pytest

from eyespot.cli import main
from eyespot.data.annotations import CaptionedImage, Region, read_annotations, write_annotations
from eyespot.data.converters.joined import from_files
from tests.data.converters.files import found, put

WORDS = [
    "red",
    "cup",
    "dog",
    "by",
    "the",
    "tall",
    "green",
    "house",
    "with",
    "windows",
    "sleeping",
    "under",
    "old",
    "tree",
]


def text_about(rng, boxes):
    """A caption whose first words name the boxes, one word each."""
    words = [rng.choice(WORDS) for _ in range(len(boxes) + rng.randint(1, 12))]
    text = " ".join(words) + rng.choice(["", ".", "?"])
    spans = [(len(" ".join([*words[:i], ""])), len(" ".join(words[: i + 1]))) for i in range(9)]
    return text, spans


def make_file(path, rng, name, images, shift):
    pairs = []
    for number in range(40):
        file_name, source = rng.choice(images)
        boxes = [
            tuple(float(rng.randint(0, 6) * 10) for _ in range(2))
            + tuple(float(rng.randint(2, 4) * 10) for _ in range(2))
            for _ in range(rng.randint(0, 3))
        ]
        caption, spans = text_about(rng, boxes)
        regions = tuple(
            Region(box, (span,), box[2] * box[3]) for box, span in zip(boxes, spans, strict=False)
        )
        more = {"dataset_name": name, "sentence_id": number + shift}
        if source:
            more["data_source"] = source
        pairs.append(CaptionedImage(number, file_name, 100, 200, caption, regions, more))
    write_annotations(pairs, path)
    return pairs


def iou(one, other):
    sides = []
    for axis in (0, 1):
        low = max(one[axis], other[axis])
        high = min(one[axis] + one[axis + 2], other[axis] + other[axis + 2])
        sides.append(max(0, Fraction(high) - Fraction(low)))
    both = sides[0] * sides[1]
    return both / (Fraction(one[2] * one[3]) + Fraction(other[2] * other[3]) - both)


def combined(pairs):
    """The published colouring: a list of texts, each the pairs it is made of."""
    boxes = [[region.box_xywh_px for region in pair.regions] for pair in pairs]
    near = {
        i: {
            j
            for j in range(len(pairs))
            if i != j and any(iou(a, b) > Fraction(1, 2) for a in boxes[i] for b in boxes[j])
        }
        for i in range(len(pairs))
    }
    colour, length, texts = {}, [], []
    for _, node in sorted(((len(near[i]), i) for i in near), reverse=True):
        taken = {colour[other] for other in near[node] if other in colour}
        size = len(pairs[node].caption)
        free = [c for c in range(len(texts)) if c not in taken and length[c] + size + 2 <= 250]
        if not free:
            length.append(0)
            texts.append([])
        chosen = free[0] if free else len(texts) - 1
        colour[node] = chosen
        length[chosen] += size
        texts[chosen].append(pairs[node])
    return texts


def told(texts):
    """What a file says of them: the text, and each box with the words that name it."""
    rows = []
    for members in texts:
        parts = [p.caption + ("" if p.caption[-1] in ".?" else ".") for p in members]
        named = [
            (r.box_xywh_px, [p.caption[b:e] for b, e in r.spans])
            for p in members
            for r in p.regions
        ]
        rows.append((" ".join(parts), named))
    return rows


def test_the_texts_of_an_image_in_several_files_are_joined_as_published(tmp_path, capsys):
    rng = random.Random(3)
    images = [("1.jpg", "vg"), ("COCO_1.jpg", "coco")]
    files = [tmp_path / f"{name}.json" for name in ("refcoco", "vg", "gqa")]
    pairs = make_file(files[0], rng, "refcoco", [("COCO_1.jpg", None), ("COCO_2.jpg", None)], 0)
    for path in files[1:]:
        pairs += make_file(path, rng, path.stem, images, 100)
    out = tmp_path / "mixed.json"
    main(
        [
            "data",
            "convert",
            "join",
            "--annotations",
            *map(str, files),
            "--combine",
            "--out",
            str(out),
        ]
    )
    groups = {}
    for pair in pairs:
        groups.setdefault(pair.file_name, []).append(pair)
    texts = [members for group in groups.values() for members in combined(group)]
    read = list(read_annotations(out))
    assert found(read) == told(texts)
    assert max(len(members) for members in texts) > 2
    assert len(texts) < len(pairs) / 2
    for pair, members in zip(read, texts, strict=True):
        names = {member.more["dataset_name"] for member in members}
        assert pair.more["dataset_name"] == (names.pop() if len(names) == 1 else "mixed")
        source = {"1.jpg": "vg", "COCO_1.jpg": "coco", "COCO_2.jpg": None}[pair.file_name]
        assert pair.more.get("data_source") == source
    assert f"{len(texts)} captions of 3 images" in capsys.readouterr().out


def one(name, source=None, width=200, **more):
    more |= {"data_source": source} if source else {}
    region = Region((0, 0, 9, 9), ((0, 5),), 81.0)
    return CaptionedImage(0, name, 100, width, "a cup", (region,), more)


def test_images_are_told_apart_by_their_source(tmp_path):
    second = replace(one("2.jpg"), image_id=1)
    write_annotations([one("1.jpg", "vg"), second], tmp_path / "a.json")
    write_annotations([one("1.jpg", "flickr", width=90)], tmp_path / "b.json")
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    pairs = list(from_files(files))
    assert [pair.more.get("data_source") for pair in pairs] == ["vg", None, "flickr"]
    write_annotations([one("1.jpg", width=90)], tmp_path / "b.json")
    with pytest.raises(ValueError, match="need one size of the image 1.jpg, got 200x100 before"):
        list(from_files(files))
    files[0].write_text("{}")
    with pytest.raises(ValueError, match=r"got no annotations in it: .*a.json"):
        list(from_files(files))
    put(files[0], {"images": [], "annotations": [{"image_id": 1}]})
    with pytest.raises(ValueError, match=r"got no 'bbox' in .*: .*a.json"):
        list(from_files(files))


def test_what_counts_characters_does_not_outlive_a_join(tmp_path):
    first = one("1.jpg", tokens_positive_eval=[[[0, 5]]], phrase_types=[["other"]])
    far = replace(first.regions[0], box_xywh_px=(50, 50, 9, 9))
    write_annotations([first, replace(first, image_id=1, regions=(far,))], tmp_path / "a.json")
    out = tmp_path / "o.json"
    main(["data", "convert", "join", "--annotations", str(tmp_path / "a.json"), "--out", str(out)])
    assert [pair.more for pair in read_annotations(out)] == [first.more] * 2
    again = tmp_path / "combined.json"
    command = ["data", "convert", "join", "--annotations", str(out), "--out", str(again)]
    main([*command, "--combine"])
    (joined,) = read_annotations(again)
    assert joined.caption == "a cup. a cup."
    assert joined.more == {"tokens_negative": [[0, 5], [7, 12]]}
