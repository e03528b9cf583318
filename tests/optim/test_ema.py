import copy

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.testing import assert_close

from eyespot.optim.ema import pycls_alpha, update_ema_, update_target_
from tests.distributed import run_ranks


def network(seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5)).double()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator))
            else:
                tensor.fill_(10 * seed)
    return model


def test_pycls_shares():
    assert_close(pycls_alpha(1e-5, batch_size=2048, epochs=400, period=32), 0.0016384)
    assert_close(pycls_alpha(1e-5, batch_size=2048, epochs=100, period=32), 0.0065536)
    assert_close(pycls_alpha(1e-5, batch_size=1024, epochs=100, period=32), 0.0032768)
    assert pycls_alpha(1.0, batch_size=2048, epochs=1, period=32) == 1.0


@pytest.mark.parametrize("alpha", [0.0, 0.0016384, 0.3, 0.75, 1.0])
def test_the_whole_state_is_averaged_and_counters_are_cut(alpha):
    ema, model = network(1), network(2)
    before = copy.deepcopy(ema.state_dict())
    update_ema_(ema, model, alpha)
    for name, new in model.state_dict().items():
        expected = (1 - alpha) * before[name] + alpha * new
        if not new.is_floating_point():
            expected = expected.trunc().long()
        assert_close(ema.state_dict()[name], expected, msg=name)
    assert ema[1].num_batches_tracked == int(10 + alpha * 10)


def test_equal_counters_stay_equal_whatever_the_rounding():
    counters = torch.arange(5000)
    ema, model = nn.Module(), nn.Module()
    ema.register_buffer("steps", counters.clone())
    model.register_buffer("steps", counters)
    for alpha in (0.1, 0.0016384, 0.7):
        update_ema_(ema, model, alpha)
        assert torch.equal(ema.steps, counters)


def test_a_share_of_one_copies_bit_for_bit():
    ema, model = network(1), network(2)
    update_ema_(ema, model, 1.0)
    for name, new in model.state_dict().items():
        assert torch.equal(ema.state_dict()[name], new)


def test_a_target_averages_parameters_and_keeps_its_own_statistics():
    target, model = network(1), network(2)
    before = copy.deepcopy(target.state_dict())
    update_target_(target, model, 0.99)
    for name, param in model.named_parameters():
        expected = 0.99 * before[name] + 0.01 * param.detach()
        assert_close(target.state_dict()[name], expected)
    for name, buffer in target.named_buffers():
        assert torch.equal(buffer, before[name])


def sharded() -> dict[str, Tensor]:
    mesh = init_device_mesh("cpu", (2,))
    ema, model = network(1), network(2)
    fully_shard(ema, mesh=mesh)
    fully_shard(model, mesh=mesh)
    update_ema_(ema, model, 0.3)
    update_target_(ema, model, 0.9)
    return {name: p.full_tensor() for name, p in ema.named_parameters()}


def test_sharded_averages_equal_unsharded_ones():
    ema, model = network(1), network(2)
    update_ema_(ema, model, 0.3)
    update_target_(ema, model, 0.9)
    for result in run_ranks(sharded):
        for name, param in ema.named_parameters():
            assert_close(result[name], param.detach(), msg=name)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"need a share of 0 to 1, got 1\.5"):
        update_ema_(network(1), network(2), 1.5)
    wrapped = nn.ModuleDict({"module": network(2)})
    with pytest.raises(ValueError, match=r"got 14 that only one has: 0\.bias, .*unwrap"):
        update_ema_(network(1), wrapped, 0.5)
    with pytest.raises(ValueError, match="got 8 that only one has"):
        update_target_(network(1), wrapped, 0.5)
