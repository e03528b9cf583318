"""Every code block of README and docs runs: a page's python in one interpreter, `$` lines apart.

A page runs from top to bottom in an empty folder of its own, with a user cache of its own. Lines
that start with `$ eyespot` or `$ torchrun` run; those without the `$` are shown alone.
"""

import json
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
MODULES = {"$ eyespot ": "eyespot", "$ torchrun ": "torch.distributed.run"}

RUNNER = """
import json as _json, subprocess as _subprocess, sys as _sys
for _kind, _text in _json.load(_sys.stdin):
    print("====", _text, flush=True)
    if _kind == "python":
        exec(compile(_text, "page", "exec"), globals())
    else:
        _subprocess.run([_sys.executable, "-m", *_text], check=True, stdin=_subprocess.DEVNULL)
"""


def steps(page):
    """The page's runnable pieces in order: ("python", code) or ("command", words)."""
    for kind, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind == "python":
            yield "python", body
        for line in body.replace("\\\n", " ").splitlines() if kind != "python" else ():
            for prefix, module in MODULES.items():
                if line.startswith(prefix):
                    words = shlex.split(line.removeprefix(prefix), comments=True)
                    yield "command", [module, *words]


SLOW = [  # 15 to 60 s each
    "answer.md", "extend.md", "ground.md", "own-data.md", "pretrain.md", "scale-out.md",
    "train.md", "weights.md",
]  # fmt: skip


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if page.name in SLOW else [], id=page.name)
        for page in PAGES
        if any(steps(page))
    ],
)
def test_page_runs(page, tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / ".cache"), "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, "-c", RUNNER], cwd=tmp_path, env=environment, capture_output=True,
        input=json.dumps(list(steps(page))), text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)[^)]*\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_exist(page):
    text = page.read_text(encoding="utf-8")
    for target in LINK.findall(text):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target
    for path in re.findall(r"`((?:src|tests|benchmarks|docs|examples)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path
