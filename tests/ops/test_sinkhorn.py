import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from scipy.special import logsumexp
from torch.testing import assert_close

from eyespot import dist
from eyespot.ops.sinkhorn import METHODS, hard_codes, sinkhorn
from tests.distributed import run_ranks
from tests.reference import read_json

VECTORS = read_json("swav_vectors.json")
CASES = VECTORS["sinkhorn"]
TWO_RANKS = VECTORS["sinkhorn_distributed"]


def names(case):
    return case["name"]


def solve(case, method, dtype):
    scores = torch.tensor(case["scores"], dtype=dtype)
    codes = sinkhorn(scores, epsilon=case["epsilon"], iters=case["iterations"], method=method)
    return hard_codes(codes) if case.get("hard_assignment") else codes


def oracle(scores: np.ndarray, epsilon: float, iters: int, totals: np.ndarray) -> np.ndarray:
    """The algorithm on prototypes x samples in log space, in another library."""
    log_q = scores.T / epsilon  # [K, B]
    for _ in range(iters):
        log_q += np.log(totals)[:, None] - logsumexp(log_q, axis=1, keepdims=True)
        log_q -= logsumexp(log_q, axis=0, keepdims=True)
    return np.exp(log_q).T


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES, ids=names)
def test_float64_matches_the_reference(case, method):
    # VISSL's method returns float32, so its own tolerance is that of the VISSL cases.
    tol = max(case["tol"], 2e-7) if method == "vissl" else case["tol"]
    expected = torch.tensor(case["expected"], dtype=torch.float64)
    assert_close(solve(case, method, torch.float64).double(), expected, rtol=0, atol=tol)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES, ids=names)
def test_float32_matches_the_reference(case, method):
    if method == "swav" and not case.get("plain_float32_is_finite", True):
        pytest.skip("the plain method overflows here, as the reference does")
    codes = solve(case, method, torch.float32)
    assert codes.dtype == torch.float32
    assert_close(codes, torch.tensor(case["expected"]), rtol=0, atol=5e-6)
    if "expected_float32" in case:
        assert_close(codes, torch.tensor(case["expected_float32"]), rtol=5e-6, atol=5e-7)


def test_plain_float32_overflows_where_the_reference_does():
    case = next(c for c in CASES if not c.get("plain_float32_is_finite", True))
    assert not solve(case, "swav", torch.float32).isfinite().all()


