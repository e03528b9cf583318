"""Figures as PNG files, drawn without a screen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from eyespot.design.complexity import Complexity
from eyespot.design.latency import LatencyModel, Sample

# Okabe and Ito's colours, told apart by colour-blind readers too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
_MARKERS = "osD^vPX*"


def calibration_figure(model: LatencyModel, samples: Sequence[Sample], path: Path) -> None:
    """Draw time against activations, flops and params, and predicted against measured time.

    Args:
        model: The fitted line.
        samples: What it was fitted to.
        path: PNG file to write.
    """
    figure = Figure(figsize=(11, 8.6), dpi=130)
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2)
    groups = _families(samples)
    panels = (
        ("activations", "acts", 1e6, "M", model.r_acts),
        ("flops", "flops", 1e9, "G", model.r_flops),
        ("params", "params", 1e6, "M", model.r_params),
    )
    for axis, (label, field, unit, letter, r) in zip(axes.flat, panels, strict=False):
        for style, family in groups:
            xs = [getattr(s, field) / unit for s in family]
            axis.scatter(xs, [s.ms / s.batch for s in family], **style)
        axis.set_title(f"{label}: Pearson r = {r:.2f}", fontsize=11, loc="left")
        axis.set_xlabel(f"{label} of one image ({letter})" if field != "params" else "params (M)")
        axis.set_ylabel("ms an image")
        _tidy(axis)
    _predicted_against_measured(axes[1, 1], model, groups)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncol=len(labels), frameon=False)
    figure.suptitle(_title(model, samples), fontsize=12, x=0.065, ha="left")
    figure.tight_layout(rect=(0, 0.04, 1, 1))
    figure.savefig(path)


def _title(model: LatencyModel, samples: Sequence[Sample]) -> str:
    setting = model.setting
    doing = "inference" if setting.mode == "infer" else "training step"
    extras = ", channels-last" * setting.channels_last + ", compiled" * setting.compiled
    batches = "/".join(str(batch) for batch in sorted({s.batch for s in samples}))
    return f"{setting.device}: {doing}, {setting.dtype}{extras}, batch {batches}"


def _families(samples: Sequence[Sample]) -> list[tuple[dict[str, Any], list[Sample]]]:
    """Samples by family, each with its marker, colour and label."""
    names = list(dict.fromkeys(_family(s.name) for s in samples))
    groups = []
    for i, name in enumerate(names):
        style = {
            "label": name,
            "color": _COLOURS[i % len(_COLOURS)],
            "marker": _MARKERS[i % len(_MARKERS)],
            "s": 46,
            "alpha": 0.85,
            "edgecolors": "white",
            "linewidths": 0.6,
        }
        groups.append((style, [s for s in samples if _family(s.name) == name]))
    return groups


def _family(name: str) -> str:
    """The name up to its size: "ViT-C-4GF" is of "ViT-C"."""
    words = name.split(":")[1] if name.startswith("scaled:") else name
    return words.rpartition("-")[0] or words


def _predicted_against_measured(
    axis: Axes, model: LatencyModel, groups: list[tuple[dict[str, Any], list[Sample]]]
) -> None:
    everything = []
    for style, family in groups:
        measured = [s.ms / s.batch for s in family]
        predicted = [
            model.predict_ms(Complexity(s.params, s.flops, s.acts), s.batch) / s.batch
            for s in family
        ]
        everything += measured + predicted
        axis.scatter(measured, predicted, **style)
    ends = [min(everything) / 1.3, max(everything) * 1.3]
    axis.plot(ends, ends, color="#666666", linewidth=1, zorder=0)
    axis.set_title(
        f"acts and flops: R² = {model.r_squared:.2f}, left-out error {model.left_out_error:.0%}",
        fontsize=11,
        loc="left",
    )
    axis.set_xlabel("measured ms an image")
    axis.set_ylabel("predicted ms an image")
    _tidy(axis)
    axis.set_xlim(*ends)
    axis.set_ylim(*ends)


def _tidy(axis: Axes) -> None:
    axis.set_xscale("log")
    axis.set_yscale("log")
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_locator(LogLocator(subs=(1, 2, 5)))
        side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        side.set_minor_formatter(NullFormatter())
    axis.grid(True, which="major", color="#dddddd", linewidth=0.7)
    axis.grid(True, which="minor", color="#eeeeee", linewidth=0.4)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
