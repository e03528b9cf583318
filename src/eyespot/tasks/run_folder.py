"""A run's folder: begun once with one recipe, and trained in by one run at a time."""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eyespot.design.files import write_whole
from eyespot.design.plain_data import read_plain
from eyespot.errors import RecipeError
from eyespot.tasks.kept_spec import keep_spec
from eyespot.tasks.recipe_files import differences, recipe_from_dict, recipe_to_dict

_LOCK = ".lock"


@contextlib.contextmanager
def claimed(
    out: Path, ours: Mapping[str, Any], settings: Mapping[str, Any], start: Mapping[str, Any]
) -> Iterator[None]:
    """Hold a run's folder, with the recipe written into it or compared with the one there.

    The lock ends with the process, however that ends. How the run is started goes behind earlier
    starts.

    Args:
        out: The folder; made when missing.
        ours: The task, the recipe, and counts of the data.
        settings: How `run.json` describes the run.
        start: What it runs on.

    Raises:
        RecipeError: If recipe or data differ, the folder holds something else, or another process
            trains in it.
    """
    path = out / "recipe.json"
    if path.exists():
        _compare(out, ours, read_plain(path, "recipe"))
    elif out.exists() and any(each.name != _LOCK for each in out.iterdir()):
        raise RecipeError(f"need an empty or new folder for a new run, got {out}, which is not")
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out):
        write_whole(path, json.dumps(ours, indent=1) + "\n")
        keep_spec(ours["recipe"].get("model", ""), out)
        write_whole(out / "run.json", json.dumps(settings, indent=1) + "\n")
        with (out / "environment.jsonl").open("a") as file:
            file.write(json.dumps(start) + "\n")
        yield


def _compare(out: Path, ours: Mapping[str, Any], theirs: Any) -> None:
    if not isinstance(theirs, dict) or not {"task", "recipe"} <= theirs.keys():
        raise RecipeError(f'need a recipe with "task" and "recipe" in {out / "recipe.json"}')
    if ours["task"] != theirs["task"]:
        changed = [f"the task is {ours['task']} and was {theirs['task']}"]
    else:  # what is new in recipes since has its default
        before = recipe_to_dict(recipe_from_dict(theirs, str(out / "recipe.json")))["recipe"]
        data = ours.get("data", {})
        changed = differences(ours["recipe"], before)
        changed += differences(data, theirs.get("data", data), "data.")
    if changed:
        raise RecipeError(
            f"need the recipe that {out} was begun with, got changes: "
            f"{'; '.join(changed[:3])}; take another --out, or the old numbers"
        )


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Lock the folder, or say who has."""
    ours = f"process {os.getpid()} of {socket.gethostname()}"
    with (out / _LOCK).open("a+") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            elsewhere = holder.split()[-1] != ours.split()[-1]
            gone = f", or remove {out / _LOCK} if that machine is gone" if elsewhere else ""
            raise RecipeError(
                f"need a folder that nothing else trains in, got {out}, where {holder} does; let "
                f"it end, or stop it{gone}"
            ) from None
        except OSError:  # a file system without locks: nobody can be told apart
            pass
        lock.truncate(0)
        lock.write(ours)
        lock.flush()
        yield
