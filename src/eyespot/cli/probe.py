"""`eyespot probe`: measure what a frozen backbone's features are worth."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

if TYPE_CHECKING:
    from eyespot.cli.progress import Progress

USAGE = """usage: eyespot probe KIND --weights WEIGHTS --data DATA [--NAME VALUE ...]

Measure a backbone. WEIGHTS is the folder of a run, a weights file, a name of `eyespot weights
list`, or "random"; where it does not say its network, --model does. Several processes share the
work under torchrun --nproc-per-node 8 -m eyespot probe KIND ...

  knn        nearest neighbours of the test images among the training images
  linear     linear classifiers on frozen features, several taps and rates in one pass
  finetune   train the whole network on
  lowshot    logistic regression on 1 %, 10 % or a few labels of each class
  svm        an SVM for each class, on all images or a few; VOC 2007's protocol
  retrieval  find the pictures of one building (Oxford, Paris)

eyespot probe KIND --help explains a kind and all its numbers."""

KINDS = ("knn", "linear", "finetune", "lowshot", "svm", "retrieval")


@dataclass(frozen=True)
class Where:
    """Data and machine of a probe without a training loop.

    Attributes:
        data: Images with labels, or a folder of `eyespot embed`; for "retrieval" the folder of
            the database's images.
        val: Images or features to test on; the data's own test split when not given.
        out: Folder for results.json.
        device: Where to run; a GPU if there is one.
        workers: Processes that read images; -1 for as many as the machine has room for.
        max_bad: Largest share of damaged images, of those to learn from and of those to test on.
        json: One JSON object instead of lines.
    """

    data: str
    val: str = ""
    out: Path | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int = -1
    max_bad: float = 0.01
    json: bool = False


@dataclass(frozen=True)
class Start:
    """What fine-tuning begins with.

    Attributes:
        weights: The folder of a run, a weights file, or a name of `eyespot weights list`; where
            it does not say its network, --model does.
    """

    weights: str


def main(args: list[str]) -> None:
    """Run one kind of probe."""
    if not args or args[0] in ("-h", "--help"):
        print(USAGE)
        return
    kind, rest = args[0], args[1:]
    if kind not in KINDS:
        from eyespot.errors import unknown_name

        raise ValueError(unknown_name("kind of probe", kind, KINDS))
    if kind == "linear":
        _linear(rest)
    elif kind == "finetune":
        _finetune(rest)
    else:
        _quick(kind, rest)


def _quick(kind: str, args: list[str]) -> None:
    """Run a probe without a training loop, print and perhaps write what it found."""
    from eyespot import dist
    from eyespot.tasks import probe as probes
    from eyespot.tasks.retrieval import RetrievalProbe, measure_retrieval
    from eyespot.tasks.run import Run

    classes: dict[str, Any] = {
        "knn": probes.KnnProbe,
        "svm": probes.SvmProbe,
        "lowshot": probes.LowShotProbe,
        "retrieval": RetrievalProbe,
    }

    def run_probe(*, probe: Any, where: Where) -> None:
        out = where.out or Path()
        out.mkdir(parents=True, exist_ok=True)
        run = Run(
            where.data, out, where.val,
            device=where.device, workers=where.workers, max_bad=where.max_bad,
        )  # fmt: skip
        told = _told if dist.is_first() else None
        retrieval = kind == "retrieval"
        found = (
            measure_retrieval(probe, run)
            if retrieval
            else probes.measure(probe, run, progress=told)
        )
        if dist.is_first():
            _report(kind, probe, where, found)

    _call(run_probe, kind, args, flat=True, probe=classes[kind], where=Where)


def _told(data: str) -> "Progress":
    """Say how far it is with a data set of this description."""
    from eyespot.cli.progress import Progress

    return Progress(f"images of {data.rsplit(': ', 1)[0]}")


def _linear(args: list[str]) -> None:
    from eyespot import dist
    from eyespot.tasks.linear import LinearRecipe
    from eyespot.tasks.run import Run, train

    def run_linear(*, probe: LinearRecipe, run: Run) -> None:
        outcome = train(probe, run, name="probe linear")
        if outcome.finished and dist.is_first():
            _print_result(run.out, outcome.metrics)

    _call(run_linear, "linear", args, flat=True, probe=LinearRecipe, run=Run)


def _finetune(args: list[str]) -> None:
    from eyespot import dist
    from eyespot.recipes.transfer import seer
    from eyespot.tasks.classify import ClassifyRecipe
    from eyespot.tasks.run import Run, train
    from eyespot.weights.trunk import find_weights

    def run_finetune(*, probe: ClassifyRecipe, run: Run, start: Start) -> None:
        found = find_weights(start.weights)
        named = start.weights if found.notes else str(found.path)  # whose licence is then said
        model = probe.model or found.model or str(found.path)
        recipe = replace(probe, model=model, start_from=named)
        outcome = train(recipe, run, name="probe finetune")
        if outcome.finished and dist.is_first():
            _print_result(run.out, outcome.metrics)

    _call(
        run_finetune, "finetune", args, flat=False,
        start=Start, probe=ClassifyRecipe, run=Run, default=replace(seer(), model=""),
    )  # fmt: skip


def _call(
    function: Callable[..., None],
    kind: str,
    args: list[str],
    *,
    flat: bool,
    default: Any = MISSING,
    **parts: Any,
) -> None:
    """Let tyro fill dataclasses from arguments without a prefix, and call a function with them.

    Args:
        function: Takes the dataclasses by keyword.
        kind: Of probe, for the help.
        args: Of the command line.
        flat: Whether dataclasses inside these lose their prefixes too.
        default: Of the part called "probe", if not its class's own.
        parts: The dataclasses.
    """
    import tyro

    from eyespot.cli.arguments import call

    plain = tyro.conf.arg(name="")
    fields = [
        (name, Annotated[cls, plain], field(default=default if name == "probe" else MISSING))
        for name, cls in parts.items()
    ]
    summary = next(line for line in USAGE.splitlines() if line.startswith(f"  {kind} "))
    about = summary.split(maxsplit=1)[1]
    found = call(
        make_dataclass("Arguments", fields, kw_only=True),
        f"eyespot probe {kind}",
        args,
        description=f"{about[0].upper()}{about[1:]}.",
        config=(tyro.conf.OmitArgPrefixes,) if flat else (),
    )
    function(**{name: getattr(found, name) for name in parts})


def _print_result(out: Path, metrics: Mapping[str, float]) -> None:
    print(f"finished: {out / 'weights.safetensors'}")
    _print_metrics(metrics)


def _print_metrics(metrics: Mapping[str, float]) -> None:
    width = max(map(len, metrics), default=0)
    for name, value in metrics.items():
        print(f"{name:{width}}  {value:.6g}")


def _report(kind: str, probe: Any, where: Where, found: Any) -> None:
    content = {
        "probe": kind,
        "numbers": asdict(probe),
        "data": where.data,
        "val": where.val,
        "metrics": found.metrics,
        "damaged": [asdict(row) for row in found.damaged],
        "notes": found.notes,
    }
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    if found.damaged:
        first = found.damaged[0]
        print(
            f"{len(found.damaged)} images could not be read and count nowhere; the first, "
            f"{first.name}: {first.problem}",
            file=sys.stderr,
        )
    if where.out is not None:
        from eyespot.design.files import write_whole

        write_whole(where.out / "results.json", json.dumps(content, indent=1) + "\n")
    if where.json:
        print(json.dumps(content))
    else:
        _print_metrics(found.metrics)
