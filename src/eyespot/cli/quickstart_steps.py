"""What the quickstart runs: the chain from an idea of a network to boxes, as commands.

Two lengths: the long one trains everything; the fast one takes the weights that ship with the
package.
"""

from pathlib import Path
from typing import NamedTuple

from eyespot.cli.quickstart_pictures import Asked

WORLD = (
    "scenes:size=64,min_objects=1,max_objects=1,difficulty=easy,materials=matte,"
    "shapes=circle+square+star+heart+house+tree+car+fish"
)
"""One thing a picture, for pretraining; its shapes are the labels that features are judged by."""


class Command(NamedTuple):
    """One `eyespot` command of the quickstart.

    Attributes:
        name: What its record is called, and the page's name for it.
        words: Its words after `eyespot`.
        seconds: About how long it takes on two cores.
        leaves: A file that is there if it ran to its end.
    """

    name: str
    words: tuple[str, ...]
    seconds: float
    leaves: Path | None = None


def design(out: Path) -> list[Command]:
    """Scale a network to a budget; count and time it."""
    spec = out / "backbone.json"
    scale = f"scale RegNetY-200MF --strategy d1_w8_r1 --flops 60M --out {spec}"
    measure = f"complexity {spec} --image-size 64 --batch 16 --measure --json"
    return [_command("scale", scale, 3, spec), _command("measure", measure, 8)]


def pretrain(out: Path, *, fast: bool) -> list[Command]:
    """Pretrain it without labels, and compare its neighbours before and after."""
    count = "count=2000,val_count=600" if fast else "count=6000,val_count=1200"
    data, run = out / _named("unlabelled", fast), out / "pretrained"
    spec = out / "backbone.json"
    probe = f"--data {data} --size-px 64 --resize-px 64 --ks 20 --json"
    often = "--log-every 50 --checkpoint-every 100"
    train = f"train swav/scenes --model {spec} --data {data} --out {run} {often}"
    long = [_command("pretrain", train, 180, run / "weights.safetensors")]
    return [
        _command("render", f"data shard {WORLD},{count} {data}", 6 if fast else 16),
        _command("knn-random", f"probe knn --weights random --model {spec} {probe}", 10),
        *(() if fast else long),
        _command("knn", f"probe knn --weights {'scenes-trunk' if fast else run} {probe}", 10),
    ]


def ground(out: Path, *, fast: bool) -> list[Command]:
    """Train a grounder on the pretrained network, and measure it; or measure the shipped one."""
    fresh = f"--val scenes:seed=1,val_count={300 if fast else 1000} --json"
    if fast:
        shipped = "eval ground/scenes_small --weights scenes-small --data scenes"
        return [_command("evaluate", f"{shipped} {fresh}", 20)]
    run = out / "grounder"
    start = f"--network.backbone {out / 'backbone.json'} --network.backbone-weights"
    start += f" {out / 'pretrained'} --log-every 100 --checkpoint-every 200"
    train = f"train ground/quickstart --data scenes --out {run} {start}"
    return [
        _command("train", train, 330, run / "weights.safetensors"),
        _command("evaluate", f"eval {run} {fresh}", 15),
    ]


def use(out: Path, asked: list[Asked], *, fast: bool) -> list[Command]:
    """Ground sentences in pictures that the network never saw."""
    weights = "scenes-small" if fast else str(out / "grounder" / "weights.safetensors")
    drawn = out / _named("grounded", fast)
    return [
        Command(
            f"ground-{one.path.stem}",
            ("ground", str(one.path), one.text, "--weights", weights, "--out", str(drawn)),
            5,
            drawn / f"{one.path.stem}.grounded.png",
        )
        for one in asked
    ]


def _named(name: str, fast: bool) -> str:
    """Folders that differ between the lengths have different names."""
    return f"{name}-fast" if fast else name


def _command(name: str, line: str, seconds: float, leaves: Path | None = None) -> Command:
    return Command(name, tuple(line.split()), seconds, leaves)
