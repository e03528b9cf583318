"""Grounding: find what every phrase of a text names in an image.

Paper: MDETR (arXiv 2104.12763), sections 2 and 4, and its published recipes.
Shapes: B images, T token columns, L decoder layers, "total" boxes of all images of a batch.
"""

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from eyespot import dist
from eyespot.data.answers import words_of_heads
from eyespot.data.grounding import GroundingBatch, normalize_padded
from eyespot.data.quarantine import BadSample
from eyespot.data.scene_captions import ScenesSettings
from eyespot.data.token_targets import TokenTargets, token_targets
from eyespot.data.tokens import Tokenizer
from eyespot.errors import RecipeError
from eyespot.losses.grounding import GroundingTargets
from eyespot.losses.masks import mask_losses
from eyespot.losses.words import box_features, phrase_words, word_loss
from eyespot.models.grounder import GrounderSpec, build_grounder, grounder_to_dict
from eyespot.models.masks import SegmentationOutput, detector_of
from eyespot.models.mdetr import GroundingOutput
from eyespot.ops.spans import normalize_rows
from eyespot.optim.ema import update_ema_
from eyespot.tasks.ground_accumulation import split_batch, sum_of_parts
from eyespot.tasks.ground_answers import (
    Answering,
    Questions,
    answer_loss,
    check_answers,
    evaluate_answers,
    question_counts,
)
from eyespot.tasks.ground_data import GroundData, Views, open_data
from eyespot.tasks.ground_evaluation import evaluate_grounding
from eyespot.tasks.ground_losses import set_loss
from eyespot.tasks.ground_network import (
    Network,
    load_parts_,
    network_spec,
    network_tokenizer,
    own_parts,
)
from eyespot.tasks.ground_parts import Rates, Weights, Words
from eyespot.tasks.ground_rates import (
    WORDS,
    freeze_,
    frozen_starts,
    new_and_frozen,
    set_rates_,
    word_head,
)
from eyespot.tasks.run import Place, Prepared, Run
from eyespot.train.job import Job
from eyespot.train.loop import Cadence
from eyespot.train.sharding import wrap
from eyespot.train.update import backward_all, step_
from eyespot.weights.grounders import load_grounder_weights
from eyespot.weights.named_grounders import grounder_file


@dataclass(frozen=True, slots=True)
class GroundRecipe:
    """All numbers of a grounding run.

    Attributes:
        network: What is trained.
        epochs: Passes over the data.
        batch_size: Images of a step, all ranks together.
        accumulate: Parts in which each rank works a step off, to save memory; the step stays the
            same, but for batch norms that are not frozen, which see a part.
        rates: Of the optimizer.
        weights: Of the losses.
        words: A first phase.
        questions: How much answers count, if the network answers.
        views: What happens to images: "natural" and "clevr" resize and crop as
            published, "fixed" resizes as in evaluation. "mirrored" is "natural" with
            half of the images mirrored and left and right swapped in their captions.
        average: Decay of the average of all weights that is evaluated; 0 for none.
        frozen: Starts of names of parameters that are not trained; "detr." is the whole detector
            of a network that draws masks.
        scenes: The built-in data, for `--data scenes`.
        start_from: A grounder's weights to begin with: a file, or a name of the package's own.
            Backbone and text encoder come from weights of their own where the network names some.
        precision: Number format of the network; losses are float32 in any case.
        evaluate_every: Epochs from one evaluation to the next.
        eval_batch_size: Images of an evaluation's batch, each rank.
        seed: Of everything random.
    """

    network: Network = field(default_factory=Network)
    epochs: int = 40
    batch_size: int = 64
    accumulate: int = 1
    rates: Rates = field(default_factory=Rates)
    weights: Weights = field(default_factory=Weights)
    words: Words = field(default_factory=Words)
    questions: Questions = field(default_factory=Questions)
    views: Views = "natural"
    average: float = 0.9998
    frozen: tuple[str, ...] = ("backbone.body.stem.", "backbone.body.s1.")
    scenes: ScenesSettings = field(default_factory=ScenesSettings)
    start_from: str = ""
    precision: Literal["float32", "bfloat16"] = "float32"
    evaluate_every: int = 1
    eval_batch_size: int = 16
    seed: int = 42


