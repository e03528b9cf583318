import pytest
import torch
from safetensors.torch import save_file

from eyespot.errors import WeightsError
from eyespot.models.heads import SwAVHead
from eyespot.weights.heads import open_head, rename_head


def of(*shapes):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def swav_repository(head):
    """Names of SwAV's own files, before DDP's prefix is off."""
    state = head.state_dict()
    return {
        "module." + key.replace("projector.", "projection_head.").replace("pes.0.", "pes."): value
        for key, value in state.items()
    } | {"module.conv1.weight": torch.zeros(4, 3, 7, 7)}


def vissl(head):
    """A VISSL checkpoint of a SEER head."""
    heads = {
        "0." + key.replace("projector.", "projection_head.").replace("pes.0.", "pes0."): value
        for key, value in head.state_dict().items()
    }
    trunk = {"_feature_blocks.conv1.stem.0.weight": torch.zeros(4, 3, 3, 3)}
    return {"classy_state_dict": {"base_model": {"model": {"trunk": trunk, "heads": heads}}}}


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("published", [swav_repository, vissl])
def test_published_heads_come_under_our_names(published, batch_norm, tmp_path):
    head = SwAVHead((6, 5, 4), (7,), batch_norm=batch_norm)
    torch.save(published(head), tmp_path / "file.pth")
    fresh = SwAVHead((6, 5, 4), (7,), batch_norm=batch_norm)
    fresh.load_state_dict(open_head(tmp_path / "file.pth", fresh.state_dict()))
    for key, value in head.state_dict().items():
        assert torch.equal(fresh.state_dict()[key], value), key


def test_deepclusters_sets_are_numbered():
    renamed = rename_head({"prototypes.prototypes2.weight": torch.ones(2, 2), "fc.weight": 0})
    assert list(renamed) == ["prototypes.2.weight"]


def test_a_head_of_another_size_is_refused_by_name(tmp_path):
    head = SwAVHead((6, 5, 4), (7,), batch_norm=False)
    save_file({f"head.{k}": v for k, v in head.state_dict().items()}, tmp_path / "a.safetensors")
    other = SwAVHead((6, 5, 4), (9, 3), batch_norm=False).state_dict()
    with pytest.raises(WeightsError, match=r"missing prototypes.1.weight, prototypes.0.weight \("):
        open_head(tmp_path / "a.safetensors", other)
