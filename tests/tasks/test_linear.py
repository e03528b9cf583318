import json
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from eyespot.errors import RecipeError
from eyespot.recipes import get_recipe, list_recipes
from eyespot.tasks.backbone import Backbone, freeze
from eyespot.tasks.linear import LinearRecipe
from eyespot.tasks.optimization import Schedule
from eyespot.tasks.run import Run, evaluate, train
from eyespot.train.loop import StoppedByNonFiniteError
from eyespot.weights.files import read_file
from tests.distributed import run_ranks
from tests.tasks.bars import write_bars

CPU = torch.device("cpu")


def recipe(model, **changes):
    base = LinearRecipe(
        Backbone(model=model),
        taps=("s1@1x2", "pool"),
        rates=(0.03, 1.0),
        epochs=3,
        batch_size=18,
        schedule=Schedule("cosine", warmup_epochs=0, per="step"),
        eval_batch_size=10,
    )
    return replace(base, **changes)


def run(data, out, **changes):
    return Run(data, out, device="cpu", workers=0, log_every=5, **changes)


@pytest.fixture
def data(tmp_path):
    return write_bars(tmp_path / "bars")


def test_published_heads_are_those_of_vissl(data, tmp_path):
    """Each tap behind a batch norm; the average of the last stage also without."""
    published = get_recipe("linear/vissl")
    assert published.norm == "published"
    changes = {"norm": published.norm, "rates": published.rates, "augment": False, "epochs": 1}
    outcome = train(recipe(data[1], **changes), run(data[0], tmp_path / "out"))
    heads = [name for name in outcome.metrics if name.startswith("error of ")]
    assert heads == [
        "error of s1@1x2 lr 0.01 bn", "error of pool lr 0.01 bn", "error of pool lr 0.01",
    ]  # fmt: skip


@pytest.mark.parametrize("augment", [True, False])
def test_heads_learn_and_the_best_is_reported(data, tmp_path, augment):
    folder, model = data
    outcome = train(
        recipe(model, augment=augment, epochs=12, norm="both", area=(0.9, 1.0)),
        run(folder, tmp_path / "out"),
    )
    errors = {k: v for k, v in outcome.metrics.items() if k.startswith("error of ")}
    assert len(errors) == 8
    assert outcome.metrics["error"] == min(errors.values())
    assert outcome.metrics["error"] < (45 if augment else 20)  # chance: 67
    assert "error_top5" not in outcome.metrics
    contents = read_file(tmp_path / "out" / "weights.safetensors")
    assert json.loads(contents.metadata["probe"]) == ["s1@1x2", "pool"]
    assert contents.tree["heads.0.linear.weight"].shape == (3, 32)


