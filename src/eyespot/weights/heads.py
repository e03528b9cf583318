"""SwAV's heads, projector and prototypes, out of published checkpoints and back.

Published are VISSL's (SEER among them), whose keys start with the head's number, and those of
SwAV's own repository and DeepCluster-v2's. Layers have the same numbers there and here.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from eyespot.errors import WeightsError
from eyespot.models.heads import SwAVHead
from eyespot.weights.checkpoints import unwrap
from eyespot.weights.files import read_file

HeadLayout = Literal["vissl", "swav"]

_PROJECTOR = re.compile(r"(?:(\d+)\.)?projection_head\.(.+)")
_PROTOTYPES = re.compile(r"(?:(\d+)\.)?prototypes(?:\.prototypes)?(\d*)\.weight")


def load_swav_head(source: str | Path | Mapping[str, Any], *, number: int = 0) -> SwAVHead:
    """Build the head that a checkpoint holds, and load it.

    Widths, numbers of prototypes and batch norms are read off the shapes.

    Args:
        source: A checkpoint's file, or what is in it.
        number: Which of several heads, as VISSL counts them.

    Raises:
        WeightsError: If there is no such head, or its layers are not those of a SwAV head.
        OSError: If the file cannot be read.
    """
    found = _find(source, number)
    linears = sorted(
        (int(match[1]), tensor)
        for name, tensor in found.items()
        if (match := re.fullmatch(r"projector\.(\d+)\.weight", name)) and tensor.dim() == 2
    )
    prototypes = [found[name] for name in sorted(found, key=_place) if "prototypes" in name]
    if not linears or not prototypes:
        raise WeightsError(
            f"need a head with projection_head and prototypes, got {len(linears)} linear layers "
            f"and {len(prototypes)} sets of prototypes; was it left out when the file was made?"
        )
    dims = (linears[0][1].shape[1], *(weight.shape[0] for _, weight in linears))
    head = SwAVHead(
        dims,
        [len(weight) for weight in prototypes],
        batch_norm=any(name.endswith("running_mean") for name in found),
    )
    own = head.state_dict()
    for name in own:  # VISSL leaves counters out
        if name.endswith("num_batches_tracked"):
            found.setdefault(name, own[name])
    wrong = [
        name
        for name in sorted({*own, *found})
        if name not in own or name not in found or own[name].shape != found[name].shape
    ]
    if wrong:
        raise WeightsError(
            f"need the layers of a SwAV head of widths {', '.join(map(str, dims))}, got a "
            f"difference in {', '.join(wrong[:5])}"
        )
    head.load_state_dict(found)
    return head.eval()


def export_swav_head(head: SwAVHead | Mapping[str, Tensor], to: HeadLayout) -> dict[str, Tensor]:
    """Rename a head's weights as VISSL's head 0, or as SwAV's repository has them.

    Args:
        head: The head, or its state dict.
        to: Whose names.

    Raises:
        WeightsError: If it is another method's head.
    """
    weights = head.state_dict() if isinstance(head, SwAVHead) else head
    start = "0." if to == "vissl" else ""
    several = "prototypes.1.weight" in weights
    renamed = {}
    for name, tensor in weights.items():
        number = re.fullmatch(r"prototypes\.(\d+)\.weight", name)
        if number is None and not name.startswith("projector."):
            raise WeightsError(f"need the projector and prototypes of a SwAV head, got {name}")
        if number is None:
            renamed[start + name.replace("projector.", "projection_head.", 1)] = tensor
        elif to == "vissl":
            renamed[f"0.prototypes{number[1]}.weight"] = tensor
        elif several:
            renamed[f"prototypes.prototypes{number[1]}.weight"] = tensor
        else:
            renamed["prototypes.weight"] = tensor
    return renamed


def is_head_0(name: str) -> bool:
    """Whether a published name is that of a tensor of the first head."""
    match = _PROJECTOR.fullmatch(name) or _PROTOTYPES.fullmatch(name)
    return match is not None and match[1] in (None, "0")


def _find(source: str | Path | Mapping[str, Any], number: int) -> dict[str, Tensor]:
    """Return the weights of one head under our names."""
    path = None
    tree: Any = source
    if isinstance(source, str | Path):
        path = Path(source)
        tree = read_file(path).tree
    found: dict[str, Tensor] = {}
    others = set()
    for key, tensor in unwrap(tree, path).state_dict.items():
        projector, prototypes = _PROJECTOR.fullmatch(key), _PROTOTYPES.fullmatch(key)
        match = projector or prototypes
        if match is None:
            continue
        if match[1] is not None and int(match[1]) != number:
            others.add(int(match[1]))
            continue
        name = f"projector.{match[2]}" if projector else f"prototypes.{match[2] or 0}.weight"
        found[name] = tensor
    if not found:
        has = f"only the heads {', '.join(map(str, sorted(others)))}" if others else "none"
        raise WeightsError(
            f"need SwAV's head {number} (keys with projection_head and prototypes), got {has}"
        )
    return found


def _place(name: str) -> int:
    """Order sets of prototypes by their number."""
    number = name.split(".")[1]
    return int(number) if number.isdecimal() else 0
