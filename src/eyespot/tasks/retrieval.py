"""Instance retrieval with a frozen backbone: pictures of one building, found among others.

Papers: R-MAC (arXiv 1511.05879), GeM (arXiv 1711.02512), revisited Oxford and Paris (arXiv
1803.11285).
Shapes: C channels, H W size of a map, D width of a descriptor.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from eyespot import dist
from eyespot.data.decode import decode_image
from eyespot.data.folders import ImageFolder
from eyespot.data.geometry import Box, cut, resize
from eyespot.data.normalize import normalize
from eyespot.data.samples import IMAGE_ENDINGS, read_image_file
from eyespot.errors import RecipeError
from eyespot.evals.descriptors import Whitening, fit_whitening, gem, rmac
from eyespot.evals.extract import Row, rank_part
from eyespot.evals.oxford import RetrievalSet, read_truths
from eyespot.evals.retrieval import Protocol, QueryTruth, rank_database, score_rankings
from eyespot.models.convnet import ConvNet
from eyespot.tasks.backbone import Backbone, open_trunk
from eyespot.tasks.labelled import leave_out
from eyespot.tasks.linear import bad_samples
from eyespot.tasks.probe import Measured
from eyespot.tasks.run import Place, Run, own_randomness, processes


@dataclass(frozen=True, slots=True)
class RetrievalProbe:
    """Retrieval on Oxford5k, Paris6k, their revisited forms, or sets of the same form.

    Attributes:
        backbone: What is measured; its sizes do not count here.
        truths: Folder of text files, or gnd_*.json or gnd_*.pkl.
        level: Map of the network that is described; "" for the last.
        pooling: Of the map: generalized mean, regional maxima, or average.
        power: Of the generalized mean.
        long_side_px: What an image's longer side is shrunk to; smaller images stay.
        scales: Of the image; descriptors are averaged over them.
        whiten_from: Folder of other images to learn whitening from; "" for none.
        whiten_width: Directions to keep; 0 for all.
    """

    backbone: Backbone = field(default_factory=Backbone)
    truths: str = ""
    level: str = ""
    pooling: Literal["gem", "rmac", "avg"] = "gem"
    power: float = 3.0
    long_side_px: int = 1024
    scales: tuple[float, ...] = (1.0,)
    whiten_from: str = ""
    whiten_width: int = 0


class _Picture(NamedTuple):
    path: Path
    box: tuple[float, float, float, float] | None = None


class _Describer(NamedTuple):
    """Turns pictures into descriptors of unit length."""

    probe: RetrievalProbe
    network: ConvNet
    level: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: torch.device

    @torch.no_grad()
    def __call__(self, picture: _Picture) -> Tensor:
        probe = self.probe
        pixels = decode_image(read_image_file(picture.path))
        longest = max(pixels.shape[:2])
        if picture.box is not None:
            pixels = _cut_out(pixels, picture)
        shrink = min(1.0, probe.long_side_px / longest)
        total: Tensor | None = None
        for scale in probe.scales:
            height, width = (max(1, round(shrink * scale * n)) for n in pixels.shape[:2])
            small = torch.tensor(resize(pixels, height, width)).permute(2, 0, 1)[None]
            images = normalize(small.to(self.device), mean=self.mean, std=self.std)
            (maps,) = self.network.forward_intermediates(images, [self.level])  # [1, C, H, W]
            found = F.normalize(self._pool(maps), dim=1)
            total = found if total is None else total + found
        assert total is not None
        return F.normalize(total, dim=1)

    def _pool(self, maps: Tensor) -> Tensor:
        match self.probe.pooling:
            case "gem":
                return gem(maps, power=self.probe.power)
            case "rmac":
                return rmac(maps)
            case "avg":
                return maps.mean((2, 3))


def measure_retrieval(probe: RetrievalProbe, run: Run) -> Measured:
    """Search `run.data` for what each query shows; under torchrun every rank calls this.

    Images that cannot be read are listed, and found last; a query that cannot be read is an
    error.

    Raises:
        ValueError: If data, truths and weights do not go together.
    """
    if not probe.truths or not probe.scales or min(probe.scales, default=0) <= 0:
        raise RecipeError(
            "need truths (a folder or gnd file) and scales above 0, got "
            f"{probe.truths!r} and {probe.scales}"
        )
    with processes(run) as place, own_randomness(0, place.device):
        files = _files(Path(run.data))
        wanted = read_truths(Path(probe.truths), sorted(files))
        describe = _describer(probe, place)
        database = [_Picture(_file(files, name, run.data)) for name in wanted.images]
        rows, damaged = _describe_all(describe, database)
        counted = bad_samples(damaged) if dist.is_first() else []
        leave_out(counted, len(database), run.max_bad, None, step=0)
        queries = [
            _Picture(_file(files, query.name, run.data), query.box_xyxy_px)
            for query in wanted.queries
        ]
        query_rows, bad_queries = _describe_all(describe, queries)
        if bad_queries:
            raise ValueError(
                f"need readable queries, got {bad_queries[0].name}: {bad_queries[0].problem}"
            )
        if probe.whiten_from:
            whitening = _whitening(probe, describe)
            rows, query_rows = whitening(rows), whitening(query_rows)
        unknown = [row.index for row in damaged]
        rankings = rank_database(query_rows, rows, unknown=unknown)
        metrics = _scores(rankings, wanted)
    return Measured(metrics, damaged, ())


def _scores(rankings: np.ndarray, wanted: RetrievalSet) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for protocol in get_args(Protocol):
        if not any(_wanted(query, protocol) for query in wanted.queries):
            continue
        found = score_rankings(rankings, wanted.queries, protocol)
        metrics[f"map_percent_{protocol}"] = 100 * found.mean_ap
        for depth, precision in found.precisions.items():
            metrics[f"precision{depth}_percent_{protocol}"] = 100 * precision
    return metrics


def _wanted(query: QueryTruth, protocol: Protocol) -> bool:
    return bool({"easy": query.easy, "hard": query.hard}.get(protocol, query.easy + query.hard))


def _describer(probe: RetrievalProbe, place: Place) -> _Describer:
    trunk = open_trunk(probe.backbone)
    if not isinstance(trunk.network, ConvNet):
        raise RecipeError(
            "need a convolutional network, which takes images of any shape, got a ViT"
        )
    names = trunk.network.feature_info.module_name()
    level = probe.level or names[-1]
    if level not in names:
        raise RecipeError(f"need a level of {', '.join(names)}, got {level!r}")
    mean, std = trunk.colours()
    return _Describer(
        probe, trunk.network.to(place.device), names.index(level),
        probe.backbone.mean or mean, probe.backbone.std or std, place.device,
    )  # fmt: skip


def _describe_all(describe: _Describer, pictures: Sequence[_Picture]) -> tuple[Tensor, list[Row]]:
    """Each rank describes its share; all get all rows, zeros for pictures that cannot be read."""
    width = describe.network.feature_info.channels()[describe.level]
    mine = rank_part(len(pictures))
    rows = torch.zeros(len(mine), width, device=describe.device)
    unread = torch.zeros(len(mine), dtype=torch.bool, device=describe.device)
    reasons: dict[int, str] = {}
    for place, index in enumerate(mine):
        try:
            rows[place] = describe(pictures[index])[0]
        except ValueError as error:
            unread[place], reasons[index] = True, str(error)
    everywhere = torch.nonzero(dist.all_gather_rows(unread))[:, 0].tolist()
    damaged = [
        Row(i, pictures[i].path.name, -1, reasons.get(i, "another rank could not read it"))
        for i in everywhere
    ]
    return dist.all_gather_rows(rows), damaged


def _whitening(probe: RetrievalProbe, describe: _Describer) -> Whitening:
    folder = Path(probe.whiten_from)
    images = ImageFolder(folder, labelled=False)
    pictures = [_Picture(folder / images[i].name) for i in range(len(images))]
    rows, damaged = _describe_all(describe, pictures)
    good = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    good[[row.index for row in damaged]] = False
    return fit_whitening(rows[good], probe.whiten_width or None)


def _cut_out(pixels: np.ndarray, picture: _Picture) -> np.ndarray:
    assert picture.box is not None
    left, top, right, bottom = (round(value) for value in picture.box)
    top, left = max(0, top), max(0, left)
    found = cut(pixels, Box(top, left, bottom - top, right - left))
    if found.size == 0 or bottom <= top or right <= left:
        raise ValueError(f"need a box inside the image, got {picture.box} of {picture.path.name}")
    return found


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ValueError(f"need the folder of the database's images, got {folder}")
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_ENDINGS
    }


def _file(files: dict[str, Path], name: str, folder: str) -> Path:
    stem = Path(name)
    known = stem.with_suffix("").as_posix() if stem.suffix.lower() in IMAGE_ENDINGS else name
    if known not in files:
        raise ValueError(f"need all images of the ground truths in {folder}, got no {name}")
    return files[known]
