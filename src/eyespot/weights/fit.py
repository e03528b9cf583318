"""Which of some weights go into which tensors of a network; what does not fit is named."""

import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from torch import Tensor, nn

from eyespot.errors import WeightsError
from eyespot.models.convnet import ConvNet
from eyespot.models.vit import ViT, resample_grid
from eyespot.weights.opened import Weights

CLASSIFIER = ("head.fc.weight", "head.fc.bias", "head.weight", "head.bias")
"""Our names of a classifier's tensors, CNNs' and ViTs'."""

_BEHIND_PROJECTION = re.compile(r"head\.(fc\.)?\d+\.\w+")  # `models.projected`
_LAST_CONVS = ("f.c.weight", "lin_proj.weight", "f.b.weight", "b.weight")
_NAMED = 10


class LoadReport(NamedTuple):
    """What was loaded, and what was not.

    Attributes:
        layout: The published layout the weights came in.
        loaded: Our names of the tensors that were loaded.
        unused: Published names of tensors the network has no place for: heads of pretraining, a
            classifier that was not wanted, stages that a feature extractor does without.
        notes: What was chosen or changed on the way, one sentence each.
    """

    layout: str
    loaded: tuple[str, ...]
    unused: tuple[str, ...]
    notes: tuple[str, ...]


def fit_weights(
    model: nn.Module, weights: Weights, *, head: Literal["load", "drop"] = "load", cut: bool = False
) -> tuple[dict[str, Tensor], LoadReport]:
    """Choose what of some weights goes into a network, changing nothing.

    Args:
        model: The network; it may be on the meta device.
        weights: What `open_weights` returned.
        head: As in `load_weights`.
        cut: The network is the body of a feature extractor, and does without its last parts.

    Raises:
        WeightsError: If anything is missing, left over or of another shape; all of it is named.
    """
    if head not in ("load", "drop"):
        raise WeightsError(f'need head "load" or "drop", got {head!r}')
    own = model.state_dict()
    tensors, notes = dict(weights.tensors), [*weights.notes]
    dropped = [name for name in tensors if cut and _is_cut_away(model, name)]
    classifier = [name for name in own if _is_classifier(name)]
    if head == "drop" or not classifier:
        dropped += [name for name in tensors if _is_classifier(name) and name not in dropped]
    for name in dropped:
        del tensors[name]
    if head == "drop" and classifier:
        notes.append("left the network's classifier as it was")
    if isinstance(model, ViT):
        notes += _resample_positions(model, tensors, own)
    optional = classifier if head == "drop" else []
    _check_fit(own, tensors, weights, optional)
    unused = (*weights.heads, *(weights.origin[name] for name in dropped))
    report = LoadReport(weights.layout, tuple(tensors), unused, tuple(notes))
    return tensors, report


def _is_classifier(name: str) -> bool:
    """Whether a tensor is the classifier's, or of the projection kept before it."""
    return name in CLASSIFIER or _BEHIND_PROJECTION.fullmatch(name) is not None


def _is_cut_away(model: nn.Module, name: str) -> bool:
    """Whether a feature extractor cut the module of this tensor off its body."""
    if name.startswith("head."):
        return True
    if isinstance(model, ViT):
        block = re.match(r"blocks\.(\d+)\.", name)
        return name.startswith("norm.") or (
            block is not None and int(block[1]) >= len(model.blocks)
        )
    stage = re.match(r"s(\d+)\.", name)
    return isinstance(model, ConvNet) and stage is not None and int(stage[1]) > model.num_stages


def _resample_positions(
    model: ViT, tensors: dict[str, Tensor], own: Mapping[str, Tensor]
) -> list[str]:
    """Resample position embeddings of another square grid in place; say so."""
    got, wanted = tensors.get("pos_embed"), own["pos_embed"]
    prefix = model.num_prefix_tokens
    if got is None or got.dim() != 3 or got.shape[2] != wanted.shape[2]:
        return []
    old, new = got.shape[1] - prefix, wanted.shape[1] - prefix
    side, new_side = round(max(old, 0) ** 0.5), round(new**0.5)
    if old == new or side == 0 or side * side != old:
        return []
    tensors["pos_embed"] = resample_grid(got, (new_side, new_side), num_prefix=prefix)
    return [f"resampled the position embeddings from {side}x{side} to {new_side}x{new_side}"]


