"""The task's SwAV step against the reference's steps: loss, gradients, update, queue, freezing."""

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.testing import assert_close

from eyespot import dist
from eyespot.models.heads import SwAVHead, SwAVOutput
from eyespot.models.queues import SwAVQueue
from eyespot.models.speed import SpeedSettings
from eyespot.optim.larc import LARC
from eyespot.tasks.methods import swav
from eyespot.tasks.methods.swav import SwAV
from eyespot.tasks.methods.training import Sizes, Training
from eyespot.train.job import Job
from tests.distributed import run_ranks
from tests.reference import read_json

CASES = read_json("swav_vectors.json")["swav_train_step"]["cases"]
CPU = torch.device("cpu")


class Headed(nn.Module):
    """A head without a backbone: images are features already."""

    def __init__(self, head: SwAVHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, views: list[Tensor]) -> SwAVOutput:
        return self.head(views[0][:, :, 0, 0].flatten(0, 1))  # [V B, D]


def as_views(features: Tensor) -> list[Tensor]:
    """Features [V, B, D] in the first channel and row of images [V, B, 3, 1, D]."""
    return [features[:, :, None, None].expand(-1, -1, 3, 1, -1)]


def step(network, features, queue, optimizer, *, at=0, **numbers):
    """One step of the task on features [V, B, D]."""
    num_views, batch, _ = features.shape
    settings = SwAV(prototypes=(len(network.head.prototypes[0].weight),), **numbers)
    sizes = Sizes(num_views, 1000, batch * dist.world_size(), 1, 100, 1000, 0, CPU)
    training = Training(
        settings, sizes, network, network, optimizer, SpeedSettings(), 0.0, lambda: iter(())
    )
    modules = {"model": network} | ({} if queue is None else {"queue": queue})
    job = Job(modules, {"optimizer": optimizer}, CPU, step=at)
    return swav.step(training, job, as_views(features), torch.arange(batch))["loss"]


class Vectors(nn.Module):
    """Embeddings as parameters, in the place of a head's projector."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.rows = nn.Parameter(rows)

    def forward(self, _: Tensor) -> Tensor:
        return self.rows


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_step_matches_the_reference(case, dtype):
    def tensor(key):
        return torch.tensor(case[key], dtype=dtype)

    def matches(got, key):
        exact = {"rtol": 0, "atol": case["tol"]} if dtype == torch.float64 else {}
        assert_close(got, tensor(key), **exact)

    rows, prototypes = tensor("embeddings_before_l2norm"), tensor("prototypes_before_step")
    count, dim = prototypes.shape
    head = SwAVHead((dim, dim), (count,), batch_norm=False).to(dtype)
    head.projector = Vectors(rows)
    head.prototypes[0].weight.data.copy_(prototypes)
    queue = None
    if "queue_before" in case:
        shape = tensor("queue_before").shape
        queue = SwAVQueue(*shape, batch_size=len(rows) // case["num_crops"]).to(dtype)
        queue.embeddings.copy_(tensor("queue_before"))
    optimizer = LARC(
        head.parameters(),
        lr=case["lr"],
        momentum=case["momentum"],
        weight_decay=case["weight_decay"],
        trust_coefficient=case["trust_coefficient"],
        eps=case["larc_eps"],
        clip=case["larc_clip"],
    )
    gradients = []
    head.projector.rows.register_hook(gradients.append)
    head.prototypes[0].weight.register_hook(gradients.append)
    loss = step(
        Headed(head),
        rows.unflatten(0, (case["num_crops"], -1)),
        queue,
        optimizer,
        temperature=case["temperature"],
        epsilon=case["epsilon"],
        iters=case["iterations"],
        freeze_steps=int(case["freeze_prototypes"]),
    )
    by_shape = {g.shape: g for g in gradients}
    matches(loss, "loss")
    matches(by_shape[rows.shape], "grad_embeddings")
    if case["grad_prototypes"] is not None:
        matches(by_shape[prototypes.shape], "grad_prototypes")
    matches(head.projector.rows.detach(), "embeddings_after_step")
    matches(head.prototypes[0].weight.detach(), "prototypes_after_step")
    if queue is not None:
        matches(queue.embeddings, "queue_after")


def train(sharded: bool) -> dict[str, Tensor]:
    """Seven steps on this process's part of each batch; the queue fills after the second."""
    size, place = dist.world_size(), dist.rank()
    head = SwAVHead((5, 6, 4), (7,), batch_norm=False).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in head.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=p.dtype))
    network = Headed(head)
    if sharded:
        mesh = init_device_mesh("cpu", (size,))
        fully_shard(head.prototypes[0], mesh=mesh)
        fully_shard(network, mesh=mesh)
    queue = SwAVQueue(2, 12 // size, 4, batch_size=6 // size).double()
    optimizer = LARC(head.parameters(), lr=0.5, weight_decay=1e-3)
    losses = []
    for index in range(7):
        images = torch.randn(6, 5, generator=generator, dtype=torch.float64)
        noise = torch.randn(4, 6, 5, generator=generator, dtype=torch.float64)
        views = (images + 0.1 * noise).chunk(size, dim=1)[place]  # [V, B, D]
        loss = step(network, views, queue, optimizer, at=index, iters=3, freeze_steps=2)
        losses.append(dist.all_reduce_mean(loss))
    assert queue.is_full
    state = {
        name: t.full_tensor() if isinstance(t, DTensor) else t
        for name, t in head.state_dict().items()
    }
    return {"losses": torch.stack(losses), **state}


def test_sharded_training_equals_one_process():
    expected = train(sharded=False)
    for result in run_ranks(train, True):
        for name, value in expected.items():
            assert_close(result[name], value, rtol=1e-9, atol=1e-12, msg=name)
