"""Turn a published file into one of ours, or say what is in it."""

import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from eyespot.design.by_name import Model, to_spec
from eyespot.design.spec_files import spec_to_dict
from eyespot.design.specs import Spec
from eyespot.errors import WeightsError
from eyespot.models.build import create_model
from eyespot.weights.catalog import Published, catalog, published_std
from eyespot.weights.checkpoints import ChannelOrder
from eyespot.weights.export import Target, export_weights
from eyespot.weights.files import save_weights
from eyespot.weights.fit import CLASSIFIER, LoadReport, fit_weights, network_sizes
from eyespot.weights.heads import export_swav_head, is_head_0
from eyespot.weights.opened import Weights, open_weights
from eyespot.weights.pretraining import read_head


class Inspection(NamedTuple):
    """What a weights file holds.

    Attributes:
        num_bytes: Size of the file.
        sha256: Of the file, hexadecimal.
        layout: The published layout of its names.
        num_tensors: Tensors a network of ours has a place for.
        num_parameters: Values in them, buffers included.
        dtypes: Their kinds of number.
        sizes: Widths and depths, from the shapes.
        num_classes: Outputs of its classifier; 0 if it has none.
        heads: Published names of head weights that a backbone has no place for.
        unknown: Published names that nothing here knows.
        published: Names in the catalogue of files that are called the same.
        checksum: "as published", "not the published one", or why nobody knows.
        notes: What was chosen or changed in reading it.
    """

    num_bytes: int
    sha256: str
    layout: str
    num_tensors: int
    num_parameters: int
    dtypes: tuple[str, ...]
    sizes: str
    num_classes: int
    heads: tuple[str, ...]
    unknown: tuple[str, ...]
    published: tuple[str, ...]
    checksum: str
    notes: tuple[str, ...]


def convert_file(
    path: Path,
    model: Model,
    out: Path,
    *,
    to: Target | None = None,
    channel_order: ChannelOrder | None = None,
    head: Literal["drop", "keep"] = "drop",
) -> LoadReport:
    """Write a published file as safetensors, checked against the network it is for.

    The network has as many classes as the file's classifier, none if it has none. With the head of
    its pretraining the result is a pretraining of ours, or a trunk and head 0 of VISSL's.

    Args:
        path: The published file.
        model: The network's name, spec.json or spec.
        out: The safetensors file to write.
        to: A library whose names to use instead of ours.
        channel_order: As in `load_weights`.
        head: What becomes of projector and prototypes.

    Raises:
        WeightsError: If the file does not hold the weights of this network, all of them, or the
            names written have no place for a head that is to be kept.
        OSError: If a file cannot be read or written.
    """
    weights = open_weights(path, channel_order=channel_order)
    network = _network(model, weights)
    tensors, report = fit_weights(network, weights)
    kept = _kept_head(path, to) if head == "keep" else {}
    metadata = {"format": "pt"}
    if to is not None:
        tensors = export_weights(tensors, to) | (export_swav_head(kept, "vissl") if kept else {})
    else:
        metadata = {
            "format": "eyespot",
            "channel_order": "rgb",
            "spec": json.dumps(spec_to_dict(_spec(model, weights))),
            "source": path.name,
            "source_layout": weights.layout,
            **_pictures(path, weights),
        }
        if kept:
            tensors = {f"backbone.{name}": tensor for name, tensor in tensors.items()}
            tensors |= {f"head.{name}": tensor for name, tensor in kept.items()}
            metadata["method"] = weights.metadata.get("method", "swav")
    licences = {entry.licence.name for entry in published_as(path)}
    if licences:
        metadata["licence"] = " or ".join(sorted(licences))
    save_weights(tensors, out, metadata)
    if not kept:
        return report
    left = [name for name in report.unused if not is_head_0(name)]
    note = f"kept the head: {len(kept)} tensors"
    return report._replace(unused=tuple(left), notes=(*report.notes, note))


def _kept_head(path: Path, to: Target | None) -> dict[str, Tensor]:
    if to not in (None, "vissl"):
        raise WeightsError(
            f"need our names or VISSL's to keep a pretraining's head, got those of {to}; leave the "
            "head out, or --to"
        )
    return read_head(path)


def _pictures(path: Path, weights: Weights) -> dict[str, str]:
    """How images have to be prepared, as far as it is known."""
    std = published_std(path.name)
    told = {} if std is None else {"pictures": json.dumps({"std": std})}
    return told | {k: v for k, v in weights.metadata.items() if k == "pictures"}


def inspect_file(
    path: Path, model: Model | None = None, *, channel_order: ChannelOrder | None = None
) -> Inspection:
    """Read a whole weights file, check it, and say what is in it.

    Args:
        path: The file.
        model: The network it must fit, if given.
        channel_order: As in `load_weights`.

    Raises:
        WeightsError: If it is damaged, holds NaN or infinity, is not the published file of its
            name, or does not fit the network.
        OSError: If it cannot be read.
    """
    weights = open_weights(path, channel_order=channel_order)
    _check_zip_sums(path)
    wild = [name for name, tensor in weights.tensors.items() if not _all_finite(tensor)]
    if wild:
        names = ", ".join(weights.origin[name] for name in wild[:5])
        raise WeightsError(
            f"need finite weights, got NaN or infinity in {len(wild)} tensors of {path}: {names}"
        )
    if model is not None:
        fit_weights(_network(model, weights), weights)
    digest, same_name = _sha256(path), published_as(path)
    tensors = weights.tensors.values()
    return Inspection(
        num_bytes=path.stat().st_size,
        sha256=digest,
        layout=weights.layout,
        num_tensors=len(tensors),
        num_parameters=sum(tensor.numel() for tensor in tensors),
        dtypes=tuple(sorted({str(t.dtype).removeprefix("torch.") for t in tensors})),
        sizes=network_sizes(weights.tensors),
        num_classes=_num_classes(weights),
        heads=weights.heads,
        unknown=weights.unknown,
        published=tuple(entry.name for entry in same_name),
        checksum=_checksum(path, digest, same_name),
        notes=weights.notes,
    )


def published_as(path: Path) -> list[Published]:
    """Return the published files that are called like this one."""
    return [entry for entry in catalog() if entry.file == path.name]


def _num_classes(weights: Weights) -> int:
    return next((len(weights.tensors[n]) for n in CLASSIFIER if n in weights.tensors), 0)


def _spec(model: Model, weights: Weights) -> Spec:
    return replace(to_spec(model), num_classes=_num_classes(weights))


def _network(model: Model, weights: Weights) -> nn.Module:
    """Build the network of a file's weights without memory for its own."""
    with torch.device("meta"):
        return create_model(_spec(model, weights))


def _all_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(tensor.isfinite().all())


def _check_zip_sums(path: Path) -> None:
    """Check the checksums inside a file of torch.save, which reading does not."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged:
        raise WeightsError(
            f"need a whole file, got damage in {damaged} of {path}; download it again"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checksum(path: Path, digest: str, same_name: list[Published]) -> str:
    if not same_name:
        return "unknown: no published file has this name"
    known = {entry.sha256 for entry in same_name if entry.sha256}
    if not known:
        return "unknown: its publisher gave none"
    if digest not in known:
        raise WeightsError(
            f"need sha256 {' or '.join(sorted(known))} for {path.name}, got {digest}; this is not "
            "the published file"
        )
    return "as published"
