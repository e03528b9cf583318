"""Weights of text encoders, as Hugging Face stores them."""

from pathlib import Path

import torch

from eyespot.errors import WeightsError
from eyespot.models.roberta import Roberta
from eyespot.weights.files import read_file

_PREFIXES = ("roberta.", "bert.", "text_encoder.", "transformer.text_encoder.")
_FILES = ("model.safetensors", "pytorch_model.bin")
_NOT_WEIGHTS = ("embeddings.position_ids", "embeddings.token_type_ids")
_HEADS = ("lm_head.", "cls.", "classifier.", "qa_outputs.")


def load_text_encoder(encoder: Roberta, source: Path) -> list[str]:
    """Load published weights into a RoBERTa or BERT in place, all or none; return notes.

    Args:
        encoder: The network. A pooler that the file lacks stays as it is; nothing here uses it.
        source: A weights file, or a folder with `model.safetensors` or `pytorch_model.bin`.

    Raises:
        WeightsError: If the file is damaged, or its tensors are not this network's.
        OSError: If it cannot be read.
    """
    if source.is_dir():
        found = [source / name for name in _FILES if (source / name).is_file()]
        if not found:
            raise WeightsError(f"need {' or '.join(_FILES)} in {source}, got neither")
        source = found[0]
    tree = read_file(source).tree
    if not isinstance(tree, dict):
        raise WeightsError(f"need a state dict in {source}, got a {type(tree).__name__}")
    tensors = {str(key): value for key, value in tree.items()}
    prefix = next((p for p in _PREFIXES if any(key.startswith(p) for key in tensors)), "")
    notes = [f"took the prefix {prefix!r} off every key of the text encoder"] if prefix else []
    heads = [key for key in tensors if key.startswith(_HEADS)]
    if heads:
        notes.append(f"left out {len(heads)} tensors of a head, such as {heads[0]}")
    tensors = {
        key.removeprefix(prefix): value
        for key, value in tensors.items()
        if key not in heads and key.removeprefix(prefix) not in _NOT_WEIGHTS
    }
    own = encoder.state_dict()
    missing = [key for key in own if key not in tensors and not key.startswith("pooler.")]
    unused = [key for key in tensors if key not in own]
    shapes = [
        f"{key} (needs {list(own[key].shape)}, got {list(value.shape)})"
        for key, value in tensors.items()
        if key in own and value.shape != own[key].shape
    ]
    for what, names in (("missing", missing), ("not used", unused), ("of another shape", shapes)):
        if names:
            listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")
            raise WeightsError(
                f"need the weights of this text encoder in {source}, got {what}: {listed}"
            )
    with torch.no_grad():
        for key, value in tensors.items():
            own[key].copy_(value)
    return notes
