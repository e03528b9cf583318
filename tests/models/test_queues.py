import pytest
import torch
import torch.distributed.checkpoint as dcp
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from eyespot import dist
from eyespot.models.queues import MoCoQueue, SwAVQueue, queue_length
from tests.distributed import run_ranks


def batches(count: int, *shape: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=generator) for _ in range(count)]


def test_length_is_cut_to_whole_batches_and_divided():
    assert queue_length(3840, batch_size=256, world_size=4) == 960
    assert queue_length(3900, batch_size=256, world_size=4) == 960
    with pytest.raises(ValueError, match="got total=100, batch_size=256, world_size=4"):
        queue_length(100, batch_size=256, world_size=4)
    with pytest.raises(ValueError, match="batch_size=10, world_size=4"):
        queue_length(100, batch_size=10, world_size=4)


def test_newest_come_first_and_the_oldest_fall_out():
    queue = SwAVQueue(2, 6, 4, batch_size=3)
    first, second, third = batches(3, 2, 3, 4)
    queue.push_(first)
    assert torch.equal(queue.embeddings, torch.cat([first, torch.zeros(2, 3, 4)], dim=1))
    assert not queue.is_full
    queue.push_(second)
    assert queue.is_full
    queue.push_(third)
    assert torch.equal(queue.embeddings, torch.cat([third, second], dim=1))


def test_scores_of_a_full_queue_come_before_the_batchs_with_the_present_prototypes():
    queue = SwAVQueue(2, 3, 4, batch_size=3)
    prototypes = nn.Linear(4, 5, bias=False)
    scores = batches(1, 2, 3, 5)[0]
    assert torch.equal(queue.extend(scores, prototypes), scores)
    stored = batches(1, 2, 3, 4)[0]
    queue.push_(stored)
    with torch.no_grad():
        prototypes.weight.mul_(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        extended = queue.extend(scores.requires_grad_(), prototypes)
    assert not extended.requires_grad
    assert_close(extended[:, :3], stored @ prototypes.weight.detach().t())
    assert torch.equal(extended[:, 3:], scores.detach())


def test_a_batch_longer_than_the_queue_is_refused():
    with pytest.raises(ValueError, match="need a queue of at least 3 samples, got 2"):
        SwAVQueue(1, 2, 4, batch_size=2).push_(torch.ones(1, 3, 4))


def test_a_length_that_is_not_whole_batches_is_refused():
    with pytest.raises(ValueError, match="got length 5 for 2 a step"):
        SwAVQueue(1, 5, 4, batch_size=2)


def queue_of_batches(steps: int) -> SwAVQueue:
    """This process's queue of three batches of eight, after some steps."""
    size, rank = dist.world_size(), dist.rank()
    queue = SwAVQueue(2, 24 // size, 3, batch_size=8 // size)
    for batch in batches(steps, 2, 8, 3):
        queue.push_(batch.chunk(size, dim=1)[rank])
    return queue


def save_queue(folder: str, steps: int) -> None:
    dcp.save({"queue": queue_of_batches(steps).state_dict()}, checkpoint_id=folder)


def load_queue(folder: str) -> Tensor:
    fresh = queue_of_batches(0)
    state = fresh.state_dict()
    dcp.load({"queue": state}, checkpoint_id=folder)
    return fresh.embeddings


@pytest.mark.parametrize(("before", "after"), [(2, 2), (4, 2), (2, 4), (4, 1)])
def test_a_checkpoint_goes_on_with_the_same_queue_on_any_number_of_ranks(tmp_path, before, after):
    run_ranks(save_queue, str(tmp_path), 5, world_size=before)
    whole = queue_of_batches(5).embeddings.unflatten(1, (3, 8))  # [A, 3, 8, E]
    loaded = run_ranks(load_queue, str(tmp_path), world_size=after) if after > 1 else None
    for rank, got in enumerate(loaded or [load_queue(str(tmp_path))]):
        expected = whole.chunk(after, dim=2)[rank].flatten(1, 2)
        assert torch.equal(got, expected)


def moco(length: int = 6) -> MoCoQueue:
    return MoCoQueue(length, 4, generator=torch.Generator().manual_seed(7))


def test_keys_replace_the_oldest_in_turn_and_have_unit_length():
    queue = moco()
    start = queue.keys.clone()
    assert_close(start.norm(dim=1), torch.ones(6))
    pushed = batches(4, 2, 4)
    queue.push_(pushed[0])
    assert_close(queue.keys, torch.cat([F.normalize(pushed[0], dim=1), start[2:]]))
    for keys in pushed[1:]:
        queue.push_(keys)
    expected = [F.normalize(pushed[i], dim=1) for i in (3, 1, 2)]
    assert_close(queue.keys, torch.cat(expected))


def test_a_resumed_moco_queue_goes_on_where_it_was():
    queue, fresh = moco(), moco()
    for keys in batches(2, 2, 4):
        queue.push_(keys)
    fresh.load_state_dict(queue.state_dict())
    for keys in batches(3, 2, 4):
        queue.push_(keys)
        fresh.push_(keys)
    assert torch.equal(queue.keys, fresh.keys)


def push_on_each_rank() -> Tensor:
    queue = moco(8)
    queue.push_(torch.full((2, 4), 1.0 if dist.rank() == 0 else -1.0))
    return queue.keys


def test_every_rank_queues_the_keys_of_all():
    expected = torch.cat([torch.full((2, 4), 0.5), torch.full((2, 4), -0.5), moco(8).keys[4:]])
    for keys in run_ranks(push_on_each_rank):
        assert_close(keys, expected)


def test_a_queue_that_is_not_whole_batches_is_refused():
    with pytest.raises(ValueError, match="got 6 keys for 4 a step"):
        moco().push_(torch.ones(4, 4))
