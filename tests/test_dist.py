import pytest
import torch
import torch.distributed as torch_dist
from torch.testing import assert_close

from eyespot import dist
from tests.distributed import run_ranks


def test_alone_every_collective_returns_its_argument():
    x = torch.tensor([1.0, -2.0])
    assert dist.rank() == 0
    assert dist.world_size() == 1
    dist.barrier()
    for result in (
        dist.all_reduce_sum(x),
        dist.all_reduce_max(x),
        dist.all_reduce_mean(x),
        dist.all_gather_cat(x),
        dist.all_gather_cat(x, differentiable=True),
    ):
        assert_close(result, x, rtol=0, atol=0)


def test_alone_only_the_differentiable_gather_lets_the_gradient_through():
    x = torch.ones(2, requires_grad=True)
    assert not dist.all_reduce_mean(x).requires_grad
    assert not dist.all_gather_cat(x).requires_grad
    assert dist.all_gather_cat(x, differentiable=True).requires_grad


def collectives() -> dict[str, object]:
    rank = dist.rank()
    x = torch.tensor([1.0 + rank, 10.0 - rank])
    counts = torch.tensor([rank, 4])
    rows = torch.arange(4.0).reshape(2, 2).t() + 10 * rank  # not contiguous
    pair = torch_dist.new_group([0, 1])
    result: dict[str, object] = {
        "rank": rank,
        "world_size": dist.world_size(),
        "sum": dist.all_reduce_sum(x),
        "mean": dist.all_reduce_mean(x),
        "mean_of_ints": dist.all_reduce_mean(counts),
        "max": dist.all_reduce_max(x),
        "rows": dist.all_gather_cat(rows),
        "untouched": x,
    }
    if rank < 2:
        result["pair_sum"] = dist.all_reduce_sum(x, pair)
        result["pair_rows"] = dist.all_gather_cat(x, group=pair)
    return result


def test_three_ranks():
    results = run_ranks(collectives, world_size=3)
    for rank, result in enumerate(results):
        assert result["rank"] == rank
        assert result["world_size"] == 3
        assert result["sum"].tolist() == [6.0, 27.0]
        assert result["mean"].tolist() == [2.0, 9.0]
        assert result["mean_of_ints"].tolist() == [1.0, 4.0]
        assert result["max"].tolist() == [3.0, 10.0]
        assert result["untouched"].tolist() == [1.0 + rank, 10.0 - rank]
        own = [[0.0, 2.0], [1.0, 3.0]]
        expected = [[a + 10 * r for a in row] for r in range(3) for row in own]
        assert result["rows"].tolist() == expected
    for result in results[:2]:
        assert result["pair_sum"].tolist() == [3.0, 19.0]
        assert result["pair_rows"].tolist() == [1.0, 10.0, 2.0, 9.0]


def gradient_through_a_gather() -> torch.Tensor:
    """Each rank's loss is (rank + 1) times the sum of squares of everybody's rows."""
    x = (torch.arange(2.0) + 2 * dist.rank()).requires_grad_()
    loss = (dist.rank() + 1) * dist.all_gather_cat(x, differentiable=True).square().sum()
    loss.backward()
    assert x.grad is not None
    return x.grad


def test_the_gathered_gradient_is_the_sum_of_what_every_rank_says():
    first, second = run_ranks(gradient_through_a_gather)
    # d/dx of (1 + 2) x^2, for x = 0, 1 on rank 0 and 2, 3 on rank 1
    assert first.tolist() == [0.0, 6.0]
    assert second.tolist() == [12.0, 18.0]


def uneven_rows() -> torch.Tensor:
    rank = dist.rank()
    rows = torch.full((rank * (2 - rank) * 2, 2), float(rank))  # 0, 2 and 0 rows
    return torch.cat([dist.all_gather_rows(rows), dist.all_gather_rows(rows[:0])])


def test_rows_are_gathered_however_many_each_rank_has():
    for gathered in run_ranks(uneven_rows, world_size=3):
        assert gathered.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    x = torch.ones(3, 2)
    assert dist.all_gather_rows(x).tolist() == x.tolist()


@pytest.mark.parametrize(("rank", "first"), [(None, True), ("0", True), ("1", False)])
def test_one_process_speaks_before_there_is_a_group(rank, first, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    assert dist.is_first() is first
