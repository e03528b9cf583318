import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models.networks import FAMILIES

ROOT = Path(__file__).parents[2]


def passed(check, families):
    done = subprocess.run(
        [sys.executable, "-m", "tests.models.compiling", check, *families],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": f"{ROOT}/src:{ROOT}", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.split()


@pytest.mark.slow
def test_every_family_exports_with_any_batch():
    assert passed("export", FAMILIES) == list(FAMILIES)


@pytest.mark.slow
@pytest.mark.parametrize("check", ["compile", "recompute"])
def test_every_family_compiles_to_one_graph(check):
    assert passed(check, FAMILIES) == list(FAMILIES)


@pytest.mark.slow
def test_compiled_code_computes_the_same():
    assert passed("inductor", ["vit_c"]) == ["vit_c"]
