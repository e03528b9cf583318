import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.testing import assert_close

from eyespot.design.scaling import stem_layers
from eyespot.design.specs import AnyNetSpec, EffNetSpec, ViTSpec
from eyespot.models.build import create_model
from eyespot.models.heads import SwAVHead
from eyespot.models.multicrop_net import MultiCropNet
from eyespot.models.redraw import fill_, redraw_
from eyespot.train.sharding import shard_
from tests.distributed import run_ranks

SPECS = {
    "anynet": AnyNetSpec(
        (1, 2), (16, 32), (2, 2), (1.0, 1.0), (8, 8), stem_width=8, se_ratio=0.25, num_classes=0,
        zero_init_residual=True,
    ),
    "effnet": EffNetSpec((1,), (16,), (2,), (4.0,), (3,), 8, 24, num_classes=0),
    "vit": ViTSpec(32, 64, 2, 2, stem=stem_layers(32, 8), image_size=32, num_classes=0),
}  # fmt: skip


def network(name):
    backbone = create_model(SPECS[name])
    width = 24 if name == "effnet" else 32
    return MultiCropNet(backbone, SwAVHead((width, 12, 6), (7,), batch_norm=True))


def sharded(name):
    with torch.device("meta"):
        model = network(name)
    shard_(model)
    model.to_empty(device="cpu")
    redraw_(model, SPECS[name], seed=5)
    mean = distribute_tensor(torch.arange(20.0).view(10, 2), init_device_mesh("cpu", (3,)),
                             [Shard(0)])  # fmt: skip
    fill_(mean, -torch.arange(20.0).view(10, 2))
    assert torch.equal(mean.full_tensor(), -torch.arange(20.0).view(10, 2))
    largest = max(value.to_local().numel() for value in model.parameters())
    assert largest < max(value.numel() for value in model.parameters())
    return {
        key: value.full_tensor() if isinstance(value, DTensor) else value
        for key, value in model.state_dict().items()
    }


@pytest.mark.parametrize("name", SPECS)
def test_three_ranks_draw_their_parts_of_what_one_draws(name):
    whole = network(name)
    torch.manual_seed(1)
    redraw_(whole, SPECS[name], seed=5)
    for state in run_ranks(sharded, name, world_size=3):
        for key, value in whole.state_dict().items():
            assert torch.equal(state[key], value), key


@pytest.mark.parametrize("name", SPECS)
def test_weights_are_drawn_as_build_draws_them(name):
    """Each tensor has the mean and spread of a freshly built one, and norms are reset."""
    built, redrawn = network(name), network(name)
    with torch.no_grad():
        for tensor in redrawn.state_dict().values():
            tensor.fill_(17)
    redraw_(redrawn, SPECS[name], seed=5)
    for key, value in redrawn.state_dict().items():
        other = built.state_dict()[key]
        if value.numel() > 500:
            assert_close(value.std(), other.std(), rtol=0.15, atol=0, msg=key)
            assert abs(value.mean() - other.mean()) < 0.2 * other.std(), key
        elif "bn" in key or "norm" in key or "running" in key:
            assert torch.equal(value, other), key
        assert not (value == 17).any(), key


def test_the_callers_random_numbers_go_on():
    torch.manual_seed(3)
    expected = torch.rand(2)
    layer = nn.Linear(4, 4)
    torch.manual_seed(3)
    redraw_(layer, SPECS["vit"], seed=0)
    assert torch.equal(torch.rand(2), expected)
