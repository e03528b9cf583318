"""The quickstart's page: what each command of the chain did, measured and drawn.

Takes plain data (see the keys in `quickstart_page`), so that it need not know who ran what.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from eyespot.report import html
from eyespot.report.figures import colour, new_figure, style, to_svg

Data = Mapping[str, Any]


def quickstart_page(data: Data) -> str:
    """Return the page as one HTML file.

    Args:
        data: `took`, how long all took, for people; `counts` of the network (`params`,
            `flops`, `acts`, and `measured`, one mapping a mode with `mode`, `batch`, `ms`);
            `knn`, percent right (`before`, `after`); `metrics` of the grounder; `curves`, by run
            `pretrained` and `grounder` if they were trained, lines of metrics.jsonl; `samples`, a
            PNG of pictures without labels; `grounded`, pairs of a drawn PNG and its caption;
            `commands`, by part of the chain, pairs of a command line and how long it took; and
            `environment`, a sentence.
    """
    parts = [
        html.paragraph(
            "Everything on this page was made on this machine by the commands it shows. Each can "
            "be repeated by hand, with other numbers, or on other data."
        ),
        html.facts(_facts(data)),
        *_design(data),
        *_pretrain(data),
        *_ground(data),
        *_use(data),
        *_next(),
    ]
    return html.page("Eyespot: from a budget to boxes", parts, data["environment"])


def _facts(data: Data) -> list[tuple[str, str]]:
    counts, knn, metrics = data["counts"], data["knn"], data["metrics"]
    return [
        (f"{counts['params'] / 1e6:.2f} M", "parameters"),
        (f"{knn['before']:.1f} → {knn['after']:.1f} %", "neighbours right, before and after"),
        (f"{100 * metrics['average_R@1']:.1f} %", "phrases whose first box is right"),
        (data["took"], "for everything"),
    ]


def _design(data: Data) -> list[str]:
    counts = data["counts"]
    rows = [
        ("parameters", counts["params"]),
        ("multiply-adds at 64 px", counts["flops"]),
        ("activations at 64 px", counts["acts"]),
        *(
            (f"{_MODES[run['mode']]}, batch {run['batch']}, ms", float(run["ms"]))
            for run in counts["measured"]
        ),
    ]
    return [
        html.heading("1. A network for a budget"),
        html.paragraph(
            "RegNetY-200MF is scaled to 60 million multiply-adds at its own image size, counted "
            "exactly without building anything, then built and timed at the size it is used at."
        ),
        html.table(("network", "one image"), rows),
        _commands(data, "design"),
    ]


_MODES = {"infer": "inference", "train": "training step"}


def _pretrain(data: Data) -> list[str]:
    curve, knn = data["curves"].get("pretrained"), data["knn"]
    caption = "Some of the pictures; nothing is said of them"
    figures = [html.picture(data["samples"], caption, says=caption)]
    if curve is not None:
        figures += [
            _drawn("SwAV's loss over steps", lambda: _steps_figure(curve, "loss", "loss (nats)"))
        ]
    shipped = "" if curve else " (the weights that ship with the package)"
    return [
        html.heading("2. Pretraining without labels"),
        html.paragraph(
            "SwAV shows the network several views of each picture and has it predict one view's "
            "cluster from another. Labels are only used to look at the outcome: 20 nearest "
            f"neighbours vote on the shape of held-out pictures; {knn['before']:.1f} % are right "
            f"with random weights, {knn['after']:.1f} % after pretraining{shipped}."
        ),
        html.grid(figures, wide=True),
        _commands(data, "pretrain"),
    ]


def _ground(data: Data) -> list[str]:
    metrics = data["metrics"]
    names = {
        "average_R@1": "phrases: the first box is right (IoU 0.5)",
        "average_R@5": "phrases: one of five boxes is right",
        "average_eyespot_scenes_P@1": "expressions: the one box they mean comes first",
    }
    rows = [(text, f"{100 * metrics[name]:.1f} %") for name, text in names.items()]
    curve = data["curves"].get("grounder")
    about = (
        "The grounder that ships with the package, measured on scenes it never saw."
        if curve is None
        else "A modulated detector (MDETR) reads picture and text together. Its backbone is the "
        "network above; captions and boxes are all it learns from."
    )
    figures = []
    if curve is not None:
        figures = [
            _drawn(
                "loss over steps; at first the backbone alone learns to name boxes by words",
                lambda: _steps_figure(curve, "loss", "loss"),
            ),
            _drawn("recall over steps", lambda: _evaluations_figure(curve, "average_R@1")),
        ]
    return [
        html.heading("3. Grounding text on top of it"),
        html.paragraph(about),
        *([html.grid(figures, wide=True)] if figures else []),
        html.table(("fresh scenes", "right"), rows),
        _commands(data, "ground"),
    ]


def _use(data: Data) -> list[str]:
    return [
        html.heading("4. Sentences in pictures it never saw"),
        html.paragraph(
            "Boxes have the colour of their phrase; a phrase that is struck through was not found. "
            "Nothing was chosen for being right."
        ),
        html.grid([html.picture(png, says, says=says) for png, says in data["grounded"]]),
        _commands(data, "use"),
    ]


def _next() -> list[str]:
    lines = [
        ("eyespot data shard DIR shards", "your images, labels or not"),
        ("eyespot train swav/scenes --data shards --out pretrained", "or seer/..., simclr/..."),
        ("eyespot probe linear --weights pretrained --data DIR --out linear", "needs labels"),
        ("eyespot train ground/finetune_small --data DIR --out mine", "COCO's boxes and captions"),
        ("eyespot demo --weights mine/weights.safetensors", "a web page to try it"),
    ]
    return [
        html.heading("On your own pictures"),
        html.paragraph("The same chain; every number is an option, --help explains it."),
        html.commands(lines),
    ]


def _commands(data: Data, part: str) -> str:
    lines: Iterable[tuple[str, str]] = data["commands"][part]
    return html.commands(lines)


def _drawn(label: str, make: Any) -> str:
    with style():
        figure: Figure = make()
        return html.figure(to_svg(figure, label), label)


def _steps_figure(lines: Sequence[Data], name: str, label: str) -> Figure:
    """A logged value over steps."""
    rows = [(line["step"], line[name]) for line in lines if name in line]
    return _line(rows, label)


def _evaluations_figure(lines: Sequence[Data], name: str) -> Figure:
    """A measured share over steps, in percent."""
    found = [line for line in lines if "evaluation" in line]
    return _line([(line["step"], 100 * line["evaluation"][name]) for line in found], "right (%)")


def _line(rows: Sequence[tuple[int, float]], label: str) -> Figure:
    figure, (axes,) = new_figure(5.6, 3.2)
    axes.plot(*zip(*rows, strict=True), color=colour(0), linewidth=1.8, marker="o", markersize=3)
    axes.set_xlabel("step")
    axes.set_ylabel(label)
    return figure
