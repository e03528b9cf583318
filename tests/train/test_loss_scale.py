"""The factor on the loss of float16 networks: torch's own scaler on the same gradients."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from eyespot.train import loss_scale
from eyespot.train.loss_scale import LossScale
from eyespot.train.update import NonFiniteError, backward_all, step_
from tests.distributed import run_ranks


def networks():
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    other = nn.Linear(4, 3)
    other.load_state_dict(model.state_dict())
    return model, other


def test_the_same_steps_as_torchs_scaler(monkeypatch):
    """Overflows in steps 3 and 4; the factor doubles after three good steps in a row."""
    monkeypatch.setattr(loss_scale, "_GROWTH_STEPS", 3)
    ours, theirs = networks()
    scale, scaler = LossScale(1024.0), torch.amp.GradScaler("cpu", 1024.0, growth_interval=3)
    ways = [torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9) for model in (ours, theirs)]
    for i in range(12):
        x = torch.randn(5, 4, generator=torch.Generator().manual_seed(i))
        spoil = float("inf") if i in (3, 4) else 1.0

        def loss_of(x, model=ours, spoil=spoil):
            return (model(x).square() * spoil).mean()

        loss = backward_all([x], loss_of, model=ours, scale=scale)
        norm = step_(ways[0], loss, scale=scale)
        scaler.scale(loss_of(x, theirs)).backward()
        scaler.step(ways[1])
        scaler.update()
        ways[1].zero_grad()
        assert float(scale.scale) == scaler.get_scale(), i
        assert (float(norm) == 0) == (i in (3, 4))
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_the_norm_and_the_clipping_are_of_unscaled_gradients():
    ours, plain = networks()
    x = torch.randn(5, 4)
    loss = backward_all([x], lambda x: ours(x).square().mean(), model=ours, scale=LossScale())
    norm = step_(torch.optim.SGD(ours.parameters(), lr=1.0), loss, clip=0.1, scale=LossScale())
    loss = backward_all([x], lambda x: plain(x).square().mean(), model=plain)
    other = step_(torch.optim.SGD(plain.parameters(), lr=1.0), loss, clip=0.1)
    assert_close(norm, other, rtol=1e-6, atol=0)
    assert_close(ours.weight, plain.weight, rtol=1e-6, atol=1e-7)


def test_what_overflows_at_any_scale_stops_the_run():
    ours, _ = networks()
    optimizer, scale, x = (
        torch.optim.SGD(ours.parameters(), lr=1.0),
        LossScale(4.0),
        torch.ones(1, 4),
    )
    before = ours.weight.clone()

    def once():
        loss = backward_all([x], lambda x: (ours(x) * float("nan")).mean(), model=ours, scale=scale)
        step_(optimizer, loss, scale=scale)

    once()
    once()
    with pytest.raises(NonFiniteError):
        once()
    assert torch.equal(ours.weight, before)


def overflow_on_one_rank(parallel):
    """One rank's loss overflows once; return the factor and the weights of every rank."""
    from eyespot import dist
    from eyespot.train.sharding import wrap

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))
    called = wrap(model, parallel)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scale = LossScale(8.0)
    for i in range(3):
        spoil = float("inf") if i == 1 and dist.rank() == 1 else 1.0
        loss = backward_all(
            [torch.ones(2, 4)], lambda x, s=spoil: (called(x).square() * s).mean(),
            model=called, scale=scale,
        )  # fmt: skip
        step_(optimizer, loss, scale=scale)
    full = [p.full_tensor() if hasattr(p, "full_tensor") else p for p in model.parameters()]
    return torch.cat([scale.scale.view(1), *(p.detach().flatten() for p in full)])


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_ranks_agree_on_an_overflow(parallel):
    first, second = run_ranks(overflow_on_one_rank, parallel, world_size=2)
    assert float(first[0]) == 4.0
    assert torch.equal(first, second)
    assert bool(first.isfinite().all())
