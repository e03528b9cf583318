"""How features are looked at while they are learnt: neighbours among labelled images."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from eyespot import dist
from eyespot.data.held_out import held_out
from eyespot.data.loader import Examples, Loader
from eyespot.data.normalize import normalize
from eyespot.data.open import Opened
from eyespot.data.sampling import Order
from eyespot.data.views import TestView
from eyespot.models.speed import autocast
from eyespot.tasks.methods.training import Training
from eyespot.tasks.online_knn import effective_rank, leave_one_out_error
from eyespot.tasks.run import Place
from eyespot.train.job import Job
from eyespot.train.sharding import reshard_

if TYPE_CHECKING:
    from eyespot.tasks.selfsup import SelfSupRecipe


@torch.no_grad()
def evaluate(
    recipe: "SelfSupRecipe", training: Training, data: Opened, place: Place, job: Job
) -> dict[str, float]:
    """Return the error of neighbours' votes among labelled images, in percent, and the rank.

    `knn_error` leaves each image out of its own neighbours; `feature_rank` is RankMe's.
    """
    features, labels = _features(recipe, training, data, place)
    error = leave_one_out_error(features, labels, neighbours=recipe.probe.neighbours)
    return {"knn_error": error, "feature_rank": effective_rank(dist.all_gather_cat(features))}


def _features(
    recipe: "SelfSupRecipe", training: Training, data: Opened, place: Place
) -> tuple[Tensor, Tensor]:
    """The backbone's features and labels of this rank's part of the probe's images."""
    probe, ranks = recipe.probe, dist.world_size()
    count = min(probe.images, len(data.samples)) // ranks * ranks
    samples = data.samples
    if count < len(samples):
        samples = held_out(samples, count, seed=recipe.seed)[1]
    view = TestView(max(probe.resize_px, probe.size_px), probe.size_px)
    loader = Loader(
        Examples(samples, view, seed=recipe.seed),
        Order(count, probe.batch_size * ranks, recipe.seed, shuffle=False, drop_last=False),
        rank=dist.rank(),
        world_size=ranks,
        num_workers=place.workers,
    )
    network = training.network
    network.eval()
    found: list[tuple[Tensor, Tensor]] = []
    for batch in loader:
        images = normalize(batch.images[0].to(place.device), mean=recipe.mean, std=recipe.std)
        with autocast(place.device, training.speed):
            features = network([images], head=False)
        found.append((features.float(), batch.labels.to(place.device)))
    network.train()
    reshard_(network)
    features, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    return features, labels


def too_few(recipe: "SelfSupRecipe", labelled: Opened | None) -> str:
    """Say that classes are too small for an image to find its own among its neighbours."""
    if labelled is None or not labelled.num_classes:
        return ""
    count = min(recipe.probe.images, len(labelled.samples))
    if count >= labelled.num_classes * recipe.probe.neighbours:
        return ""
    return (
        f"knn_error will be high whatever is learnt: {count} labelled images of "
        f"{labelled.num_classes} classes, of which {recipe.probe.neighbours} neighbours vote; "
        "name more as --val"
    )
