"""The head of an earlier pretraining, to begin another one with: one of ours, or SwAV's."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from eyespot.errors import WeightsError
from eyespot.weights.checkpoints import unwrap
from eyespot.weights.files import read_file
from eyespot.weights.heads import load_swav_head

_OURS = "head."


def open_projection(source: str | Path) -> tuple[nn.Linear, nn.BatchNorm1d | None]:
    """Read the first layer of a pretraining's projector, and the batch norm after it if any.

    Also out of a network that was fine-tuned with it (`models.projected`).

    Args:
        source: A file: ours of any method, SwAV's code, or VISSL's SEER.

    Raises:
        WeightsError: If there is none.
        OSError: If the file cannot be read.
    """
    path = Path(source)
    found = unwrap(read_file(path).tree, path, whole=True).state_dict
    starts = ("head.projector.", "head.fc.", "head.")
    start = next((each for each in starts if f"{each}0.weight" in found), None)
    if start is None:
        found, start = dict(load_swav_head(path).state_dict()), "projector."
    weight, bias = found[f"{start}0.weight"], found.get(f"{start}0.bias")
    if weight.dim() != 2 or bias is None:
        raise WeightsError(f"need a linear layer with a bias as {start}0 of {path}, got another")
    first = nn.Linear(weight.shape[1], weight.shape[0])
    first.load_state_dict({"weight": weight, "bias": bias})
    if f"{start}1.running_mean" not in found:
        return first, None
    norm = nn.BatchNorm1d(len(weight))
    names = [name for name in norm.state_dict() if f"{start}1.{name}" in found]
    norm.load_state_dict({name: found[f"{start}1.{name}"] for name in names}, strict=False)
    return first, norm


def read_head(source: str | Path) -> dict[str, Tensor]:
    """Read the head of a pretraining file under our names, whatever it is for.

    Args:
        source: The file: ours of any method, SwAV's code, or VISSL's SEER.

    Raises:
        WeightsError: If it holds none.
        OSError: If it cannot be read.
    """
    path = Path(source)
    weights = unwrap(read_file(path).tree, path, whole=True).state_dict
    if "backbone" in {name.split(".")[0] for name in weights}:
        return {k.removeprefix(_OURS): v for k, v in weights.items() if k.startswith(_OURS)}
    return dict(load_swav_head(path).state_dict())


def open_head(source: str | Path, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read the head of a pretraining file: ours of any method, SwAV's code, or VISSL's SEER.

    Args:
        source: The file.
        own: State dict of the head it is for.

    Raises:
        WeightsError: If a tensor is missing, left over or of another shape.
        OSError: If the file cannot be read.
    """
    found = read_head(source)
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
            f"need a head in {source} that fits the recipe's, got {', '.join(wrong[:5])}; start "
            "without the head, or give the recipe its widths and prototypes"
        )
    return found
