"""`eyespot quickstart`: its commands run, are not run twice, and end on one page."""

import json
import re
import subprocess
import sys

import pytest

from eyespot.cli import main
from eyespot.cli.quickstart import run_all
from eyespot.cli.quickstart_steps import Command

COUNT = Command("count", ("complexity", "RegNetY-200MF", "--json"), 2)


def test_commands_run_once_and_again_if_their_words_change(tmp_path, capfd):
    first = run_all([COUNT], tmp_path)
    assert json.loads(first["count"]["said"])["params"] == 3_162_996  # pycls' model zoo: 3.2M
    assert "$ eyespot complexity RegNetY-200MF --json" in capfd.readouterr().out
    assert run_all([COUNT], tmp_path) == first
    assert capfd.readouterr().out == ""
    other = COUNT._replace(words=("complexity", "RegNetX-200MF", "--json"))
    assert json.loads(run_all([other], tmp_path)["count"]["said"])["params"] == 2_684_792


def test_what_was_done_before_a_failure_is_kept(tmp_path, capfd):
    wrong = Command("wrong", ("complexity", "RegNetQ"), 2)
    with pytest.raises(ValueError, match="`eyespot complexity` to go to its end, got exit code 2"):
        run_all([COUNT, wrong], tmp_path)
    assert "unknown model" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["count.json"]


def test_a_command_that_leaves_nothing_behind_was_interrupted(tmp_path):
    with pytest.raises(ValueError, match="got one that was stopped; what was done is kept"):
        run_all([COUNT._replace(leaves=tmp_path / "weights.safetensors")], tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_a_space_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["quickstart", "--out", str(tmp_path / "a b")])
    assert "need a folder whose path has no spaces" in capsys.readouterr().err


@pytest.mark.slow
def test_the_fast_one_measures_the_shipped_weights_and_draws(tmp_path):
    command = [sys.executable, "-m", "eyespot", "quickstart", "--fast", "--out", "tour"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=550
    )
    assert done.returncode == 0, done.stderr
    before, after = re.search(
        r"right: ([\d.]+) % before .*, ([\d.]+) % after", done.stdout
    ).groups()
    assert float(after) > float(before) + 5
    page = (tmp_path / "tour" / "index.html").read_text()
    assert page.count("data:image/png;base64,") >= 5
    assert "$ eyespot scale RegNetY-200MF" in page
    again = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100
    )
    assert again.returncode == 0
    assert "$ eyespot" not in again.stdout
