"""Does it matter what a grounder's trunk begins with, and what does each alignment loss do alone?

Trains ground/quickstart from a trunk that is random, pretrained by SwAV (swav/scenes, no labels)
and taught shapes (classify/scenes, labels), all of one architecture and on the same rendered
pictures; and, from SwAV's trunk, without the contrastive alignment and without soft-token
prediction: MDETR's ablation of its two losses. All are measured on 1,000 scenes of another seed.

Run: python benchmarks/grounding_starts.py OUT [--seeds 1] [--at-once 2] [--only KIND ...]
Started again, it goes on. Writes docs/results/grounding-starts.json and .md.
"""

import argparse
import json
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from common import environment

import eyespot
from eyespot.cli import main as eyespot_command
from eyespot.cli.quickstart_steps import WORLD
from eyespot.design.spec_files import write_spec
from eyespot.recipes import get_recipe
from eyespot.tasks import run as running
from eyespot.tasks.run import Run

RESULTS = Path(__file__).parents[1] / "docs" / "results"
STARTS = {"random": "", "SwAV": "swav/scenes", "shapes taught": "classify/scenes"}
LOSSES = {"no alignment": "contrastive_align", "no soft tokens": "soft_token"}
KINDS = ("random", "SwAV", "shapes taught", "no alignment", "no soft tokens")
Row = dict[str, Any]


def trunk(name: str, seed: int, out: Path) -> Path:
    """Train a trunk, or find the one that was."""
    folder = out / f"{name.replace('/', '-')}-{seed}"
    recipe = replace(get_recipe(name), model=str(network(out)), seed=seed)
    if name.startswith("classify"):
        recipe = replace(recipe, epochs=9)
    running.train(recipe, Run(str(pictures(out)), folder, workers=0))
    return folder


def pictures(out: Path) -> Path:
    """Render the quickstart's pictures, if they are not there."""
    folder = out / "pictures"
    eyespot_command(["data", "shard", f"{WORLD},count=6000,val_count=1200", str(folder)])
    return folder


def network(out: Path) -> Path:
    """Write the quickstart's network: RegNetY-200MF scaled to 60 megaflops."""
    path = out / "backbone.json"
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        write_spec(eyespot.scale("RegNetY-200MF", "d1_w8_r1", flops="60M"), path)
    return path


def one(kind: str, seed: int, out: Path) -> Row:
    """Train and measure one grounder."""
    torch.set_num_threads(1)
    start = STARTS.get(kind, "swav/scenes")
    recipe = replace(get_recipe("ground/quickstart"), seed=seed)
    weights = str(trunk(start, seed, out)) if start else ""
    recipe = replace(
        recipe,
        network=replace(
            recipe.network, backbone=str(network(out)), backbone_weights=weights
        ),
    )  # fmt: skip
    if kind in LOSSES:
        recipe = replace(recipe, weights=replace(recipe.weights, **{LOSSES[kind]: 0.0}))
    if kind == "no alignment":
        recipe = replace(recipe, network=replace(recipe.network, alignment_dim=0))
    folder, began = out / f"{kind.replace(' ', '-')}-{seed}", time.perf_counter()
    run, kept = Run("scenes", folder, workers=0), folder / "seconds.json"
    running.train(recipe, run)
    if not kept.exists():
        kept.write_text(json.dumps(time.perf_counter() - began))
    found = running.evaluate(recipe, replace(run, val="scenes:seed=1,val_count=1000"))
    curve = [
        (line["step"], line["evaluation"]["average_R@1"])
        for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        if "evaluation" in line
    ]
    return {
        "start or loss": kind,
        "seed": seed,
        "seconds": json.loads(kept.read_text()),
        "R@1": found["average_R@1"],
        "R@10": found["average_R@10"],
        "P@1": found["average_eyespot_scenes_P@1"],
        "curve": curve,
    }


def main() -> None:
    """Run everything and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=KINDS, default=KINDS)
    args = parser.parse_args()
    for seed in range(1, args.seeds + 1):  # once, before several runs ask for it at once
        for name in filter(None, STARTS.values()):
            trunk(name, seed, args.out)
    with ProcessPoolExecutor(args.at_once, get_context("spawn")) as pool:
        asked = [
            pool.submit(one, kind, seed, args.out)
            for seed in range(1, args.seeds + 1)
            for kind in args.only
        ]
        rows = [future.result() for future in asked]
    write(rows, args)


def write(rows: list[Row], args: argparse.Namespace) -> None:
    """Write the rows and a table of their means."""
    command = f"python benchmarks/grounding_starts.py OUT --seeds {args.seeds}"
    where = environment("cpu") | {"command": command}
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / "grounding-starts.json"
    path.write_text(json.dumps({"where": where, "rows": rows}, indent=1) + "\n")
    recipe = get_recipe("ground/quickstart")
    steps = [step for step, _ in rows[0]["curve"]]
    ablated = any(row["start or loss"] in LOSSES for row in rows)
    lines = [
        "# What a small grounder begins with, and its two losses",
        "",
        f"`ground/quickstart`, {steps[-1]:,} steps of {recipe.batch_size} scenes of 80 px with one "
        "to three things, on a RegNetY-200MF scaled to 60 megaflops (0.84 million parameters). The "
        "trunk begins at random, with `swav/scenes` (700 steps without labels), or with "
        "`classify/scenes` (414 steps, the shape of each picture's one thing as label)."
        + (" Without one of the losses, it begins with SwAV's trunk." if ablated else "")
        + " Averaged weights, 1,000 scenes of another seed; "
        f"{args.at_once} at a time, one thread each, on {where['device']}, "
        f"torch {where['versions']['torch']}, {where['run'][:10]}. Mean of {args.seeds} "
        f"seed{'s' * (args.seeds > 1)}.",
        "",
        f"`{command}`",
        "",
        "| start or loss | phrases R@1 | R@10 | expressions P@1 | "
        + " | ".join(f"R@1 after {step:,}" for step in steps)
        + " | seconds |",
        "|---" * (5 + len(steps)) + "|",
    ]
    for kind in dict.fromkeys(row["start or loss"] for row in rows):
        mine = [row for row in rows if row["start or loss"] == kind]
        shares = [statistics.mean(row[key] for row in mine) for key in ("R@1", "R@10", "P@1")]
        shares += [
            statistics.mean(row["curve"][place][1] for row in mine) for place in range(len(steps))
        ]
        name = f"{kind}, both losses" if kind in STARTS else f"SwAV, {kind}"
        cells = " | ".join(f"{100 * share:.1f} %" for share in shares)
        seconds = statistics.mean(row["seconds"] for row in mine)
        lines.append(f"| {name} | {cells} | {seconds:.0f} |")
    (RESULTS / "grounding-starts.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
