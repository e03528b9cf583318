"""Few images of LVIS, against the published choice told anew, step by step."""

import collections
import json
import random

import pytest

from eyespot.cli import main
from eyespot.data.annotations import read_annotations
from eyespot.data.converters.lvis_subset import few_images
from tests.data.converters.files import put


def world(seed, *, num_images=400, num_categories=30):
    """Images with categories of very different frequency, some never exhaustively annotated."""
    rng = random.Random(seed)
    weights = [1 / (rank + 1) for rank in range(num_categories)]
    every = range(1, num_categories + 1)
    images, annotations = [], []
    for number in range(num_images):
        here = set(rng.choices(every, weights, k=rng.randint(1, 5)))
        if number < num_categories:
            here.add(number + 1)
        gone = sorted(set(rng.sample(every, 4)) - here)
        partly = sorted(c for c in here if c % 7 == 3 or rng.random() < 0.2)
        image = {"id": 1000 - number, "height": 9, "width": 9, "neg_category_ids": gone}
        image["coco_url"] = f"http://x/train2017/{number}.jpg"
        images.append(image | {"not_exhaustive_category_ids": partly})
        for category in sorted(here):
            rest = {"bbox": [0, 0, 5, 5], "area": 25.0, "segmentation": [[0, 0, 5, 0, 5, 5]]}
            row = {"id": len(annotations), "image_id": 1000 - number, "category_id": category}
            annotations += [row | rest] * rng.randint(1, 2)
    counts = collections.Counter(
        c for _, c in {(a["image_id"], a["category_id"]) for a in annotations}
    )
    categories = [
        {"id": c, "name": f"thing{c}", "frequency": "r", "image_count": counts[c]} for c in every
    ]
    rng.shuffle(categories)
    return {"images": images, "annotations": annotations, "categories": categories}


def told_anew(data, share):
    """The rule as it is written, without any bookkeeping: everything is counted at every step."""
    random.seed(42)
    partly = {i["id"]: i["not_exhaustive_category_ids"] for i in data["images"]}
    pairs = {(a["image_id"], a["category_id"]) for a in data["annotations"]}
    whole = {(i, c) for i, c in pairs if c not in partly[i]}
    whole |= {(i, c) for i, c in pairs if c not in {d for _, d in whole}}
    gone = {(i["id"], c) for i in data["images"] for c in i["neg_category_ids"]}
    rarity = {c["id"]: (c["image_count"], c["id"]) for c in data["categories"]}
    chosen = []
    for step in range(int(share * len(data["images"]))):
        relation = gone if step % 10 == 0 else whole
        covered = collections.Counter(c for i, c in relation if i in chosen)
        for category in sorted(rarity, key=lambda c: (covered[c], rarity[c])):
            free = sorted(i for i, c in relation if c == category and i not in chosen)
            if free:
                chosen.append(random.choice(free))
                break
    return set(chosen)


@pytest.mark.parametrize(("seed", "share"), [(0, 0.1), (1, 0.1), (2, 0.31), (3, 0.9)])
def test_the_images_are_those_of_the_published_rule(seed, share):
    data = world(seed)
    chosen = few_images(data, share)
    assert chosen == told_anew(data, share)
    assert len(chosen) == int(400 * share)
    there = {a["category_id"] for a in data["annotations"] if a["image_id"] in chosen}
    assert there == set(range(1, 31))


def test_all_images_and_too_few():
    data = world(0)
    assert few_images(data, 1.0) == {image["id"] for image in data["images"]}
    with pytest.raises(ValueError, match=r"need a share of the images in \(0, 1\], got 0"):
        few_images(data, 0.0)
    with pytest.raises(ValueError, match="need an image of every category, got none of 19 in 4 im"):
        few_images(data, 0.01)
    for image in data["images"]:
        image["neg_category_ids"] = []
    with pytest.raises(ValueError, match="need more images with categories"):
        few_images(data, 0.1)


def test_from_the_command_line(tmp_path):
    data = world(5)
    source = put(tmp_path / "lvis_v1_train.json", data)
    out = tmp_path / "lvis10_train.json"
    command = ["data", "convert", "lvis", "--annotations", str(source), "--out", str(out)]
    main([*command, "--share", "0.1"])
    read = read_annotations(out)
    assert {pair.more["original_id"] for pair in read} == told_anew(data, 0.1)
    part = few_images(json.loads(source.read_text()), 0.1)
    rows = [a for a in data["annotations"] if a["image_id"] in part]
    assert sum(len(pair.regions) for pair in read) == len(rows)
    with pytest.raises(SystemExit) as stop:
        main([*command, "--share", "2"])
    assert stop.value.code == 2
