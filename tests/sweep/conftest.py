"""Workers are processes: they have to import the checkout that is tested, and the runs below."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _workers_import_this_checkout(monkeypatch):
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    monkeypatch.setenv("PYTHONPATH", path)
