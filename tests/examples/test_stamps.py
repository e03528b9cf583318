"""Scenes composed of stand-in stamps: what is written is what was pasted, and can be trained on."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eyespot.data.grounding_folders import read_split
from eyespot.ops import rle
from eyespot.predict.grounder import Grounder
from eyespot.recipes.ground import finetune_photographs, finetune_small
from eyespot.tasks.run import Run, train

SCRIPT = Path(__file__).parents[2] / "examples" / "stamps.py"
COLOURS = {"Frog": (0, 200, 0), "apple": (220, 0, 0), "whale": (0, 0, 220), "sun": (240, 220, 0)}


def stand_ins(folder):
    """Discs of one colour on nothing, and what must be left out; grey photographs."""
    stamps, photographs = folder / "stamps" / "animals", folder / "photographs"
    stamps.mkdir(parents=True)
    photographs.mkdir()
    y, x = np.mgrid[:60, :60]
    disc = 255 * ((x - 29.5) ** 2 + (y - 29.5) ** 2 < 625)
    for noun, colour in COLOURS.items():
        pixels = np.dstack([np.full((60, 60), value) for value in colour] + [disc])
        Image.fromarray(pixels.astype(np.uint8)).save(stamps / f"{noun}.png")
        article = "An" if noun == "apple" else "A"
        (stamps / f"{noun}.txt").write_text(f"{article} {noun}.\nde.utf8=Ein Ding.\n")
    for noun, text in (("two", "A red cup."), ("full", "A wall.")):
        Image.new("RGBA", (60, 60), "white").save(stamps / f"{noun}.png")
        (stamps / f"{noun}.txt").write_text(text)
    for i in range(8):
        Image.new("RGB", (90, 80), (90 + 5 * i,) * 3).save(photographs / f"{i}.png")
    return folder / "stamps", photographs


def compose(folder, out, **options):
    """Run the script as a user does."""
    stamps, photographs = folder / "stamps", folder / "photographs"
    numbers = {"count": 12, "val-count": 4, "size": 96, "seed": 3, **options}
    words = [word for name, value in numbers.items() for word in (f"--{name}", str(value))]
    subprocess.run(
        [sys.executable, SCRIPT, out, "--stamps", stamps, "--photographs", photographs, *words],
        check=True, capture_output=True, env=os.environ,
    )  # fmt: skip


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}


def test_boxes_masks_and_captions_are_those_of_what_was_pasted(tmp_path):
    stand_ins(tmp_path)
    compose(tmp_path, tmp_path / "a")
    instances = json.loads((tmp_path / "a" / "instances_train.json").read_text())
    names = {row["id"]: row["name"] for row in instances["categories"]}
    assert sorted(names.values()) == ["apple", "frog", "sun", "whale"]
    colours = {name.lower(): colour for name, colour in COLOURS.items()}
    for row in instances["annotations"]:
        picture = np.asarray(Image.open(tmp_path / f"a/images/train/{row['image_id']:05}.png"))
        mask = rle.decode(rle.from_coco([row["segmentation"]]))[0]
        x, y, width, height = row["bbox"]
        rows, columns = np.nonzero(mask)
        assert (columns.min(), rows.min()) == (x, y)
        assert (columns.max() + 1, rows.max() + 1) == (x + width, y + height)
        assert mask.sum() == row["area"]
        colour = np.array(colours[names[row["category_id"]]])
        shown = np.median(picture[mask], axis=0)  # brightened by 0.8 to 1.2
        assert np.all(np.abs(shown - np.clip(colour, 0, 255)) <= 0.2 * colour + 2)
    train_split, val = (read_split(tmp_path / "a", split) for split in ("train", "val"))
    assert (len(train_split.annotations), len(val.annotations), val.held_out) == (12, 4, False)
    for one in train_split.annotations:
        said = [one.caption[slice(*region.spans[0])] for region in one.regions]
        assert sorted(said) == sorted(name for name in colours if name in one.caption)


def test_relations_are_true_and_backgrounds_kept_apart(tmp_path):
    stand_ins(tmp_path)
    compose(tmp_path, tmp_path / "a", count=60)
    sides = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}
    seen = set()
    for one in read_split(tmp_path / "a", "train").annotations:
        boxes = {one.caption[slice(*r.spans[0])]: r.box_xywh_px for r in one.regions}
        for words, (axis, sign) in sides.items():
            if f" {words} " in one.caption:
                before, after = one.caption.split(f" {words} ")
                pair = boxes[before.split()[-1]], boxes[after.split(" and ")[0].split()[-1]]
                centres = [box[axis] + box[axis + 2] / 2 for box in pair]
                assert np.sign(centres[0] - centres[1]) == sign
                seen.add(words)
    assert seen == set(sides)

    def greys(split):
        paths = (tmp_path / "a" / "images" / split).glob("*.png")
        return {int(np.bincount(np.asarray(Image.open(p)).ravel()).argmax()) for p in paths}

    assert not greys("train") & greys("val")


def test_a_seed_gives_the_same_bytes(tmp_path):
    stand_ins(tmp_path)
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        compose(tmp_path, tmp_path / name, seed=seed, count=3)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert files(tmp_path / "a") != files(tmp_path / "c")


@pytest.mark.slow
@pytest.mark.parametrize("make", [finetune_small, finetune_photographs])
def test_the_folder_is_trained_on_by_one_command(make, tmp_path):
    """Four discs: the loss falls, and the weights name phrases."""
    stand_ins(tmp_path)
    compose(tmp_path, tmp_path / "a", count=24)
    recipe = make()
    small = replace(recipe.network, short_side_px=96)
    recipe = replace(recipe, network=small, epochs=30, batch_size=8, evaluate_every=30)
    outcome = train(recipe, Run(str(tmp_path / "a"), tmp_path / "run", workers=0))
    assert outcome.finished
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < 0.7 * losses[0]
    grounder = Grounder.from_pretrained(tmp_path / "run" / "weights.safetensors")
    picture = Image.open(tmp_path / "a" / "images" / "val" / "00000.png")
    assert grounder(picture, "the frog and the sun", min_score=0.0).phrases[1].text == "the sun"
