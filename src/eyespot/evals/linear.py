"""Linear classifiers on frozen features: many taps, rates and norms trained in one pass.

Papers: Goyal et al. (arXiv 1905.01235), section 6; SwAV (arXiv 2006.09882), appendix B; SEER (arXiv
2103.01988), section 4.3. Every head has its own loss; nothing but the features is shared, so each
learns as if it were alone.

Shapes: B samples, C channels, P places of a pooled map, K classes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

_HUGE = 1e12  # no gradient of a head that learns comes near; its square is still a float32


@dataclass(frozen=True, slots=True)
class HeadChoice:
    """One of the heads that are trained side by side.

    Attributes:
        tap: Which of the features, by its place.
        name: Of the tap, for people.
        rate: Learning rate.
        norm: Whether a batch norm over the channels comes first.
    """

    tap: int
    name: str
    rate: float
    norm: bool

    def __str__(self) -> str:
        return f"{self.name} lr {self.rate:g}{' bn' if self.norm else ''}"


class ProbeHead(nn.Module):
    """Optional batch norm over channels, then one linear layer over channels and places.

    Args:
        channels: C.
        places: P; features are C P wide, the places of a channel next to each other.
        num_classes: K.
        norm: Whether there is a batch norm.
    """

    def __init__(self, channels: int, places: int, num_classes: int, *, norm: bool) -> None:
        super().__init__()
        self.channels = channels
        self.channel_bn: nn.Module = nn.BatchNorm1d(channels) if norm else nn.Identity()
        self.linear = nn.Linear(channels * places, num_classes)
        nn.init.normal_(self.linear.weight, 0.0, 0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        """Return logits."""
        maps = features.view(len(features), self.channels, -1)  # [B, C, P]
        logits: Tensor = self.linear(self.channel_bn(maps).flatten(1))
        return logits


class ProbeHeads(nn.Module):
    """Heads side by side.

    Args:
        choices: One a head.
        channels: Of each tap.
        places: Of each tap.
        num_classes: K.
    """

    def __init__(
        self,
        choices: Sequence[HeadChoice],
        channels: Sequence[int],
        places: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__()
        self.choices = tuple(choices)
        self.heads = nn.ModuleList(
            ProbeHead(channels[c.tap], places[c.tap], num_classes, norm=c.norm) for c in choices
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return each head's logits, from the features of all taps."""
        return [
            head(features[choice.tap])
            for head, choice in zip(self.heads, self.choices, strict=True)
        ]


def head_choices(
    taps: Sequence[str],
    rates: Sequence[float],
    norms: Sequence[bool],
    *,
    without_norm: Collection[str] = (),
) -> list[HeadChoice]:
    """Return every combination.

    Args:
        taps: As they print.
        rates: Learning rates.
        norms: Of every tap: with a batch norm, without, or both.
        without_norm: Taps that get heads without a batch norm too.

    Raises:
        ValueError: If there is none, or a rate is not above 0.
    """
    if not (taps and rates and norms) or min(rates) <= 0:
        raise ValueError(
            f"need taps, and learning rates above 0, got {list(taps)} and {list(rates)}"
        )
    return [
        HeadChoice(place, tap, rate, norm)
        for place, tap in enumerate(taps)
        for norm in dict.fromkeys((*norms, *((False,) if tap in without_norm else ())))
        for rate in rates
    ]


def head_groups(heads: ProbeHeads, *, weight_decay: float, scale: float) -> list[dict[str, Any]]:
    """Return parameter groups with each head's own rate; batch norms are not decayed.

    Args:
        heads: On their device.
        weight_decay: Of weights and biases of linear layers.
        scale: Of the rates, such as batch size / 256.
    """
    groups = []
    for head, choice in zip(heads.heads, heads.choices, strict=True):
        assert isinstance(head, ProbeHead)
        linear, norm = list(head.linear.parameters()), list(head.channel_bn.parameters())
        for params, decay in ((linear, weight_decay), (norm, 0.0)):
            if params:
                lr = choice.rate * scale
                groups.append({"params": params, "lr": lr, "weight_decay": decay})
    return groups


def leave_diverged_(heads: ProbeHeads) -> list[bool]:
    """Take the gradients from heads whose own are infinite or huge, so that the others can go on.

    Call it after the backward pass, when gradients are equal on all ranks.

    Returns:
        For each head, whether it still learns.
    """
    alive = []
    for head in heads.heads:
        grads = [param.grad for param in head.parameters() if param.grad is not None]
        alive.append(bool(nn.utils.get_total_norm(grads) < _HUGE))
        if not alive[-1]:
            head.zero_grad(set_to_none=True)
    return alive


def sum_of_losses(logits: Sequence[Tensor], labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of all heads' mean cross-entropies in nats, and each one's [heads]."""
    each = torch.stack([nn.functional.cross_entropy(scores, labels) for scores in logits])
    return each.sum(), each.detach()
