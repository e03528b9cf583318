"""One process, DDP and FSDP2 train alike: same losses, same weights, same statistics."""

import pytest
import torch
from torch import nn

from eyespot.design.scaling import stem_layers
from eyespot.design.specs import AnyNetSpec, ViTSpec
from eyespot.models.build import create_model
from eyespot.models.sync_bn import to_sync_bn
from eyespot.optim.ema import update_ema_
from eyespot.train.sharding import wrap
from eyespot.train.update import backward_all, step_
from tests.distributed import run_ranks

SPECS = {
    "regnety": AnyNetSpec(
        (1, 2), (16, 32), (2, 2), (1.0, 1.0), (8, 8), stem_width=8, se_ratio=0.25, num_classes=5
    ),
    "vit_c": ViTSpec(32, 64, 2, 3, stem=stem_layers(32, 8), image_size=32, num_classes=5),
}


def train(name, parallel, ranks, steps=10, parts=2):
    """Ten steps on this rank's share; returns losses, norms and the whole state."""
    rank = torch.distributed.get_rank() if ranks > 1 else 0
    torch.manual_seed(0)
    model = create_model(SPECS[name]).double()
    average = create_model(SPECS[name]).double()
    average.load_state_dict(model.state_dict())
    if ranks > 1:
        model = to_sync_bn(model)
    called = wrap(model, parallel, compute_dtype=torch.float64)
    if parallel == "fsdp":
        wrap(average, parallel, compute_dtype=torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    losses, norms = [], []
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        images = torch.randn(12, 3, 32, 32, generator=generator, dtype=torch.float64)
        labels = torch.randint(0, 5, (12,), generator=generator)
        # each part of the accumulated batch is spread over the ranks
        mine = [
            (part.chunk(ranks)[rank], label.chunk(ranks)[rank])
            for part, label in zip(images.chunk(parts), labels.chunk(parts), strict=True)
        ]
        loss = backward_all(
            mine, lambda part: nn.functional.cross_entropy(called(part[0]), part[1]), model=called
        )
        if ranks > 1:
            torch.distributed.all_reduce(loss)
            loss /= ranks
        norms.append(step_(optimizer, loss, clip=0.5))
        losses.append(loss)
        update_ema_(average, model, 0.1)
    state = {
        f"{which}.{key}": value.full_tensor() if hasattr(value, "full_tensor") else value
        for which, module in (("model", model), ("average", average))
        for key, value in module.state_dict().items()
    }
    return {"losses": torch.stack(losses), "norms": torch.stack(norms), **state}


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize(
    ("parallel", "ranks"),
    [("ddp", 2), ("fsdp", 2), pytest.param("fsdp", 3, marks=pytest.mark.slow)],
)
def test_any_number_of_ranks_trains_alike(name, parallel, ranks):
    alone = train(name, "none", 1)
    for result in run_ranks(train, name, parallel, ranks, world_size=ranks):
        assert result.keys() == alone.keys()
        for key, value in alone.items():
            torch.testing.assert_close(result[key], value, rtol=1e-9, atol=1e-11, msg=key)


def test_one_rank_cannot_be_wrapped():
    with pytest.raises(ValueError, match="start several with torchrun"):
        wrap(nn.Linear(2, 2), "ddp")