class _Training(NamedTuple):
    """What a step needs beside the job's state, and never changes."""

    recipe: GroundRecipe
    spec: GrounderSpec
    tokenizer: Tokenizer
    model: nn.Module
    optimizer: torch.optim.Optimizer
    data: GroundData
    results: Path
    answering: Answering | None


def prepare(recipe: GroundRecipe, run: Run, place: Place) -> Prepared:
    """Build what the engine needs: data, network, optimizer, and the functions below.

    Raises:
        RecipeError: If the recipe says something that cannot be run.
        ValueError: If the data cannot be used.
    """
    _check(recipe)
    data = open_data(
        recipe.network, recipe.scenes, recipe.views, run, place, epochs=recipe.epochs,
        batch_size=recipe.batch_size, eval_batch_size=recipe.eval_batch_size, seed=recipe.seed,
    )  # fmt: skip
    tokenizer = network_tokenizer(recipe.network, data.examples.source)
    spec = network_spec(recipe.network, tokenizer)
    if not recipe.weights.soft_token:
        spec = replace(spec, names_by="alignment")
    network: nn.Module = build_grounder(spec).to(place.device)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    notes = load_parts_(network, recipe.network)
    if recipe.start_from:
        with grounder_file(recipe.start_from) as path:
            notes += load_grounder_weights(network, path, without=own_parts(recipe.network))
    frozen = frozen_starts(recipe.frozen, recipe.rates)
    notes += new_and_frozen(recipe.network, frozen, start_from=recipe.start_from)
    freeze_(network, frozen)
    modules: dict[str, nn.Module] = {"model": network}
    if recipe.average:
        modules["average"] = copy.deepcopy(network).requires_grad_(False)
    if recipe.words.steps:
        dim = detector_of(network).input_proj.in_channels
        modules[WORDS] = word_head(dim, tokenizer.vocab_size).to(place.device)
    model = wrap(network, place.parallel)
    optimizer = _optimizer(recipe, modules)
    job = Job(modules, {"optimizer": optimizer}, place.device)
    job.about = {
        "grounder": json.dumps(grounder_to_dict(spec)),
        "tokenizer": tokenizer.definition(),
    }
    results = run.out / "results" / Path((run.val or run.data).partition(":")[0]).stem
    answering = None
    if spec.answer_heads:
        words = words_of_heads({head.name: head.words for head in spec.answer_heads})
        answering = Answering(words, results)
        check_answers(data.examples.source, words, recipe.questions)
    training = _Training(recipe, spec, tokenizer, model, optimizer, data, results, answering)
    every = data.order.steps_per_epoch * recipe.evaluate_every
    return Prepared(
        job,
        Cadence(
            total_steps=data.total_steps,
            log_every=run.log_every,
            evaluate_every=every,
            checkpoint_every=run.checkpoint_every or every,
            keep_last=run.keep_last,
            score="average_miss" if recipe.average else "miss",
        ),
        batches=data.batches,
        train_step=partial(train_step, training),
        evaluate=partial(evaluate, training),
        batch_facts=lambda batch: {"step": batch.step, "indices": batch.indices.tolist()},
        best="average" if recipe.average else "model",
        notes=(*notes, *data.notes),
    )


def train_step(training: _Training, job: Job, batch: GroundingBatch) -> dict[str, Tensor]:
    """Take one step: predict, match, descend, average.

    Returns:
        The total loss and each published term of the last decoder layer.
    """
    recipe, optimizer = training.recipe, training.optimizer
    set_rates_(
        optimizer,
        recipe.rates,
        recipe.words,
        job.step,
        steps_per_epoch=training.data.order.steps_per_epoch,
        total_steps=training.data.total_steps,
    )
    targets = token_targets(
        batch.captions, batch.spans, training.tokenizer, training.spec.num_classes
    )
    count = torch.tensor(float(targets.keep.sum()), device=job.device)
    num_boxes = dist.all_reduce_mean(count).clamp(min=1)  # of the whole step
    questions = _question_counts(training, job, batch)
    parts = split_batch(batch, targets, recipe.accumulate)
    found: list[dict[str, Tensor]] = []

    def loss_of(part: tuple[GroundingBatch, TokenTargets]) -> Tensor:
        loss, terms = _loss_of_part(training, job, *part, num_boxes, questions)
        found.append(terms)
        return loss * len(parts)  # a sum over boxes, which the mean over parts divides

    loss = backward_all(parts, loss_of, model=training.model)
    terms = {name: sum_of_parts(name, [one[name] for one in found], parts) for name in found[0]}
    norm = step_(optimizer, loss, clip=recipe.rates.clip)
    if recipe.average:
        share = 1 - recipe.average if job.step >= recipe.words.steps else 1.0
        update_ema_(job.modules["average"], job.modules["model"], share)
    values = {"loss": loss.detach(), **terms, "gradient_norm": norm}
    dropped = torch.tensor(float(len(targets.dropped)), device=job.device)
    return {**values, "phrases_too_far_back": dropped}


