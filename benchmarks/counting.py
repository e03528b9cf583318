"""How many networks a second are counted on one core: closed form against a traced meta model.

`python benchmarks/counting.py [--quick]`
"""

import argparse
import random

import torch
from common import Record, rates, take_turns
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import eyespot
from eyespot.design import zoo
from eyespot.design.complexity import complexity
from eyespot.design.regnet import regnet
from eyespot.design.specs import AnyNetSpec, Spec


def sampled_regnets(count: int) -> list[AnyNetSpec]:
    """Draw RegNetYs of the sizes that sweeps draw."""
    rng = random.Random(0)
    return [
        regnet(
            8 * rng.randint(1, 32),
            round(rng.uniform(8, 256), 1),
            round(rng.uniform(2, 3), 3),
            rng.randint(12, 28),
            8 * 2 ** rng.randint(0, 4),
            se_ratio=0.25,
        )
        for _ in range(count)
    ]


def trace(spec: Spec) -> int:
    """Count the flops of a network by building it without memory and running it."""
    with torch.device("meta"):
        model: nn.Module = eyespot.create_model(spec, image_size=224)
        images = torch.empty(1, 3, 224, 224)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(images)
    return counter.get_total_flops()


def main() -> None:
    """Time both on the same networks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer turns")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    record = Record("counting")
    cases: dict[str, list[Spec]] = {
        "200 sampled RegNetYs": [*sampled_regnets(200)],
        "the named RegNets": [entry.make() for entry in zoo.entries("RegNet[XYZ]-*")],
        "the named ViTs": [entry.make() for entry in zoo.entries("ViT*")],
    }
    for case, specs in cases.items():
        few = specs[::-1][: 1 if quick else 3]
        contestants = {
            "eyespot": lambda specs=specs: [complexity(spec) for spec in specs],
            "torch.utils.flop_counter on meta": lambda few=few: [trace(spec) for spec in few],
        }
        turns = take_turns(contestants, turns=3 if quick else 9, turn_s=0.2 if quick else 1.0)
        rival = "torch.utils.flop_counter on meta"
        turns[rival] = [seconds * len(specs) / len(few) for seconds in turns[rival]]
        against = {"eyespot": (rival,)}
        record.add(
            rates(f"count {case}", turns, per_call=len(specs), unit="networks/s", against=against)
        )
    sample_and_count = {"eyespot": lambda: [complexity(s) for s in sampled_regnets(200)]}
    turns = take_turns(sample_and_count, turns=3 if quick else 9, turn_s=0.2 if quick else 1.0)
    record.add(
        rates("draw, build specs and count", turns, per_call=200, unit="networks/s", against={})
    )


if __name__ == "__main__":
    main()
