"""SEER on two processes neither of which holds the whole network, on a small one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RUN = """
import json, sys
from pathlib import Path
from seer_scale import measure
print(json.dumps(measure(Path(sys.argv[1]), "rg_8gf", 32)))
"""


@pytest.mark.slow
def test_a_sharded_step_is_taken_saved_loaded_and_gone_on_from(tmp_path):
    paths = os.pathsep.join([str(BENCHMARKS), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path)],
        capture_output=True, text=True, timeout=400, check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["parameters"] == 37_163_068 + 89_833_728
    assert report["held_parameters"] == pytest.approx(report["parameters"] / 2, rel=0.01)
    assert report["prototypes_moved"] > 0
    assert report["loss_of_second_step"] != report["loss"]