@pytest.mark.parametrize("augment", [True, False])
def test_a_head_that_diverges_leaves_the_others_alone(data, tmp_path, augment):
    folder, model = data
    plain = recipe(model, rates=(0.03, 1e30), taps=("pool",), augment=augment)
    both = train(plain, run(folder, tmp_path / "both")).metrics
    assert both["error of pool lr 1e+30 bn"] == 100
    lines = (tmp_path / "both" / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert records[-2]["diverged"] == 1
    assert both["error"] < 100


def test_heads_that_all_diverge_stop_the_run(data, tmp_path):
    folder, model = data
    with pytest.raises(StoppedByNonFiniteError):
        train(recipe(model, rates=(1e30,)), run(folder, tmp_path / "out"))


def test_errors_are_those_of_the_heads_on_the_features(data, tmp_path):
    """Counted again by hand, from the stored weights."""
    folder, model = data
    wanted = recipe(model, norm="no")
    outcome = train(wanted, run(folder, tmp_path / "out"))
    frozen = freeze(wanted.backbone, wanted.taps, CPU)
    from eyespot.data.open import open_samples

    samples = open_samples(folder, split="test").samples
    pixels = torch.stack([torch.tensor(samples[i].image).permute(2, 0, 1) for i in range(45)])
    labels = torch.tensor([samples[i].label for i in range(45)])
    features = frozen.features(pixels)
    tree = read_file(tmp_path / "out" / "weights.safetensors").tree
    places = [("s1@1x2", 0, 0.03), ("s1@1x2", 0, 1.0), ("pool", 1, 0.03), ("pool", 1, 1.0)]
    for head, (name, tap, rate) in enumerate(places):
        weight, bias = (tree[f"heads.{head}.linear.{part}"] for part in ("weight", "bias"))
        wrong = ((features[tap] @ weight.T + bias).argmax(1) != labels).double().mean().item()
        assert outcome.metrics[f"error of {name} lr {rate:g}"] == pytest.approx(100 * wrong)


@pytest.mark.parametrize("augment", [True, False])
def test_a_stopped_run_goes_on_to_the_same_end(data, tmp_path, augment):
    folder, model = data
    plain = recipe(model, augment=augment)
    whole = train(plain, run(folder, tmp_path / "whole"))

    class Stop(Exception):
        pass

    import eyespot.tasks.linear as linear

    steps, true_step = [], linear.train_step

    def stopping(probing, job, rows):
        if len(steps) == 8:
            raise Stop
        steps.append(job.step)
        return true_step(probing, job, rows)

    linear.train_step = stopping
    try:
        with pytest.raises(Stop):
            train(plain, run(folder, tmp_path / "part"))
    finally:
        linear.train_step = true_step
    again = train(plain, run(folder, tmp_path / "part"))
    assert again.metrics == whole.metrics
    trees = [read_file(tmp_path / name / "weights.safetensors").tree for name in ("whole", "part")]
    assert_close(*trees, rtol=0, atol=0)


def on_ranks(folder, model, out, augment):
    from pathlib import Path

    outcome = train(recipe(model, norm="no", augment=augment), run(folder, Path(out)))
    return outcome.metrics


@pytest.mark.parametrize("augment", [True, False])
def test_two_ranks_do_what_one_does(data, tmp_path, augment):
    folder, model = data
    one = train(recipe(model, norm="no", augment=augment), run(folder, tmp_path / "one"))
    two = run_ranks(on_ranks, folder, model, str(tmp_path / "two"), augment)
    for metrics in two:
        assert metrics == pytest.approx(one.metrics, abs=100 / 45 + 1e-9)  # a picture at most
    trees = [read_file(tmp_path / name / "weights.safetensors").tree for name in ("one", "two")]
    assert_close(*trees, rtol=1e-3, atol=1e-4)


def test_a_run_is_evaluated_again(data, tmp_path):
    folder, model = data
    outcome = train(recipe(model), run(folder, tmp_path / "out"))
    assert dict(evaluate(recipe(model), run(folder, tmp_path / "out"))) == outcome.metrics


def test_what_cannot_be_probed_is_said(data, tmp_path):
    folder, model = data
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="need a tap of pool, stem.af, s1, s2"):
        train(recipe(model, taps=("s7",)), run(folder, out))
    with pytest.raises(RecipeError, match="for published taps, got another network"):
        train(recipe(model, taps=("published",)), run(folder, out))
    with pytest.raises(RecipeError, match="epochs, batch_size"):
        train(recipe(model, epochs=0), run(folder, out))
    with pytest.raises(RecipeError, match="three numbers for mean"):
        train(recipe(model, backbone=Backbone(model=model, mean=(0.5,))), run(folder, out))
    for changes, sentence in (
        ({"rates": (0.1, float("nan"))}, r"rates\[1\] of 0 or more, got nan"),
        ({"weight_decay": -1.0}, "weight_decay of 0 or more, got -1"),
        ({"momentum": 1.5}, "momentum of 0 or more, below 1, got 1.5"),
        ({"area": (0.5, 0.2)}, "area that rises"),
        ({"schedule": Schedule("steps", milestones=())}, "need milestones"),
    ):
        with pytest.raises(RecipeError, match=sentence):
            train(recipe(model, **changes), run(folder, out))
    assert not out.exists()
    for path in (tmp_path / "bars").glob("*labels*"):
        path.unlink()
    with pytest.raises(ValueError, match="need labels"):
        train(recipe(model), run(folder, out))


def test_one_class_is_none_to_tell_apart(tmp_path):
    folder, model = write_bars(tmp_path / "bars", classes=1)
    with pytest.raises(ValueError, match="at least two classes, got 1"):
        train(recipe(model), run(folder, tmp_path / "out"))


@pytest.mark.slow
def test_the_smoke_recipe_runs(tmp_path):
    smoke = list_recipes()["linear/smoke"]()
    outcome = train(smoke, run("scenes:count=40,val_count=20,size=40", tmp_path / "out"))
    assert outcome.finished
