import pytest
import torch
from safetensors.torch import save_file

from eyespot.errors import WeightsError
from eyespot.models.heads import SwAVHead
from eyespot.weights.heads import export_swav_head
from eyespot.weights.pretraining import open_head


def ours(head, path):
    weights = {f"head.{key}": value for key, value in head.state_dict().items()}
    save_file({**weights, "backbone.stem.conv.weight": torch.zeros(4, 3, 3, 3)}, path)


def published(head, path):
    torch.save(export_swav_head(head, "swav"), path)


@pytest.mark.parametrize("write", [ours, published])
def test_heads_of_either_kind_are_read(write, tmp_path):
    head = SwAVHead((6, 5, 4), (7, 3), batch_norm=True)
    path = tmp_path / ("a.safetensors" if write is ours else "a.pth")
    write(head, path)
    found = open_head(path, head.state_dict())
    for key, value in head.state_dict().items():
        if "num_batches" not in key:
            assert torch.equal(found[key], value), key


@pytest.mark.parametrize("write", [ours, published])
def test_a_head_of_another_size_is_refused_by_name(write, tmp_path):
    path = tmp_path / ("a.safetensors" if write is ours else "a.pth")
    write(SwAVHead((6, 5, 4), (7,), batch_norm=False), path)
    other = SwAVHead((6, 5, 4), (9, 3), batch_norm=False).state_dict()
    with pytest.raises(WeightsError, match=r"missing prototypes.1.weight, prototypes.0.weight \("):
        open_head(path, other)
