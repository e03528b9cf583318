"""Reading folders of runs: numbers as they were written, whatever else the folder lacks."""

import json
import os

import pytest

from eyespot.train.runs import find_runs, lower_is_better, read_run, summarize_runs

RECIPE = {
    "task": "classify",
    "name": "classify/smoke",
    "recipe": {"batch_size": 8, "o": {"lr": 0.1}},
}
LINES = [
    {"step": 2, "loss": 3.0, "lr": 0.1, "time": {"seconds_per_step": 0.5, "data_wait": 0.25}},
    {"step": 3, "evaluation": {"error": 40.0, "AP": 0.1}},
    {"step": 4, "loss": 2.5, "lr": 0.05, "advice": ["too hot"]},
    {"step": 6, "evaluation": {"error": 30.0, "AP": 0.4}},
    {"step": 9, "evaluation": {"error": 35.0, "AP": float("nan")}},
]


def write_run(folder, lines=LINES, *, recipe=RECIPE, start=None, run=None):
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text(json.dumps(recipe))
    (folder / "run.json").write_text(json.dumps(run or {"data": "scenes", "val": ""}))
    if start is not None:
        (folder / "environment.jsonl").write_text('{"steps": 1}\n' + json.dumps(start) + "\n")
    if lines is not None:
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "metrics.jsonl").write_text(text)
    return folder


def test_a_run_is_read_as_it_was_written(tmp_path):
    folder = write_run(tmp_path / "a", start={"steps": 12, "score": "error"})
    os.utime(folder / "recipe.json", (0, 0))
    os.utime(folder / "metrics.jsonl", (86_400, 86_400))
    run = read_run(folder, "a")
    curves = run.pop("curves")
    assert run == {
        "name": "a",
        "folder": str(folder),
        "task": "classify",
        "recipe": "classify/smoke",
        "state": "unfinished",
        "step": 9,
        "steps": 12,
        "checkpoint": None,
        "loss": 2.5,
        "metric": "error",
        "better": "lower",
        "best": 30.0,
        "best_step": 6,
        "last": 35.0,
        "last_step": 9,
        "written": "1970-01-02T00:00:00Z",
        "settings": {"data": "scenes", "batch_size": 8, "o.lr": 0.1},
        "notes": ["too hot"],
    }
    assert curves["training"] == {
        "loss": [(2, 3.0), (4, 2.5)],
        "lr": [(2, 0.1), (4, 0.05)],
        "seconds_per_step": [(2, 0.5)],
        "data_wait": [(2, 0.25)],
        "images_per_second": [(2, 16.0)],
    }
    assert curves["evaluation"]["error"] == [(3, 40.0), (6, 30.0), (9, 35.0)]


def test_the_metric_may_be_chosen_and_higher_may_be_better(tmp_path):
    folder = write_run(tmp_path / "a", start={"steps": 12, "score": "error"})
    run = read_run(folder, "a", "AP")
    assert (run["better"], run["best"], run["best_step"], run["last_step"]) == ("higher", 0.4, 6, 9)
    run = read_run(folder, "a", "loss")
    assert (run["better"], run["best"], run["best_step"]) == ("lower", 2.5, 4)
    assert read_run(folder, "a", "other")["best"] is None
    with pytest.raises(
        ValueError, match=r"unknown metric of these runs 'eror'\. Did you mean error"
    ):
        summarize_runs([folder], metric="eror")


def test_errors_losses_and_misses_are_better_lower():
    lower = [
        name
        for name in ("average_error", "test_loss", "miss", "AP", "R@1")
        if lower_is_better(name)
    ]
    assert lower == ["average_error", "test_loss", "miss"]


def test_without_a_recorded_score_the_first_evaluation_decides(tmp_path):
    run = read_run(write_run(tmp_path / "a"), "a")
    assert (run["metric"], run["steps"]) == ("error", None)


def test_states(tmp_path):
    folder = write_run(tmp_path / "a")
    (folder / "checkpoints" / "step_000000011").mkdir(parents=True)
    (folder / "checkpoints" / "step_000000015.partial").mkdir()
    run = read_run(folder, "a")
    assert (run["state"], run["step"], run["checkpoint"]) == ("unfinished", 11, 11)
    capture = folder / "captures" / "step_000000010"
    capture.mkdir(parents=True)
    assert read_run(folder, "a")["state"] == "unfinished"  # it went on since
    capture.rename(capture.with_name("step_000000011"))
    assert read_run(folder, "a")["state"] == "not finite"
    (folder / "weights.safetensors").touch()
    assert read_run(folder, "a")["state"] == "finished"


