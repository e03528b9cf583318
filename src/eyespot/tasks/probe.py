"""Probes without training loops: neighbours, SVMs and few labels on frozen features.

Features come from a backbone and images, or from folders that `eyespot embed` wrote.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from eyespot import dist
from eyespot.data.open import Opened, find_splits, open_samples
from eyespot.data.voc import VocImages, is_voc_folder
from eyespot.evals.accuracy import TopK
from eyespot.evals.extract import Part, Row, Table, collect, extract, images_at_a_time, rank_part
from eyespot.evals.feature_files import is_feature_folder, read_features
from eyespot.evals.knn import Neighbours, check_classes, knn_votes, nearest
from eyespot.evals.lowshot import (
    PENALTIES,
    best_penalty,
    fit_logistic,
    fit_standardizer,
    label_subset,
)
from eyespot.evals.svm import COSTS, low_shot_svm, one_against_rest, svm_mean_ap
from eyespot.models.taps import VOC_TAPS
from eyespot.tasks.backbone import PUBLISHED, Backbone, Frozen, freeze
from eyespot.tasks.labelled import leave_out
from eyespot.tasks.linear import bad_samples, open_labelled
from eyespot.tasks.ranges import Within, check_ranges
from eyespot.tasks.run import Place, Run, own_randomness, processes

_LEAST = 1e-12  # of what must be above 0
_KNN_MAX = 512  # queries scored at a time, so that votes stay small

Progress = Callable[[str], Callable[[int, int], None]]
"""Called with a data set's description; what it returns, with images done and to do."""


@dataclass(frozen=True, slots=True)
class KnnProbe:
    """Weighted nearest neighbours.

    Attributes:
        backbone: What is measured.
        tap: Where features are taken.
        ks: Numbers of neighbours to try.
        temperature: Of the votes; the smaller, the more the nearest decide.
        leave_one_out: Classify the training images, each by all others; no test images needed.
    """

    backbone: Backbone = field(default_factory=Backbone)
    tap: str = "pool"
    ks: tuple[int, ...] = (10, 20, 100, 200)
    temperature: float = 0.07
    leave_one_out: bool = False


@dataclass(frozen=True, slots=True)
class SvmProbe:
    """An SVM for each class, and mean average precision.

    Attributes:
        backbone: What is measured.
        tap: Where features are taken; "published" for both taps of VISSL on VOC 2007, whose images
            are `whole` and of 224 px: each is measured, and the better one reported.
        costs: To choose from.
        shots: Positive images a class, each a measurement of its own; empty for all images.
        draws: How often few images are drawn.
        seed: Of the draws.
    """

    backbone: Backbone = field(default_factory=Backbone)
    tap: str = "pool"
    costs: tuple[float, ...] = COSTS
    shots: tuple[int, ...] = ()
    draws: int = 5
    seed: int = 0


@dataclass(frozen=True, slots=True)
class LowShotProbe:
    """Logistic regression on the features of a few labelled images.

    Attributes:
        backbone: What is measured.
        tap: Where features are taken.
        fractions: Shares of the labels, each a measurement of its own.
        per_class: Labels a class, likewise.
        draws: How often labels are drawn, with seeds from `seed` on.
        penalties: Strengths of the penalty to choose from, on a part of the few labels.
        seed: Of the draws.
    """

    backbone: Backbone = field(default_factory=Backbone)
    tap: str = "pool"
    fractions: tuple[float, ...] = (0.01, 0.1)
    per_class: tuple[int, ...] = ()
    draws: int = 1
    penalties: tuple[float, ...] = PENALTIES
    seed: int = 0


class Measured(NamedTuple):
    """What a probe found.

    Attributes:
        metrics: By name; accuracies and precisions in percent.
        damaged: Samples that could not be read, and count nowhere.
        notes: What else to know, one sentence each.
    """

    metrics: dict[str, float]
    damaged: list[Row]
    notes: tuple[str, ...]


class _Sets(NamedTuple):
    """This rank's share of both sets of features, on its device."""

    train: Table
    test: Table
    num_classes: int
    notes: tuple[str, ...]

    @property
    def damaged(self) -> list[Row]:
        return self.train.problems + self.test.problems


