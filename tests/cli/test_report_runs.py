"""`eyespot report` on training runs, as a user runs and mistypes it."""

import json
import shutil

import pytest

from eyespot import cli
from tests.cli.test_train_commands import run
from tests.report.test_sweep_report import check

SCENES = "scenes:size=32,count=32,val_count=16"


def train(command, recipe, out, *args):
    options = ["--out", str(out), "--workers", "0", "--log-every", "1"]
    cli.main([command, recipe, *options, *map(str, args)])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two classifiers that differ in their rate and a probe of one."""
    folder = tmp_path_factory.mktemp("runs")
    for rate in ("1e-3", "4e-3"):
        args = ("--data", SCENES, "--precise-bn", 0, "--optimizer.lr", rate)
        train("train", "classify/smoke", folder / f"lr{rate}", *args)
    args = ("--weights", folder / "lr1e-3", "--data", SCENES, "--batch-size", 16, "--epochs", 1)
    train("probe", "linear", folder / "deep" / "probe", *args)
    return folder


def evaluations(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").open()]
    return [(line["step"], line["evaluation"]) for line in lines if "evaluation" in line]


def test_table_and_page(runs, tmp_path, capsys):
    figures = tmp_path / "figures"
    code, out, err = run(capsys, "report", runs, "--figures", figures)
    assert code == 0, err
    lines = out.splitlines()
    columns = ["run", "recipe", "state", "step", "loss", "metric", "best", "last", "written"]
    assert lines[0].split() == columns
    assert [line.split()[0] for line in lines[1:4]] == ["deep/probe", "lr1e-3", "lr4e-3"]
    errors = [(step, found["error"]) for step, found in evaluations(runs / "lr1e-3")]
    step, best = min(errors, key=lambda pair: pair[1])
    assert "classify/smoke  finished  4 of 4  " in lines[2]
    assert f"error {best:.4g} at {step} " in " ".join(lines[2].split())
    assert lines[2].endswith("s ago")
    assert "probe linear" in lines[1]
    assert lines[-1] == f"written: {runs / 'report.html'}"
    page = (runs / "report.html").read_text()
    checker = check(page)
    assert "<tr><th></th><th>optimizer.lr</th></tr>\n<tr><td>lr1e-3</td><td>0.001</td></tr>" in page
    assert {"loss-classify.pdf", "loss-linear.pdf", "evaluation-error.pdf"} <= {
        path.name for path in figures.iterdir()
    }
    assert checker.seen.count("svg") == len(list(figures.glob("*.pdf")))


def test_json_says_what_metrics_jsonl_says(runs, capsys):
    code, out, err = run(capsys, "report", runs / "lr4e-3", runs / "lr1e-3", "--json")
    assert code == 0, err
    data = json.loads(out)
    assert [found["name"] for found in data["runs"]] == ["lr1e-3", "lr4e-3"]
    for found in data["runs"]:
        folder = runs / found["name"]
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").open()]
        windows = [line for line in lines if "loss" in line]
        training, evaluation = found["curves"]["training"], found["curves"]["evaluation"]
        for name in ("loss", "error", "lr", "gradient_norm"):
            assert training[name] == [[line["step"], line[name]] for line in windows]
        assert training["data_wait"] == [[w["step"], w["time"]["data_wait"]] for w in windows]
        assert training["images_per_second"][0][1] == 16 / windows[0]["time"]["seconds_per_step"]
        measured = evaluations(folder)
        for name in ("error", "test_loss", "error_top5"):
            assert evaluation[name] == [[step, values[name]] for step, values in measured]
        assert found["metric"] == "error"
        assert found["best"] == min(values["error"] for _, values in measured)
        assert [found["last_step"], found["last"]] == [4, measured[-1][1]["error"]]
        assert (found["step"], found["steps"], found["state"]) == (4, 4, "finished")
    code, out, _ = run(capsys, "report", runs, "--metric", "test_loss", "--json")
    chosen = {found["name"]: found for found in json.loads(out)["runs"]}
    best = min(values["test_loss"] for _, values in evaluations(runs / "lr1e-3"))
    assert chosen["lr1e-3"]["best"] == best
    assert chosen["deep/probe"]["metric"] is None


def test_a_killed_run_and_one_that_only_began(runs, tmp_path, capsys):
    killed, begun = tmp_path / "killed", tmp_path / "begun"
    shutil.copytree(runs / "lr1e-3", killed)
    (killed / "weights.safetensors").unlink()
    shutil.rmtree(killed / "checkpoints")
    whole = (killed / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (killed / "metrics.jsonl").write_bytes(b"".join(whole[:4]) + whole[4][:20])
    begun.mkdir()
    for name in ("recipe.json", "run.json"):
        shutil.copy(killed / name, begun)
    code, out, err = run(capsys, "report", killed, begun)
    assert code == 0, err
    assert "begun   classify/smoke  unfinished  0       –" in out
    assert "killed  classify/smoke  unfinished  3 of 4  " in out
    assert "killed: metrics.jsonl line 5 is torn (20 bytes) and left out" in out
    assert "Unfinished: stopped, killed or still running" in out
    check((killed / "report.html").read_text())
    code, out, _ = run(capsys, "report", begun)
    assert code == 0
    check((begun / "report.html").read_text())


def test_wrong_folders_and_options_are_one_sentence(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "sweep.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    one = runs / "lr1e-3"
    for args, sentence in (
        (["none"], "need the folder of a sweep or of training runs, got none: it is not there"),
        (["empty"], "got empty: no sweep.json there, no recipe.json with a run.json there or up"),
        ([one, "empty"], "got empty: no sweep.json"),
        (["nets", one], "need folders of sweeps or folders of runs, got the sweep nets and"),
        (["."], "got ., which holds sweeps; take them by name, such as nets"),
        ([one, "--by", "lr"], f"need a sweep for --by, got {one}, which is none"),
        ([one, "--keep", "lr=0:1", "--match", "x"], "need a sweep for --keep and --match"),
        ([one, "--metric", "eror"], "unknown metric of these runs 'eror'. Did you mean error"),
    ):
        code, out, err = run(capsys, "report", *args)
        assert code == 2, args
        assert sentence in err
        assert err.count("\n") == 1
        assert out == ""
    assert not (one / "report.html").exists()