def test_torn_lines_are_said_and_left_out(tmp_path):
    folder = write_run(tmp_path / "a")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('7\n{"step": 12, "lo')
    run = read_run(folder, "a")
    assert run["step"] == 9
    assert run["notes"] == [
        "metrics.jsonl line 6 is torn (1 bytes) and left out",
        "metrics.jsonl line 7 is torn (16 bytes) and left out",
        "too hot",
    ]


@pytest.mark.parametrize("lines", [None, []])
def test_a_run_that_only_began(tmp_path, lines):
    run = read_run(write_run(tmp_path / "a", lines), "a")
    assert (run["step"], run["loss"], run["metric"], run["best"]) == (0, None, None, None)
    assert run["curves"] == {"training": {}, "evaluation": {}}
    with pytest.raises(ValueError, match="need a run that measured 'error', got none with any"):
        summarize_runs([tmp_path / "a"], metric="error")


def test_lines_that_are_something_else_do_no_harm(tmp_path):
    odd = [
        {"step": 1, "evaluation": 3, "time": 4},
        {"loss": 2.0},
        {"step": "x"},
        {"step": 2, "loss": "?"},
    ]
    run = read_run(write_run(tmp_path / "a", odd), "a")
    assert run["step"] == 2
    assert run["curves"]["training"] == {}


def test_runs_are_found_below_and_sweeps_are_passed_over(tmp_path):
    for name in ("b/c/d", "a", "a/probe", "a/checkpoints/x", "b/c/d/e/f", ".hidden"):
        write_run(tmp_path / name) if not (tmp_path / name).exists() else None
    write_run(tmp_path / "nets" / "runs" / "000000")
    (tmp_path / "nets" / "sweep.json").touch()
    (tmp_path / "notes.txt").touch()
    found = find_runs(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in found.runs] == ["a", "a/probe", "b/c/d"]
    assert found.sweeps == [tmp_path / "nets"]
    data = summarize_runs([tmp_path, tmp_path / "a"])
    assert [run["name"] for run in data["runs"]] == ["a", "a/probe", "b/c/d"]
    assert data["notes"] == [f"left out: {tmp_path / 'nets'} is a sweep; report on it alone"]
    inside = summarize_runs([tmp_path / "nets" / "runs"])
    assert [run["name"] for run in inside["runs"]] == ["000000"]


def test_names_begin_where_folders_part(tmp_path):
    for name in ("x/a", "y/a"):
        write_run(tmp_path / name)
    names = [run["name"] for run in summarize_runs([tmp_path / "y" / "a", tmp_path / "x"])["runs"]]
    assert names == ["x/a", "y/a"]
    (alone,) = summarize_runs([tmp_path / "x" / "a"])["runs"]
    assert alone["name"] == "a"


def test_folders_without_runs_are_refused(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(ValueError, match="got .*none: it is not there"):
        find_runs(tmp_path / "none")
    with pytest.raises(ValueError, match="got .*file: it is a file"):
        find_runs(tmp_path / "file")
    with pytest.raises(ValueError, match=r"got .*empty: no sweep\.json there"):
        find_runs(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"no recipe\.json with a run\.json there"):
        find_runs(tmp_path)
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "sweep.json").touch()
    with pytest.raises(ValueError, match=r"which holds sweeps; take them by name, such as .*nets$"):
        find_runs(tmp_path)
    with pytest.raises(ValueError, match="which holds sweeps"):
        find_runs(tmp_path / "nets")


def test_a_broken_recipe_is_named(tmp_path):
    folder = write_run(tmp_path / "a", recipe=[1])
    with pytest.raises(
        ValueError, match=r'need a recipe with "task" and "recipe" in .*recipe\.json'
    ):
        read_run(folder, "a")
    (folder / "recipe.json").write_text("{")
    with pytest.raises(ValueError, match=r"need a recipe file of JSON, got .*recipe\.json"):
        read_run(folder, "a")
