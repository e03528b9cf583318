"""Batch norm over ranks against torch's over the whole batch."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from eyespot import dist
from eyespot.models.sync_bn import SyncBatchNorm
from tests.distributed import run_ranks


def images(mean: float, std: float) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return mean + std * torch.randn(9, 3, 4, 5, generator=generator)


def passed(norm: nn.Module, x: Tensor, pull: Tensor) -> dict[str, Tensor]:
    """What a norm makes of a batch, the gradient of it, and the statistics it keeps."""
    x = x.clone().requires_grad_()
    out = norm(x)
    (out * pull).sum().backward()
    return {"out": out.detach(), "grad": x.grad, "pulled": norm.weight.grad, **norm.state_dict()}


def on_ranks(x: Tensor, pull: Tensor) -> dict[str, Tensor]:
    parts = [4, 3, 2] if dist.world_size() == 3 else [5, 4]  # ranks may have uneven batches
    found = passed(
        SyncBatchNorm(3).to(x.dtype), x.split(parts)[dist.rank()], pull.split(parts)[dist.rank()]
    )
    return found | {"pulled": dist.all_reduce_sum(found["pulled"])}


@pytest.mark.parametrize("ranks", [2, 3])
def test_uneven_ranks_norm_as_one_process(ranks):
    x = images(1.0, 2.0).double()
    pull = torch.linspace(-1, 1, x.numel(), dtype=x.dtype).sin().view_as(x)
    whole = passed(nn.BatchNorm2d(3).double(), x, pull)
    found = run_ranks(on_ranks, x, pull, world_size=ranks)
    for key in ("out", "grad"):
        assert_close(torch.cat([each[key] for each in found]), whole[key], rtol=1e-9, atol=1e-12)
    for each in found:
        for key in ("pulled", "running_mean", "running_var", "num_batches_tracked"):
            assert_close(each[key], whole[key], rtol=1e-12, atol=1e-12, msg=key)


def test_a_mean_far_above_the_spread_cancels_nothing():
    """In float32 the mean of squares less the squared mean is then noise, below zero even."""
    x = images(1000.0, 0.1)
    whole = nn.BatchNorm2d(3).double()(x.double())
    found = run_ranks(on_ranks, x, torch.ones_like(x))
    out = torch.cat([each["out"] for each in found])
    assert_close(out.double(), whole, rtol=0, atol=5e-3)