def _loss_of_part(
    training: _Training,
    job: Job,
    batch: GroundingBatch,
    targets: TokenTargets,
    num_boxes: Tensor,
    questions: dict[str, Tensor],
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a part of a step, and its terms; none while words are learnt."""
    boxes = batch.boxes_cxcywh[targets.keep].to(job.device)
    images = normalize_padded(batch.images.to(job.device), batch.pad_mask.to(job.device))
    if job.step < training.recipe.words.steps:
        return _word_loss(training, job, images, boxes, targets, num_boxes), {}
    return _set_loss(training, job, images, batch, boxes, targets, num_boxes, questions)


def evaluate(training: _Training, job: Job) -> dict[str, float]:
    """Return the metrics of the model and its average; write the predictions of the latter.

    Of a network that answers: the accuracy of its answers. Damaged images are left out, and their
    number said as "damaged".
    """
    best = "average" if training.recipe.average else "model"
    found: dict[str, float] = {}
    damaged: list[BadSample] = []
    for name in ("model", "average"):
        if name in job.modules:
            model, batches = job.modules[name], training.data.test_batches(damaged)
            if training.answering is not None:
                metrics = evaluate_answers(
                    model, training.tokenizer, batches, training.answering, job.device
                )
            else:
                metrics = evaluate_grounding(
                    model,
                    training.spec,
                    training.tokenizer,
                    batches,
                    job.device,
                    training.results if name == best else None,
                )
            prefix = "" if name == "model" else f"{name}_"
            found |= {prefix + key: value for key, value in metrics.items()}
    left_out = training.data.leave_out(damaged, job.step)
    return found | ({"damaged": left_out} if left_out else {})


def _set_loss(
    training: _Training,
    job: Job,
    images: Tensor,
    batch: GroundingBatch,
    boxes: Tensor,
    targets: TokenTargets,
    num_boxes: Tensor,
    counts: dict[str, Tensor],
) -> tuple[Tensor, dict[str, Tensor]]:
    """MDETR's losses of a batch, those of answers included, in float32 or better."""
    recipe, device = training.recipe, job.device
    low = recipe.precision == "bfloat16"
    with torch.autocast(device.type, torch.bfloat16, enabled=low):
        output: GroundingOutput | SegmentationOutput = training.model(
            images,
            batch.pad_mask.to(device),
            targets.tokens.ids.to(device),
            targets.tokens.pad_mask.to(device),
        )
    masks = None
    if isinstance(output, SegmentationOutput):
        output, masks = output
    answer_total, said = _answer_loss(training, output, batch, counts)
    if not recipe.questions.grounding:
        return answer_total, said
    final = torch.full((len(targets.keep),), math.nan) if batch.is_final is None else batch.is_final
    tokens = targets.positive_map.to(device)
    wanted = GroundingTargets(
        boxes,
        normalize_rows(tokens) if recipe.weights.uniform_tokens else tokens,
        targets.num_boxes,
        None,
        final[targets.keep].to(device),
    )
    found = set_loss(recipe.weights, output, wanted, num_boxes)
    total = answer_total + found.total
    terms = {name: found.terms[name] for name in _box_terms(training)} | said
    if masks is not None:
        if batch.masks is None:
            raise RecipeError("need masks in the data to train a segmentation head, got none")
        truths = batch.masks[targets.keep].to(device)
        focal, dice = mask_losses(masks, found.matches, truths, num_boxes=num_boxes)
        total = total + recipe.weights.mask * focal + recipe.weights.dice * dice
        terms |= {"loss_mask": focal, "loss_dice": dice}
    return total, {name: value.detach() for name, value in terms.items()}


def _question_counts(training: _Training, job: Job, batch: GroundingBatch) -> dict[str, Tensor]:
    """How many questions of each type a step has; none where the network does not answer."""
    if training.answering is None:
        return {}
    return question_counts(batch.records, training.answering.words, job.device)


def _answer_loss(
    training: _Training, output: GroundingOutput, batch: GroundingBatch, counts: dict[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The losses of answers, 0 where the network has none."""
    if training.answering is None:
        return output.logits.new_zeros(()), {}
    assert output.answer_logits is not None, "a network with answer heads gives their logits"
    words, questions = training.answering.words, training.recipe.questions
    return answer_loss(output.answer_logits, batch.records, words, questions, counts)


def _word_loss(
    training: _Training,
    job: Job,
    images: Tensor,
    boxes: Tensor,
    targets: TokenTargets,
    num_boxes: Tensor,
) -> Tensor:
    maps: list[Tensor] = detector_of(job.modules["model"]).backbone(images)
    features = box_features(maps[-1], boxes, targets.num_boxes)
    words = phrase_words(
        targets.tokens.ids.to(job.device),
        targets.positive_map.to(job.device),
        targets.num_boxes,
        training.tokenizer.vocab_size,
    )
    return word_loss(job.modules[WORDS](features), words, num_boxes=num_boxes)


def _box_terms(training: _Training) -> list[str]:
    names = ["loss_ce", "loss_bbox", "loss_giou", "cardinality_error"]
    names += ["loss_contrastive_align"] if training.spec.alignment_dim else []
    return names + (["loss_isfinal", "accuracy_isfinal"] if training.spec.with_is_final else [])


def _optimizer(recipe: GroundRecipe, modules: Mapping[str, nn.Module]) -> torch.optim.Optimizer:
    """AdamW with the published groups: names with "backbone", with "text_encoder", the rest."""
    groups: dict[str, list[nn.Parameter]] = {"main": [], "backbone": [], "text": []}
    for name, parameter in modules["model"].named_parameters():
        if parameter.requires_grad:
            kind = "backbone" if "backbone" in name else "main"
            groups["text" if "text_encoder" in name else kind].append(parameter)
    if WORDS in modules:
        groups[WORDS] = list(modules[WORDS].parameters())
    made = [{"name": name, "params": params} for name, params in groups.items() if params]
    return torch.optim.AdamW(
        made, lr=recipe.rates.lr, weight_decay=recipe.rates.weight_decay, fused=True
    )


def _check(recipe: GroundRecipe) -> None:
    numbers = (
        *(recipe.epochs, recipe.batch_size, recipe.accumulate),
        *(recipe.evaluate_every, recipe.eval_batch_size),
    )
    if min(numbers) < 1 or not 0 <= recipe.average < 1:
        raise RecipeError(
            "need epochs, batch sizes, accumulate and evaluate_every of 1 or more and an average "
            f"in [0, 1), got {numbers} and {recipe.average}"
        )
    if recipe.batch_size % (dist.world_size() * recipe.accumulate):
        raise RecipeError(
            f"need a batch_size that {dist.world_size()} ranks and {recipe.accumulate} parts share "
            f"evenly, got {recipe.batch_size}"
        )
    if recipe.words.steps and dist.world_size() > 1:
        raise RecipeError("need words.steps=0 on several ranks; it is for one small machine")
    aligned = recipe.network.alignment_dim > 0 and recipe.weights.contrastive_align > 0
    if not recipe.weights.soft_token and not aligned:
        raise RecipeError(
            "need weights.soft_token, or weights.contrastive_align and network.alignment_dim, "
            "above 0 to learn which phrase a box is, got neither"
        )
    if recipe.network.answers == "none" and not recipe.questions.grounding:
        raise RecipeError("need network.answers or questions.grounding, got nothing to learn")
    if recipe.views == "mirrored" and recipe.network.answers != "none":
        raise RecipeError(
            f"need views that are not mirrored with network.answers {recipe.network.answers!r}, "
            "whose answers may say left or right"
        )
    rates: Any = recipe.rates
    if min(rates.lr, rates.lr_backbone, rates.lr_text, rates.clip) < 0:
        raise RecipeError(f"need rates and clip of 0 or more, got {rates}")
    if recipe.words.steps and not recipe.rates.lr_backbone:
        raise RecipeError(
            f"need words.steps=0 with rates.lr_backbone=0, got {recipe.words.steps}: the first "
            "phase trains the backbone alone"
        )