class _SvmSets(NamedTuple):
    """All features of both sets, of each tap, with truths."""

    train: list[Tensor]
    train_truths: Tensor
    test: list[Tensor]
    test_truths: Tensor
    damaged: list[Row]
    notes: tuple[str, ...]


def measure(
    probe: KnnProbe | SvmProbe | LowShotProbe, run: Run, *, progress: Progress | None = None
) -> Measured:
    """Measure a frozen backbone; under torchrun every rank calls this.

    Args:
        probe: What, and its numbers.
        run: Data, device and workers; `data` and `val` may be folders of `eyespot embed`.
        progress: Told how far this rank is with its images.

    Raises:
        ValueError: If data, weights or numbers do not go together, or more images than
            `run.max_bad` are damaged.
    """
    with processes(run) as place, own_randomness(0, place.device):
        match probe:
            case KnnProbe():
                return _knn(probe, run, place, progress)
            case SvmProbe():
                return _svm(probe, run, place, progress)
            case LowShotProbe():
                return _low_shot(probe, run, place, progress)


def _knn(probe: KnnProbe, run: Run, place: Place, progress: Progress | None) -> Measured:
    if not probe.ks:
        raise ValueError("need at least one number of neighbours, got none")
    check_ranges(
        {
            "ks": Within(min(probe.ks), 1),
            "temperature": Within(probe.temperature, _LEAST),
        }
    )
    sets = _open_sets(
        probe.backbone, (probe.tap,), run, place, progress,
        train_only=probe.leave_one_out, num_neighbours=max(probe.ks),
    )  # fmt: skip
    bank, queries = sets.train, sets.train if probe.leave_one_out else sets.test
    labels = dist.all_gather_rows(bank.labels)
    check_classes(labels, sets.num_classes)
    ids = queries.indices if probe.leave_one_out else None
    found = nearest(
        queries.features[0], bank.features[0], max(probe.ks), query_ids=ids, bank_ids=ids
    )
    top = tuple(k for k in (1, 5) if k <= sets.num_classes)
    metrics: dict[str, float] = {}
    for k in probe.ks:
        counted = TopK(top)
        for start in range(0, len(queries.labels), _KNN_MAX):
            some = slice(start, start + _KNN_MAX)
            part = Neighbours(found.similarities[some], found.places[some])
            votes = knn_votes(part, labels, sets.num_classes, k=k, temperature=probe.temperature)
            counted.add(votes, queries.labels[some])
        for name, share in counted.result().items():
            metrics[f"{name}_percent_k{k}"] = 100 * share
    return Measured(metrics, sets.damaged, sets.notes)


def _svm(probe: SvmProbe, run: Run, place: Place, progress: Progress | None) -> Measured:
    if not probe.costs:
        raise ValueError("need at least one cost, got none")
    check_ranges(
        {
            "costs": Within(min(probe.costs), _LEAST),
            "shots": Within(min(probe.shots, default=1), 1),
            "draws": Within(probe.draws, 1),
            "seed": Within(probe.seed, 0),
        }
    )
    taps = tuple(map(str, VOC_TAPS)) if (probe.tap,) == PUBLISHED else (probe.tap,)
    sets = _svm_sets(probe.backbone, taps, run, place, progress)
    found = {tap: _svm_metrics(probe, sets, k) for k, tap in enumerate(taps)}
    metrics = found[taps[0]]
    if len(taps) > 1:
        maps = [name for name in metrics if name.startswith("map_percent")]
        metrics = {name: max(each[name] for each in found.values()) for name in maps}
        for tap, each in found.items():
            metrics |= {f"{name} of {tap}": value for name, value in each.items()}
    return Measured(metrics, sets.damaged, sets.notes)


def _svm_metrics(probe: SvmProbe, sets: _SvmSets, tap: int) -> dict[str, float]:
    """What SVMs on the features of one tap reach."""
    both = sets.train[tap], sets.train_truths, sets.test[tap], sets.test_truths
    if not probe.shots:
        result = svm_mean_ap(*both, costs=probe.costs)
        metrics = {"map_percent": 100 * result.mean_ap, "largest_error": result.error}
        for k, ap in enumerate(result.ap):
            metrics[f"ap_percent_class{k}"] = 100 * ap
        return metrics
    metrics = {}
    for few in low_shot_svm(
        *both, shots=probe.shots, draws=probe.draws, costs=probe.costs, seed=probe.seed
    ):
        name = f"{few.shots}_shots"
        metrics[f"map_percent_{name}"] = 100 * few.mean
        metrics[f"map_std_{name}"] = 100 * few.std
        metrics[f"map_lowest_{name}"] = 100 * few.lowest
        metrics[f"map_highest_{name}"] = 100 * few.highest
        metrics[f"cost_{name}"] = few.cost
    return metrics


