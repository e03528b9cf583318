"""Grounding networks by name: the package's own, and MDETR's published checkpoints.

A published checkpoint is fetched once, turned into a file of ours that describes itself, and kept
beside the checkpoint in the user's cache.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from eyespot.errors import unknown_name
from eyespot.weights.catalog import ROBERTA_TOKENIZER, Published, find_published
from eyespot.weights.download import Progress
from eyespot.weights.grounders import save_grounder
from eyespot.weights.mdetr import ImportedGrounder, import_mdetr
from eyespot.weights.trunk import cached_file, weights_file

PRETRAINED = {"scenes-small": "scenes_small.safetensors"}
"""Weights that are part of the package, by name."""


@contextmanager
def grounder_file(name_or_path: str | Path) -> Iterator[Path]:
    """Give the path of a weights file, of a folder's weights, or of weights by name.

    Names are the package's own, and those of MDETR in `eyespot weights list`: what was imported of
    one last, or else its averaged weights, which are fetched if they are not in the cache.

    Raises:
        ValueError: If it is neither a path nor a known name, or a folder without weights.
        OSError: If a published file cannot be fetched.
    """
    name, path = str(name_or_path), Path(name_or_path)
    if name in PRETRAINED:
        with resources.as_file(
            resources.files("eyespot.predict") / "weights" / PRETRAINED[name]
        ) as p:
            yield p
        return
    entry = published_grounder(name)
    if entry is not None:
        if not imported_file(entry).exists():
            import_published(entry)
        yield imported_file(entry)
        return
    bare = path.suffix == "" and path.name == name
    if not path.exists() and (bare or name.lower().startswith("mdetr/")):
        known = [*PRETRAINED, *(entry.name for entry in find_published("mdetr/"))]
        sentence = unknown_name("weights", name, known)
        raise ValueError(f"{sentence}; a weights file or a training run's folder will do as well")
    yield weights_file(path)


def published_grounder(name: str) -> Published | None:
    """Return the published checkpoint of a name, with or without "mdetr/"; None for a path."""
    if Path(name).exists():
        return None
    wanted = name.lower()
    names = {entry.name.lower(): entry for entry in find_published("mdetr/")}
    return names.get(wanted) or names.get(f"mdetr/{wanted}")


def imported_file(entry: Published) -> Path:
    """Return where the cache keeps a published checkpoint as a file of ours, there or not."""
    return entry.cached.with_name("grounder.safetensors")


def import_published(
    entry: Published,
    *,
    vocabulary: Path | None = None,
    answers: Path | None = None,
    average: bool = True,
    out: Path | None = None,
    progress: Progress | None = None,
) -> ImportedGrounder:
    """Turn a published checkpoint into a file of ours, fetched first if the cache lacks it.

    Args:
        entry: From `published_grounder`.
        vocabulary: RoBERTa's, as `import_mdetr` takes it; None: the published one, fetched as well.
        answers: As in `import_mdetr`.
        average: Likewise.
        out: The file to write; None: into the cache, where the name finds it.
        progress: Called while the checkpoint is fetched.

    Raises:
        WeightsError: If a file is not what was published.
        OSError: If one cannot be fetched, read or written.
    """
    if vocabulary is None:
        vocabulary = cached_file(ROBERTA_TOKENIZER)
    checkpoint = cached_file(entry.name, progress)
    imported = import_mdetr(checkpoint, vocabulary, answers=answers, average=average)
    save_grounder(*imported.loaded, out or imported_file(entry))
    return imported
