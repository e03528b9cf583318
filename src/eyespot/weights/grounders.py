"""Weights files of grounding networks, which describe themselves.

The header holds the network's spec (`grounder`) and its tokenizer (`tokenizer`), so that one file
is all that is needed to ground a text.
"""

import json
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from eyespot.data.tokens import Tokenizer
from eyespot.errors import WeightsError
from eyespot.models.grounder import (
    GrounderSpec,
    build_grounder,
    grounder_from_dict,
    grounder_to_dict,
)
from eyespot.models.masks import SegmentingDetector
from eyespot.models.mdetr import ModulatedDetector
from eyespot.weights.files import read_file, save_weights

_HEADS = ("contrastive_align_projection_", "isfinal_embed", "answer_", "qa_embed")
"""Parts that fine-tuning may do without."""

_COUNTER = ".num_batches_tracked"  # which frozen norms do not have


class LoadedGrounder(NamedTuple):
    """A network with all that it takes to use it."""

    model: ModulatedDetector | SegmentingDetector
    spec: GrounderSpec
    tokenizer: Tokenizer


def save_grounder(
    model: nn.Module, spec: GrounderSpec, tokenizer: Tokenizer, path: str | Path
) -> None:
    """Write a grounding network's weights, its spec and its tokenizer as one safetensors file.

    Raises:
        OSError: If it cannot be written.
    """
    about = {
        "format": "eyespot",
        "grounder": json.dumps(grounder_to_dict(spec)),
        "tokenizer": tokenizer.definition(),
    }
    save_weights(model.state_dict(), path, about)


def read_grounder(path: str | Path) -> LoadedGrounder:
    """Build the network that a weights file describes, and load it, ready to be used.

    Raises:
        WeightsError: If the file is damaged, or holds the weights of something else.
        OSError: If it cannot be read.
    """
    contents = read_file(path)
    about = contents.metadata
    if "grounder" not in about or "tokenizer" not in about:
        kind = "an image network" if "spec" in about else "something else"
        raise WeightsError(
            f"need the weights of a grounding network, got {path}, whose header describes {kind}; "
            "train one with `eyespot train ground/...`, or import a published one with "
            "`eyespot weights import-mdetr`"
        )
    try:
        spec = grounder_from_dict(json.loads(about["grounder"]))
        tokenizer = Tokenizer(about["tokenizer"], max_tokens=spec.max_tokens)
    except ValueError as error:
        raise WeightsError(f"need a header that describes a grounding network: {error}") from None
    with torch.device("meta"):
        model = build_grounder(spec)
    try:
        model.load_state_dict(contents.tree, assign=True)
    except RuntimeError as error:
        raise WeightsError(
            f"need the weights that the header of {path} describes: {' '.join(str(error).split())}"
        ) from None
    return LoadedGrounder(model.requires_grad_(False).eval(), spec, tokenizer)


def load_grounder_weights(
    model: nn.Module, path: Path, *, without: tuple[str, ...] = ()
) -> list[str]:
    """Begin with another grounder's weights, in place; return notes.

    Every tensor of the file must have a place of its shape, but for heads that this network does
    not have: those are left out and named. Parts that the file lacks, such as new heads, keep their
    fresh weights and are named.

    Args:
        model: The network.
        path: The other grounder's file.
        without: Starts of a detector's names of tensors that stay as they are.

    Raises:
        WeightsError: If a tensor of the file has no place; the network is unchanged.
        OSError: If it cannot be read.
    """
    tensors = read_file(path).tree
    own = model.state_dict()
    if own.keys() & {f"detr.{key}" for key in tensors}:  # a detector's, for a segmenting one
        tensors = {f"detr.{key}": value for key, value in tensors.items()}
    tensors = {k: v for k, v in tensors.items() if k in own or not k.endswith(_COUNTER)}
    tensors = {k: v for k, v in tensors.items() if not _starts(k, without)}
    unused = [k for k in tensors if k not in own and k.removeprefix("detr.").startswith(_HEADS)]
    tensors = {key: value for key, value in tensors.items() if key not in unused}
    wrong = [k for k, v in tensors.items() if k not in own or own[k].shape != v.shape]
    if wrong:
        raise WeightsError(
            f"need weights that fit the recipe's network, got {len(wrong)} tensors of {path} that "
            f"do not, such as {', '.join(wrong[:3])}"
        )
    with torch.no_grad():
        for key, value in tensors.items():
            own[key].copy_(value)
    lacking = [key for key in own if key not in tensors and not _starts(key, without)]
    fresh = sorted({key.removeprefix("detr.").split(".")[0] for key in lacking})
    left = sorted({key.removeprefix("detr.").split(".")[0] for key in unused})
    return [
        *([f"new weights for {', '.join(fresh)}"] if fresh else []),
        *([f"left out of {path}: {', '.join(left)}"] if left else []),
    ]


def _starts(key: str, starts: tuple[str, ...]) -> bool:
    return key.removeprefix("detr.").startswith(starts)
