"""One run: a Python function of a point, or a command line made from it.

A function gets the point's dict (index, parameters, spec, complexity, and out, the path of a folder
of its own) and returns a dict of metrics. In a command {lr} and every other parameter, {index},
{point}, {spec} and {out} are replaced, the last three by paths; its last printed line is a JSON
object of metrics.
"""

import importlib
import json
import shlex
import shutil
import string
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from eyespot.design.plain_data import short
from eyespot.errors import unknown_name
from eyespot.sweep.folder import Target, point_path
from eyespot.sweep.records import plain_metrics

Run = Callable[[dict[str, Any]], dict[str, Any]]


class RunFailed(Exception):
    """A run ended without metrics; the message is the last line of its traceback."""


def resolve(target: Target, folder: Path, parameters: Iterable[str]) -> Run:
    """Return the function that runs a point.

    Args:
        target: What a run is.
        folder: The sweep's folder.
        parameters: Names that a command may use.

    Raises:
        ValueError: If a function cannot be imported or a placeholder is unknown.
    """
    if target.kind == "callable":
        return _imported(target.what)
    words = _words(target.what)
    known = {"index", "point", "spec", "out", *parameters}
    for word in words:
        for _, name, _, _ in string.Formatter().parse(word):
            if name is not None and name not in known:
                raise ValueError(unknown_name("placeholder", name, known, most=20))

    def run(point: dict[str, Any]) -> dict[str, Any]:
        return _run_command(words, point, folder)

    return run


def _words(command: str) -> list[str]:
    """Return a command's words, each of which can be filled in."""
    try:
        words = shlex.split(command)
        for word in words:
            list(string.Formatter().parse(word))
    except ValueError as error:
        raise ValueError(
            f"need a command as a shell takes it, with {{{{ and }}}} for braces that are no "
            f"placeholder, got {command!r}: {error}"
        ) from None
    if not words:
        raise ValueError("need a command to run, got an empty one")
    return words


def check_target(target: Target, folder: Path, parameters: Iterable[str]) -> None:
    """Find out what `resolve` will say, before a sweep is written.

    A function's module is imported in a process of its own, which looks where workers look.

    Raises:
        ValueError: As `resolve`, or if a command's program is not there.
    """
    if target.kind == "command":
        resolve(target, folder, parameters)
        program = _words(target.what)[0]
        if "{" not in program and shutil.which(program) is None:
            raise ValueError(f"need a program to run, got {program!r}, which is not there")
        return
    command = [sys.executable, "-m", "eyespot.sweep.execute", target.what]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it ended Python"]
        raise ValueError(lines[-1])


def _imported(name: str) -> Run:
    module_name, _, function_name = name.partition(":")
    if not module_name or not function_name:
        raise ValueError(f'need a function as "module:function", got {name!r}')
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it raises when imported
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"need a module that can be imported, got {name!r}: {said}") from None
    function: Run | None = getattr(module, function_name, None)
    if not callable(function):
        known = [key for key, value in vars(module).items() if callable(value)]
        raise ValueError(unknown_name(f"function of {module_name}", function_name, known))
    return function


def execute(run: Run, point: dict[str, Any], out: Path) -> dict[str, Any]:
    """Run a point and return its metrics; what it prints goes to files in its folder.

    Args:
        run: What `resolve` returned.
        point: The point's dict.
        out: A folder for the run's files; made if need be.

    Raises:
        RunFailed: If it raised, or returned no metrics; stderr.txt has the traceback.
    """
    out.mkdir(parents=True, exist_ok=True)
    streams = out / "stdout.txt", out / "stderr.txt"
    with (
        streams[0].open("a", encoding="utf-8") as stdout,
        streams[1].open("a", encoding="utf-8") as stderr,
    ):
        try:
            with redirect_stdout(stdout), redirect_stderr(stderr):
                metrics = plain_metrics(run({**point, "out": str(out)}))
        except RunFailed:
            raise
        except Exception as error:  # a run may fail in any way; it is recorded
            traceback.print_exc(file=stderr)
            last = traceback.format_exception_only(error)[-1].strip()
            raise RunFailed(" ".join(last.split())) from error
    for stream in streams:
        if not stream.stat().st_size:
            stream.unlink()
    return metrics


def _run_command(words: list[str], point: dict[str, Any], folder: Path) -> dict[str, Any]:
    out = Path(point["out"])
    values = {
        **{name: _text(value) for name, value in point["parameters"].items()},
        "index": point["index"],
        "point": point_path(folder, point["index"]),
        "spec": out / "spec.json",
        "out": out,
    }
    if point["spec"] is not None:
        (out / "spec.json").write_text(json.dumps(point["spec"], indent=2), encoding="utf-8")
    command = [word.format(**values) for word in words]
    with (out / "stdout.txt").open("ab") as stdout, (out / "stderr.txt").open("ab") as stderr:
        starts = stdout.tell(), stderr.tell()
        code = subprocess.run(command, stdout=stdout, stderr=stderr, check=False).returncode
    if code:
        said = _last_line(out / "stderr.txt", starts[1])
        raise RunFailed(f"exit code {code}: {said or 'it said nothing'}")
    printed = _last_line(out / "stdout.txt", starts[0])
    try:
        metrics = json.loads(printed)
    except ValueError:
        metrics = None
    if not isinstance(metrics, dict):
        got = short(printed)
        raise RunFailed(f"need a JSON object as the last line the command prints, got {got}")
    return metrics


def _last_line(path: Path, start: int) -> str:
    with path.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def main() -> None:
    """Say whether the function of the first argument can be imported."""
    try:
        resolve(Target("callable", sys.argv[1]), Path(), ())
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
