"""Does SwAV learn more than SimCLR in as many steps, and both more than nothing?

Trains the small recipes with equal data, crops, network, optimizer and steps, several seeds each,
and measures the backbone's features on the labelled sets: 20 nearest neighbours and a linear
classifier. A network that was never trained and the bare pixels are measured too.

Run: python benchmarks/swav_runs.py FORM DATA OUT [--steps 1500] [--seeds 3] [--at-once 2]
FORM is fashion_mnist (DATA: Debian's dataset-fashion-mnist) or scenes (DATA: scenes, or shards of
them). Started again, it goes on. Writes docs/results/swav-FORM.json and .md.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from common import environment
from torch import Tensor, nn

from eyespot.data.decode import decode_image
from eyespot.data.normalize import normalize
from eyespot.data.open import open_samples
from eyespot.data.samples import Samples
from eyespot.models.build import create_model
from eyespot.recipes import get_recipe
from eyespot.tasks import run as running
from eyespot.tasks.run import Run
from eyespot.weights.load import load_weights

RESULTS = Path(__file__).parents[1] / "docs" / "results"
METHODS = ("swav", "simclr")
Row = dict[str, Any]


def pixels(samples: Samples, recipe: Any) -> tuple[Tensor, Tensor]:
    """Return all images as the network reads them, and their labels."""
    found = [samples[i] for i in range(len(samples))]
    arrays = [decode_image(x.image) if isinstance(x.image, bytes) else x.image for x in found]
    images = torch.stack([torch.tensor(image).permute(2, 0, 1) for image in arrays])
    labels = torch.tensor([label for _, label, _ in found])
    side = recipe.probe.size_px
    if images.shape[-1] != side:
        shape = (side, side)
        small = [
            F.interpolate(part.float(), shape, mode="bilinear", antialias=True).round().byte()
            for part in images.split(500)
        ]
        images = torch.cat(small)
    return normalize(images, mean=recipe.mean, std=recipe.std), labels


@cache
def both_sets(data: str, recipe_name: str) -> list[tuple[Tensor, Tensor]]:
    """Return the labelled training and test images."""
    recipe = get_recipe(recipe_name)
    samples = [open_samples(data, split=s, labelled=True).samples for s in ("train", "test")]
    return [pixels(of_split, recipe) for of_split in samples]


@torch.no_grad()
def features(model: nn.Module, images: Tensor) -> Tensor:
    """Return pooled features, in evaluation mode."""
    model.eval()
    return torch.cat([model(part) for part in images.split(500)])


def knn_accuracy(bank: Tensor, labels: Tensor, queries: Tensor, answers: Tensor) -> float:
    """Return the percentage right of 20 neighbours' votes, weighted exp(cosine / 0.07)."""
    unit, right = F.normalize(bank, dim=1), 0
    classes = int(labels.max()) + 1
    for part, wanted in zip(
        F.normalize(queries, dim=1).split(500), answers.split(500), strict=True
    ):
        near, places = (part @ unit.t()).topk(20, dim=1)
        votes = part.new_zeros(len(part), classes)
        votes = votes.scatter_add_(1, labels[places], (near / 0.07).exp())
        right += int((votes.argmax(1) == wanted).sum())
    return 100 * right / len(queries)


