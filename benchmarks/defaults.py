"""Which setting is the fastest for a family on a device: where models/speed.py has its table from.

`python benchmarks/defaults.py [--device cuda] [--budget-s 900] [--quick]`

Prints a row as soon as it is measured, and stops starting new settings when the budget is spent.
"""

import argparse
import time
from dataclasses import replace
from typing import get_args

import torch
from common import Record, rates, take_turns
from workloads import describe, prepared_call, training_call

import eyespot
from eyespot.models.speed import SpeedSettings, Use

NETWORKS = (
    "RegNetY-4.0GF", "RegNetY-800MF", "RegNetY-200MF", "RegNetZ-500MF", "RegNetZ-4GF", "ResNet-50",
    "ViT-P-4GF", "EfficientNet-B0", "EfficientNet-B4", "ViT-C-4GF",
)  # fmt: skip


def candidates(use: Use, device: str) -> list[SpeedSettings]:
    """Return the settings to compare, the plain one first and the slow to compile ones last."""
    plain = SpeedSettings()
    last = replace(plain, channels_last=True)
    bf16, bf16_last = (replace(s, dtype=torch.bfloat16) for s in (plain, last))
    eager = [plain, last, bf16, bf16_last]
    if use == "inference":
        folded = replace(last, fold_norms=True)
        eager += [folded, replace(folded, dtype=torch.bfloat16)]
        if device == "cpu":
            eager.append(replace(folded, onednn_linear=True))
        return [*eager, replace(folded, dtype=torch.bfloat16, compile=True)]
    return [*eager, replace(bf16_last, compile=True), replace(bf16, compile=True)]


def main() -> None:
    """Measure every candidate for every family, against plain float32."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--models", nargs="+", default=list(NETWORKS))
    parser.add_argument("--uses", nargs="+", default=list(get_args(Use)))
    parser.add_argument("--batch", type=int, help="images a batch (cpu: 16, cuda: 128)")
    parser.add_argument("--budget-s", type=float, default=900.0, help="seconds in all")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--quick", action="store_true", help="one network, batch 4, not compiled")
    args = parser.parse_args()
    if args.quick:
        args.models, args.batch, args.no_compile = args.models[:1], 4, True
    deadline = time.monotonic() + args.budget_s
    batch = args.batch or (128 if args.device == "cuda" else 16)
    record = Record("defaults", args.device)
    for compiled in (False, True):
        for name in args.models:
            for use in args.uses:
                chosen = [
                    each
                    for each in candidates(use, args.device)
                    if each.compile == compiled or each == SpeedSettings()
                ]
                if compiled and args.no_compile:
                    continue
                measure(record, name, use, chosen, args.device, batch, deadline)


def measure(
    record: Record,
    name: str,
    use: Use,
    chosen: list[SpeedSettings],
    device: str,
    batch: int,
    deadline: float,
) -> None:
    """Time settings of one network, each in turns with the plain one."""
    images = torch.randn(batch, 3, 224, 224, device=device)
    make = prepared_call if use == "inference" else training_call

    def call_of(settings: SpeedSettings):
        torch.manual_seed(0)
        return make(eyespot.create_model(name).to(device), settings, images)

    plain = call_of(SpeedSettings())
    for settings in chosen[1:]:
        if time.monotonic() > deadline:
            print(f"budget spent before {name}, {use}, {describe(settings)}")
            return
        calls = {"plain": plain, describe(settings): call_of(settings)}
        turns = take_turns(calls, turns=3, turn_s=0.3, device=device)
        rows = rates(
            f"{name}, {use}, batch {batch}", turns, per_call=batch, unit="images/s",
            against={describe(settings): ("plain",)},
        )  # fmt: skip
        record.add(rows if settings == chosen[1] else rows[1:])


if __name__ == "__main__":
    main()
