"""`eyespot doctor` says what importlib and torch say, and what is not installed."""

import importlib.metadata
import json

import torch

from eyespot.cli import main


def test_it_says_what_is_there(capsys):
    main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["core"]["torch"] == importlib.metadata.version("torch")
    assert f"{torch.get_num_threads()} threads" in found["devices"][0]["about"]
    assert found["devices"][0]["training"]["RegNets"].startswith("float32")
    assert len(found["devices"]) == 1 + torch.cuda.device_count()


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
