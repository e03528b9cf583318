"""A backbone from whatever a user names as its weights."""

import fcntl
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import torch

from eyespot.data.normalize import IMAGENET_MEAN, IMAGENET_STD
from eyespot.data.views import TestView
from eyespot.design.by_name import Model, to_spec
from eyespot.design.spec_files import spec_from_dict
from eyespot.design.specs import Spec
from eyespot.errors import WeightsError
from eyespot.models.build import build
from eyespot.models.convnet import ConvNet
from eyespot.models.vit import ViT
from eyespot.weights.catalog import catalog, notices, published, published_std
from eyespot.weights.download import Progress, download
from eyespot.weights.files import Contents, read_file
from eyespot.weights.load import load_weights

RANDOM = "random"
"""Weights that were never trained: what every other backbone has to beat."""

PRETRAINED_TRUNKS = {"scenes-trunk": "scenes_trunk.safetensors"}
"""Backbones that are part of the package, by name: pretrained by SwAV on rendered scenes."""

_MOST_BYTES = 40 << 30


@dataclass(frozen=True, slots=True)
class Trunk:
    """A backbone without its classifier, and how it wants its images.

    Attributes:
        network: With the weights, in evaluation mode, on the CPU.
        spec: Its architecture.
        source: What its weights were named.
        about: What their file says of itself.
        notes: What was chosen or left out on the way, one sentence each.
    """

    network: ConvNet | ViT
    spec: Spec
    source: str
    about: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def pictures(self) -> dict[str, Any]:
        """How images were prepared in training: `size_px`, `test_resize_px`, `filter`, `mean`, ...

        Without the file's word: the network's own sizes, and nothing else.
        """
        own = {"size_px": self.spec.image_size, "test_resize_px": self.spec.test_size}
        try:
            return own | dict(json.loads(self.about.get("pictures", "{}")))
        except (ValueError, TypeError):
            raise WeightsError(
                f'need JSON as "pictures" of {self.source}, got {self.about["pictures"][:80]!r}'
            ) from None

    def view(self, size_px: int | None = None, resize_px: int | None = None) -> TestView:
        """Return the view it was tested with, or one of another size in the same proportion.

        Raises:
            ValueError: If a size is below 1, or the view larger than what it is cut from.
        """
        own, resized = (int(self.pictures[name]) for name in ("size_px", "test_resize_px"))
        size = own if size_px is None else size_px
        if resize_px is None:
            resize_px = round(max(resized, own) * size / own)
        if not 1 <= size <= resize_px:
            raise ValueError(f"need a size_px of 1 to resize_px, got {size} and {resize_px}")
        return TestView(resize_px, size, filter=self.pictures.get("filter", "bilinear"))

    def colours(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation of each channel in 0..1, ImageNet's if not told."""
        pictures = self.pictures
        return tuple(pictures.get("mean", IMAGENET_MEAN)), tuple(pictures.get("std", IMAGENET_STD))


def load_trunk(
    source: str | Path,
    *,
    model: Model | None = None,
    image_size: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Trunk:
    """Build a backbone and load its weights.

    Args:
        source: A run's folder, one of its checkpoints, a weights file of any layout, a name of
            `eyespot weights list` (fetched once into the cache folder), or "random".
        model: The network, where the weights do not say; a name, a spec.json, or a spec.
        image_size: Side of the images it will see, px, for a ViT's positions.
        seed: Of "random" weights.
        progress: Called while a published file is fetched.

    Raises:
        WeightsError: If there are no such weights, they are of another network, or nobody says of
            which.
        OSError: If a file cannot be read.
    """
    name = str(source)
    if name == RANDOM and not Path(name).exists():
        spec = _sized(_needed(model, name), image_size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build(spec)
        return Trunk(network.eval(), spec, name, {}, ())
    found = find_weights(name, progress)
    contents = read_file(found.path)
    spec = _sized(_spec(contents, model or found.model, found.path), image_size)
    network = build(spec)
    report = load_weights(network, found.path, head="drop")
    notes = (*found.notes, *notices(contents.metadata.get("licence", "")), *report.notes)
    about, std = contents.metadata, published_std(found.path.name)
    if std is not None:
        about = {"pictures": json.dumps({"std": std})} | about
    return Trunk(network.eval(), spec, str(found.path), about, notes)


def cached_file(name: str, progress: Progress | None = None) -> Path:
    """Return a published file from the user's cache, fetched if it is not there yet.

    Raises:
        WeightsError: If it is not what was published.
        OSError: If it cannot be fetched or written.
    """
    entry = published(name)
    path = entry.cached
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / ".lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # one of several processes fetches, the others wait
        if path.exists():
            return path
        silent: Callable[[int, int | None], None] = lambda done, total: None  # noqa: E731
        try:
            download(
                entry.url,
                path,
                max_bytes=_MOST_BYTES,
                sha256=entry.sha256,
                progress=progress or silent,
            )
        except OSError as error:
            raise OSError(f"{error}; or put {entry.file} from elsewhere at {path}") from None
    return path


def weights_file(path: Path) -> Path:
    """Return the weights file of a run's folder or checkpoint; of a file, the file.

    A finished run's result, else the newest complete checkpoint.

    Raises:
        WeightsError: If there is none.
    """
    if not path.is_dir():
        return path
    checkpoints = sorted(path.glob("checkpoints/step_*"), reverse=True)
    candidates = [path, *(folder for folder in checkpoints if _is_complete(folder))]
    for folder in candidates:
        if (folder / "weights.safetensors").is_file():
            return folder / "weights.safetensors"
    raise WeightsError(
        f"need a training run with weights, got {path}, which has no weights.safetensors and no "
        "complete checkpoint with one"
    )


class Found(NamedTuple):
    """Where the weights are that somebody named.

    Attributes:
        path: The file.
        model: The network of published weights, if it is one of ours.
        notes: Their licence, in a sentence.
    """

    path: Path
    model: str | None = None
    notes: tuple[str, ...] = ()


def find_weights(source: str | Path, progress: Progress | None = None) -> Found:
    """Find the file of a run, a checkpoint, a file or a published name.

    Args:
        source: As in `load_trunk`, but for "random".
        progress: Called while a published file is fetched.

    Raises:
        WeightsError: If there are no such weights.
        OSError: If a published file cannot be fetched.
    """
    name, path = str(source), Path(source)
    if path.exists():
        return Found(weights_file(path))
    if name in PRETRAINED_TRUNKS:
        folder = resources.files("eyespot.predict") / "weights"
        return Found(Path(str(folder / PRETRAINED_TRUNKS[name])))
    if name == RANDOM:
        raise WeightsError("need trained weights here, got random ones")
    names = {entry.name.lower() for entry in catalog()}
    names |= {entry.split("/", 1)[1] for entry in names}
    if name.lower() not in names:
        raise WeightsError(
            f'need weights: a run\'s folder, a file, a name of `eyespot weights list`, "random" or '
            f"{', '.join(PRETRAINED_TRUNKS)};"
            f" got {name!r}, which is none of these"
        )
    entry = published(name)
    return Found(cached_file(name, progress), entry.model, (entry.licence.notice,))


def _is_complete(checkpoint: Path) -> bool:
    """Whether a checkpoint was renamed from its partial name, and its weights are of full size."""
    if checkpoint.suffix:
        return False
    try:
        files = json.loads((checkpoint / "manifest.json").read_text(encoding="utf-8"))["files"]
        size = files["weights.safetensors"]["bytes"]
        return bool((checkpoint / "weights.safetensors").stat().st_size == size)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _spec(contents: Contents, model: Model | None, path: Path) -> Spec:
    """The file's own word counts; what the user says must not contradict its layers."""
    if model is not None:
        return to_spec(model)
    if "spec" not in contents.metadata:
        return _needed(None, str(path))
    try:
        return spec_from_dict(json.loads(contents.metadata["spec"]))
    except ValueError as error:
        raise WeightsError(f"need a spec in the metadata of {path}, got another: {error}") from None


def _needed(model: Model | None, name: str) -> Spec:
    if model is None and name == RANDOM:
        raise WeightsError(
            "need weights, or the network that random ones are drawn for; pass --weights with a "
            "run's folder or a file, or --model with a name of `eyespot models`"
        )
    if model is None:
        raise WeightsError(
            f"need the network that the weights {name} are for, which they do not say themselves; "
            "pass --model with a name of `eyespot models` or a spec.json"
        )
    return to_spec(model)


def _sized(spec: Spec, image_size: int | None) -> Spec:
    changed = replace(spec, num_classes=0)
    return changed if image_size is None else replace(changed, image_size=image_size)