@pytest.mark.parametrize("power_law", [0.0, 0.25])
@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=25)
@given(
    batch=st.integers(1, 9),
    protos=st.integers(1, 11),
    epsilon=st.floats(0.03, 0.5),
    iters=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_matches_an_independent_log_space_oracle(
    method, power_law, batch, protos, epsilon, iters, seed
):
    scores = np.random.default_rng(seed).uniform(-1, 1, (batch, protos))
    totals = np.arange(1.0, protos + 1) ** -power_law
    expected = oracle(scores, epsilon, iters, totals / totals.sum())
    for dtype, atol in ((torch.float64, 1e-10), (torch.float32, 3e-5)):
        codes = sinkhorn(
            torch.tensor(scores, dtype=dtype),
            epsilon=epsilon,
            iters=iters,
            method=method,
            power_law=power_law,
        )
        assert_close(
            codes.double().numpy(),
            expected,
            rtol=0,
            atol=max(atol, 2e-7) if method == "vissl" else atol,
        )


@pytest.mark.parametrize("method", METHODS)
def test_a_prototypes_own_offset_changes_nothing(method):
    generator = torch.Generator().manual_seed(1)
    scores = torch.rand(6, 5, generator=generator, dtype=torch.float64)
    offset = torch.rand(5, generator=generator, dtype=torch.float64)
    codes = sinkhorn(scores, epsilon=0.1, iters=2, method=method)
    assert_close(sinkhorn(scores + offset, epsilon=0.1, iters=2, method=method), codes)


@pytest.mark.parametrize("method", METHODS)
def test_many_iterations_reach_the_wanted_totals(method):
    generator = torch.Generator().manual_seed(2)
    scores = torch.rand(40, 6, generator=generator, dtype=torch.float64)
    codes = sinkhorn(scores, epsilon=0.2, iters=200, method=method, power_law=0.5).double()
    wanted = torch.arange(1, 7, dtype=torch.float64) ** -0.5
    assert_close(codes.sum(dim=0) / 40, wanted / wanted.sum(), rtol=1e-6, atol=0)
    assert_close(codes.sum(dim=1), torch.ones(40, dtype=torch.float64), rtol=1e-6, atol=0)


@pytest.mark.parametrize("method", ["stable", "vissl"])
def test_a_prototype_out_of_reach_in_float32_leaves_finite_codes(method):
    scores = torch.tensor([[10.0, 9.9, -10.0], [9.8, 10.0, -10.0], [9.9, 9.9, -10.0]])
    codes = sinkhorn(scores, epsilon=0.05, iters=3, method=method)  # exp(-400) underflows
    assert codes.isfinite().all()
    assert_close(codes.sum(dim=1), torch.ones(3))


def test_log_space_reaches_every_prototype_in_float32():
    scores = torch.tensor([[10.0, 9.9, -10.0], [9.8, 10.0, -10.0], [9.9, 9.9, -10.0]])
    expected = oracle(scores.double().numpy(), 0.05, 3, np.full(3, 1 / 3))
    codes = sinkhorn(scores, epsilon=0.05, iters=3, method="log")
    assert_close(codes.double().numpy(), expected, rtol=0, atol=1e-4)


def vissl_by_hand(scores: np.ndarray, epsilon: float, iters: int) -> np.ndarray:
    """The guards as they are described, on prototypes x samples in float32."""
    q = np.exp((scores - scores.max()).T / np.float32(epsilon))  # [K, B]
    protos, batch = q.shape
    q /= q.sum()
    for _ in range(iters):
        sums = q.sum(axis=1)
        if (sums == 0).any():
            q += np.float32(1e-12)
            sums = q.sum(axis=1)
        with np.errstate(over="ignore"):
            factors = np.float32(1 / protos) / sums
        factors[np.isinf(factors)] = factors[np.isfinite(factors)].max()
        q *= factors[:, None]
        q /= q.sum(axis=0) * np.float32(batch)
    return (q / q.sum(axis=0)).T


# Scores at which exp(scores / 0.05) next to the greatest one, exp(10 / 0.05), is nothing at all,
# too small for a finite factor, or about the constant that the first guard adds.
NOTHING, DENORMAL, CONSTANT = -10.0, 10 - 96.6 * 0.05, 10 - 27.6 * 0.05


@pytest.mark.parametrize("third", [NOTHING, DENORMAL, CONSTANT])
@pytest.mark.parametrize("second", [NOTHING, CONSTANT])
def test_vissls_guards_are_its_own(second, third):
    scores = np.array([[10.0, 9.9, third], [9.8, second, third]], dtype=np.float32)
    codes = sinkhorn(torch.tensor(scores), epsilon=0.05, iters=2, method="vissl")
    expected = vissl_by_hand(scores, 0.05, 2)
    assert_close(codes.numpy(), expected, rtol=1e-2 if third == DENORMAL else 1e-4, atol=0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_and_half_precision_scores_still_mean_float32(method, dtype):
    generator = torch.Generator().manual_seed(3)
    scores = (torch.rand(32, 50, generator=generator) * 2 - 1).to(dtype)
    expected = oracle(scores.double().numpy(), 0.05, 3, np.full(50, 0.02))
    with torch.autocast("cpu", dtype=dtype):
        codes = sinkhorn(scores, epsilon=0.05, iters=3, method=method)
    assert codes.dtype == torch.float32
    assert_close(codes.double().numpy(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_scores_stay_as_they_are_and_codes_carry_no_gradient(method):
    scores = torch.linspace(-1, 1, 12).reshape(3, 4).requires_grad_()
    before = scores.detach().clone()
    assert not sinkhorn(scores, epsilon=0.05, iters=3, method=method).requires_grad
    assert torch.equal(scores, before)


def codes_of_this_rank(rank_scores: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    scores = rank_scores[dist.rank()]
    return {
        method: sinkhorn(scores, epsilon=0.05, iters=3, method=method, power_law=0.0)
        for method in METHODS
    }


def test_two_ranks_match_the_reference():
    rank_scores = [torch.tensor(s, dtype=torch.float64) for s in TWO_RANKS["rank_scores"]]
    for rank, codes in enumerate(run_ranks(codes_of_this_rank, rank_scores)):
        expected = torch.tensor(TWO_RANKS["rank_expected"][rank], dtype=torch.float64)
        for method in METHODS:
            tol = 2e-7 if method == "vissl" else TWO_RANKS["tol"]
            assert_close(codes[method].double(), expected, rtol=0, atol=tol)


def test_two_ranks_match_the_reference_in_float32():
    rank_scores = [torch.tensor(s, dtype=torch.float32) for s in TWO_RANKS["rank_scores"]]
    for rank, codes in enumerate(run_ranks(codes_of_this_rank, rank_scores)):
        expected = torch.tensor(TWO_RANKS["rank_expected"][rank], dtype=torch.float32)
        for method in METHODS:
            assert codes[method].dtype == torch.float32
            assert_close(codes[method], expected, rtol=0, atol=5e-6)


def test_ranks_with_uneven_batches_equal_one_process():
    scores = torch.rand(9, 7, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    results = run_ranks(codes_of_this_rank, list(scores.split([2, 4, 3])), world_size=3)
    for method in METHODS:
        alone = sinkhorn(scores, epsilon=0.05, iters=3, method=method)
        assert_close(torch.cat([r[method] for r in results]), alone, rtol=1e-6, atol=1e-12)


def test_bad_settings_are_refused_with_their_values():
    scores = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"got epsilon=0\.0, iters=3"):
        sinkhorn(scores, epsilon=0.0, iters=3)
    with pytest.raises(ValueError, match=r"got epsilon=0\.05, iters=0"):
        sinkhorn(scores, epsilon=0.05, iters=0)
    with pytest.raises(ValueError, match=r"'stabel'\. Did you mean stable"):
        sinkhorn(scores, epsilon=0.05, iters=3, method="stabel")
