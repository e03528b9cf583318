"""A run keeps the network it was begun with, whatever becomes of the spec file it was given."""

from pathlib import Path

from eyespot.design.by_name import to_spec
from eyespot.design.spec_files import read_spec, write_spec
from eyespot.design.specs import Spec
from eyespot.errors import RecipeError

_KEPT = "spec.json"


def spec_of(model: str, out: Path) -> Spec:
    """Return the network of a recipe: of a spec file, what it held when the run was begun.

    Args:
        model: A name, or the path of a spec file or of weights that name their network.
        out: The run's folder.

    Raises:
        ValueError: If the name is unknown or the file is no spec.
        OSError: If the run is new and the file cannot be read.
    """
    kept = out / _KEPT
    return read_spec(kept) if _is_file(model) and kept.is_file() else to_spec(model)


def keep_spec(model: str, out: Path) -> None:
    """Copy a recipe's spec file into the run's folder, or compare it with the copy there.

    Args:
        model: A name, of which nothing is kept, or the path of a spec file.
        out: The run's folder.

    Raises:
        RecipeError: If the file, which need not be there any more, holds another network now.
    """
    if not _is_file(model):
        return
    kept = out / _KEPT
    if not kept.exists():
        write_spec(read_spec(Path(model)), kept)
    elif Path(model).is_file() and read_spec(Path(model)) != read_spec(kept):
        raise RecipeError(
            f"need the network that {out} was begun with, which is in {kept}, got another one in "
            f"{model}; take another --out, or put the old file back"
        )


def _is_file(model: str) -> bool:
    return model.endswith((".json", ".safetensors"))
