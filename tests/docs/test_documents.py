"""Every code block of README and docs runs: python as one program, `$ eyespot` lines as commands.

A page runs from top to bottom in an empty folder of its own, with a user cache of its own.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def steps(page):
    """The page's runnable pieces in order: ("python", code) or ("command", line)."""
    for kind, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind == "python":
            yield "python", body
        for line in body.splitlines() if kind != "python" else ():
            if line.startswith("$ eyespot "):
                yield "command", line.removeprefix("$ ")


def run(arguments, folder):
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / ".cache"), "MPLBACKEND": "Agg"}
    done = subprocess.run(
        arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=500,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", [p for p in PAGES if any(steps(p))], ids=lambda page: page.name)
def test_page_runs(page, tmp_path):
    program = ""
    for kind, text in steps(page):
        if kind == "python":
            program += text + "\n"
            run([sys.executable, "-c", program], tmp_path)
        else:
            words = shlex.split(text, comments=True)
            run([sys.executable, "-m", *words], tmp_path)


LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)[^)]*\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_exist(page):
    text = page.read_text(encoding="utf-8")
    for target in LINK.findall(text):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target
    for path in re.findall(r"`((?:src|tests|benchmarks|docs|examples)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path
