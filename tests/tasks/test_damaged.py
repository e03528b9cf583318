"""Damaged images: a measurement leaves them out, and looking at a run changes none of its lists."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image

from eyespot.design.scaling import stem_layers
from eyespot.design.spec_files import write_spec
from eyespot.design.specs import ViTSpec
from eyespot.tasks import run as running
from eyespot.tasks.backbone import Backbone
from eyespot.tasks.classify import Average, ClassifyRecipe
from eyespot.tasks.linear import LinearRecipe
from eyespot.tasks.optimization import OptimizerSettings, Schedule
from eyespot.tasks.pictures import Pictures
from eyespot.tasks.run import Run
from tests.data.pictures import smooth_picture
from tests.distributed import run_ranks


def folder_of(path, counts):
    """Images of two classes in splits; counts of each class and split."""
    for split, count in counts.items():
        for label, name in enumerate(("a", "b")):
            (path / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = smooth_picture(32, 32, seed=1000 * label + i + 500 * (split == "val"))
                Image.fromarray(pixels).save(path / split / name / f"{i:02}.png")
    return path


def spoil(path):
    path.write_bytes(path.read_bytes()[:60])


def recipe_of(tmp_path):
    path = tmp_path / "vit.json"
    write_spec(ViTSpec(32, 64, 1, 2, stem=stem_layers(32, 8), image_size=32, num_classes=2), path)
    return ClassifyRecipe(
        model=str(path),
        epochs=2,
        batch_size=8,
        optimizer=OptimizerSettings("sgd", lr=0.02),
        schedule=Schedule(warmup_epochs=0),
        pictures=Pictures(size_px=32, test_resize_px=32, view="crop"),
        average=Average("plain"),
        precise_bn=0,
        sync_bn=True,
        precision="float32",
        eval_batch_size=2,
    )


def lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def train_and_measure(recipe, data, out, val=""):
    torch.set_num_threads(1)
    run = Run(str(data), Path(out), val=val, workers=0, max_bad=0.2)
    return dict(running.train(recipe, run).metrics)


@pytest.fixture
def sets(tmp_path):
    """Six test images, of which the second is damaged; and the five others alone."""
    data = folder_of(tmp_path / "six", {"train": 8, "val": 3})
    shutil.copytree(data, tmp_path / "five")
    spoil(data / "val/a/01.png")
    (tmp_path / "five/val/a/01.png").unlink()
    return data, tmp_path / "five"


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_damaged_test_image_counts_nowhere(tmp_path, sets, ranks):
    """As if it were not there: the errors and losses of the set without it."""
    recipe, (six, five) = recipe_of(tmp_path), sets
    expected = train_and_measure(recipe, five, tmp_path / "without")
    if ranks == 1:
        found = train_and_measure(recipe, six, tmp_path / "with")
    else:
        found = run_ranks(train_and_measure, recipe, six, str(tmp_path / "with"), world_size=2)[0]
    assert found.pop("damaged") == found.pop("average_damaged") == 1
    assert found == pytest.approx(expected, rel=1e-4)
    assert expected["error"] in {20.0 * wrong for wrong in range(6)}
    listed = [entry for path in (tmp_path / "with").glob("quarantine*") for entry in lines(path)]
    (entry,) = listed  # once, though two networks were measured twice
    assert (entry["step"], entry["index"], entry["measured"]) == (1, 1, True)
    assert entry["name"].endswith("a/01.png")


def test_measuring_again_says_it_and_lists_nothing(tmp_path, sets):
    recipe, (six, five) = recipe_of(tmp_path), sets
    found = train_and_measure(recipe, six, tmp_path / "run")
    before = (tmp_path / "run/quarantine.jsonl").read_bytes()
    run = Run(str(six), tmp_path / "run", workers=0, max_bad=0.2)
    assert running.evaluate(recipe, run) == pytest.approx(found, rel=1e-6)
    other = running.evaluate(recipe, replace(run, val=str(five)))
    assert "damaged" not in other
    assert other["error"] == found["error"]
    assert (tmp_path / "run/quarantine.jsonl").read_bytes() == before


LINEAR = LinearRecipe(
    backbone=Backbone(model="RegNetY-200MF", size_px=32, resize_px=32),
    epochs=1,
    batch_size=8,
    schedule=Schedule("cosine", warmup_epochs=0),
    eval_batch_size=2,
)


@pytest.mark.parametrize("augment", [True, False])
def test_linear_evaluations_count_and_list_it_too(tmp_path, sets, augment):
    recipe = replace(LINEAR, augment=augment)
    six, five = sets
    expected = train_and_measure(recipe, five, tmp_path / "without")
    found = train_and_measure(recipe, six, tmp_path / "with")
    assert found == expected | {"damaged": 1}
    (entry,) = lines(tmp_path / "with/quarantine.jsonl")
    assert (entry["index"], entry["measured"]) == (1, True)


def test_features_taken_once_leave_damaged_training_images_out(tmp_path):
    """As if they were not there; one of sixteen is listed, four are too many."""
    recipe = replace(LINEAR, augment=False)
    data = folder_of(tmp_path / "data", {"train": 8, "val": 3})
    shutil.copytree(data, tmp_path / "without")
    spoil(data / "train/a/01.png")
    (tmp_path / "without/train/a/01.png").unlink()
    expected = train_and_measure(recipe, tmp_path / "without", tmp_path / "fifteen")
    assert train_and_measure(recipe, data, tmp_path / "run") == expected
    (entry,) = lines(tmp_path / "run/quarantine.jsonl")
    assert (entry["index"], entry["measured"]) == (1, True)
    for i in range(3):
        spoil(data / f"train/b/0{i}.png")
    with pytest.raises(ValueError, match="at most 20.0% damaged images, got 4 of 16"):
        train_and_measure(recipe, data, tmp_path / "too_many")


@pytest.mark.parametrize("ranks", [1, 2])
def test_too_many_damaged_test_images_stop_it_on_every_rank(tmp_path, sets, ranks):
    recipe, (six, _) = recipe_of(tmp_path), sets
    spoil(six / "val/b/02.png")  # two of six are more than a fifth
    measure = partial(run_ranks, train_and_measure, world_size=2)
    sentence = "at most 20.0% damaged images, got 2 of 6"
    with pytest.raises((ValueError, RuntimeError), match=sentence):
        (train_and_measure if ranks == 1 else measure)(recipe, six, str(tmp_path / "run"))


def test_a_replay_leaves_the_list_as_it_was(tmp_path):
    """Even of a step whose batch had a damaged image, and of the steps after it."""
    data = folder_of(tmp_path / "data", {"train": 8, "val": 3})
    spoil(data / "train/b/03.png")
    recipe = replace(recipe_of(tmp_path), epochs=4, optimizer=OptimizerSettings("sgd", lr=1e30))
    run = Run(str(data), tmp_path / "run", workers=0)
    with pytest.raises(ArithmeticError, match="eyespot replay") as stopped:
        running.train(recipe, run)
    listing = tmp_path / "run/quarantine.jsonl"
    before = listing.read_bytes()
    capture = Path(str(stopped.value).split("eyespot replay ")[1].strip("`"))
    step = int(capture.name.removeprefix("step_"))
    assert lines(listing)[-1]["step"] <= step
    with listing.open("a") as file:
        file.write(json.dumps({"step": step, "index": 0, "name": "", "reason": ""}) + "\n")
    before = listing.read_bytes()
    assert running.replay(recipe, run, capture).error
    assert listing.read_bytes() == before
