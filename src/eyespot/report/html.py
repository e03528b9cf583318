"""A page in one file: no network, no scripts, light and dark as the reader's system has it."""

import base64
import math
from collections.abc import Iterable, Sequence
from html import escape

_CSS = """
:root { color-scheme: light dark;
  --paper: #fdfdfe; --card: #ffffff; --ink: #1c2430; --muted: #5b6675; --grid: #dfe4ea;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #b3508a;
  --c4: #c98a00; --c5: #3d9bd6; --c6: #8c6d31; --c7: #6b6f76; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14181e; --card: #1b2027; --ink: #e6eaf0; --muted: #9aa5b3; --grid: #2f3742;
  --c0: #56a9e6; --c1: #ff8f4d; --c2: #3ccf9e; --c3: #e28fbf;
  --c4: #f0b93f; --c5: #8fd0f7; --c6: #cfae6c; --c7: #a4acb7; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 36px 24px 64px; }
h1 { font-size: 27px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.01em; }
h2 { font-size: 19px; margin: 44px 0 4px; letter-spacing: -0.005em; }
p { margin: 6px 0 14px; max-width: 78ch; color: var(--muted); }
.facts { display: flex; flex-wrap: wrap; gap: 10px; margin: 20px 0 8px; }
.fact { background: var(--card); border: 1px solid var(--grid); border-radius: 8px;
  padding: 8px 16px 10px; min-width: 112px; }
.fact b { display: block; font-size: 21px; line-height: 1.25; font-variant-numeric: tabular-nums; }
.fact span { font-size: 12.5px; color: var(--muted); }
.grid { display: grid; gap: 12px;
  grid-template-columns: repeat(auto-fill, minmax(min(330px, 100%), 1fr)); }
.grid.wide { grid-template-columns: repeat(auto-fill, minmax(min(480px, 100%), 1fr)); }
.grid figure { margin: 0; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 0 0 10px; font-size: 13.5px; }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 5px;
  margin-right: 7px; background: currentColor; }
.legend .dashed, .legend .dotted { background: none; width: 18px; height: 0; border-radius: 0;
  margin-bottom: 4px; border-top: 3px dashed; }
.legend .dotted { border-top-style: dotted; }
figure { margin: 0 0 12px; padding: 10px 12px 8px; background: var(--card);
  border: 1px solid var(--grid); border-radius: 8px; overflow-x: auto; }
figure svg { width: 100%; height: auto; display: block; stroke-linejoin: round; }
figure.lone { max-width: 700px; }
figure svg text { font-family: inherit !important; }
figcaption { color: var(--muted); font-size: 13px; padding: 4px 4px 2px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th { text-align: right; font-weight: 600; color: var(--muted); }
td { text-align: right; }
th, td { padding: 4px 14px 4px 0; border-bottom: 1px solid var(--grid); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
code { font: 0.92em ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre { background: var(--card); border: 1px solid var(--grid); border-radius: 8px;
  padding: 10px 14px; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 12.5px/1.6 ui-monospace, Menlo, Consolas, monospace; }
pre i { color: var(--muted); font-style: normal; }
figure img { width: 100%; height: auto; display: block; border-radius: 4px; }
footer { margin-top: 48px; color: var(--muted); font-size: 13px; }
@media print { figure, .fact { break-inside: avoid; } }
"""


def page(title: str, body: Iterable[str], footer: str) -> str:
    """Return a whole page.

    Args:
        title: Plain text.
        body: Parts that the other functions made.
        footer: Plain text.
    """
    parts = "\n".join(body)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n{parts}\n<footer>{escape(footer)}</footer>\n"
        "</main>\n</body>\n</html>\n"
    )


def heading(text: str) -> str:
    """Return the heading of a section."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a row of (value, what it is)."""
    cells = "".join(
        f'<div class="fact"><b>{escape(value)}</b><span>{escape(what)}</span></div>'
        for value, what in pairs
    )
    return f'<div class="facts">{cells}</div>'


def figure(svg: str, caption: str = "") -> str:
    """Return a drawing with its caption."""
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{svg}{below}</figure>"


def picture(png: bytes, caption: str = "", *, says: str = "") -> str:
    """Return a PNG file within the page, with its caption; `says` is for screen readers."""
    data = base64.b64encode(png).decode()
    return figure(f'<img alt="{escape(says)}" src="data:image/png;base64,{data}">', caption)


def commands(lines: Iterable[tuple[str, str]]) -> str:
    """Return command lines, each with a remark behind it."""
    rows = (f"$ {escape(line)}  <i># {escape(remark)}</i>" for line, remark in lines)
    return "<pre>" + "\n".join(rows) + "</pre>"


def grid(figures: Sequence[str], *, wide: bool = False) -> str:
    """Return figures side by side, as many as fit; one alone does not fill the page."""
    if len(figures) == 1:
        return figures[0].replace("<figure>", '<figure class="lone">', 1)
    kind = "grid wide" if wide else "grid"
    return f'<div class="{kind}">{"".join(figures)}</div>'


def legend(names: Sequence[str], *, dashes: bool = False) -> str:
    """Return which colour is which series; `dashes` tell more series than colours apart."""
    kinds = ("", ' class="dashed"', ' class="dotted"') if dashes else ("",)
    entries = "".join(
        f'<span><i{kinds[i // 8 % len(kinds)]} style="color: var(--c{i % 8})"></i>'
        f"{escape(name)}</span>"
        for i, name in enumerate(names)
    )
    return f'<div class="legend">{entries}</div>'


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; numbers get four digits, and what is not known a dash."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    lines = [
        "<tr>" + "".join(f"<td>{escape(cell(value))}</td>" for value in row) + "</tr>"
        for row in rows
    ]
    body = "\n".join(lines)
    return f'<div class="scroll"><table><tr>{head}</tr>\n{body}</table></div>'


def cell(value: object) -> str:
    """Return a value as people read it."""
    match value:
        case None:
            return "–"
        case bool() | str():
            return str(value)
        case int():
            return f"{value:,}"
        case float():
            return "–" if math.isnan(value) else f"{value:.4g}"
        case list() | tuple():
            return ", ".join(cell(entry) for entry in value)
        case _:
            return str(value)
