"""Does the package work for someone who installs it? Builds it, installs it cleanly, runs it.

The source archive is built from the tree and the wheel from the archive, so that both are whole.
The wheel goes into an environment that holds it and what it requires alone, in the versions of
constraints.txt, and the commands run in an empty folder, where no source lies (build/wheel).

Run:  python .ci/check_wheel.py [DIST]      sdist and wheel stay in DIST (dist)
"""

import email
import os
import shutil
import subprocess
import sys
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INSIDE = (
    "eyespot/py.typed",
    "eyespot/app/page/index.html",
    "eyespot/app/page/demo.js",
    "eyespot/data/vocabularies/scenes.json",
    "eyespot/predict/weights/scenes_small.safetensors",
)
LICENCES = ("LICENSE", "NOTICE")
NO_TORCH = """
import sys, eyespot
assert "site-packages" in eyespot.__file__, eyespot.__file__
eyespot.list_models(); eyespot.complexity("RegNetY-4GF")
assert not {"torch", "numpy"} & set(sys.modules)
print("no torch")
"""
PICTURE = """
from PIL import Image
from eyespot.data.scenes import SceneConfig, make_scene, render
Image.fromarray(render(make_scene(SceneConfig(), 0, 3))).save("scene.png")
"""
SUPERVISION = """
from eyespot.predict.grounder import Grounder
Grounder.from_pretrained()("scene.png", "a circle").to_supervision()
"""
RUNS = (  # what is typed, and words of what it prints
    ("eyespot --version", "eyespot {version}"),
    ("eyespot --help", "usage: eyespot COMMAND"),
    ("eyespot models resnet*", "ResNet-50"),
    ("eyespot complexity RegNetY-400MF", "4,344,144"),
    ("eyespot scale RegNetY-500MF --flops 4G --strategy dWr --out spec.json", "written: spec.json"),
    ("eyespot complexity spec.json", "params"),
    ("eyespot doctor", "eyespot {version}"),
    ("eyespot weights list seer", "SEER"),
    ("eyespot train", "swav/"),
    (
        "eyespot train classify/smoke --data scenes:size=32,count=64,val_count=32 --out run",
        "finished: run/weights.safetensors",
    ),
    ("eyespot eval run", "error"),
    ("eyespot ground scene.png circle", "scene.png"),
)
REFUSALS = (  # what needs an extra, and what its one sentence has to say
    ("eyespot demo", "pip install 'eyespot[demo]'"),
    ("eyespot weights export scenes-small --out g.onnx", "pip install 'eyespot[export]'"),
    ("eyespot embed . --weights run --out f.parquet", "pip install 'eyespot[data]'"),
    (
        "eyespot sweep optimizability/small --data scenes --out sweep --slurm partition=p",
        "pip install 'eyespot[sweep]'",
    ),
    ("eyespot complexity RegNetY-5MF", "Did you mean"),
)


def run(command: list[str], folder: Path, expected: int = 0) -> str:
    """Run a command without this tree on its path; return what it said, or stop with that."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"XDG_CACHE_HOME": str(folder / ".cache"), "MPLBACKEND": "Agg"}
    done = subprocess.run(
        command, cwd=folder, env=environment, text=True, timeout=600, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    if done.returncode != expected:
        raise SystemExit(f"exit {done.returncode}, not {expected}: {command}\n{done.stdout}")
    return done.stdout


def build(work: Path, dist: Path) -> Path:
    """Build the archive from the tree and the wheel from the archive."""
    venv.create(work / "builder", with_pip=True)
    python = str(work / "builder" / "bin" / "python")
    pins = ["-c", str(ROOT / "constraints.txt")]
    run([python, "-m", "pip", "install", "-q", *pins, "hatchling"], work)
    shutil.rmtree(dist, ignore_errors=True)
    run([python, "-m", "hatchling", "build", "-t", "sdist", "-d", str(dist)], ROOT)
    (archive,) = dist.glob("*.tar.gz")
    pip = [python, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    path = os.pathsep.join([str(work / "builder" / "bin"), os.environ["PATH"]])
    run(["env", f"PATH={path}", *pip, str(archive), "-w", str(dist)], work)
    (wheel,) = dist.glob("*.whl")
    return wheel


def check_contents(wheel: Path) -> str:
    """See that the wheel holds its data and says what it is; return its version."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (about,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(about))
    folder = about.removesuffix("METADATA") + "licenses/"
    missing = sorted({*INSIDE, *(folder + name for name in LICENCES)} - names)
    strangers = sorted(n for n in names if not n.startswith(("eyespot/", "eyespot-")))
    if missing or strangers:
        raise SystemExit(f"{wheel.name} lacks {missing} and should not hold {strangers}")
    if metadata["License-Expression"] != "Apache-2.0":
        raise SystemExit(f"need License-Expression Apache-2.0, got {metadata.items()}")
    if metadata["Description-Content-Type"] != "text/markdown" or not metadata.get_payload():
        raise SystemExit("need README.md as the description, in Markdown")
    return str(metadata["Version"])


def main(dist: Path) -> None:
    """Build, look into the wheel, install it, run it."""
    work = ROOT / "build" / "wheel"
    shutil.rmtree(work, ignore_errors=True)  # of the last time: deleting is slow on some disks
    work.mkdir(parents=True)
    wheel = build(work, dist)
    version = check_contents(wheel)
    print(f"built {wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB", flush=True)
    venv.create(work / "clean", with_pip=True)
    programs, empty = work / "clean" / "bin", work / "empty"
    empty.mkdir()
    python = str(programs / "python")
    pins = ["-c", str(ROOT / "constraints.txt")]
    began = time.monotonic()
    run([python, "-m", "pip", "install", "-q", "--no-compile", *pins, str(wheel)], work)
    run([python, "-m", "pip", "check"], work)
    print(f"installed in {time.monotonic() - began:.0f} s", flush=True)
    run([python, "-c", NO_TORCH], empty)
    run([python, "-c", PICTURE], empty)
    for line, words in RUNS:
        said = run([str(programs / "eyespot"), *line.split()[1:]], empty)
        if words.format(version=version) not in said:
            raise SystemExit(f"{line}: {words!r} is not in\n{said}")
        print(f"ran      {line}", flush=True)
    for line, words in REFUSALS:
        said = run([str(programs / "eyespot"), *line.split()[1:]], empty, expected=2)
        if words not in said or said.count("\n") != 1:
            raise SystemExit(f"{line}: {words!r} is not the one line\n{said}")
        print(f"refused  {line}", flush=True)
    said = run([python, "-c", SUPERVISION], empty, expected=1)
    if "ValueError: need the package supervision" not in said:
        raise SystemExit(said)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "dist").resolve())
