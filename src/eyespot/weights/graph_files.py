"""A grounder as files for other runtimes: the graph, its tokenizer, and what it expects.

`NAME.onnx` or `NAME.pt2` is the graph, `NAME.tokenizer.json` the tokenizer as Hugging Face's
tokenizers read it, and `NAME.json` says in plain data what goes in and comes out.
"""

import importlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from eyespot.data.box_transforms import IMAGENET_MEAN, IMAGENET_STD
from eyespot.models.grounder import GrounderSpec
from eyespot.weights.graphs import (
    INPUTS,
    LastLayer,
    export_grounder,
    export_onnx,
    output_names,
)
from eyespot.weights.grounders import LoadedGrounder

SUFFIXES = (".onnx", ".pt2")

_SIZES = ((2, 160, 192, 9), (1, 224, 160, 7), (3, 192, 256, 12))
"""Batch, height, width and text length of the inputs that a graph is checked with."""

Run = Callable[[Sequence[Tensor]], Sequence[Tensor]]


class WrittenGraph(NamedTuple):
    """What `write_graph` did.

    Attributes:
        files: What was written, the graph first.
        difference: Largest difference of any output from the network's own, over inputs of
            several sizes; None if nothing here can run the graph.
    """

    files: tuple[Path, ...]
    difference: float | None


def write_graph(loaded: LoadedGrounder, path: Path) -> WrittenGraph:
    """Write a grounder as ONNX or as torch.export's program, and run what was written.

    Args:
        loaded: From `read_grounder`.
        path: The file to write; its suffix says which.

    Raises:
        ValueError: If the suffix is neither, or a package that is needed is not installed.
        OSError: If a file cannot be written.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"need a file to write that ends in .onnx or .pt2, got {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    model, spec, tokenizer = loaded
    if path.suffix == ".onnx":
        export_onnx(model, spec, path)
        run = _onnx_session(path)
    else:
        torch.export.save(export_grounder(model, spec), path)
        run = torch.export.load(path).module()
        run = _called_with_list(run)
    words, facts = path.with_suffix(".tokenizer.json"), path.with_suffix(".json")
    words.write_text(tokenizer.definition(), encoding="utf-8")
    facts.write_text(json.dumps(describe(spec, words.name), indent=1) + "\n", encoding="utf-8")
    difference = None if run is None else _largest_difference(loaded, run)
    return WrittenGraph((path, words, facts), difference)


def describe(spec: GrounderSpec, tokenizer: str) -> dict[str, object]:
    """Return what a graph expects and gives, as plain data."""
    return {
        "inputs": list(INPUTS),
        "outputs": list(output_names(spec)),
        "image": {
            **asdict(spec.image),
            "channels": "rgb",
            "scaled_to": "0..1, then less mean, over std; zeros on padding",
            "mean": IMAGENET_MEAN,
            "std": IMAGENET_STD,
        },
        "pad_mask": "true on padding at the bottom and right",
        "text": {"tokenizer": tokenizer, "max_tokens": spec.max_tokens},
        "no_object": spec.num_classes - 1,
    }


def _called_with_list(module: torch.nn.Module) -> Run:
    return lambda inputs: module(*inputs)


def _onnx_session(path: Path) -> Run | None:
    """Run an ONNX file with onnxruntime, if that is installed."""
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError:
        return None
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        given = {name: value.numpy() for name, value in zip(INPUTS, inputs, strict=True)}
        return [torch.from_numpy(value) for value in session.run(None, given)]

    return run


@torch.inference_mode()
def _largest_difference(loaded: LoadedGrounder, run: Run) -> float:
    plain = LastLayer(loaded.model, loaded.spec).eval()
    largest = 0.0
    for size in _SIZES:
        inputs = _inputs(*size, vocab_size=loaded.tokenizer.vocab_size)
        for found, expected in zip(run(inputs), plain(*inputs), strict=True):
            largest = max(largest, float((found - expected).abs().max()))
    return largest


def _inputs(
    batch: int, height: int, width: int, length: int, *, vocab_size: int
) -> tuple[Tensor, ...]:
    """Noise with words, the last image and text padded."""
    generator = torch.Generator().manual_seed(batch)
    pad_mask = torch.zeros(batch, height, width, dtype=torch.bool)
    pad_mask[-1, :, width * 3 // 4 :] = True
    images = torch.randn(batch, 3, height, width, generator=generator)
    ids = torch.randint(vocab_size, (batch, length), generator=generator)
    text_pad_mask = torch.zeros(batch, length, dtype=torch.bool)
    text_pad_mask[-1, -1] = True
    return images.masked_fill(pad_mask.unsqueeze(1), 0.0), pad_mask, ids, text_pad_mask
