"""`eyespot train`, `eval` and `plan` with recipes, as a user types them and mistypes them."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from eyespot import cli
from eyespot.design.scaling import stem_layers
from eyespot.design.spec_files import read_spec, write_spec
from eyespot.design.specs import ViTSpec
from eyespot.recipes import get_recipe
from eyespot.tasks import classify
from eyespot.tasks.recipe_files import recipe_to_dict

SCENES = "scenes:size=32,count=32,val_count=16"
TINY = ViTSpec(32, 64, 2, 2, stem=stem_layers(32, 8), image_size=32, num_classes=10)
QUICK = ["--workers", "0", "--epochs", "1", "--precise-bn", "0"]


def run(capsys, *args):
    """Run a command; returns its exit code, output and error output."""
    code = 0
    try:
        cli.main([str(arg) for arg in args])
    except SystemExit as end:
        code = end.code
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.fixture
def spec_file(tmp_path):
    path = tmp_path / "tiny.json"
    write_spec(TINY, path)
    return path


def train(capsys, out, *args, recipe="classify/smoke", data=SCENES):
    return run(capsys, "train", recipe, "--data", data, "--out", out, *QUICK, *args)


def test_the_list_shows_published_recipes_once(capsys):
    code, out, _ = run(capsys, "train")
    names = [line.split()[0] for line in out.split("\n\n")[0].splitlines()]
    assert code == 0
    assert {"classify/smoke", "early_convolutions/vit_c_4gf", "pycls/regnetx_1.6gf"} <= set(names)
    assert not [name for name in names if name.endswith("_smoke")]
    _, out, _ = run(capsys, "train", "--json")
    about = json.loads(out)
    assert "early_convolutions/vit_c_4gf_smoke" in about
    assert "20.9, 19.2, 18.6 %" in about["early_convolutions/vit_c_4gf"]


def test_help_of_a_recipe_says_what_to_expect(capsys):
    code, out, _ = run(capsys, "train", "early_convolutions/ViT_C-4GF", "--help")
    assert code == 0
    assert "3.9 minutes an epoch" in out
    assert "--optimizer.weight-decay" in out


def pretrain(capsys, out, *args):
    data = "scenes:count=16,size=32,by=colour"
    return run(
        capsys, "train", "swav/smoke", "--data", data, "--out", out, "--workers", "0", "--epochs",
        "1", *args,
    )  # fmt: skip


def test_crops_are_named_and_then_changed(capsys, tmp_path):
    named = ["--crops=swav_160", "--crops.1.size-px", "16"]
    code, _, error = pretrain(capsys, tmp_path / "run", "--crops.0.size-px", "32", *named)
    assert (code, "2x32 + 4x16 px" in error) == (0, True), error
    crops = json.loads((tmp_path / "run/recipe.json").read_text())["recipe"]["crops"]
    assert [(kind["count"], kind["size_px"], kind["area"]) for kind in crops] == [
        (2, 32, [0.08, 1.0]),
        (4, 16, [0.05, 0.14]),
    ]
    one_kind = ["--crops", "swav_2x224", "--crops.0.size-px", "32"]
    assert pretrain(capsys, tmp_path / "two", *one_kind)[0] == 0
    crops = json.loads((tmp_path / "two/recipe.json").read_text())["recipe"]["crops"]
    assert [(kind["count"], kind["area"]) for kind in crops] == [(2, [0.08, 1.0])]


@pytest.mark.parametrize("words", [["--crops", "swav-2x"], ["--crops"]])
def test_crops_that_nobody_named_are_listed(words, capsys, tmp_path):
    code, _, error = pretrain(capsys, tmp_path / "run", *words)
    assert code == 2
    assert "need crops of swav, swav_2x224, swav_wide" in error
    assert f"byol, got {([*words, ''])[1]!r}" in error
    assert not (tmp_path / "run").exists()


def long_command(out, spec_file):
    return [
        "train", "classify/smoke", "--data", SCENES, "--model", spec_file, "--out", out,
        "--workers", "2", "--epochs", "400", "--log-every", "1",
    ]  # fmt: skip


@contextlib.contextmanager
def long_run(out, spec_file):
    """A run in a process group of its own that has taken some steps and has many to go."""
    command = [sys.executable, "-m", "eyespot", *long_command(out, spec_file)]
    process = subprocess.Popen(
        [str(part) for part in command], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        steps = (line for line in process.stderr if line.startswith("step "))
        for _ in range(4):
            next(steps)
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_stop_sent_to_the_workers_too_saves(tmp_path, spec_file):
    # as Slurm sends it at the end of a job, and `timeout` does
    with long_run(tmp_path / "run", spec_file) as process:
        os.killpg(process.pid, signal.SIGTERM)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert "saved; run the same command to go on" in error


def test_a_folder_is_trained_in_by_one_run_until_that_is_killed(capsys, tmp_path, spec_file):
    out = tmp_path / "run"
    with long_run(out, spec_file) as process:
        partial = out / "checkpoints/step_000000099.partial"
        partial.mkdir()
        code, _, error = run(capsys, *long_command(out, spec_file))
        assert code == 2
        assert f"got {out}, where process {process.pid} of {socket.gethostname()} does" in error
        assert partial.is_dir()  # what the first may be writing
        assert len((out / "environment.jsonl").read_text().splitlines()) == 1
        assert ".lock" not in error
        (out / ".lock").write_text("process 7 of node17")
        error = run(capsys, *long_command(out, spec_file))[2]
        assert f"stop it, or remove {out}/.lock if that machine is gone" in error
    with long_run(out, spec_file) as process:
        assert process.poll() is None
        assert not partial.exists()


def test_a_run_does_without_the_spec_file_it_was_given(capsys, tmp_path, spec_file):
    out = tmp_path / "run"
    code, _, _ = train(capsys, out, "--model", spec_file)
    assert code == 0
    assert read_spec(out / "spec.json") == TINY
    weights = load_file(out / "weights.safetensors")
    spec_file.unlink()
    code, printed, error = train(capsys, out, "--model", spec_file)
    assert (code, "finished" in printed) == (0, True), error
    again = load_file(out / "weights.safetensors")
    assert all(torch.equal(again[name], value) for name, value in weights.items())
    code, printed, error = run(capsys, "eval", out, "--json")
    assert code == 0, error
    assert "error" in json.loads(printed)


def test_a_run_of_before_a_number_was_there_goes_on(capsys, tmp_path, spec_file):
    out = tmp_path / "run"
    assert train(capsys, out, "--model", spec_file)[0] == 0
    stored = json.loads((out / "recipe.json").read_text())
    del stored["recipe"]["schedule"]["wave"], stored["recipe"]["pictures"]["filter"]
    (out / "recipe.json").write_text(json.dumps(stored))
    assert train(capsys, out, "--model", spec_file)[0] == 0
    code, _, error = train(capsys, out, "--model", spec_file, "--schedule.wave", "full")
    assert code == 2
    assert "schedule.wave is 'full' and was 'half'" in error


def test_a_changed_spec_file_is_refused_and_evaluation_keeps_the_old(capsys, tmp_path, spec_file):
    out = tmp_path / "run"
    train(capsys, out, "--model", spec_file)
    _, before, _ = run(capsys, "eval", out, "--json")
    write_spec(replace(TINY, depth=3), spec_file)
    code, _, error = train(capsys, out, "--model", spec_file)
    assert code == 2
    assert f"got another one in {spec_file}" in error
    assert read_spec(out / "spec.json") == TINY
    _, after, _ = run(capsys, "eval", out, "--json")
    assert json.loads(after) == json.loads(before)


def test_a_fine_tuned_run_goes_on_without_the_weights_it_began_with(capsys, tmp_path, spec_file):
    train(capsys, tmp_path / "first", "--model", spec_file)
    weights = tmp_path / "first/weights.safetensors"
    options = ["--model", spec_file, "--start-from", weights]
    code, _, error = train(capsys, tmp_path / "second", *options)
    assert code == 0, error
    weights.unlink()
    code, printed, error = train(capsys, tmp_path / "second", *options)
    assert (code, "finished" in printed) == (0, True), error
    code, _, error = train(capsys, tmp_path / "third", *options)
    assert code == 2
    assert f"got {str(weights)!r}, which is none of these" in error
    assert not (tmp_path / "third").exists()


def test_other_data_to_evaluate_on_beside_splits_and_of_the_same_classes(capsys, tmp_path):
    code, _, error = train(capsys, tmp_path / "run", "--val", "scenes:size=32,val_count=8")
    assert code == 0, error
    code, _, error = train(capsys, tmp_path / "other", "--val", "scenes:size=32,by=colour")
    assert code == 2
    assert "need the same classes to train and to validate" in error


BAD_OPTIONS = {
    "--optimizer.lrr 0.1": "--optimizer.lr",
    "--epoch 3": "--epochs",
    "--epochs three": "--epochs",
    "--epochs": "--epochs",
    "--optimizer.name sgdm": "'sgd', 'adamw', 'larc'",
    "--epochs 0": "need epochs, batch_size, accumulate and evaluate_every of 1 or more, got 0",
    "--batch-size 16 --accumulate 3": "1 ranks and 3 parts share evenly, got 16",
    "--batch-size 64": "got 32 samples for batches of 64",
    "--num-classes 3": "need num_classes of 24 or more",
    "--model RegNetQ-4GF": "unknown model 'RegNetQ-4GF'. Did you mean",
    "--model nowhere.json": "nowhere.json",
    "--start-from nowhere.safetensors": "need weights: a run's folder, a file",
    "--pictures.policy AutoAugmnt": "Did you mean AutoAugment?",
    "--schedule.shape steps": 'need milestones for the schedule "steps", got none',
    "--schedule.shape exponential --schedule.final 0": "need a final factor above 0",
    "--mixup -1": "need mixup of 0 or more, got -1",
    "--cutmix nan": "need cutmix of 0 or more, got nan",
    "--label-smoothing 1": "need label_smoothing of 0 or more, below 1, got 1",
    "--optimizer.lr 0": "need lr above 0",
    "--optimizer.betas 0.9 1": "need optimizer.betas[1] of 0 or more, below 1, got 1",
    "--average.period 0": "need average.period of 1 or more, got 0",
    "--pictures.std 0 0 0": "three above 0 for pictures.std",
    "--keep-last 0": "need keep_last of 1 or more, got 0",
    "--workers -2": "need workers of -1 or more, got -2",
    "--seed -1": "need seed of 0 or more, got -1",
    "--val nowhere": "got nowhere: no such file or folder",
}


@pytest.mark.parametrize("options", BAD_OPTIONS)
def test_a_bad_option_is_named_and_nothing_is_written(options, capsys, tmp_path):
    code, out, error = train(capsys, tmp_path / "run", *options.split())
    assert code == 2
    assert " ".join(BAD_OPTIONS[options].split()) in " ".join((out + error).split())
    assert "Traceback" not in out + error
    assert not (tmp_path / "run").exists()


def test_missing_and_unknown_data(capsys, tmp_path):
    code, _, error = train(capsys, tmp_path / "run", data="nowhere")
    assert (code, error) == (
        2,
        "eyespot train: need a folder, a file list, shards or 'scenes', got nowhere: no such file "
        "or folder\n",
    )
    code, out, error = run(capsys, "train", "classify/smoke", "--out", tmp_path / "run")
    assert code == 2
    assert "--data" in out + error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("classify/smok", "classify/smoke"),
        ("early_convolutions/vit_c_5gf", "early_convolutions/vit_c_4gf"),
        ("early_convolution/vit_c_4gf", "early_convolutions/vit_c_4gf"),
        ("RegNetY-4GF", "finetune/regnety_4gf"),
    ],
)
def test_an_unknown_recipe_gets_the_nearest(name, nearest, capsys, tmp_path):
    code, _, error = train(capsys, tmp_path / "run", recipe=name)
    assert code == 2
    assert error.startswith(f"eyespot train: unknown recipe {name!r}.")
    assert nearest in error
    assert error.count("\n") == 1


FILES = {
    "task: classify\nrecipe: {optimizer: {lrr: 0.1}}": "field of optimizer 'lrr'. Did you mean lr?",
    "task: classify\nrecipe: {epoch: 3}": "field of ClassifyRecipe 'epoch'. Did you mean epochs?",
    "task: classify\nrecipe: {epochs: three}": "need epochs as int, got 'three'",
    "task: classify\nrecipe: {epochs: 1.5}": "need epochs as int, got 1.5",
    "task: classify\nrecipe: {sync_bn: 1}": "need sync_bn as bool, got 1",
    "task: classify\nrecipe: {optimizer: sgd}": "need a mapping for optimizer, got 'sgd'",
    "task: classify\nrecipe: {optimizer: {name: sgdm}}": "unknown name 'sgdm'. Did you mean sgd?",
    "task: classify\nrecipe: {epochs: 1, epochs: 2}": "need each key once, got 'epochs' twice",
    "task: classify\nrecipe: [1]": 'need a recipe with "task" and "recipe"',
    "epochs: 3": 'need a recipe with "task" and "recipe"',
    "task: clasify\nrecipe: {}": "unknown task 'clasify'. Did you mean classify?",
    "task: {a": "need a recipe file of YAML",
    "task: classify\nrecipe: {epochs: 0}": "1 or more, got 0",
    "": 'need a recipe with "task" and "recipe"',
}  # fmt: skip


@pytest.mark.parametrize("text", FILES)
def test_a_bad_recipe_file_is_one_sentence(text, capsys, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    args = ["train", path, "--data", SCENES, "--out", tmp_path / "run", "--workers", 0]
    code, _, error = run(capsys, *args)
    assert code == 2
    assert FILES[text] in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_json_recipe_and_one_that_is_not_there(capsys, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"task": "classify", "recipe": {"epochs": 1, "optimizer": {"lrr": 1}}}')
    _, _, error = train(capsys, tmp_path / "run", recipe=path)
    assert "Did you mean lr?" in error
    _, _, error = train(capsys, tmp_path / "run", recipe=tmp_path / "no.yaml")
    assert "no such file" in error
    assert not (tmp_path / "run").exists()


def test_a_batch_that_ranks_cannot_share(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(classify, "dist", SimpleNamespace(world_size=lambda: 3))
    code, _, error = train(capsys, tmp_path / "run")
    assert code == 2
    assert "need a batch_size that 3 ranks and 1 parts share evenly, got 16" in error
    assert not (tmp_path / "run").exists()


def test_a_folder_of_another_task_is_left_alone(capsys, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "recipe.json").write_text('{"task": "swav", "name": "", "recipe": {}}')
    code, _, error = train(capsys, folder)
    assert code == 2
    assert "the task is classify and was swav" in error
    assert [path.name for path in folder.iterdir()] == ["recipe.json"]


def test_plan_takes_what_the_recipe_says(capsys):
    code, out, _ = run(
        capsys, "plan", "early_convolutions/vit_c_4gf", "--gpus", 8, "--gpu", "h100", "--json"
    )
    assert code == 0
    plan = json.loads(out)
    code, out, _ = run(
        capsys, "plan", "ViT_C-4GF", "--batch", 2048, "--gpus", 8, "--optimizer", "adamw", "--ema",
        "--json",
    )  # fmt: skip
    by_hand = json.loads(out)
    assert plan["cost"]["steps"] == 400 * (1_281_167 // 2048)
    assert plan["memory_bytes"] == by_hand["memory_bytes"]
    assert plan["step_seconds"] == by_hand["step_seconds"]


def test_plan_uses_the_recipes_size_and_options_come_first(capsys):
    _, out, _ = run(capsys, "plan", "early_convolutions/RegNetY-4GF", "--json")
    assert json.loads(out)["crops"] == [[1, 240]]
    _, out, _ = run(
        capsys, "plan", "imagenet21k/vit_c_18gf", "--image-size", 384, "--batch", 512,
        "--epochs", 10, "--dtype", "float32", "--json",
    )  # fmt: skip
    plan = json.loads(out)
    assert plan["crops"] == [[1, 384]]
    assert (plan["batch"], plan["dtype"]) == (512, "float32")
    assert plan["cost"]["steps"] == 10 * (14_000_000 // 512)


def test_plan_takes_recipe_files(capsys, tmp_path):
    path = tmp_path / "recipe.json"
    recipe = replace(get_recipe("cifar/resnet_56"), precision="float32", batch_size=500)
    path.write_text(json.dumps(recipe_to_dict(recipe, "cifar/resnet_56")))
    _, out, _ = run(capsys, "plan", path, "--json")
    plan = json.loads(out)
    assert (plan["dtype"], plan["batch"], plan["cost"]["steps"]) == ("float32", 500, 50 * 100)


def test_plan_refuses_what_it_cannot_tell(capsys, tmp_path):
    code, _, error = run(capsys, "plan", "ViT_C-4GF")
    assert (code, "need --batch for the network ViT_C-4GF" in error) == (2, True)
    code, _, error = run(capsys, "plan", "early_convolutions/vit_c_4gf", "--gpus", 7)
    assert (code, "7 devices can share evenly, got 2048" in error) == (2, True)
    code, _, error = run(capsys, "plan", "classify/smoke", "--epochs", 3)
    assert (code, "need --images" in error) == (2, True)
    path = tmp_path / "parts.yaml"
    path.write_text("task: classify\nrecipe: {accumulate: 4, batch_size: 1024}")
    code, _, error = run(capsys, "plan", path)
    assert (code, "--batch 256" in error) == (2, True)


def test_a_run_is_not_gone_on_with_on_other_data(tmp_path, capsys, spec_file):
    first = train(capsys, tmp_path / "run", "--model", spec_file)
    kept = (tmp_path / "run/run.json").read_bytes()
    more = SCENES.replace("count=32", "count=48", 1)
    code, _, said = train(capsys, tmp_path / "run", "--model", spec_file, data=more)
    assert (first[0], code) == (0, 2)
    assert "got changes: data.images is 48 and was 32; take another --out" in said
    assert (tmp_path / "run/run.json").read_bytes() == kept


def test_a_run_that_diverges_ends_with_a_sentence_and_is_replayed(tmp_path, capsys):
    numbers = ("--optimizer.name", "sgd", "--optimizer.lr", "1e30")
    code, _, said = train(capsys, tmp_path / "a run", *numbers)
    assert code == 2
    assert "eyespot train: stopped before step 2: the loss is nan" in said
    command = said.split("Run `eyespot ")[1].split("`")[0]
    code, out, _ = run(capsys, *shlex.split(command))
    assert code == 0
    assert "again:    the loss is nan" in out
    assert "first:    the output of " in out
    assert run(capsys, "replay", tmp_path / "a run")[:2] == (0, out)
    train(capsys, tmp_path / "finite")
    code, _, error = run(capsys, "replay", tmp_path / "finite")
    assert code == 2
    assert "need a run with a capture" in error


def test_weights_are_measured_under_a_recipe_without_a_run(capsys, tmp_path):
    train(capsys, tmp_path / "run")
    code, out, _ = run(capsys, "eval", tmp_path / "run", "--json", "--workers", 0)
    assert code == 0
    weights = tmp_path / "run" / "weights.safetensors"
    recipe = tmp_path / "run" / "recipe.json"
    words = ("eval", recipe, "--workers", 0, "--weights")
    for source in (weights, tmp_path / "run"):
        code, again, _ = run(capsys, *words, source, "--data", SCENES, "--json")
        assert code == 0
        assert json.loads(again) == pytest.approx(json.loads(out), rel=1e-5)
    code, _, error = run(capsys, *words, weights)
    assert code == 2
    assert "need --data" in error
    code, _, error = run(capsys, "eval", tmp_path / "run", "--out", tmp_path / "results")
    assert code == 2
    assert f"need no --out without --weights, got {tmp_path / 'results'}" in error
    code, _, error = run(capsys, "eval", tmp_path / "run", "--weights", weights, "--data", SCENES)
    assert code == 2
    assert f"got the training run {tmp_path / 'run'}; take its recipe, {recipe}" in error
    code, _, error = run(capsys, "eval", weights)
    assert code == 2
    assert f"got {weights}, which has no run.json" in error
    assert "eyespot eval RECIPE --weights WEIGHTS --data DATA" in error


def test_results_of_weights_are_kept_where_asked(capsys, tmp_path):
    words = ["ground/scenes_small", "--weights", "scenes-small", "--data", "scenes", "--val"]
    code, out, error = run(
        capsys, "eval", *words, "scenes:val_count=3", "--workers", 0, "--out", tmp_path, "--json"
    )
    assert code == 0, error
    best = json.loads((tmp_path / "results/scenes/scores.json").read_text())["best"]
    assert best["min_score"] == pytest.approx(json.loads(out)["best_min_score"])


def test_evaluation_says_which_checkpoints_are_damaged(capsys, tmp_path):
    out = tmp_path / "run"
    train(capsys, out)
    folder = out / "checkpoints"
    (only,) = folder.iterdir()
    damaged = shutil.copytree(only, folder / "step_000000999")
    (damaged / "manifest.json").write_text("[]")
    code, printed, error = run(capsys, "eval", out)
    assert (code, "error" in printed) == (0, True)
    assert f"passed over a damaged checkpoint: {damaged} has no readable manifest.json" in error
    code, _, error = run(capsys, "eval", out, "--checkpoint", damaged)
    assert code == 2
    assert f"need a whole checkpoint, got {damaged}" in error
    assert "leave it out to take the newest" in error
    (only / "facts.json").write_text("no")
    code, _, error = run(capsys, "eval", out)
    assert code == 2
    assert f"got none that is whole (passed over a damaged checkpoint: {damaged}" in error


def test_evaluation_leaves_a_run_under_way_alone(capsys, tmp_path):
    out = tmp_path / "run"
    train(capsys, out)
    being_written = out / "checkpoints" / "step_000000999.partial"
    being_written.mkdir()
    code, _, _ = run(capsys, "eval", out)
    assert (code, being_written.is_dir()) == (0, True)


@pytest.mark.parametrize("content", ["no JSON", "[]", "{}", '{"data": "scenes", "speed": 3}'])
def test_a_damaged_run_json_is_named(capsys, tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    code, _, error = run(capsys, "eval", tmp_path)
    assert code == 2
    assert str(tmp_path / "run.json") in error


@pytest.mark.parametrize("content", [b"", b"just some words", b"\x10\0\0\0\0\0\0\0{cut"])
@pytest.mark.parametrize("use", ["eval", "train", "embed", "probe", "ground"])
def test_damaged_weights_are_named(capsys, tmp_path, content, use):
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(content)
    words = {
        "eval": ["classify/smoke", "--data", SCENES, "--weights"],
        "train": ["classify/smoke", "--data", SCENES, "--out", tmp_path / "out", "--start-from"],
        "embed": [SCENES, "--split", "val", "--out", tmp_path / "out", "--weights"],
        "probe": ["knn", "--data", SCENES, "--ks", "1", "--weights"],
        "ground": ["nothing.jpg", "the cup", "--weights"],
    }[use]
    for source in (weights, tmp_path):
        code, _, error = run(capsys, use, *words, source)
        assert code == 2
        assert f"got {weights}" in error
        assert "download or write it again" in error
    assert not (tmp_path / "out").exists()


def test_a_capture_is_asked_for_by_its_place(capsys, tmp_path):
    train(capsys, tmp_path / "run")
    (checkpoint,) = (tmp_path / "run" / "checkpoints").iterdir()
    for place in (tmp_path, checkpoint):
        code, _, error = run(capsys, "replay", place)
        assert code == 2
        assert f"need a captured step, a folder RUN/captures/step_..., got {place}" in error


def test_the_folder_of_a_run_is_no_file(capsys, tmp_path):
    (tmp_path / "file").write_text("mine")
    code, _, error = train(capsys, tmp_path / "file")
    assert code == 2
    assert "file" in error
    assert (tmp_path / "file").read_text() == "mine"
