"""VISSL's checkpoints: whole, in one shard a rank (FSDP), or in one file a tensor.

A sharded checkpoint keeps, for every FSDP unit, one flat tensor cut over the ranks and padded to
equal length; its metadata says which parameters, of which shapes, lie in it in which order.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from eyespot.errors import WeightsError
from eyespot.weights.files import read_file

_KINDS = ("consolidated", "shard_list", "shard", "slice_list", "slice")
_WRAPPER_PARTS = ("_fsdp_wrapped_module", "_fpw_module")
_LINEAR_PROBE = "base_model."


def is_checkpoint(tree: Mapping[str, Any]) -> bool:
    """Say whether a tree is a checkpoint of VISSL."""
    return "classy_state_dict" in tree or (tree.get("type") in _KINDS)


def collect(tree: Mapping[str, Any], path: Path | None) -> tuple[dict[str, Any], str]:
    """Return trunk and heads of a checkpoint as one state dict, and a sentence on what was taken.

    Heads keep the keys VISSL gives them, their index first, as in "0.projection_head.0.weight".

    Args:
        tree: The checkpoint.
        path: Its file; needed for shards and slices, which are files next to it.

    Raises:
        WeightsError: If parts are missing or do not fit together.
    """
    kind = tree.get("type", "consolidated")
    if kind in ("shard", "slice"):
        raise WeightsError(
            f"need the checkpoint that lists the {kind}s, got one {kind} of it; pass the file "
            "whose shards or layers these are"
        )
    try:
        return _collect(tree, path, kind)
    except (KeyError, IndexError, TypeError, AttributeError, RuntimeError) as error:
        raise WeightsError(
            f"need a whole VISSL checkpoint, got one whose parts do not fit together: {error!r}"
        ) from None


def _collect(tree: Mapping[str, Any], path: Path | None, kind: str) -> tuple[dict[str, Any], str]:
    if kind == "shard_list":
        return _from_shards(
            tree, path
        ), f"joined {len(tree['shards'])} shards of a VISSL checkpoint"
    model = _model(tree)
    weights = {**_trunk(model.get("trunk", {})), **_heads(model.get("heads", {}))}
    if kind == "slice_list":
        read = {name: _slice(where, path, name) for name, where in weights.items()}
        return read, f"read {len(read)} layers of a VISSL checkpoint"
    return weights, "took trunk and heads of a VISSL checkpoint"


def _base_model(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        base = tree.get("classy_state_dict", tree)["base_model"]
        if isinstance(base["model"], Mapping):
            return base  # type: ignore[no-any-return]
    except (KeyError, TypeError, AttributeError):
        pass
    raise WeightsError(
        "need a VISSL checkpoint with classy_state_dict.base_model.model, got one with only "
        f"{', '.join(map(str, tree))}"
    )


def _model(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    return _base_model(tree)["model"]  # type: ignore[no-any-return]


def _trunk(trunk: Mapping[str, Any]) -> dict[str, Any]:
    """Return the trunk's tensors, without the prefix that linear probes put before them."""
    probe = bool(trunk) and all(key.startswith(_LINEAR_PROBE) for key in trunk)
    return {key.removeprefix(_LINEAR_PROBE) if probe else key: v for key, v in trunk.items()}


def _heads(heads: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if isinstance(heads, Mapping):
        return dict(heads)
    return {f"{i}.{key}": value for i, head in enumerate(heads) for key, value in head.items()}


def _beside(path: Path | None, what: str) -> Path:
    if path is None:
        raise WeightsError(f"need the path of a VISSL checkpoint whose {what} are files next to it")
    return path


def _from_shards(tree: Mapping[str, Any], path: Path | None) -> dict[str, Any]:
    folder = _beside(path, "shards").parent
    names = [PurePosixPath(str(name)).name for name in tree["shards"]]
    absent = [name for name in names if not (folder / name).is_file()]
    if absent or not names:
        raise WeightsError(f"need all shards in {folder}, missing {', '.join(absent) or 'all'}")
    shards = [_base_model(read_file(folder / name).tree) for name in names]
    models, metas = [s["model"] for s in shards], [s.get("meta") or {} for s in shards]
    trunk = merge_shards([m["trunk"] for m in models], [m.get("trunk") for m in metas])
    heads = [
        merge_shards([m["heads"][i] for m in models], [_nth(m.get("heads"), i) for m in metas])
        for i in range(len(models[0].get("heads", ())))
    ]
    return {**_trunk(trunk), **_heads(heads)}


def _nth(values: Any, i: int) -> Any:
    return values[i] if values else None


def merge_shards(
    weights: Sequence[Mapping[str, Tensor]], metas: Sequence[Mapping[str, Any] | None]
) -> dict[str, Tensor]:
    """Join one network's local weights of all ranks.

    Args:
        weights: Each rank's local state dict.
        metas: Each rank's metadata of it; None where the network was not sharded.

    Raises:
        WeightsError: If a shard lacks a tensor or the parts have another length than was written.
    """
    local = [{_clean(key): value for key, value in rank.items()} for rank in weights]
    merged = dict(local[0])
    first = metas[0]
    for i, unit in enumerate(first["param_metadata"] if first else ()):
        if unit.get("shared_param_info"):
            raise WeightsError("need shards without parameters shared between layers, got some")
        base = _clean(unit["fsdp_path"])
        for backing, info in unit["params"].items():
            flat_name = _join(base, _clean(backing))
            ranks = 1 if unit.get("no_broadcast_optim_state") else len(local)
            parts = []
            for rank in range(ranks):
                meta = metas[rank]
                if flat_name not in local[rank] or meta is None:
                    raise WeightsError(f"need {flat_name} in every shard, missing in shard {rank}")
                padding = meta["param_metadata"][i]["params"][backing]["padding"]
                part = local[rank][flat_name].flatten()
                parts.append(part[: len(part) - padding])
            merged.pop(flat_name, None)
            merged.update(_split(torch.cat(parts), base, info, flat_name))
    return merged


def _split(flat: Tensor, base: str, info: Mapping[str, Any], name: str) -> dict[str, Tensor]:
    """Cut a joined flat tensor into its parameters."""
    sizes = [int(n) for n in info["numels"]]
    if sum(sizes) != len(flat):
        raise WeightsError(
            f"need {sum(sizes)} values in the shards of {name}, got {len(flat)}; are all shards of "
            "one checkpoint?"
        )
    return {
        _join(base, _clean(parameter)): piece.view(tuple(shape))
        for parameter, piece, shape in zip(
            info["names"], torch.split(flat, sizes), info["shapes"], strict=True
        )
    }


def _clean(key: str) -> str:
    return ".".join(part for part in key.split(".") if part and part not in _WRAPPER_PARTS)


def _join(base: str, name: str) -> str:
    return f"{base}.{name}" if base else name


def _slice(where: Any, path: Path | None, name: str) -> Tensor:
    """Read one layer's file; it lies in the checkpoint's own folder of layers."""
    checkpoint = _beside(path, "layers")
    listed = PurePosixPath(str(where))
    folders = (listed.parent.name, f"{checkpoint.stem}_layers", f"{checkpoint.name}_layers")
    for folder in folders:
        if folder == "..":
            continue
        file = checkpoint.parent / folder / listed.name
        if file.is_file():
            tree = read_file(file).tree
            if isinstance(tree, Mapping) and isinstance(tree.get("weight"), Tensor):
                weight: Tensor = tree["weight"]
                return weight
            raise WeightsError(f"need a layer with a weight in {file}, got {list(tree)[:4]}")
    raise WeightsError(f"need the layer {name} in {checkpoint.parent / folders[1]}, missing it")
