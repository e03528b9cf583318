"""The design functions for whoever has a name, a spec.json or a spec."""

from pathlib import Path

from eyespot.design import complexity as counting
from eyespot.design import zoo
from eyespot.design.complexity import Complexity
from eyespot.design.spec_files import read_spec
from eyespot.design.specs import Spec

Model = str | Path | Spec
"""A name as `list_models` prints it or in lower case, the path of a spec.json, or a spec."""


def to_spec(model: Model) -> Spec:
    """Return the spec of a name or of a spec.json, or the spec itself.

    Raises:
        ValueError: If the name is unknown or the file is no spec.
        OSError: If the file cannot be read.
    """
    if isinstance(model, Path) or (isinstance(model, str) and model.endswith(".json")):
        return read_spec(Path(model))
    return zoo.spec(model) if isinstance(model, str) else model


def complexity(model: Model, image_size: int | None = None) -> Complexity:
    """Count params, flops (multiply-adds) and activations of one image, building nothing.

    Args:
        model: A name, the path of a spec.json, or a spec.
        image_size: Side of the image, px; the network's own training size when not given.

    Raises:
        ValueError: If the name is unknown, or the size is none of the network's.
    """
    return counting.complexity(to_spec(model), image_size)
