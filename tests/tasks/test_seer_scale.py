"""SEER on two processes neither of which holds the whole network, on a small one."""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_sharded_step_is_taken_saved_and_loaded(tmp_path):
    command = [sys.executable, "-m", "benchmarks.seer_scale", str(tmp_path / "out"), "rg_8gf", "32"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["parameters"] == 37_163_068 + 89_833_728
    assert report["held_parameters"] == pytest.approx(report["parameters"] / 2, rel=0.01)
    assert report["prototypes_moved"] > 0
