"""The two exceptions of this package, and the sentence for a name nobody knows.

Every other mistake of a user raises `ValueError` with the value in its message.
"""

import difflib
from collections.abc import Iterable


class RecipeError(ValueError):
    """A recipe or spec says something that cannot be run."""


class WeightsError(ValueError):
    """A weights file is damaged, hostile, or belongs to another model."""


def unknown_name(kind: str, got: str, known: Iterable[str], *, most: int = 5) -> str:
    """Return the sentence for an unknown name: what was got, and the nearest known ones.

    Args:
        kind: What the name names, for example "model".
        got: The name nobody knows.
        known: All names that would have been right.
        most: How many near names to list.
    """
    names = sorted(set(known))
    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(got.lower(), by_lower, n=most, cutoff=0.5)
    if near:
        return f"unknown {kind} {got!r}. Did you mean {', '.join(by_lower[n] for n in near)}?"
    listed = ", ".join(names[:most]) + (", ..." if len(names) > most else "")
    return f"unknown {kind} {got!r}. Known: {listed}"
