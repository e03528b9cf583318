"""The look of figures, and figures as SVG that follows the page's light or dark theme.

Figures are drawn in the light theme's colours. In an SVG each of them becomes a CSS variable, and
the page (see `html`) says what it is in either theme.
"""

import io
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#1c2430", "#5b6675", "#dfe4ea", "#fdfdfe"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#b3508a", "#c98a00", "#3d9bd6", "#8c6d31", "#6b6f76")
"""Okabe and Ito's colours, some darkened: told apart by colour-blind readers too."""

_VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    PAPER: "paper",
    **{colour: f"c{i}" for i, colour in enumerate(SERIES)},
}
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "svg.fonttype": "none",
}


class Marked(NamedTuple):
    """A figure and what to say of each of its marks.

    Attributes:
        figure: The figure.
        tips: One text a mark, by the id of its marks.
    """

    figure: Figure
    tips: dict[str, list[str]]


class Drawing(NamedTuple):
    """A figure of a page.

    Attributes:
        section: Where on the page it belongs.
        name: File name without an ending; also its accessible name.
        caption: What stands below it.
        figure: The figure.
        tips: What to say of its marks, by their ids.
    """

    section: str
    name: str
    caption: str
    figure: Figure
    tips: Mapping[str, Sequence[str]]


@contextmanager
def style() -> Iterator[None]:
    """Draw in this package's style: fonts, colours, grid."""
    with mpl.rc_context(_STYLE):
        yield


def new_figure(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return an empty figure with a row of axes, to be drawn on inside `style`.

    Args:
        width: Inches.
        height: Inches.
        columns: Axes in the row; they share their scales.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, sharex=True, sharey=True)
    return figure, list(axes[0])


def colour(index: int) -> str:
    """Return the colour of a series."""
    return SERIES[index % len(SERIES)]


def save_drawings(drawings: Iterable[Drawing], folder: Path) -> list[Path]:
    """Write every figure, named after it, as a PDF for a paper and a PNG for slides and mails.

    Returns:
        The PDFs; each PNG lies beside its PDF.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for drawing in drawings:
        path = folder / f"{drawing.name}.pdf"
        with style():
            drawing.figure.savefig(path)
            drawing.figure.savefig(path.with_suffix(".png"), dpi=200, facecolor=PAPER)
        paths.append(path)
    return paths


def to_svg(figure: Figure, label: str, tips: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return a figure as SVG for a page.

    Args:
        figure: The figure, drawn inside `style`.
        label: What it shows, for screen readers; also makes its ids its own.
        tips: What to say when the pointer is on a mark: one text a mark, by the `gid` of a scatter.
    """
    text = io.StringIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": label}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    for hex_colour, name in _VARIABLES.items():
        svg = svg.replace(hex_colour, f"var(--{name})")
    for gid, texts in (tips or {}).items():
        svg = _with_tips(svg, gid, texts)
    named = f'<svg role="img" aria-label="{escape(label)}" '
    return re.sub(r"\s*\n\s*", "\n", svg.replace("<svg ", named, 1))


def _with_tips(svg: str, gid: str, texts: Sequence[str]) -> str:
    """Put a title into each mark of the group with an id."""
    start = svg.find(f'<g id="{gid}">')
    if start < 0:
        return svg
    marks = itertools.count()

    def titled(match: re.Match[str]) -> str:
        mark = next(marks)
        return (
            f"{match[1]}><title>{escape(texts[mark])}</title></use>"
            if mark < len(texts)
            else match[0]
        )

    depth, end = 0, start
    for match in re.finditer(r"<g[ >]|</g>", svg[start:]):
        depth += -1 if match[0] == "</g>" else 1
        if depth == 0:
            end = start + match.end()
            break
    return svg[:start] + re.sub(r"(<use [^>]*?)/>", titled, svg[start:end]) + svg[end:]
