"""Writes README's tables of numbers: from results/, docs/results/ and what the tests hold fast.

Each table stands between two comments of its name. A figure is computed here from the file that a
command wrote; only figures that tests check are written out.

Run:  python benchmarks/readme.py [--check]      --check: only say whether README is current
"""

import argparse
import csv
import json
import re
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tables import RESULTS, Row, is_quick, latest_runs

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = ROOT / "docs" / "results"
VECTORS = ROOT / "tests" / "vectors"


def read(name: str) -> dict[str, Any]:
    """Read a file of docs/results."""
    return dict(json.loads((PAGES / f"{name}.json").read_text()))


def source(page: str, where: dict[str, Any]) -> str:
    """Return page, device and date of a measurement."""
    device = where["device"].split(",")[0]
    return f"[{page}]({page}), {device}, {where['run'][:10]}"


def design() -> list[list[str]]:
    """Return the claims that tests hold fast, and those of design."""
    with (VECTORS / "complexity.csv").open() as file:
        networks = sum(1 for _ in csv.DictReader(file))
    h100, cpu = (
        ", ".join(f"{fit[name]:.2f}" for name in ("r_acts", "r_flops", "r_params"))
        for fit in (read(f"calibration-{kind}-inference")["model"] for kind in ("h100", "cpu"))
    )
    (planned,) = (
        row["ratios"]["of the published"][1]
        for row in latest_runs(RESULTS / "plan_vs_published.json")[-1]
        if row["case"].endswith("RG-256GF, a step")
    )
    return [
        [
            f"params, flops, acts of {networks} networks, equal to the reference's to the unit",
            "reproduced",
            "`make test` (`tests/design/test_complexity.py`), any CPU",
        ],
        [
            "logits, loss and gradient of ten reference networks",
            "reproduced",
            "`make test` (`tests/weights`), any CPU",
        ],
        [
            "published sizes of RegNetZ, SEER's trunks, the stems of Early Convolutions",
            "reproduced",
            "`make test` (`tests/design`), any CPU",
        ],
        [
            "activations predict run time better than flops or params",
            f"reproduced in order, not in strength, on an H100 (r {h100}); not on a CPU (r {cpu})",
            "[docs/results/run-time.md](docs/results/run-time.md), H100 and AMD EPYC, 2026-11-22",
        ],
        [
            "SEER's 6,125 ms a step on 512 V100, predicted by `eyespot plan`",
            f"{planned:.2f} of it, after fitting the device table to published timings",
            "`python benchmarks/plan_vs_published.py`, any CPU",
        ],
    ]


def training() -> list[list[str]]:
    """Return the claims about training and what was learnt."""
    return [
        [
            "killed at random and resumed: equal to the bit; DDP = FSDP2 = one process",
            "reproduced",
            "`make test-all` (`tests/tasks`, `tests/train`), any CPU",
        ],
        [
            "64 real images learnt by heart by RegNetY, RegNetZ, EfficientNet, ViT_P, ViT_C",
            "reproduced",
            "`make test-all` (`tests/tasks/test_classify.py`), any CPU",
        ],
        ["ImageNet errors of any network", "not attempted", "-"],
        grounding(),
        optimizability(),
        swav("fashion_mnist", "Fashion-MNIST"),
        swav("scenes", "rendered scenes"),
        seer(),
        answers(),
        photographs(),
        trunks(),
        ["published SwAV, SEER and MDETR results", "not attempted", "-"],
    ]


def grounding() -> list[str]:
    """Return what the small grounder finds."""
    found = read("grounding")
    shipped, seeds = found["shipped"], [row["averaged"] for row in found["rows"]]
    phrases, expressions = (
        statistics.mean(row[name] for row in seeds) for name in ("phrases_r1", "expressions_p1")
    )
    return [
        f"phrases of {shipped['scenes']:,} fresh rendered scenes: right box first in "
        f"{shipped['marked']:.1f} % (shipped weights); {_number(len(seeds))} seeds: "
        f"{phrases:.0f} % of phrases, {expressions:.0f} % of expressions",
        "measured",
        source("docs/results/grounding.md", found["where"]),
    ]


def optimizability() -> list[str]:
    """Return what the stem does for a small ViT."""
    found = read("optimizability-small")
    errors: dict[tuple[str, str, str], list[float]] = {}
    with (PAGES / found["runs"]).open() as file:
        runs = list(csv.DictReader(file))
    for run in runs:
        if run["experiment"] == "length":
            key = run["model"], run["optimizer"], run["epochs"]
            errors.setdefault(key, []).append(float(run["error"]))
    means = {key: statistics.mean(values) for key, values in errors.items()}
    gains = [means["ViT-P-10MF", *key[1:]] - mean for key, mean in means.items() if "-C-" in key[0]]
    lost = [
        mean - means["ViT-C-10MF", "adamw", epochs]
        for (model, optimizer, epochs), mean in means.items()
        if (model, optimizer) == ("ViT-C-10MF", "sgd")
    ]
    by_sgd = "no loss by SGD" if max(lost) <= 0 else f"up to {max(lost):.0f} points lost by SGD"
    return [
        f"conv stem against patchify stem at 10 megaflops, Fashion-MNIST, {len(runs)} runs: error "
        f"lower by {min(gains):.0f} to {max(gains):.0f} points, {by_sgd}",
        "as the paper says, at toy size",
        source("docs/results/optimizability.md", found["where"]),
    ]


