"""The guide as a folder of HTML pages: `python docs/make_site.py OUT_FOLDER` (`make docs`).

Pages are those of docs/, the API reference, and whatever pages of the repository they link to. A
link to a page, a heading or a file that does not exist is an error, and so is a page that the
navigation does not name. The site has the layout of the repository, no scripts, and loads nothing.
"""

import posixpath
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from make_reference import anchor, reference_pages
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

ROOT = Path(__file__).parents[1]
NAVIGATION = {
    "Begin": ("index", "quickstart"),
    "Jobs": ("scale", "train", "sweep", "pretrain", "probe", "ground", "answer", "demo"),
    "Further": ("scale-out", "data", "own-data", "weights", "extend", "troubleshooting"),
    "Facts": ("formats", "shapes", "papers", "decisions"),
    "Results": ("results/*",),
    "Reference": ("reference/index", "reference/*"),
}
"""Pages of docs/ by group; those that do not exist (yet) are left out."""

_STYLE = Path(__file__).with_name("site.css")
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><link rel="stylesheet" href="{up}site.css"></head>
<body><nav>{navigation}</nav><main>{body}</main></body>
</html>
"""


class Page(NamedTuple):
    """A page, parsed.

    Attributes:
        title: Its first heading.
        tokens: Its Markdown.
        anchors: Names of its headings.
        links: Addresses of links and pictures.
    """

    title: str
    tokens: list[Token]
    anchors: set[str]
    links: list[str]


def build(out: Path, reference: Mapping[str, str], root: Path = ROOT) -> list[Path]:
    """Write the site; return its pages.

    Args:
        out: The folder; what an earlier build left there is replaced.
        reference: Markdown of the reference's pages, by name.
        root: The repository.

    Raises:
        ValueError: If a link leads nowhere or a page is not in the navigation; all are named.
    """
    markdown = MarkdownIt("commonmark", {"highlight": _coloured}).enable("table")
    texts = {str(p.relative_to(root)): p for p in sorted((root / "docs").rglob("*.md"))}
    pages = {name: _parse(markdown, path.read_text("utf-8")) for name, path in texts.items()}
    pages |= {f"docs/reference/{name}": _parse(markdown, text) for name, text in reference.items()}
    groups = {title: _pages_of(names, pages) for title, names in NAVIGATION.items()}
    named = {name for names in groups.values() for name in names}
    problems = [f"{name} is not in the navigation" for name in pages if name not in named]
    files = _follow(root, markdown, pages, problems)
    if problems:
        raise ValueError("need a site without mistakes, got:\n  " + "\n  ".join(problems))
    shutil.rmtree(out, ignore_errors=True)
    for name, page in pages.items():
        up = "../" * name.count("/")
        path = out / _html(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        body = markdown.renderer.render(page.tokens, markdown.options, {})
        shown = _navigation(groups, pages, name)
        path.write_text(
            _PAGE.format(title=escape(page.title), up=up, navigation=shown, body=body), "utf-8"
        )
    for name in files:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, out / name)
    (out / "site.css").write_text(_STYLE.read_text("utf-8") + _colours(), "utf-8")
    forward = '<!doctype html><meta http-equiv="refresh" content="0; url=docs/index.html">\n'
    (out / "index.html").write_text(forward, "utf-8")
    return sorted(out / _html(name) for name in pages)


def _parse(markdown: MarkdownIt, text: str) -> Page:
    """Parse a page, and give its headings the names that links use."""
    tokens = markdown.parse(text)
    anchors: set[str] = set()
    links: list[str] = []
    title = ""
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and after is not None:
            words = "".join(child.content for child in after.children or ())
            token.attrSet("id", anchor(words))
            anchors.add(anchor(words))
            title = title or words
        for child in token.children or ():
            link = child.attrGet("href" if child.type == "link_open" else "src")
            if link is not None and not re.match(r"[a-z]+:", str(link)):
                links.append(str(link))
                if child.type == "link_open":
                    child.attrSet("href", re.sub(r"\.md(?=#|$)", ".html", str(link)))
    return Page(title, tokens, anchors, links)


def _follow(
    root: Path, markdown: MarkdownIt, pages: dict[str, Page], problems: list[str]
) -> list[str]:
    """Add the pages that are linked to, return the other files, and note what leads nowhere."""
    files: set[str] = set()
    waiting = list(pages)
    while waiting:
        name = waiting.pop()
        for link in pages[name].links:
            address, _, place = link.partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), address))
            target = target if address else name
            if target not in pages and not (root / target).is_file():
                problems.append(f"{name} links to {link}, which does not exist")
                continue
            if target.endswith(".md") and target not in pages:
                pages[target] = _parse(markdown, (root / target).read_text("utf-8"))
                waiting.append(target)
            if target not in pages:
                files.add(target)
            elif place and place not in pages[target].anchors:
                problems.append(f"{name} links to {link}, which has no such heading")
    return sorted(files)


def _pages_of(names: Sequence[str], pages: dict[str, Page]) -> list[str]:
    """Return the pages of a group, each once; a star stands for the rest of a folder."""
    found: list[str] = []
    for name in names:
        folder = name.removesuffix("*")
        candidates = [f"docs/{name}.md"]
        if folder != name:
            candidates = sorted(page for page in pages if page.startswith(f"docs/{folder}"))
        found += [page for page in candidates if page in pages and page not in found]
    return found


def _navigation(groups: dict[str, list[str]], pages: dict[str, Page], here: str) -> str:
    parts = []
    for title, names in groups.items():
        items = []
        for name in names:
            to = posixpath.relpath(_html(name), posixpath.dirname(here) or ".")
            mark = ' aria-current="page"' if name == here else ""
            items.append(f'<li><a href="{to}"{mark}>{escape(pages[name].title)}</a></li>')
        parts.append(f"<h2>{title}</h2><ul>{''.join(items)}</ul>")
    return "".join(parts)


def _html(name: str) -> str:
    return name.removesuffix(".md") + ".html"


def _coloured(code: str, language: str, _: str) -> str:
    try:
        lexer = get_lexer_by_name(language or "text")
    except ClassNotFound:
        return ""
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))


def _colours() -> str:
    light = HtmlFormatter(style="default").get_style_defs("pre")
    dark = HtmlFormatter(style="github-dark").get_style_defs("pre")
    kept = [
        "\n".join(line for line in text.split("\n") if not line.startswith("pre {"))
        for text in (light, dark)
    ]
    return f"\n{kept[0]}\n@media (prefers-color-scheme: dark) {{\n{kept[1]}\n}}\n"


if __name__ == "__main__":
    written = build(Path(sys.argv[1]), reference_pages())
    print(f"wrote {len(written)} pages, all links checked: {sys.argv[1]}/index.html")
