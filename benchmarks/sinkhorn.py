"""How fast are codes computed, for as many scores as one GPU has in the published runs?

Ours against the formulas of the paper written out (exp, then rows and columns of the K x B matrix
divided by their sums in turn), and against lightly's where it can be imported.

Run:  python benchmarks/sinkhorn.py [--device cuda] [--quick]
"""

import argparse
from functools import partial

import torch
import torch.nn.functional as F
from common import Contestants, Record, rates, take_turns
from torch import Tensor

from eyespot.ops.sinkhorn import sinkhorn

CASES = (  # run, samples of a GPU (and of its queue), prototypes, iterations, epsilon
    ("SEER RG-256GF", 16, 16000, 10, 0.05),
    ("SEER RG-128GF", 32, 16000, 10, 0.05),
    ("SEER RG-10B", 16, 16000, 10, 0.03),
    ("SwAV, batch 4096", 64, 3000, 3, 0.05),
    ("SwAV, batch 256 and queue", 64 + 960, 3000, 3, 0.05),
)


@torch.no_grad()
def formulas(scores: Tensor, epsilon: float, iters: int) -> Tensor:
    """SwAV's algorithm 1 as it is printed."""
    codes = (scores / epsilon).exp().t()  # [K, B]
    codes = codes / codes.sum()
    for _ in range(iters):
        codes = codes / codes.sum(1, keepdim=True) / codes.shape[0]
        codes = codes / codes.sum(0, keepdim=True) / codes.shape[1]
    return (codes * codes.shape[1]).t()


def contestants(scores: Tensor, epsilon: float, iters: int) -> Contestants:
    """Every way to the same codes."""
    found = {
        f"eyespot, {method}": partial(sinkhorn, scores, epsilon=epsilon, iters=iters, method=method)
        for method in ("stable", "swav", "log")
    }
    found["the paper's formulas"] = partial(formulas, scores, epsilon, iters)
    try:
        from lightly.loss.swav_loss import sinkhorn as lightlys
    except ImportError as error:
        print(f"lightly is left out: {error}")
    else:
        found["lightly"] = partial(lightlys, scores, iterations=iters, epsilon=epsilon)
    return found


def main() -> None:
    """Time all cases, after comparing what comes out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    record = Record("sinkhorn", args.device)
    for run, batch, prototypes, iters, epsilon in CASES[:1] if args.quick else CASES:
        generator = torch.Generator().manual_seed(0)
        embeddings = F.normalize(torch.randn(batch, 128, generator=generator), dim=1)
        centres = F.normalize(torch.randn(prototypes, 128, generator=generator), dim=1)
        scores = (embeddings @ centres.t()).to(args.device)
        calls = contestants(scores, epsilon, iters)
        results = {name: call() for name, call in calls.items()}
        wanted = results["the paper's formulas"]
        for name, codes in results.items():
            torch.testing.assert_close(codes, wanted, rtol=2e-3, atol=1e-6, msg=name)
        seconds = take_turns(
            calls, turns=3 if args.quick else args.turns, turn_s=0.3, device=args.device
        )
        case = f"{run}: {batch} x {prototypes:,}, {iters} iterations"
        rivals = tuple(name for name in calls if not name.startswith("eyespot"))
        against = {name: rivals for name in calls if name.startswith("eyespot")}
        record.add(rates(case, seconds, per_call=1, unit="a second", against=against))


if __name__ == "__main__":
    main()
