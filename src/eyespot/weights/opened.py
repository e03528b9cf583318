"""Weights of any layout, read and renamed to ours, before they meet a network."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from eyespot.errors import WeightsError
from eyespot.weights.checkpoints import ChannelOrder, unwrap
from eyespot.weights.effnet_lite import count_stages, for_imagenet_images
from eyespot.weights.files import read_file
from eyespot.weights.key_maps import to_ours
from eyespot.weights.layouts import EFFNET_LITE, PYCLS, PYCLS_VIT, recognise

_FIRST = re.compile(r"(.*\.)?(?:stem\.conv|patch_embed\.proj)\.weight")  # of every network of ours


class Weights(NamedTuple):
    """Weights under our names, for RGB images, before they meet a network.

    Attributes:
        layout: The published layout they came in.
        tensors: By our name.
        origin: The published name of each.
        heads: Published names of head weights that a backbone has no place for.
        unknown: Published names that nothing here knows.
        notes: What was chosen or changed on the way.
        metadata: The file's text entries.
    """

    layout: str
    tensors: dict[str, Tensor]
    origin: dict[str, str]
    heads: tuple[str, ...]
    unknown: tuple[str, ...]
    notes: tuple[str, ...]
    metadata: dict[str, str]


def open_weights(
    source: str | Path | Mapping[str, Any],
    *,
    channel_order: ChannelOrder | None = None,
    prefix: str | None = None,
) -> Weights:
    """Read weights and rename them to our names, without a network; arguments as `load_weights`."""
    if channel_order not in (None, "rgb", "bgr"):
        raise WeightsError(f'need channel_order "rgb", "bgr" or None, got {channel_order!r}')
    metadata: dict[str, str] = {}
    path = None
    tree: Any = source
    if isinstance(source, str | Path):
        path = Path(source)
        tree, metadata = read_file(path)
    if prefix is None and metadata.get("format") == "eyespot":
        prefix = _backbone_prefix(tree, str(path))
    inside = unwrap(tree, path, prefix=prefix)
    state_dict = count_stages(inside.state_dict)
    layout = recognise(state_dict.keys())
    renamed = to_ours(layout, state_dict)
    notes = [*inside.notes]
    if layout.note:
        notes.append(layout.note)
    ours = metadata.get("format") == "eyespot"
    order = channel_order or inside.channel_order
    if order is None and ours:
        order = "bgr" if metadata.get("channel_order") == "bgr" else "rgb"
    if order is None and layout in (PYCLS, PYCLS_VIT):
        notes.append(
            "took the weights as for RGB images; those that pycls trained expect BGR: if these "
            'are, load them with channel_order="bgr"'
        )
    tensors = renamed.weights
    if layout is EFFNET_LITE:
        tensors = for_imagenet_images(tensors)
    if order == "bgr":
        tensors = _flip_channels(tensors)
        notes.append("flipped the first convolution's input channels from BGR to RGB")
    name = "eyespot" if ours else layout.name
    return Weights(
        name, tensors, renamed.origin, renamed.heads, renamed.unknown, tuple(notes), metadata
    )


def _backbone_prefix(keys: Iterable[str], path: str) -> str | None:
    """Return what the backbone's keys start with where it is part of a larger network of ours."""
    matches = (_FIRST.fullmatch(key) for key in keys)
    found = sorted({match[1] or "" for match in matches if match})
    if len(found) > 1:
        raise WeightsError(
            f"need weights of one backbone, got those of {len(found)} in {path}: "
            f"{', '.join(name or 'one without a prefix' for name in found)}; pass the prefix of one"
        )
    if not found:
        raise WeightsError(
            f"need weights with a backbone, got {path}, which has none; is it a probe's or a "
            "head's file?"
        )
    return found[0] or None


def _flip_channels(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    first = ("stem.conv.weight", "patch_embed.layers.conv0.weight", "patch_embed.proj.weight")
    name = next((name for name in first if name in tensors), None)
    if name is None or tensors[name].dim() != 4 or tensors[name].shape[1] != 3:
        shape = list(tensors[name].shape) if name else "none"
        raise WeightsError(
            f"need a first convolution over 3 channels to flip from BGR, got {shape}"
        )
    return {**tensors, name: tensors[name].flip(1)}