def _svm_sets(
    backbone: Backbone, taps: Sequence[str], run: Run, place: Place, progress: Progress | None
) -> _SvmSets:
    """Features and truths of both sets, all of them on every rank."""
    if is_voc_folder(run.data):
        return _voc_sets(freeze(backbone, taps, place.device), run, place, progress)
    sets = _open_sets(backbone, taps, run, place, progress)
    train, test = ([dist.all_gather_rows(f) for f in t.features] for t in (sets.train, sets.test))
    labels, test_labels = (dist.all_gather_rows(t.labels) for t in (sets.train, sets.test))
    check_classes(labels, sets.num_classes)
    return _SvmSets(
        train,
        one_against_rest(labels, sets.num_classes),
        test,
        one_against_rest(test_labels, sets.num_classes),
        sets.damaged,
        sets.notes,
    )


def _low_shot(probe: LowShotProbe, run: Run, place: Place, progress: Progress | None) -> Measured:
    if not (probe.fractions or probe.per_class) or probe.draws < 1 or not probe.penalties:
        raise ValueError("need a fraction or a number of labels per class, draws and penalties")
    check_ranges(
        {
            "fractions": Within(min(probe.fractions, default=1.0), _LEAST),
            "the largest of fractions": Within(max(probe.fractions, default=1.0), _LEAST, 1),
            "per_class": Within(min(probe.per_class, default=1), 1),
            "penalties": Within(min(probe.penalties), _LEAST),
        }
    )
    sets = _open_sets(probe.backbone, (probe.tap,), run, place, progress)
    labels = dist.all_gather_rows(sets.train.labels)
    check_classes(labels, sets.num_classes)
    first = int(dist.all_gather_cat(torch.tensor([len(sets.train.labels)]))[: dist.rank()].sum())
    cases: list[tuple[str, dict[str, Any]]] = [
        (f"{100 * share:g}_percent", {"fraction": share}) for share in probe.fractions
    ]
    cases += [(f"{count}_per_class", {"per_class": count}) for count in probe.per_class]
    metrics: dict[str, float] = {}
    for name, choice in cases:
        shares: list[dict[str, float]] = []
        for seed in range(probe.seed, probe.seed + probe.draws):
            chosen = torch.from_numpy(label_subset(labels.cpu().numpy(), seed=seed, **choice))
            mine = chosen[(chosen >= first) & (chosen < first + len(sets.train.labels))] - first
            mine = mine.to(place.device)
            few = dist.all_gather_rows(sets.train.features[0][mine])
            shares.append(_fit_and_test(probe, few, labels[chosen.to(place.device)], sets, seed))
        for key in shares[0]:
            values = torch.tensor([share[key] for share in shares], dtype=torch.float64)
            metrics[f"{key}_{name}"] = values.mean().item()
            if probe.draws > 1:
                metrics[f"{key}_std_{name}"] = values.std(correction=0).item()
        metrics[f"labels_{name}"] = float(len(chosen))
    return Measured(metrics, sets.damaged, sets.notes)


def _fit_and_test(
    probe: LowShotProbe, few: Tensor, labels: Tensor, sets: _Sets, seed: int
) -> dict[str, float]:
    """Every rank fits the same few samples, and tests its own."""
    penalty = probe.penalties[0]
    if len(probe.penalties) > 1:
        penalty = best_penalty(few, labels, sets.num_classes, penalties=probe.penalties, seed=seed)
    scale = fit_standardizer(few)
    model = fit_logistic(scale(few), labels, sets.num_classes, penalty=penalty)
    counted = TopK(tuple(k for k in (1, 5) if k <= sets.num_classes))
    counted.add(model.scores(scale(sets.test.features[0])), sets.test.labels)
    found = {f"{name}_percent": 100 * share for name, share in counted.result().items()}
    return {**found, "penalty": penalty}


