"""The package as a whole: what importing it loads, and what it offers."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import eyespot

HEAVY = ("torch", "numpy", "scipy", "matplotlib", "PIL", "timm", "torchvision", "transformers")


def loaded_by(code):
    listing = f"{code}\nimport sys; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import eyespot",
        "import eyespot; eyespot.list_models(); eyespot.complexity('RegNetY-4GF')",
        "import eyespot.cli; eyespot.cli.main(['--help'])",
        "import eyespot.cli; eyespot.cli.main(['models', 'resnet*'])",
    ],
)
def test_design_loads_nothing_heavy(code):
    assert not loaded_by(code).intersection(HEAVY)


def test_models_load_no_peer():
    loaded = loaded_by("import eyespot; eyespot.create_model('regnety_200mf')")
    assert not loaded.intersection({"timm", "torchvision", "transformers", "matplotlib"})


def test_every_public_name_resolves():
    for name in eyespot.__all__:
        assert getattr(eyespot, name) is not None
        assert name in dir(eyespot)


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'creat_model'"):
        eyespot.creat_model  # noqa: B018


def test_one_version_everywhere():
    root = Path(__file__).parents[1]
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    newest = re.search(r"^## (\S+)", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert citation["version"] == newest[1] == eyespot.__version__


def test_the_notice_names_the_licence_of_every_published_file():
    from eyespot.weights.catalog import catalog

    notice = (Path(__file__).parents[1] / "NOTICE").read_text(encoding="utf-8")
    for entry in catalog():
        line = re.search(rf"^ *{entry.name.split('/')[0]}/\.\.\..*$", notice, re.M)
        assert line is not None, entry.name
        assert re.search(rf" {re.escape(entry.licence.name)} ", line[0]), entry.name
