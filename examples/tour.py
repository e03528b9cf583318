"""A tour of design: list, count, scale to a budget, build, time, and plot what scaling costs.

    python examples/tour.py OUT_FOLDER

Everything it prints comes from the commands it names. Takes about a minute on two cores.
"""

import sys
from pathlib import Path

import matplotlib as mpl
import torch

import eyespot
from eyespot.cli import main as eyespot_command
from eyespot.design import zoo
from eyespot.design.complexity import complexity
from eyespot.design.scaling import scale


def command(*words: str) -> None:
    """Show a command and run it."""
    print(f"\n$ eyespot {' '.join(words)}")
    eyespot_command(words)


def plot_strategies(path: Path) -> None:
    """Draw activations against flops for each scaling strategy of one network."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    base = zoo.spec("RegNetY-500MF")
    for strategy in ("d", "r", "dwgr", "wg", "dWr"):
        costs = [complexity(scale(base, strategy, 1.15**i)) for i in range(26)]
        label = "dWr, fast scaling" if strategy == "dWr" else strategy
        axes.plot(
            [cost.flops / 1e9 for cost in costs],
            [cost.acts / 1e6 for cost in costs],
            linewidth=2.6 if strategy == "dWr" else 1.4,
            label=label,
        )
    axes.set(xlabel="flops (G)", ylabel="activations (M)", xscale="log", yscale="log")
    axes.set_title("RegNetY-500MF scaled: equal flops, very different activations")
    axes.grid(alpha=0.3, which="both")
    axes.legend(title="strategy", frameon=False)
    figure.savefig(path, dpi=150)
    print(f"\nwritten: {path}")


def tour(out: Path) -> None:
    """Run the tour, writing into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    command("models", "regnety*gf")
    command("complexity", "RegNetY-4GF", "--tree")
    spec_file = out / "spec.json"
    command("scale", "RegNetY-500MF", "--flops", "1G", "--strategy", "dWr", "--out", str(spec_file))

    spec = eyespot.to_spec(spec_file)
    model = eyespot.create_model(spec, num_classes=10).eval()
    with torch.inference_mode():
        logits = model(torch.randn(1, 3, spec.image_size, spec.image_size))
    print(f"\nbuilt it with 10 classes: logits of shape {tuple(logits.shape)}")

    command("complexity", str(spec_file), "--measure", "--batch", "8")
    plot_strategies(out / "strategies.png")


if __name__ == "__main__":
    tour(Path(sys.argv[1] if len(sys.argv) > 1 else "quickstart"))
