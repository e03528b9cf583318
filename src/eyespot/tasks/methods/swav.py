"""SwAV: predict the code of one view from the other views.

Papers: SwAV (arXiv 2006.09882), algorithm 1 and appendix A; SEER (arXiv 2103.01988), section 3.
Shapes: B samples of this rank, V views, the first A of them with codes, K prototypes, E embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eyespot import dist
from eyespot.errors import RecipeError
from eyespot.losses.swav import swapped_prediction_loss
from eyespot.models.heads import SwAVHead
from eyespot.models.queues import SwAVQueue, queue_length
from eyespot.ops.sinkhorn import hard_codes, sinkhorn
from eyespot.tasks.health import code_health, embedding_health, queue_health, worst_of
from eyespot.tasks.methods.training import Sizes, Training, Views, by_view
from eyespot.tasks.ranges import Within, check_ranges, check_widths
from eyespot.train.job import Job

_LEAST_SAMPLES = 0.25  # per prototype; published runs have 0.5 and more


@dataclass(frozen=True, slots=True)
class SwAV:
    """Numbers of SwAV and SEER.

    Attributes:
        hidden_dims: Widths of the projector's hidden layers.
        out_dim: Width E of an embedding.
        head_norm: Batch norm in the projector (SEER above 32 GF: none).
        prototypes: K of each set; the loss is the mean over sets.
        coded_views: A: the first views, which codes are computed of.
        temperature: Of the prediction's softmax.
        epsilon: Entropy of the codes; smaller is sharper.
        iters: Of Sinkhorn (SwAV: 3, SEER: 10).
        sinkhorn: "swav" is the paper's code, "stable" the same without overflow, "log" in log
            space, "vissl" with VISSL's guards.
        power_law: Exponent of uneven prototype use; 0 for equal use.
        hard_steps: First steps, whose codes are one-hot.
        normalize: Prototypes get unit length "before" every step (SwAV's code) or "after" (VISSL).
        freeze_steps: First steps, in which prototypes do not move.
        queue: Embeddings kept for Sinkhorn, all ranks together; 0 for none.
        queue_epoch: Epoch, from 0, at which the queue begins to fill.
    """

    name: Literal["swav"] = "swav"
    hidden_dims: tuple[int, ...] = (2048,)
    out_dim: int = 128
    head_norm: bool = True
    prototypes: tuple[int, ...] = (3000,)
    coded_views: int = 2
    temperature: float = 0.1
    epsilon: float = 0.05
    iters: int = 3
    sinkhorn: Literal["stable", "swav", "log", "vissl"] = "stable"
    power_law: float = 0.0
    hard_steps: int = 0
    normalize: Literal["before", "after"] = "before"
    freeze_steps: int = 313
    queue: int = 0
    queue_epoch: int = 0


def check(settings: SwAV, sizes: Sizes) -> None:
    """Raise RecipeError if these numbers cannot train."""
    if not settings.prototypes or min(*settings.prototypes, settings.out_dim) < 2:
        raise RecipeError(
            "need sets of at least 2 prototypes in at least 2 dimensions, got prototypes "
            f"{settings.prototypes} and out_dim {settings.out_dim}"
        )
    if sizes.num_views < 2 or not 1 <= settings.coded_views <= sizes.num_views:
        raise RecipeError(
            "need at least 2 views of an image, and coded_views of 1 to all of them, got "
            f"{sizes.num_views} views and coded_views {settings.coded_views}; add crops"
        )
    if not (settings.epsilon > 0 and settings.iters >= 1 and settings.temperature > 0):
        raise RecipeError(
            "need epsilon and temperature above 0 and iters of 1 or more, got "
            f"{settings.epsilon}, {settings.temperature} and {settings.iters}"
        )
    check_widths(settings.hidden_dims, settings.out_dim)
    check_ranges(
        {
            "method.power_law": Within(settings.power_law, 0),
            "method.hard_steps": Within(settings.hard_steps, 0),
            "method.freeze_steps": Within(settings.freeze_steps, 0),
            "method.queue_epoch": Within(settings.queue_epoch, 0),
        }
    )
    part = sizes.batch_size // sizes.accumulate
    if settings.queue and (settings.queue < part or settings.queue % part):
        raise RecipeError(
            f"need a queue of whole batches of {part}, got {settings.queue}; "
            f"{max(1, round(settings.queue / part)) * part} is the nearest"
        )
    samples, most = part + settings.queue, max(settings.prototypes)
    if samples < _LEAST_SAMPLES * most:
        raise RecipeError(
            f"need at least one sample for four prototypes, or Sinkhorn cannot share {most} of "
            f"them, got {part} images at a time and a queue of {settings.queue}; take "
            f"{int(samples / _LEAST_SAMPLES)} prototypes or fewer, a larger batch or a queue"
        )


def make_head(settings: SwAV, width: int) -> nn.Module:
    """Return the projector and the prototypes."""
    dims = (width, *settings.hidden_dims, settings.out_dim)
    return SwAVHead(dims, settings.prototypes, batch_norm=settings.head_norm)


def make_state(training: Training) -> dict[str, nn.Module]:
    """Return the queue, if there is one."""
    settings, sizes = training.method, training.sizes
    if not settings.queue:
        return {}
    ranks, part = dist.world_size(), sizes.batch_size // sizes.accumulate
    length = queue_length(settings.queue, batch_size=part, world_size=ranks)
    queue = SwAVQueue(
        settings.coded_views,
        length,
        settings.out_dim,
        batch_size=part // ranks,
        device=sizes.device,
    )
    return {"queue": queue}


def step(training: Training, job: Job, views: Views, indices: Tensor) -> dict[str, Tensor]:
    """Take one step: algorithm 1 of the paper, with the queue and the frozen prototypes.

    Returns:
        The loss in nats, the gradient's norm, and what `tasks.health` measures: of embeddings
        over the whole batch, of codes where the worst set of prototypes or part of the step is.
    """
    settings: SwAV = training.method
    head = _head(training)
    queue = job.modules.get("queue")
    queueing = isinstance(queue, SwAVQueue) and _queue_runs(training, job)
    if settings.normalize == "before":
        head.normalize_prototypes_()
    health: list[dict[str, Tensor]] = []
    embedded: list[Tensor] = []

    def loss_of(part: Views) -> Tensor:
        embeddings, scores = training.run(training.model, part)
        coded = by_view(embeddings.detach(), training.sizes.num_views)[: settings.coded_views]
        embedded.append(coded)
        losses = []
        for prototypes, of_set in zip(head.prototypes, scores, strict=True):
            of_views = by_view(of_set, training.sizes.num_views)  # [V, B, K]
            seen = of_views[: settings.coded_views].detach()
            if queueing:
                assert isinstance(queue, SwAVQueue)
                seen = queue.extend(seen, prototypes)  # [A, L + B, K]
            codes = codes_of(settings, seen, of_views.shape[1], job.step)  # [A, B, K]
            losses.append(
                swapped_prediction_loss(of_views, codes, temperature=settings.temperature)
            )
            of_codes = code_health(of_views, codes, temperature=settings.temperature)
            of_queue = queue_health(seen, of_views.shape[1], settings.temperature)
            health.append(of_codes | of_queue)
        return torch.stack(losses).mean()

    loss = training.backward(training.parts(views), loss_of)
    if job.step < settings.freeze_steps:
        head.prototypes.zero_grad(set_to_none=True)  # no momentum, no decay: they do not move
    norm = training.descend(loss)
    if settings.normalize == "after":
        head.normalize_prototypes_()
    if queueing:
        assert isinstance(queue, SwAVQueue)
        for coded in embedded:
            queue.push_(coded)
    well = worst_of(health) | embedding_health(torch.cat(embedded, dim=1))
    return {"loss": loss, "gradient_norm": norm, **well}


def codes_of(
    settings: SwAV, scores: Float[Tensor, "a n k"], batch: int, done: int
) -> Float[Tensor, "a b k"]:
    """Return the codes of each view's last rows, the batch; all rows share the prototypes."""
    codes = torch.stack(
        [
            sinkhorn(
                of_view,
                epsilon=settings.epsilon,
                iters=settings.iters,
                method=settings.sinkhorn,
                power_law=settings.power_law,
            )[-batch:]
            for of_view in scores
        ]
    )
    if done < settings.hard_steps:
        codes = torch.stack([hard_codes(of_view) for of_view in codes])
    return codes


def chance_loss(settings: SwAV, sizes: Sizes) -> float:
    """Return the loss of a network that knows nothing: ln K, the mean over sets."""
    logs: Sequence[float] = torch.tensor(settings.prototypes, dtype=torch.float64).log().tolist()
    return sum(logs) / len(logs)


def _queue_runs(training: Training, job: Job) -> bool:
    return bool(job.step >= training.method.queue_epoch * training.sizes.steps_per_epoch)


def _head(training: Training) -> SwAVHead:
    head = training.network.head
    assert isinstance(head, SwAVHead)
    return head
