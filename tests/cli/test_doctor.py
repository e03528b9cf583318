"""`eyespot doctor` says what importlib and torch say, and what is not installed."""

import importlib.metadata
import json
import os
import re
import shutil
import tomllib
from pathlib import Path

import torch

from eyespot.cli import main


def test_it_says_what_is_there(capsys):
    main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["core"]["torch"] == importlib.metadata.version("torch")
    assert f"{torch.get_num_threads()} thread" in found["devices"][0]["about"]
    assert found["devices"][0]["training"]["RegNets"].startswith("float32")
    assert len(found["devices"]) == 1 + torch.cuda.device_count()
    assert "defaults.py" in found["settings_from"]
    assert found["bytes"]["memory"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < found["bytes"]["free in this folder"] < shutil.disk_usage(".").total


def requirements(listed):
    return {re.match(r"[\w-]+", line)[0].lower() for line in listed}


def test_it_knows_every_requirement_and_every_extra(capsys):
    about = Path(__file__).parents[2] / "pyproject.toml"
    project = tomllib.loads(about.read_text(encoding="utf-8"))["project"]
    main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert set(found["core"]) == requirements(project["dependencies"])
    assert "missing" not in found["core"].values()
    extras = {
        (package, extra)
        for extra, listed in project["optional-dependencies"].items()
        if extra not in ("dev", "docs")
        for package in requirements(listed)
    }
    assert {(name, row["extra"]) for name, row in found["optional"].items()} == extras


def test_threads_and_full_disks_are_told(capsys, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    tight = shutil._ntuple_diskusage(1 << 40, 1 << 40, 5 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: tight)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    main(["doctor"])
    out = capsys.readouterr().out
    assert "(OMP_NUM_THREADS=3)" in out
    assert "0.0 GiB free in this folder" in out
    assert "note: this folder's disk is almost full" in out
    assert "note: there is no C++ compiler" in out


def test_the_missing_is_named_with_its_extra(capsys, monkeypatch):
    real = importlib.metadata.version

    def without_optuna(name):
        if name == "optuna":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", without_optuna)
    main(["doctor"])
    out = capsys.readouterr().out
    assert "optuna        not installed (pip install 'eyespot[sweep]'): sweeps driven" in out