def swav(form: str, on: str) -> list[str]:
    """Return what SwAV learns without labels, beside SimCLR and nothing."""
    found = read(f"swav-{form}")
    names = ("swav", "random", "simclr")
    rows = {name: [r["knn"] for r in found["rows"] if r["run"] == name] for name in names}
    swavs, nothing, simclr = (statistics.mean(rows[name]) for name in names)
    beats = "beats" if swavs > simclr else "does not beat"
    return [
        f"SwAV without labels on {on}, {_number(len(rows['swav']))} seeds: kNN "
        f"{swavs:.1f} %, random network {nothing:.1f} %, SimCLR in as many steps {simclr:.1f} %",
        f"measured; SwAV {beats} SimCLR here",
        source(f"docs/results/swav-{form}.md", found["where"]),
    ]


def seer() -> list[str]:
    """Return the largest network that took a step."""
    found = read("seer-scale")
    largest = max(found["rows"], key=lambda row: row["million_parameters"])
    return [
        f"one step of SEER's networks up to {largest['million_parameters'] / 1e3:.1f} billion "
        "parameters (RG-256GF with its head), sharded over two CPU processes, saved and loaded",
        "measured",
        source("docs/results/seer-scale.md", found["where"]),
    ]


def answers() -> list[str]:
    """Return how many questions are answered."""
    found = read("answers")
    (row,) = found["rows"]
    return [
        f"questions about {row['questions']:,} fresh rendered scenes: {row['right']:.1f} % right, "
        f"a constant {row['constant']:.1f} % (`answer/scenes_small`, one seed)",
        "measured",
        source("docs/answer.md", found["where"]),
    ]


def photographs() -> list[str]:
    """Return what is found in pictures composed of photographs."""
    found = read("own-data")
    shares = [row["phrases_r1"] for row in found["rows"]]
    first = found["rows"][0]
    return [
        f"phrases in {first['pictures']} pictures composed of real photographs, "
        f"{first['things']} things, backgrounds never seen: right box first in "
        f"{' and '.join(f'{share:.0f}' for share in shares)} % ({_number(len(shares))} seeds, "
        "frozen EfficientNet-Lite0); each thing is one picture found again",
        "measured",
        source("docs/results/own-data.md", found["where"]),
    ]


def trunks() -> list[str]:
    """Return what a small grounder reaches from each start of its trunk."""
    found = read("grounding-starts")
    shares = {row["start or loss"]: 100 * row["R@1"] for row in found["rows"]}
    return [
        "the quickstart's grounder on 1,000 fresh scenes, right box first, by what its trunk "
        f"begins with: random {shares['random']:.1f} %, SwAV {shares['SwAV']:.1f} %, labels of "
        f"shapes {shares['shapes taught']:.1f} %; from SwAV, soft tokens alone "
        f"{shares['no alignment']:.1f} %, alignment alone {shares['no soft tokens']:.1f} % "
        "(one seed)",
        "measured; neither a short SwAV nor both losses together help phrases here",
        source("docs/results/grounding-starts.md", found["where"]),
    ]


def _number(count: int) -> str:
    return {1: "one", 2: "two", 3: "three"}.get(count, str(count))


def speeds() -> list[list[str]]:
    """Return one line for each contestant and rival of each benchmark's latest runs."""
    lines = []
    for path in sorted(RESULTS.glob("*.json")):
        for rows in latest_runs(path):
            lines += _speeds(path.stem, rows)
    return lines


def _speeds(name: str, rows: Sequence[Row]) -> Iterable[list[str]]:
    where = rows[0]
    ratios: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        for rival, (_, middle, _) in row["ratios"].items():
            if not rival.startswith("of "):  # those are of figures, not of speeds
                ratios.setdefault((row["who"], rival), []).append(middle)
    quick = ", quick run" if is_quick(where) else ""
    torch = where["versions"]["torch"]
    for (who, rival), found in ratios.items():
        low, high = _ratio(min(found)), _ratio(max(found))
        spread = f"{low} to {high}" if len(found) > 1 else low
        threads = f"{where['threads']} thread" + "s" * (where["threads"] > 1)
        device = f"{where['device'].split(',')[0]}, {threads}"
        when = f"`benchmarks/{name}.py`, {device}, torch {torch}, {where['run'][:10]}{quick}"
        yield [f"{name}: {who}", rival, spread, str(len(found)), when]


def _ratio(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def written(text: str) -> str:
    """Return a text with its marked blocks written anew.

    Raises:
        ValueError: If a block is not marked in it.
    """
    blocks = {
        "numbers": table(["number", "state", "command, device, date"], [*design(), *training()]),
        "speeds": table(
            ["benchmark: who", "rival", "times as fast", "cases", "command, device, date"],
            speeds(),
        ),
    }
    for name, block in blocks.items():
        marked = re.compile(rf"(<!-- {name}[^>]*-->\n).*?(\n<!-- /{name} -->)", re.DOTALL)
        text, count = marked.subn(lambda found, b=block: found[1] + b + found[2], text)
        if count != 1:
            raise ValueError(f"need one block <!-- {name} --> ... <!-- /{name} -->, got {count}")
    return text


def main() -> None:
    """Write README, or say whether it is current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    old = README.read_text(encoding="utf-8")
    new = written(old)
    if not parser.parse_args().check:
        README.write_text(new, encoding="utf-8")
    elif new != old:
        raise SystemExit("README.md is not current: run python benchmarks/readme.py")


if __name__ == "__main__":
    main()