def linear_accuracy(bank: Tensor, labels: Tensor, queries: Tensor, answers: Tensor) -> float:
    """Return the percentage right of a linear classifier on standardised features (L-BFGS)."""
    mean, std = bank.mean(0), bank.std(0) + 1e-6
    bank, queries = (bank - mean) / std, (queries - mean) / std
    weight = torch.zeros(bank.shape[1] + 1, int(labels.max()) + 1, requires_grad=True)
    ones = torch.ones(len(bank), 1)
    optimizer = torch.optim.LBFGS([weight], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(torch.cat([bank, ones], 1) @ weight, labels)
        loss = loss + 1e-4 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    logits = torch.cat([queries, torch.ones(len(queries), 1)], 1) @ weight
    return 100 * (logits.argmax(1) == answers).float().mean().item()


def measure(bank: Tensor, labels: Tensor, queries: Tensor, answers: Tensor) -> dict[str, float]:
    """Return both accuracies of features, in percent."""
    sets = (bank, labels, queries, answers)
    return {"knn": knn_accuracy(*sets), "linear": linear_accuracy(*sets)}


def one(form: str, data: str, out: Path, kind: str, steps: int, seed: int, model: str) -> Row:
    """Train and measure one network, or measure what was never trained."""
    torch.set_num_threads(1)
    name = f"{kind if kind in METHODS else METHODS[0]}/{form}"
    recipe = replace(get_recipe(name), steps=steps, seed=seed)
    recipe = replace(recipe, model=model or recipe.model)
    (images, labels), (queries, answers) = both_sets(data, name)
    row: Row = {"run": kind, "seed": seed, "steps": 0, "seconds": 0.0}
    if kind == "pixels":
        small = [F.avg_pool2d(x, max(1, x.shape[-1] // 28)).flatten(1) for x in (images, queries)]
        return row | measure(small[0], labels, small[1], answers)
    torch.manual_seed(seed)
    model = create_model(recipe.model, num_classes=0)
    if kind == "random":  # give batch norms the statistics of the data, as training would
        model.train()
        for part in images[:20000].split(500):
            model(part)
    else:
        folder, began = out / f"{kind}-{form}-{steps}-{seed}", time.perf_counter()
        kept = folder / "seconds.json"
        running.train(recipe, Run(data, folder, workers=0))
        if not kept.exists():
            kept.write_text(json.dumps(time.perf_counter() - began))
        row |= {"steps": steps, "seconds": json.loads(kept.read_text())}
        load_weights(model, folder / "weights.safetensors")
    return row | measure(features(model, images), labels, features(model, queries), answers)


def jobs(seeds: int) -> Iterator[tuple[str, int]]:
    """What is run: pixels once, all else for every seed."""
    yield "pixels", 1
    for seed in range(1, seeds + 1):
        for kind in ("random", *METHODS):
            yield kind, seed


def main() -> None:
    """Run everything and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("form", choices=("fashion_mnist", "scenes"))
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--model", default="", help="another network, or a spec file")
    parser.add_argument("--at-once", type=int, default=2)
    args = parser.parse_args()
    with ProcessPoolExecutor(args.at_once, get_context("spawn")) as pool:
        asked = [
            pool.submit(one, args.form, args.data, args.out, kind, args.steps, seed, args.model)
            for kind, seed in jobs(args.seeds)
        ]
        rows = [future.result() for future in asked]
    write(rows, args)


def write(rows: list[Row], args: argparse.Namespace) -> None:
    """Write the rows and a table of their means."""
    command = f"python benchmarks/swav_runs.py {args.form} {args.data} OUT --steps {args.steps}"
    command += f" --model {args.model}" if args.model else ""
    where = environment("cpu") | {"command": command}
    RESULTS.mkdir(parents=True, exist_ok=True)
    found = RESULTS / f"swav-{args.form}.json"
    found.write_text(json.dumps({"where": where, "rows": rows}, indent=1) + "\n")
    recipe = get_recipe(f"swav/{args.form}")
    lines = [
        f"# SwAV and SimCLR on {args.form}, without its labels",
        "",
        f"{args.model or recipe.model}, {args.steps} steps of {recipe.batch_size} images each, "
        f"equal data, crops, network and optimizer; {args.at_once} at a time, one thread each, on "
        f"{where['device']}, torch {where['versions']['torch']}, {where['run'][:10]}. Features of "
        "the backbone; 20 nearest neighbours among the training images, and a linear classifier "
        "on them, on the test images. Mean and standard deviation over seeds.",
        "",
        f"`{command}`",
        "",
        "| run | seeds | kNN, % right | linear, % right | seconds |",
        "|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["run"] for row in rows):
        mine = [row for row in rows if row["run"] == name]
        cells = [
            f"{statistics.mean(row[key] for row in mine):.2f} ± {_spread(mine, key):.2f}"
            for key in ("knn", "linear")
        ]
        seconds = statistics.mean(row["seconds"] for row in mine)
        lines.append(f"| {name} | {len(mine)} | {cells[0]} | {cells[1]} | {seconds:.0f} |")
    (RESULTS / f"swav-{args.form}.md").write_text("\n".join(lines) + "\n")


def _spread(rows: list[Row], key: str) -> float:
    return statistics.stdev(row[key] for row in rows) if len(rows) > 1 else 0.0


if __name__ == "__main__":
    main()
