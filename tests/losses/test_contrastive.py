import math

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import Tensor, nn
from torch.testing import assert_close

from eyespot import dist
from eyespot.losses.contrastive import info_nce_loss, nt_xent_loss
from tests.distributed import run_ranks
from tests.reference import read_json

SIMCLR = read_json("swav_vectors.json")["simclr_info_nce"]


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def nt_xent_by_hand(embeddings: Tensor, temperature: float) -> Tensor:
    """The paper's sum, one anchor and one positive at a time."""
    z = F.normalize(embeddings, dim=-1)
    num_views, batch, _ = z.shape
    losses = []
    for b in range(batch):
        rest = torch.cat([z[:, :b], z[:, b + 1 :]], dim=1).flatten(0, 1)
        for v in range(num_views):
            negatives = (rest @ z[v, b] / temperature).exp().sum()
            for w in range(num_views):
                if w != v:
                    positive = (z[w, b] @ z[v, b] / temperature).exp()
                    losses.append(-torch.log(positive / (positive + negatives)))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_simclr_matches_the_reference(dtype):
    rows = torch.tensor(SIMCLR["embeddings"], dtype=dtype, requires_grad=True)
    loss = nt_xent_loss(rows.reshape(2, len(rows) // 2, -1), temperature=SIMCLR["temperature"])
    loss.backward()
    assert_close(loss.item(), SIMCLR["loss"], rtol=0, atol=SIMCLR["tol"])
    expected = torch.tensor(SIMCLR["grad_embeddings"], dtype=dtype)
    assert_close(rows.grad, expected, rtol=0, atol=SIMCLR["tol"])


@settings(max_examples=20)
@given(
    views=st.integers(2, 5),
    batch=st.integers(2, 4),
    temperature=st.floats(0.05, 1),
    seed=st.integers(0, 99),
)
def test_multi_crop_equals_the_sum_by_hand(views, batch, temperature, seed):
    embeddings = random(views, batch, 6, seed=seed)
    loss = nt_xent_loss(embeddings, temperature=temperature)
    assert_close(loss, nt_xent_by_hand(embeddings, temperature))


def test_equal_embeddings_cost_the_log_of_the_candidates():
    loss = nt_xent_loss(torch.ones(3, 5, 8), temperature=0.1)
    assert_close(loss.item(), math.log(1 + 4 * 3))


def on_two_ranks() -> dict[str, Tensor]:
    """A linear encoder on this rank's part of the images; its gradient is averaged as by DDP."""
    encoder = nn.Linear(5, 4, bias=False, dtype=torch.float64)
    encoder.load_state_dict({"weight": random(4, 5, seed=1)})
    local = random(3, 6, 5).chunk(2, dim=1)[dist.rank()]
    loss = nt_xent_loss(encoder(local), temperature=0.1)
    loss.backward()
    assert encoder.weight.grad is not None
    return {
        "loss": dist.all_reduce_mean(loss),
        "grad": dist.all_reduce_mean(encoder.weight.grad),
    }


def test_two_ranks_equal_one_process_in_loss_and_gradient():
    weight = random(4, 5, seed=1).requires_grad_()
    loss = nt_xent_loss(random(3, 6, 5) @ weight.t(), temperature=0.1)
    loss.backward()
    for result in run_ranks(on_two_ranks):
        assert_close(result["loss"], loss.detach(), rtol=1e-12, atol=0)
        assert_close(result["grad"], weight.grad, rtol=1e-10, atol=1e-13)


def test_too_few_views_or_images_are_refused():
    with pytest.raises(ValueError, match="got 1 views of 4 images"):
        nt_xent_loss(torch.ones(1, 4, 2), temperature=0.1)
    with pytest.raises(ValueError, match="got 2 views of 1 images"):
        nt_xent_loss(torch.ones(2, 1, 2), temperature=0.1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_moco_equals_the_softmax_by_hand(dtype):
    queries = random(3, 6).to(dtype).requires_grad_()
    keys, queue = random(3, 6, seed=1).to(dtype), random(10, 6, seed=2).to(dtype)
    loss = info_nce_loss(queries, keys, queue, temperature=0.2)
    q, k, n = (F.normalize(x.detach().double(), dim=1) for x in (queries, keys, queue))
    own = (q * k).sum(dim=1).div(0.2).exp()
    others = (q @ n.t()).div(0.2).exp().sum(dim=1)
    expected = -(own / (own + others)).log().mean()
    assert_close(loss.double(), expected, rtol=1e-6 if dtype == torch.float32 else 1e-12, atol=0)


def test_moco_sends_gradients_to_the_queries_only():
    queries, keys, queue = (random(3, 4, seed=s).requires_grad_() for s in range(3))
    info_nce_loss(queries, keys, queue, temperature=0.2).backward()
    assert queries.grad is not None
    assert keys.grad is None
    assert queue.grad is None


def test_both_losses_are_float32_under_autocast():
    embeddings = random(2, 8, 16).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        simclr = nt_xent_loss(embeddings.bfloat16(), temperature=0.1)
        moco = info_nce_loss(*embeddings, random(9, 16).float(), temperature=0.2)
    exact = embeddings.bfloat16().double()
    assert simclr.dtype == moco.dtype == torch.float32
    expected = nt_xent_loss(exact, temperature=0.1).item()
    assert_close(simclr.item(), expected, rtol=1e-5, atol=0)
    expected = info_nce_loss(*embeddings.double(), random(9, 16), temperature=0.2).item()
    assert_close(moco.item(), expected, rtol=1e-5, atol=0)
