"""torch.hub loads networks from a copy of the repository."""

import runpy
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

import eyespot

ROOT = str(Path(__file__).parents[1])


def test_every_network_has_an_entry():
    found = runpy.run_path(f"{ROOT}/hubconf.py")
    names = [name for name, entry in found.items() if callable(entry) and name[0] != "_"]
    assert {"grounder", "regnety_200mf", "vit_c_4_0gf", "efficientnet_b0"} <= set(names)
    assert len(names) == len(eyespot.list_models()) + 1  # and nothing that is no network


def test_hub_makes_the_same_network():
    torch.manual_seed(0)
    theirs = torch.hub.load(ROOT, "regnety_200mf", source="local", num_classes=3).eval()
    torch.manual_seed(0)
    ours = eyespot.create_model("RegNetY-200MF", num_classes=3).eval()
    images = torch.randn(1, 3, 64, 64)
    assert_close(theirs(images), ours(images), rtol=0, atol=0)


def test_hub_loads_the_grounder():
    assert isinstance(torch.hub.load(ROOT, "grounder", source="local"), eyespot.Grounder)


def test_an_unknown_entry_is_an_error():
    with pytest.raises(RuntimeError, match="regnety_9"):
        torch.hub.load(ROOT, "regnety_9", source="local")
