"""Arguments by tyro, with help that fits a terminal."""

import inspect
import re
import shutil
import textwrap
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

_REGISTRY = ConstructorRegistry()
_WIDEST = 100


def call(
    function: Callable[..., Any],
    prog: str,
    args: Sequence[str],
    *,
    description: str | None = None,
    config: tuple[Any, ...] = (),
) -> Any:
    """Call a function, or a dataclass, with what a command line says.

    Args:
        function: Its signature and docstring become options and help.
        prog: The command, for the help.
        args: What stands after it.
        description: Of the command, if not the docstring's.
        config: tyro's markers.
    """
    doc = inspect.getdoc(function) or ""
    if inspect.isfunction(function):
        inspect.unwrap(function).__doc__ = join_lines_of_arguments(doc)
    about = doc.partition("\nArgs:")[0] if description is None else description
    with _REGISTRY:
        return tyro.cli(
            function, prog=prog, args=args, description=wrap(about),
            config=(tyro.conf.FlagCreatePairsOff, *config),
        )  # fmt: skip


def call_one(
    functions: dict[str, Callable[..., Any]], prog: str, args: Sequence[str], *, description: str
) -> Any:
    """Call the function of a group that the first argument names."""
    if args and args[0] in functions:
        return call(functions[args[0]], f"{prog} {args[0]}", args[1:])
    return tyro.extras.subcommand_cli_from_dict(
        functions, prog=prog, args=args, description=wrap(description)
    )


def join_lines_of_arguments(doc: str) -> str:
    """Make each argument of a docstring one line, which tyro then wraps itself."""
    return re.sub(r"\n {8,}(?=\S)", " ", doc)


def wrap(text: str) -> str:
    """Break a description's lines for the terminal, in the only way that tyro leaves as it is.

    It joins lines, unless they begin with a space. A recipe's `Run:` line stays whole, so that it
    can be copied.
    """
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    summary, *paragraphs = text.strip().split("\n\n")
    lines = [_filled(summary, width, "", "    ")]
    for paragraph in paragraphs:
        pieces = re.split(r"\n(?=\w+: {2,})", paragraph)
        wrapped = [
            f"  {piece}" if piece.startswith("Run:") else _filled(piece, width, "  ", "  ")
            for piece in pieces
        ]
        lines += wrapped
    return "\n".join(lines)


def _filled(text: str, width: int, first: str, others: str) -> str:
    label = re.match(r"\w+: {2,}", text)
    hanging = others + " " * len(label[0] if label else "")
    words = (label[0] if label else "") + " ".join(text[label.end() if label else 0 :].split())
    return textwrap.fill(
        words, width, initial_indent=first, subsequent_indent=hanging, break_on_hyphens=False,
        break_long_words=False,
    )  # fmt: skip


@_REGISTRY.primitive_rule
def _optional(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Show an option that may be left out as its own type, without "None"."""
    choices = get_args(info.type)
    if get_origin(info.type) not in (Union, types.UnionType) or type(None) not in choices:
        return None
    (kind, *others) = [choice for choice in choices if choice is not type(None)]
    words = get_args(kind) if get_origin(kind) is Literal else None
    if others or (kind not in (int, float, str, Path) and words is None):
        return None
    make = str if words else kind
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{{{','.join(words)}}}" if words else kind.__name__.upper(),
        instance_from_str=lambda given: make(given[0]),
        is_instance=lambda value: value is None or isinstance(value, make),
        str_from_instance=lambda value: ["none" if value is None else str(value)],
        choices=words,
    )
