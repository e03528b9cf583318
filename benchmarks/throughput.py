"""Images a second of our networks and of the same networks from timm and torchvision.

`python benchmarks/throughput.py [--device cuda] [--models NAME...] [--quick]`

Each case is one interleaved run. "plain" is float32 in the default memory layout; "tuned" is the
peers' best case: autocast and layout as in our defaults for the device. Our defaults run beside
both.
"""

import argparse
from dataclasses import replace

import torch
from common import Record, rates, take_turns
from peers import PEERS, contestants
from workloads import describe, inference_call, prepared_call, training_call

from eyespot.design import zoo
from eyespot.models.speed import SpeedSettings, Use, speed_defaults

PLAIN = SpeedSettings()


def run_case(
    record: Record, name: str, use: Use, *, tuned: bool, device: str, batch: int, quick: bool
) -> None:
    """Time one network in one setting, all libraries in one interleaved run."""
    ours = speed_defaults(device, zoo.spec(name), use)
    settings = PLAIN
    if tuned:
        settings = replace(ours, compile=False, fold_norms=False, onednn_linear=False)
        if settings == PLAIN:
            return
    images = torch.randn(batch, 3, 224, 224, device=device)
    models = {library: model.to(device) for library, model in contestants(name).items()}
    make = inference_call if use == "inference" else training_call
    calls = {library: make(model, settings, images) for library, model in models.items()}
    again = contestants(name)["eyespot"].to(device)
    make = prepared_call if use == "inference" else training_call
    if ours != settings or use == "inference":
        calls["eyespot defaults"] = make(again, ours, images)
    turns = take_turns(calls, turns=4 if quick else 9, turn_s=0.5 if quick else 2.0, device=device)
    setting = "plain" if not tuned else f"tuned ({describe(settings)})"
    rivals = ("timm", "torchvision")
    against = {"eyespot": rivals, "eyespot defaults": rivals}
    case = f"{name}, {use}, batch {batch}, {setting}"
    record.add(rates(case, turns, per_call=batch, unit="images/s", against=against))


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--models", nargs="+", choices=list(PEERS))
    parser.add_argument("--uses", nargs="+", default=["inference", "training"])
    parser.add_argument("--batch", type=int, help="images a batch (cpu: 16, cuda: 128)")
    parser.add_argument("--quick", action="store_true", help="fewer turns, one network, batch 4")
    args = parser.parse_args()
    batch = args.batch or (128 if args.device == "cuda" else 4 if args.quick else 16)
    record = Record("throughput", args.device)
    for name in args.models or (["RegNetY-400MF"] if args.quick else PEERS):
        for use in args.uses:
            for tuned in (False, True):
                run_case(
                    record, name, use, tuned=tuned, device=args.device, batch=batch,
                    quick=args.quick,
                )  # fmt: skip


if __name__ == "__main__":
    main()
