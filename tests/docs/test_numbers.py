"""README's tables and RESULTS.md say what the files of results say."""

import importlib
import json
import re
import shlex

import pytest

from tests.docs.test_documents import ROOT


@pytest.fixture
def written_by(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module


def test_readme_is_current(written_by):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert written_by("readme").written(text) == text, "run: python benchmarks/readme.py"


def test_results_are_current(written_by):
    text = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    assert written_by("tables").results() == text, "run: python benchmarks/tables.py"


def test_a_readme_without_its_blocks_is_refused(written_by):
    with pytest.raises(ValueError, match="need one block <!-- numbers -->"):
        written_by("readme").written("# Eyespot\n")


def test_every_row_has_a_command_that_exists():
    for path in (ROOT / "benchmarks" / "results").glob("*.json"):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            program, script, *_ = shlex.split(row["command"])
            assert program == "python", row["command"]
            assert (ROOT / "benchmarks" / script.removeprefix("benchmarks/")).exists()
            assert row["run"]
            assert row["device"]
            assert row["versions"]["torch"]


def test_every_page_of_results_has_its_figures_beside_it():
    for path in (ROOT / "docs" / "results").glob("*.json"):
        found = json.loads(path.read_text())
        where = found.get("where") or found["model"]["setting"]
        assert where["device"], path.name
        if "where" in found:
            assert where["command"].startswith(("eyespot ", "python ")), path.name


def test_bench_runs_every_script_that_records_rows():
    recording = {
        path.stem
        for path in (ROOT / "benchmarks").glob("*.py")
        if re.search(r"= Record\(", path.read_text())
    }
    listed = re.search(r"BENCHES := ((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text())
    assert recording <= set(listed[1].replace("\\", "").split())


def test_the_full_run_counts_before_a_later_quick_one(written_by, tmp_path):
    rows = [
        {"command": "python x.py", "device": "a", "run": "1", "who": "full"},
        {"command": "python x.py --quick", "device": "a", "run": "2", "who": "quick"},
        {"command": "python x.py --quick", "device": "b", "run": "1", "who": "earlier"},
        {"command": "python x.py --quick", "device": "b", "run": "2", "who": "alone"},
    ]
    path = tmp_path / "x.json"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    runs = written_by("tables").latest_runs(path)
    assert [[row["who"] for row in run] for run in runs] == [["alone"], ["full"]]
