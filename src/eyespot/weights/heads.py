"""Projection heads and prototypes of published pretraining files, under our names."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from eyespot.errors import WeightsError
from eyespot.weights.checkpoints import unwrap
from eyespot.weights.files import read_file

_RULES = (
    (r"head\.(.+)", r"\1"),  # ours
    (r"(?:0\.)?projection_head\.(\d+\..+)", r"projector.\1"),  # SwAV's code, VISSL
    (r"(?:0\.)?prototypes(\d+)\.weight", r"prototypes.\1.weight"),  # VISSL
    (r"prototypes\.prototypes(\d+)\.weight", r"prototypes.\1.weight"),  # DeepCluster-v2
    (r"prototypes\.weight", r"prototypes.0.weight"),  # SwAV's code
)


def rename_head(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the head's tensors of a published state dict under the names of `SwAVHead`."""
    found = {}
    for key, tensor in weights.items():
        for theirs, ours in _RULES:
            if re.fullmatch(theirs, key):
                found[re.sub(theirs, ours, key)] = tensor
                break
    return found


def open_head(source: str | Path, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read the head of a pretraining file: SwAV's code, VISSL's SEER, or ours.

    Args:
        source: The file.
        own: State dict of the head it is for.

    Raises:
        WeightsError: If a tensor is missing, left over or of another shape.
        OSError: If the file cannot be read.
    """
    path = Path(source)
    found = rename_head(unwrap(read_file(path).tree, path, whole=True).state_dict)
    counters = {name for name in own if name.endswith("num_batches_tracked")}
    missing = sorted(own.keys() - found.keys() - counters)
    extra = sorted(found.keys() - own.keys())
    other = [
        f"{name} (needs {list(own[name].shape)}, got {list(tensor.shape)})"
        for name, tensor in found.items()
        if name in own and tensor.shape != own[name].shape
    ]
    wrong = [f"missing {name}" for name in missing] + [f"not used {name}" for name in extra] + other
    if wrong:
        raise WeightsError(
            f"need a head in {path} that fits the recipe's, got {', '.join(wrong[:5])}; start "
            "without the head, or give the recipe its widths and prototypes"
        )
    return found
