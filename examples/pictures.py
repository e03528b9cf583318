"""The pictures of docs/index.md, made by the package itself.

    python examples/pictures.py OUT_FOLDER

Writes strategies.svg (what scaling costs) and grounded.png (the phrases of a caption and where they
are). Takes seconds.
"""

import sys
from dataclasses import replace
from pathlib import Path

from eyespot.data.scenes import caption, make_scene, render
from eyespot.design.complexity import complexity
from eyespot.design.scaling import scale
from eyespot.design.zoo import spec
from eyespot.predict.grounder import Grounder
from eyespot.recipes.ground import scenes_small
from eyespot.report.drawings import DrawnPhrase, draw_phrases
from eyespot.report.figures import colour, new_figure, style


def strategies(path: Path) -> None:
    """Draw activations against flops for each scaling strategy of one network."""
    with style():
        figure, (axes,) = new_figure(6.4, 3.6)
        for i, strategy in enumerate(("dWr", "wg", "dwgr", "r", "d")):
            costs = [complexity(scale(spec("RegNetY-500MF"), strategy, 1.2**k)) for k in range(20)]
            axes.plot(
                [cost.flops / 1e9 for cost in costs],
                [cost.acts / 1e6 for cost in costs],
                color=colour(i),
                linewidth=2.6 if i == 0 else 1.4,
                label=strategy,
            )
        axes.set(xlabel="flops (G)", ylabel="activations (M)", xscale="log", yscale="log")
        axes.set_title("RegNetY-500MF scaled: equal flops, very different activations")
        axes.legend(title="strategy")
        figure.savefig(path, facecolor="white", metadata={"Date": None})


def grounded(path: Path, *, seed: int = 0, index: int = 1) -> None:
    """Draw the phrases of a fresh scene's caption, as the shipped weights find them."""
    world = replace(scenes_small().scenes.world, split="test", min_objects=3)
    scene = make_scene(world, seed=seed, index=index)
    picture, text = render(scene), caption(scene).text
    found = Grounder.from_pretrained("scenes-small")(picture, text)
    drawn = [DrawnPhrase(p.span, p.boxes_xyxy_px, p.scores) for p in found.phrases]
    draw_phrases(picture, text, drawn).save(path, optimize=True)


def main(out: Path) -> None:
    """Write all pictures."""
    out.mkdir(parents=True, exist_ok=True)
    strategies(out / "strategies.svg")
    grounded(out / "grounded.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
