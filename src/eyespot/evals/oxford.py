"""The ground truths of Oxford5k, Paris6k and their revisited forms, as their authors give them.

Two forms are read: the original folder of text files (`all_souls_1_query.txt`, `_good`, `_ok`,
`_junk`), and one file with `imlist`, `qimlist` and `gnd` (`gnd_roxford5k.pkl`, or the same as
JSON). The pickle is read by an unpickler that knows plain values and refuses everything else.
"""

import io
import json
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from eyespot.evals.retrieval import QueryTruth


class RetrievalSet(NamedTuple):
    """A database and what each query should find in it.

    Attributes:
        images: Names of the database's images, without ending.
        queries: What to look for; their names without ending too.
    """

    images: tuple[str, ...]
    queries: tuple[QueryTruth, ...]


def read_truths(path: Path, images: Sequence[str] = ()) -> RetrievalSet:
    """Read ground truths.

    Args:
        path: The folder of text files, or the .json or .pkl file.
        images: For the folder: names of all images of the database, without ending. The files do
            not list those that no query speaks of.

    Raises:
        ValueError: If the file is damaged or of another form, or an image is unknown.
        OSError: If it cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, images)
    try:
        if path.suffix == ".json":
            data = json.loads(path.read_text(encoding="utf-8"))
        else:
            data = _PlainUnpickler(io.BytesIO(path.read_bytes())).load()
        return _from_lists(data)
    except (pickle.UnpicklingError, EOFError, IndexError, KeyError, TypeError) as error:
        problem = f"{type(error).__name__}: {error}"
    except (ValueError, AttributeError, UnicodeError) as error:
        problem = str(error)
    raise ValueError(f"need ground truths with imlist, qimlist and gnd, got {path} ({problem})")


class _PlainUnpickler(pickle.Unpickler):
    """Builds numbers, texts, lists and dicts; runs nothing."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is code")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError(f"it asks for the object {pid} from elsewhere")


def _from_lists(data: Mapping[str, Any]) -> RetrievalSet:
    images = tuple(str(name) for name in data["imlist"])
    queries = []
    for name, truth in zip(data["qimlist"], data["gnd"], strict=True):
        easy = tuple(int(i) for i in truth.get("easy", truth.get("ok", ())))
        hard, junk = (tuple(int(i) for i in truth.get(key, ())) for key in ("hard", "junk"))
        outside = [i for i in (*easy, *hard, *junk) if not 0 <= i < len(images)]
        if outside:
            raise ValueError(f"{name} speaks of image {outside[0]} of {len(images)}")
        queries.append(QueryTruth(str(name), _box(truth.get("bbx")), easy, hard, junk))
    return RetrievalSet(images, tuple(queries))


def _box(values: Sequence[float] | None) -> tuple[float, float, float, float] | None:
    if values is None:
        return None
    left, top, right, bottom = (float(value) for value in values)
    return left, top, right, bottom


def _read_folder(folder: Path, images: Sequence[str]) -> RetrievalSet:
    places = {name: place for place, name in enumerate(images)}
    queries = []
    for path in sorted(folder.glob("*_query.txt")):
        name, *box = path.read_text(encoding="utf-8").split()
        found = {
            kind: _places(path.with_name(path.name.replace("_query", f"_{kind}")), places)
            for kind in ("good", "ok", "junk")
        }
        queries.append(
            QueryTruth(
                re.sub(r"^oxc1_", "", name),
                _box([float(value) for value in box]) if box else None,
                found["good"] + found["ok"],
                (),
                found["junk"],
            )
        )
    if not queries:
        raise ValueError(f"need files such as all_souls_1_query.txt, got none in {folder}")
    return RetrievalSet(tuple(images), tuple(queries))


def _places(path: Path, places: Mapping[str, int]) -> tuple[int, ...]:
    names = path.read_text(encoding="utf-8").split()
    unknown = [name for name in names if name not in places]
    if unknown:
        raise ValueError(
            f"need an image of the database for each line, got {unknown[0]!r} in {path}; are all "
            "images there?"
        )
    return tuple(places[name] for name in names)