def _check_fit(
    own: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    weights: Weights,
    optional: Iterable[str],
) -> None:
    """Raise one error that names every tensor that does not fit."""
    may_lack = {*optional, *(name for name in own if name.endswith("num_batches_tracked"))}
    missing = [name for name in own if name not in tensors and name not in may_lack]
    unused = [weights.origin[name] for name in tensors if name not in own] + [*weights.unknown]
    other = []
    for name, tensor in tensors.items():
        if name in own and tensor.shape != own[name].shape:
            other.append(f"{name} (needs {list(own[name].shape)}, got {list(tensor.shape)})")
        elif name in own and own[name].is_floating_point() and not tensor.is_floating_point():
            other.append(f"{name} (needs {own[name].dtype}, got {tensor.dtype})")
    if not missing and not unused and not other:
        return
    parts = [
        f"{what}: {_some(names)}"
        for what, names in (
            ("missing", missing),
            ("not used", unused),
            ("of another shape", other),
        )
        if names
    ]
    wrong = {*missing, *(entry.split(" ")[0] for entry in other)}
    hint = _hint(own, tensors, wrong, unused)
    raise WeightsError(
        f"need {weights.layout} weights that fit the network, got {'; '.join(parts)}. {hint}"
    )


def _some(names: list[str]) -> str:
    listed = ", ".join(names[:_NAMED])
    return listed if len(names) <= _NAMED else f"{listed} and {len(names) - _NAMED} more"


def _hint(
    own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], wrong: set[str], unused: list[str]
) -> str:
    if wrong and wrong <= set(CLASSIFIER) and not unused:
        classes = next((str(len(tensors[name])) for name in CLASSIFIER if name in tensors), "no")
        needed = next(len(own[name]) for name in CLASSIFIER if name in own)
        return (
            f"The weights have {classes} classes and the network has {needed}: load with "
            'head="drop" to keep the network\'s own classifier, or build the network with '
            "num_classes=0"
        )
    file_sizes, own_sizes = network_sizes(tensors), network_sizes(own)
    if file_sizes and own_sizes and file_sizes != own_sizes:
        return (
            f"The weights have {file_sizes}; the network has {own_sizes}: build the network with "
            "the sizes of the weights, by its name or as a spec"
        )
    return "Are these the weights of this network?"


def network_sizes(tensors: Mapping[str, Tensor]) -> str:
    """Say the sizes of a network from the shapes of its weights; empty if they do not tell.

    Args:
        tensors: Weights under our names.
    """
    blocks = [match for match in (re.match(r"s(\d+)\.b(\d+)\.", key) for key in tensors) if match]
    if blocks:
        stages = range(1, max(int(match[1]) for match in blocks) + 1)
        depths = [max([int(m[2]) for m in blocks if int(m[1]) == n], default=0) for n in stages]
        widths = [_stage_width(tensors, n) for n in stages]
        return f"stage widths {_comma(widths)} and depths {_comma(depths)}"
    if "patch_embed.proj.weight" in tensors:
        width = tensors["patch_embed.proj.weight"].shape[0]
        depth = len({key.split(".")[1] for key in tensors if key.startswith("blocks.")})
        mlp = tensors.get("blocks.0.mlp.fc1.weight")
        inner = f" and MLP width {mlp.shape[0]}" if mlp is not None else ""
        return f"{depth} blocks of width {width}{inner}"
    return ""


def _stage_width(tensors: Mapping[str, Tensor], stage: int) -> str:
    names = (f"s{stage}.b1.{name}" for name in _LAST_CONVS)
    return next((str(tensors[name].shape[0]) for name in names if name in tensors), "?")


def _comma(values: Iterable[object]) -> str:
    return ",".join(map(str, values))
