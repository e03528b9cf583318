"""The API reference: signatures and docstrings of everything public, as Markdown, a page a room.

Sources are parsed, not imported, so what is written is what the files say. Public is what is
defined in a module under a name without an underscore.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "eyespot"

_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields):\s*$")
_ITEM = re.compile(r"^(\*{0,2}[\w.]+):\s+(.*)$")
_LONGEST = 88  # characters of a signature on one line


def reference_pages() -> dict[str, str]:
    """Return the Markdown of every page by its name: `index.md`, `design.md`, ..."""
    rooms = sorted(path.parent for path in SOURCE.glob("*/__init__.py"))
    pages = {f"{room.name}.md": _room_page(room) for room in rooms}
    loose = [path for path in sorted(SOURCE.glob("*.py")) if not path.name.startswith("__")]
    pages["eyespot.md"] = "\n".join(
        ["# eyespot", _names_at_the_top(), *(_module(path) for path in loose)]
    )
    lines = [
        f"- [{name.removesuffix('.md')}]({name}): {_first_line(SOURCE / name.removesuffix('.md'))}"
        for name in sorted(pages)
        if name != "eyespot.md"
    ]
    pages["index.md"] = "\n".join(
        [
            "# API reference",
            "",
            "Written from the docstrings. What is meant to be imported from `eyespot` itself, and "
            "the modules beside the rooms: [eyespot](eyespot.md). The rooms:",
            "",
            *lines,
            "",
        ]
    )
    return pages


def _names_at_the_top() -> str:
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    homes = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES"
    )
    rows = []
    for name, home in sorted(homes.items()):
        page = home.split(".")[1]
        rows.append(f"- `eyespot.{name}` is [{home}.{name}]({page}.md#{anchor(f'{home}.{name}')})")
    return "\n".join(["", docstring(tree), "", *rows, ""])


def _first_line(room: Path) -> str:
    tree = ast.parse((room / "__init__.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").split("\n\n")[0].replace("\n", " ")


def _room_page(room: Path) -> str:
    modules = [path for path in sorted(room.rglob("*.py")) if path.name != "__init__.py"]
    listed = []
    for path in modules:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        about = (ast.get_docstring(tree) or "").split("\n\n")[0].replace("\n", " ")
        listed.append(f"- [{dotted(path)}](#{anchor(dotted(path))}): {about}")
    head = [f"# eyespot.{room.name}", "", _first_line(room), "", *listed, ""]
    return "\n".join([*head, *(_module(path) for path in modules)])


def dotted(path: Path) -> str:
    """Return a module's name: `eyespot.design.specs`."""
    return ".".join(["eyespot", *path.relative_to(SOURCE).with_suffix("").parts])


def anchor(title: str) -> str:
    """Return what a heading is called in an address, as GitHub does it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _module(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    name = dotted(path)
    parts = [f"\n## {name}\n", docstring(tree), *_constants(tree, name)]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and _is_public(node):
            parts += _function(node, f"{name}.{node.name}", "###")
        if isinstance(node, ast.ClassDef) and _is_public(node):
            parts += _class(node, f"{name}.{node.name}")
    return "\n".join(parts) + "\n"


def _is_public(node: ast.FunctionDef | ast.ClassDef) -> bool:
    return not node.name.startswith("_") and not _is_overload(node)


def _is_overload(node: ast.FunctionDef | ast.ClassDef) -> bool:
    return any(ast.unparse(item) == "overload" for item in node.decorator_list)


def _constants(tree: ast.Module, module: str) -> Iterator[str]:
    """Yield the constants that a string below them explains."""
    for node, after in zip(tree.body, tree.body[1:], strict=False):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or not _is_text(after):
            continue
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        text = ast.literal_eval(after.value)  # type: ignore[attr-defined]
        if isinstance(target, ast.Name) and not target.id.startswith("_"):
            yield f"\n### {module}.{target.id}\n\n{text.strip()}\n"


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _function(node: ast.FunctionDef, name: str, level: str) -> list[str]:
    decorated = [f"@{ast.unparse(item)}" for item in node.decorator_list]
    kept = [line for line in decorated if line in ("@property", "@staticmethod", "@classmethod")]
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    shown = "\n".join([*kept, f"def {node.name}{_arguments(node)}{result}"])
    return [f"\n{level} {name}\n", f"```python\n{shown}\n```\n", docstring(node)]


def _arguments(node: ast.FunctionDef) -> str:
    text = f"({ast.unparse(node.args)})"
    if len(node.name) + len(text) <= _LONGEST:
        return text
    spec, lines = node.args, []
    plain = [*spec.posonlyargs, *spec.args]
    defaults = [None] * (len(plain) - len(spec.defaults)) + list(spec.defaults)
    for place, default in zip(plain, defaults, strict=True):
        lines.append(_argument(place, default))
    if spec.vararg:
        lines.append(f"*{ast.unparse(spec.vararg)}")
    elif spec.kwonlyargs:
        lines.append("*")
    lines += [_argument(*pair) for pair in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)]
    if spec.kwarg:
        lines.append(f"**{ast.unparse(spec.kwarg)}")
    return "(\n" + "".join(f"    {line},\n" for line in lines) + ")"


def _argument(node: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(node) + (f" = {ast.unparse(default)}" if default is not None else "")


def _class(node: ast.ClassDef, name: str) -> list[str]:
    bases = ", ".join(map(ast.unparse, node.bases))
    lines = [f"@{ast.unparse(item)}" for item in node.decorator_list]
    lines.append(f"class {node.name}({bases})" if bases else f"class {node.name}")
    lines += [f"    {ast.unparse(item)}" for item in node.body if isinstance(item, ast.AnnAssign)]
    methods = [item for item in node.body if isinstance(item, ast.FunctionDef)]
    begin = next((item for item in methods if item.name == "__init__"), None)
    if begin is not None:
        lines += [f"    {line}" for line in f"def __init__{_arguments(begin)}".split("\n")]
    shown = "\n".join(lines)
    parts = [f"\n### {name}\n", f"```python\n{shown}\n```\n", docstring(node)]
    for item in methods:
        if item.name == "__call__" and not _is_overload(item):
            parts += _function(item, f"{node.name}.__call__", "####")
        elif _is_public(item):
            parts += _function(item, f"{node.name}.{item.name}", "####")
    return parts


def docstring(node: ast.Module | ast.FunctionDef | ast.ClassDef) -> str:
    """Return a docstring as Markdown: its sections become lists."""
    text = ast.get_docstring(node) or ""
    out: list[str] = []
    section = ""
    for line in text.split("\n"):
        found = _SECTION.match(line)
        if found:
            section = found[1]
            out += [f"**{section}**", ""]
        elif section and line.startswith("    "):
            item = _ITEM.match(line[4:])
            if item and not line.startswith("     "):
                out.append(f"- `{item[1]}`: {item[2]}")
            else:
                out.append(("  " if section != "Returns" else "") + line.strip())
        else:
            section = section if not line.strip() else ""
            out.append(line)
    return "\n".join(out).strip() + "\n"
