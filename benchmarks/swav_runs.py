"""Does SwAV learn more than SimCLR in as many steps, and both more than nothing?

Trains the small recipes of Fashion-MNIST with equal data, crops, network, optimizer and steps,
three seeds each, and measures the backbone's features on the labelled sets: 20 nearest neighbours
and a linear classifier. A network that was never trained is measured too.

Run: python -m benchmarks.swav_runs DATA OUT [steps] [seeds]
Writes docs/results/swav.json and docs/results/swav.md.
"""

import json
import platform
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from eyespot.data.normalize import normalize
from eyespot.data.open import open_samples
from eyespot.data.samples import Samples
from eyespot.models.build import create_model
from eyespot.recipes import get_recipe
from eyespot.tasks import run as running
from eyespot.tasks.run import Run
from eyespot.weights.load import load_weights

RECIPES = ("swav/fashion_mnist", "simclr/fashion_mnist")
RESULTS = Path(__file__).parents[1] / "docs" / "results"


def pixels(samples: Samples, recipe) -> tuple[Tensor, Tensor]:
    """Return all images as the network reads them, and their labels."""
    found = [samples[i] for i in range(len(samples))]
    images = torch.stack([torch.tensor(image).permute(2, 0, 1) for image, _, _ in found])
    labels = torch.tensor([label for _, label, _ in found])
    return normalize(images, mean=recipe.mean, std=recipe.std), labels


@torch.no_grad()
def features(model, images: Tensor) -> Tensor:
    """Return pooled features, in evaluation mode."""
    model.eval()
    return torch.cat([model(part) for part in images.split(500)])


def knn_accuracy(bank: Tensor, labels: Tensor, queries: Tensor, answers: Tensor) -> float:
    """Return the percentage right of 20 neighbours' votes, weighted exp(cosine / 0.07)."""
    unit, right = F.normalize(bank, dim=1), 0
    for part, wanted in zip(
        F.normalize(queries, dim=1).split(500), answers.split(500), strict=True
    ):
        near, places = (part @ unit.t()).topk(20, dim=1)
        votes = part.new_zeros(len(part), 10).scatter_add_(1, labels[places], (near / 0.07).exp())
        right += int((votes.argmax(1) == wanted).sum())
    return 100 * right / len(queries)


def linear_accuracy(bank: Tensor, labels: Tensor, queries: Tensor, answers: Tensor) -> float:
    """Return the percentage right of a linear classifier on standardised features (L-BFGS)."""
    mean, std = bank.mean(0), bank.std(0) + 1e-6
    bank, queries = (bank - mean) / std, (queries - mean) / std
    weight = torch.zeros(bank.shape[1] + 1, 10, requires_grad=True)
    ones = torch.ones(len(bank), 1)
    optimizer = torch.optim.LBFGS([weight], max_iter=60, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(torch.cat([bank, ones], 1) @ weight, labels)
        loss = loss + 1e-4 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    logits = torch.cat([queries, torch.ones(len(queries), 1)], 1) @ weight
    return 100 * (logits.argmax(1) == answers).float().mean().item()


def measure(weights: Path | None, recipe, seed: int, sets) -> dict[str, float]:
    """Return both accuracies of a backbone: a trained one, or a fresh one."""
    torch.manual_seed(seed)
    model = create_model(recipe.model, num_classes=0)
    if weights:
        load_weights(model, weights)
    else:  # give batch norms the statistics of the data, as training would
        model.train()
        for part in sets[0][0][:20000].split(500):
            model(part)
    bank, labels = features(model, sets[0][0]), sets[0][1]
    queries, answers = features(model, sets[1][0]), sets[1][1]
    return {
        "knn": knn_accuracy(bank, labels, queries, answers),
        "linear": linear_accuracy(bank, labels, queries, answers),
    }


def main(data: str, out: Path, steps: int, seeds: int) -> None:
    """Run everything and write the results."""
    rows = []
    base = get_recipe(RECIPES[0])
    sets = [
        pixels(open_samples(data, split=split, labelled=True).samples, base)
        for split in ("train", "test")
    ]
    for seed in range(1, seeds + 1):
        rows.append({"run": "random", "seed": seed, "steps": 0, "seconds": 0.0,
                     **measure(None, base, seed, sets)})  # fmt: skip
        for name in RECIPES:
            recipe = replace(get_recipe(name), steps=steps, seed=seed)
            folder = out / f"{name.replace('/', '-')}-{steps}-{seed}"
            began = time.perf_counter()
            running.train(recipe, Run(data, folder, workers=0))
            seconds = time.perf_counter() - began
            found = measure(folder / "weights.safetensors", recipe, seed, sets)
            rows.append({"run": name, "seed": seed, "steps": steps, "seconds": seconds, **found})
            print(rows[-1])
    write(rows, steps)


def write(rows: list[dict], steps: int) -> None:
    """Write the rows and a table of their means."""
    where = {
        "machine": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "swav.json").write_text(json.dumps({"where": where, "rows": rows}, indent=1) + "\n")
    lines = [
        "# SwAV and SimCLR on Fashion-MNIST, without its labels",
        "",
        f"{steps} steps each, equal data, crops, network and optimizer; {where['threads']} thread "
        f"of {where['machine']}, torch {where['torch']}, {where['date']}. Features of the "
        "backbone; 20 nearest neighbours among the 60,000 training images, and a linear classifier "
        "on them; 10,000 test images. Mean and spread over seeds. `python -m benchmarks.swav_runs` "
        "makes it.",
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
    (RESULTS / "swav.md").write_text("\n".join(lines) + "\n")


def _spread(rows: list[dict], key: str) -> float:
    return statistics.stdev(row[key] for row in rows) if len(rows) > 1 else 0.0


if __name__ == "__main__":
    torch.set_num_threads(1)
    extra = [int(value) for value in sys.argv[3:]]
    main(sys.argv[1], Path(sys.argv[2]), *(extra + [1500, 3][len(extra) :]))
