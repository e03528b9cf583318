"""The `eyespot` command: finds the command's file, runs it, and turns mistakes into one line.

A command is a file of this folder with a typed function of the same name, whose signature and
docstring become its options and help; a file with `COMMANDS` is a group of such functions (and says
what it is in `ABOUT`), and one with `main` reads its arguments itself.
"""

import importlib
import os
import sys
from collections.abc import Sequence

import eyespot
from eyespot.errors import unknown_name

SUMMARIES = {
    "quickstart": "the whole chain on this machine: one command, one page",
    "doctor": "what this machine has, and what is fastest on it",
    "models": "list the named networks",
    "complexity": "count params, flops and activations; measure time and memory",
    "scale": "scale a network by a factor, or to a budget",
    "calibrate": "measure this device, to predict run times on it",
    "plan": "predict memory, speed and cost of a training run",
    "data": "check, convert and shard data sets",
    "train": "train a recipe of any task; go on after any interruption",
    "eval": "measure a training run",
    "replay": "take the step again at which a loss was not finite",
    "sweep": "run a population of networks or settings, on one machine or many",
    "report": "what sweeps found, or how training runs went, as one HTML file",
    "probe": "measure a backbone: neighbours, linear, few labels, SVM, retrieval",
    "embed": "images to vectors on disk",
    "ground": "find every phrase of a text in images",
    "answer": "answer a question about images",
    "demo": "show grounding on a web page",
    "weights": "list, fetch, convert and check published weights",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 when done, 2 with one sentence when the user has to act."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help"):
        print(_help())
        return
    if args[0] == "--version":
        print(f"eyespot {eyespot.__version__}")
        return
    try:
        _run(args[0], args[1:])
    except BrokenPipeError:  # whoever read our lines has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, OSError) as error:
        print(f"eyespot {args[0]}: {_sentence(error)}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _run(name: str, args: list[str]) -> None:
    if name not in SUMMARIES:
        raise ValueError(unknown_name("command", name, SUMMARIES))
    module = importlib.import_module(f"eyespot.cli.{name}")
    if hasattr(module, "main"):
        module.main(args)
        return
    from eyespot.cli.arguments import call, call_one

    prog = f"eyespot {name}"
    group = getattr(module, "COMMANDS", None)
    if group is None:
        call(getattr(module, name), prog, args)
    else:
        call_one(group, prog, args, description=module.ABOUT)


def _sentence(error: ValueError | OSError) -> str:
    """Return what the error says; of the system's errors the reason and the file."""
    if not (isinstance(error, OSError) and error.strerror and error.filename):
        return str(error)
    name = error.filename2 or error.filename
    if isinstance(error, FileExistsError) and os.path.isfile(name):
        return f"need a folder, or a new name for one, got the file {name}"
    return f"{error.strerror.lower()}: {name}"


def _help() -> str:
    width = max(map(len, SUMMARIES))
    commands = [f"  {name:{width}}  {summary}" for name, summary in SUMMARIES.items()]
    return "\n".join(
        [
            "usage: eyespot COMMAND ...",
            "",
            "Design, train, pretrain, measure and ground vision backbones.",
            "",
            *commands,
            "",
            "eyespot COMMAND --help explains a command; eyespot --version prints the version.",
        ]
    )
