"""From what a published checkpoint holds to one flat state dict of its network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from eyespot.errors import WeightsError
from eyespot.weights import vissl

ChannelOrder = Literal["rgb", "bgr"]

_WRAPPERS = ("state_dict", "model", "model_state_dict")
_PREFIXES = ("module.", "_orig_mod.", "body.")
_WORST_ERROR = 100.0


class Unwrapped(NamedTuple):
    """The weights inside a checkpoint.

    Attributes:
        state_dict: Flat, under the names of the checkpoint.
        channel_order: What the first convolution expects, where the checkpoint tells.
        notes: What was chosen and what was left.
    """

    state_dict: dict[str, Tensor]
    channel_order: ChannelOrder | None
    notes: tuple[str, ...]


def unwrap(
    tree: Any, path: Path | None = None, *, prefix: str | None = None, whole: bool = False
) -> Unwrapped:
    """Find the state dict in a checkpoint, and check that it is one.

    Of a network of ours in pretraining, a backbone and a head, the backbone is taken.

    Args:
        tree: What a weights file held, or a checkpoint or state dict in memory.
        path: Where it was read from; VISSL's sharded and sliced checkpoints name files next to it.
        prefix: Take only the keys that start with this, without it.
        whole: Leave the head where it is.

    Raises:
        WeightsError: If there is no state dict in it, or it holds anything but plain tensors.
    """
    if not isinstance(tree, Mapping):
        raise WeightsError(f"need a checkpoint or state dict, got a {type(tree).__name__}")
    order: ChannelOrder | None = None
    notes: list[str] = []
    weights: Mapping[str, Any]
    if "model_state" in tree:
        weights, note = _from_pycls(tree)
        order = "bgr" if "cfg" in tree else None
        notes.append(note)
    elif vissl.is_checkpoint(tree):
        weights, note = vissl.collect(tree, path)
        notes.append(note)
    else:
        weights, wrapper_notes = _from_wrapper(tree)
        notes += wrapper_notes
    flat = {str(name): value for name, value in weights.items()}
    if prefix is None and not whole and _is_pretraining(flat):
        prefix = "backbone."
    if prefix is not None:
        flat, note = _below(flat, prefix)
        notes.append(note)
    flat, stripped = _without_prefixes(flat)
    notes += [f"took the prefix {name!r} off every key" for name in stripped]
    return Unwrapped(_checked(flat), order, tuple(note for note in notes if note))


def _from_pycls(tree: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Take the better of a pycls checkpoint's two sets of weights, by pycls' own rule."""
    if not tree.get("ema_state"):
        return tree["model_state"], "took model_state of a pycls checkpoint"
    test_err, ema_err = (
        _WORST_ERROR if tree.get(key) is None else float(tree[key])
        for key in ("test_err", "ema_err")
    )
    chosen = "model_state" if test_err <= ema_err else "ema_state"
    return tree[chosen], (
        f"took {chosen} of a pycls checkpoint (test error {test_err:g} of model_state, "
        f"{ema_err:g} of ema_state)"
    )


def _from_wrapper(tree: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """Take the state dict a training checkpoint holds beside its optimizer."""
    for key in _WRAPPERS:
        if isinstance(tree.get(key), Mapping):
            others = [
                str(name)
                for name, value in tree.items()
                if name != key and isinstance(value, Mapping) and _has_tensors(value)
            ]
            note = f"took {key!r} of the checkpoint" + (
                f" and left {', '.join(others)}" if others else ""
            )
            return tree[key], [note]
    return tree, []


def _has_tensors(value: Mapping[str, Any]) -> bool:
    return any(isinstance(entry, Tensor) for entry in value.values())


def _is_pretraining(flat: Mapping[str, Any]) -> bool:
    parts = {name.split(".")[0] for name in flat}
    return "backbone" in parts and parts <= {"backbone", "head"}


def _below(flat: dict[str, Any], prefix: str) -> tuple[dict[str, Any], str]:
    chosen = {name.removeprefix(prefix): v for name, v in flat.items() if name.startswith(prefix)}
    if not chosen:
        starts = sorted({name.split(".")[0] + "." for name in flat})
        raise WeightsError(
            f"need keys that start with {prefix!r}, got ones that start with "
            f"{', '.join(starts[:8])}"
        )
    left = len(flat) - len(chosen)
    return chosen, f"took the {len(chosen)} keys below {prefix!r} and left {left}"


def _without_prefixes(flat: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Take off what wrappers (DDP, compile, a feature extractor) put before every key."""
    stripped = []
    while flat:
        found = next((p for p in _PREFIXES if all(key.startswith(p) for key in flat)), None)
        if found is None:
            break
        flat = {key.removeprefix(found): value for key, value in flat.items()}
        stripped.append(found)
    return flat, stripped


def _checked(flat: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors, or say what else was among them."""
    others = [name for name, value in flat.items() if not isinstance(value, Tensor)]
    if len(others) == len(flat):
        raise WeightsError(
            "need a state dict of tensors, got "
            + (f"one with only {', '.join(others[:6])}" if others else "an empty one")
        )
    if others:
        raise WeightsError(
            f"need a state dict of tensors alone, got {', '.join(others[:6])} among them"
        )
    for name, tensor in flat.items():
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
            raise WeightsError(f"need plain dense tensors, got {name} as {_kind(tensor)}")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise WeightsError(
                f"need tensors with a value for each entry, got {name} of shape "
                f"{list(tensor.shape)} over {tensor.untyped_storage().nbytes()} bytes"
            )
    return dict(flat)


def _kind(tensor: Tensor) -> str:
    if tensor.is_meta:
        return "a tensor without values (on the meta device)"
    return "a quantised tensor" if tensor.is_quantized else f"a {tensor.layout} tensor"
