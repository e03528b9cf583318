"""Which parameters of a grounding run learn, and how fast, at every step."""

import torch
from torch import nn

from eyespot.optim.grounding_rates import grounding_factors
from eyespot.tasks.ground_network import Network, own_parts
from eyespot.tasks.ground_parts import Rates, Words

WORDS = "words"
"""The module, and the group of the optimizer, of the first phase's head."""


def set_rates_(
    optimizer: torch.optim.Optimizer,
    rates: Rates,
    words: Words,
    step: int,
    *,
    steps_per_epoch: int,
    total_steps: int,
) -> None:
    """Set each group's rate for a step counted from 0, the first phase's included."""
    if step < words.steps:
        lr = words.lr * (1 - 0.9 * step / words.steps)
        found = {"main": 0.0, "backbone": lr, "text": 0.0, WORDS: lr}
    else:
        factors = grounding_factors(
            step - words.steps,
            shape=rates.shape,
            steps_per_epoch=steps_per_epoch,
            total_steps=total_steps - words.steps,
            drop_epoch=rates.drop_epoch,
            warmup_share=rates.warmup_share,
        )
        found = {
            "main": rates.lr * factors.main,
            "backbone": rates.lr_backbone * factors.main,
            "text": rates.lr_text * factors.text,
            WORDS: 0.0,
        }
    for group in optimizer.param_groups:
        group["lr"] = found[group["name"]]


def frozen_starts(frozen: tuple[str, ...], rates: Rates) -> tuple[str, ...]:
    """Return the starts of names of all parameters that are not trained.

    Those that the recipe freezes, and a backbone or text encoder whose rate is 0: its gradients
    then count for nothing in the clipped norm either, as in the published code.
    """
    backbone = ("backbone.",) if rates.lr_backbone == 0 else ()
    text = ("transformer.text_encoder.",) if rates.lr_text == 0 else ()
    return (*frozen, *backbone, *text)


def freeze_(network: nn.Module, starts: tuple[str, ...]) -> None:
    """Stop training what the recipe names, and the text encoder's pooler, which nothing uses."""
    starts = (*starts, "transformer.text_encoder.pooler.")
    for name, parameter in network.named_parameters():
        if name.startswith(starts) or name.removeprefix("detr.").startswith(starts):
            parameter.requires_grad_(False)


def new_and_frozen(network: Network, starts: tuple[str, ...], *, start_from: str) -> list[str]:
    """Say which parts neither begin with weights of others nor ever learn; one note or none.

    Args:
        network: Of the recipe.
        starts: Of names of parameters that are not trained.
        start_from: The grounder it begins with; "" for none.
    """
    if start_from:
        return []
    left = [start for start in starts if not start.startswith(own_parts(network))]
    if network.frozen_norms and not network.backbone_weights:
        left.append("the backbone's norms (--network.frozen-norms)")
    if not left:
        return []
    return [
        f"new weights that will never be trained: {', '.join(left)}; begin with trained ones by "
        "--network.backbone-weights, --network.text-weights or --start-from, or train them"
    ]


def word_head(dim: int, vocab_size: int) -> nn.Module:
    """Return a linear layer that finds every word rare at first."""
    head = nn.Linear(dim, vocab_size)
    nn.init.constant_(head.bias, -4.0)
    return head