def _open_sets(
    backbone: Backbone,
    taps: Sequence[str],
    run: Run,
    place: Place,
    progress: Progress | None,
    *,
    train_only: bool = False,
    num_neighbours: int = 0,
) -> _Sets:
    """Read or make features; each rank has neighbouring samples, in the order of the data."""
    stored = [is_feature_folder(Path(source)) for source in (run.data, run.val) if source]
    if any(stored):
        if not all(stored) or not (run.val or train_only):
            raise ValueError(
                "need folders of features both to learn from (--data) and to test on (--val), got "
                f"{run.data} and {run.val or 'none'}"
            )
        train = _stored(run.data, taps, place)
        test = train if train_only else _stored(run.val, taps, place)
        classes = int(dist.all_gather_rows(train.labels).max()) + 1
        return _checked(_Sets(train, test, classes, ()))
    if train_only:
        split = "train" if find_splits(run.data) else None
        data = val = open_samples(run.data, split=split, labelled=True)
        classes = data.num_classes or 0
    else:
        data, val, classes = open_labelled(run)
    frozen = freeze(backbone, taps, place.device)
    available = len(data.samples) - train_only
    if num_neighbours > available:
        raise ValueError(
            f"need ks of 1 to {available:,}, as many neighbours as there are, got "
            f"{num_neighbours:,}: {data.description}; pass smaller --ks, or more images"
        )
    train = _made(frozen, data, run, place, progress)
    test = train if train_only else _made(frozen, val, run, place, progress)
    notes = (*frozen.trunk.notes, data.description, *(() if train_only else (val.description,)))
    return _checked(
        _Sets(train, test._replace(problems=[]) if train_only else test, classes, notes)
    )


def _checked(sets: _Sets) -> _Sets:
    train, test = ([f.shape[1] for f in table.features] for table in (sets.train, sets.test))
    if train != test:
        raise ValueError(
            f"need features of one width to learn from and to test on, got "
            f"{', '.join(map(str, train))} and {', '.join(map(str, test))}; "
            "were they made with the same weights and tap?"
        )
    return sets


def _stored(folder: str, taps: Sequence[str], place: Place) -> Table:
    tables = [read_features(Path(folder), tap) for tap in taps]
    whole = tables[0]
    part = rank_part(len(whole.labels))
    rows = slice(part.start, part.stop)
    return Table(
        [table.features[0][rows].to(place.device) for table in tables],
        whole.labels[rows].to(place.device),
        whole.indices[rows].to(place.device),
        whole.problems if dist.rank() == 0 else [],
    )


def _made(frozen: Frozen, data: Opened, run: Run, place: Place, progress: Progress | None) -> Table:
    mine = rank_part(len(data.samples))
    parts = extract(
        frozen.network, data.samples, frozen.view, mine,
        device=frozen.device, batch_size=images_at_a_time(frozen.view.size_px),
        num_workers=place.workers, mean=frozen.mean, std=frozen.std,
    )  # fmt: skip
    if progress is not None:
        parts = _told(parts, progress(data.description), len(mine))
    table = collect(parts)
    leave_out(bad_samples(table.problems), len(data.samples), run.max_bad, None, step=0)
    return Table(
        [each.to(place.device) for each in table.features],
        table.labels.to(place.device),
        table.indices.to(place.device),
        table.problems,
    )


def _told(parts: Iterator[Part], tell: Callable[[int, int], None], total: int) -> Iterator[Part]:
    """The same parts, and after each is done with, how many images that makes."""
    done = 0
    for part in parts:
        yield part
        done += len(part.rows)
        tell(done, total)


def _voc_sets(frozen: Frozen, run: Run, place: Place, progress: Progress | None) -> _SvmSets:
    """Features and truths of VOC's trainval and test images, all of them on every rank."""
    features: list[list[Tensor]] = []
    found: list[Tensor] = []
    damaged: list[Row] = []
    for split in ("trainval", "test"):
        images = VocImages(Path(run.data), split)
        data = Opened(images, "VOC", None, (), f"VOC {split}")
        table = _made(frozen, data, run, place, progress)
        truths = torch.from_numpy(images.truths).to(place.device)
        features.append([dist.all_gather_rows(each) for each in table.features])
        found.append(truths[dist.all_gather_rows(table.indices)])
        damaged += table.problems
    train, test = features
    return _SvmSets(train, found[0], test, found[1], damaged, frozen.trunk.notes)
