"""Sinkhorn-Knopp: soft codes that use every prototype about equally.

Paper: SwAV (arXiv 2006.09882), section 3.1, eq. 3 to 5. Codes maximise agreement with the scores
plus epsilon times their entropy, with equal prototype totals over the batch of all processes.

Shapes: B samples of this process, K prototypes. A row is a sample and lives on one process, so
only the K prototype totals are summed over processes: one vector an iteration.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributed import ProcessGroup

from eyespot.dist import all_reduce_max, all_reduce_sum
from eyespot.errors import unknown_name

METHODS = ("swav", "stable", "log", "vissl")


@torch.no_grad()
def sinkhorn(
    scores: Float[Tensor, "b k"],
    *,
    epsilon: float,
    iters: int,
    method: str = "stable",
    power_law: float = 0.0,
    group: ProcessGroup | None = None,
) -> Float[Tensor, "b k"]:
    """Return one code per sample: K weights that sum to one.

    Each iteration makes the prototype totals equal, then the sample totals; the codes' own sums
    are therefore exact and the balance of prototypes is approximate. Computed in float32, or in
    float64 for float64 scores, whatever the autocast dtype. The methods agree but for rounding:

    - "swav": exp(scores / epsilon) as the paper's code has it; float32 overflows once a score
      exceeds 88 epsilon.
    - "stable": the same with each sample's sum of exponentials taken out, as a softmax does; for
      scores that differ by less than some 80 epsilon (cosines at 0.05: 40), or exp underflows.
    - "log": in log space, right for any range of scores; the slowest.
    - "vissl": "stable" with VISSL's guards. When exp underflows for all samples of a prototype,
      1e-12 is added to all codes, whose sum is one; an infinite factor becomes the greatest finite
      one. The result is float32.

    Args:
        scores: Cosine of each sample to each prototype; -1 to 1 when both are normalised.
        epsilon: Weight of the entropy (SwAV: 0.05); smaller is sharper.
        iters: How often both totals are made equal (SwAV: 3, SEER: 10).
        method: One of the above.
        power_law: Exponent p of prototype totals in proportion to 1 / (k + 1)^p, k counted from
            0; the default is equal totals.
        group: Processes whose samples share the prototypes; all of them by default.

    Raises:
        ValueError: If epsilon is not positive, iters is less than 1 or the method is unknown.
    """
    if not epsilon > 0 or iters < 1:
        raise ValueError(f"need epsilon > 0 and iters >= 1, got {epsilon=}, {iters=}")
    if method not in METHODS:
        raise ValueError(unknown_name("Sinkhorn method", method, METHODS))
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    totals = _prototype_totals(scores, power_law)  # [K]
    with torch.autocast(scores.device.type, enabled=False):
        if method == "log":
            return _in_log_space(scores / epsilon, totals, iters, group)
        if method == "vissl":
            return _guarded(scores / epsilon, totals, iters, group)
        return _scaled(scores, epsilon, totals, iters, group, shifted=method == "stable")


def hard_codes(codes: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
    """Return the one-hot code of each sample's greatest weight."""
    return torch.zeros_like(codes).scatter_(1, codes.argmax(dim=1, keepdim=True), 1.0)


def _prototype_totals(scores: Tensor, power_law: float) -> Tensor:
    """The share of all samples that each prototype is to get; sums to one."""
    ranks = torch.arange(1, scores.shape[1] + 1, dtype=scores.dtype, device=scores.device)
    weights = ranks.pow(-power_law)
    return weights / weights.sum()


def _scaled(
    scores: Tensor,
    epsilon: float,
    totals: Tensor,
    iters: int,
    group: ProcessGroup | None,
    *,
    shifted: bool,
) -> Tensor:
    """Keep the exponential fixed and iterate on one factor per sample and one per prototype.

    The codes are diag(by_sample) kernel diag(by_prototype) at any time, so an iteration only reads
    the kernel, twice. What `shifted` takes out of a sample's exponential starts as its factor.
    """
    if shifted:
        kernel = scores * (1 / epsilon)  # [B, K]
        torch.softmax(kernel, dim=1, out=kernel)  # takes less time than exp alone
        log_sums = scores.amax(dim=1) / epsilon - kernel.amax(dim=1).log_()  # [B]
        by_sample = (log_sums - all_reduce_max(log_sums.amax(), group)).exp_()
    else:
        kernel = (scores / epsilon).exp_()
        by_sample = scores.new_ones(scores.shape[0])
    most = torch.finfo(scores.dtype).max / 4
    for _ in range(iters):
        column_sums = all_reduce_sum(by_sample @ kernel, group)
        # Times their sum: else one factor grows and the other shrinks without end.
        by_prototype = totals * (column_sums.sum() / column_sums).clamp_(max=most)  # [K]
        by_sample = (kernel @ by_prototype).reciprocal_()  # [B]
    return kernel.mul_(by_prototype).mul_(by_sample.unsqueeze(1))


def _in_log_space(logits: Tensor, totals: Tensor, iters: int, group: ProcessGroup | None) -> Tensor:
    log_totals = totals.log()
    for _ in range(iters):
        greatest = all_reduce_max(logits.amax(dim=0), group)  # [K]
        column_sums = all_reduce_sum((logits - greatest).exp_().sum(dim=0), group)
        logits = logits.add_(log_totals - column_sums.log_() - greatest).log_softmax(dim=1)
    return logits.exp_()


def _guarded(logits: Tensor, totals: Tensor, iters: int, group: ProcessGroup | None) -> Tensor:
    codes = logits.sub_(all_reduce_max(logits.amax(), group)).exp_()  # [B, K]
    codes /= all_reduce_sum(codes.sum(), group)
    for _ in range(iters):
        column_sums = all_reduce_sum(codes.sum(dim=0), group)  # [K]
        if (column_sums == 0).any():
            codes += 1e-12
            column_sums = all_reduce_sum(codes.sum(dim=0), group)
        factors = totals / column_sums
        codes *= factors.where(factors.isfinite(), factors[factors.isfinite()].max())
        codes /= codes.sum(dim=1, keepdim=True)
    return codes.float()
