"""Averages of a model's weights over training.

Two rules: `update_ema_` averages the whole state, running statistics included, for a model that is
evaluated later; `update_target_` averages parameters only, for a second network that runs beside
the trained one and keeps its own statistics (MoCo's key encoder, BYOL's target).
"""

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


@torch.no_grad()
def update_ema_(ema: nn.Module, model: nn.Module, alpha: float) -> None:
    """Move every entry of the average's state a share `alpha` towards the model's, in place.

    Integer entries (batch counters) are averaged and cut to integers. With alpha = 1 the average
    becomes a copy; a decay d, as in most papers, is alpha = 1 - d.

    Args:
        ema: The average, of the same architecture and sharding as the model.
        model: The trained model, not wrapped.
        alpha: Share of the model, in 0 to 1; see `pycls_alpha`.

    Raises:
        ValueError: If alpha lies outside 0 to 1, or the two states have other names.
    """
    ema_state, state = ema.state_dict(), model.state_dict()
    _check(alpha, ema_state, state)
    _move_([_local(ema_state[name]) for name in state], [_local(t) for t in state.values()], alpha)


@torch.no_grad()
def update_target_(target: nn.Module, model: nn.Module, momentum: float) -> None:
    """Make the target's parameters momentum * themselves + (1 - momentum) * the model's, in place.

    Buffers stay the target's own.

    Args:
        target: Averaged network.
        model: Trained network of the same architecture and sharding.
        momentum: Share the target keeps, in 0 to 1 (MoCo: 0.999; BYOL: `byol_momentum`).

    Raises:
        ValueError: If momentum lies outside 0 to 1, or the two networks have other parameters.
    """
    targets = {name: p.detach() for name, p in target.named_parameters()}
    params = {name: p.detach() for name, p in model.named_parameters()}
    _check(momentum, targets, params)
    _move_([_local(targets[n]) for n in params], [_local(p) for p in params.values()], 1 - momentum)


def pycls_alpha(alpha: float, *, batch_size: int, epochs: int, period: int) -> float:
    """Return the share for `update_ema_` when it is called every `period` steps.

    pycls counts steps within an epoch, so every epoch's step 0 updates, and copies the model
    (share 1) during warmup epochs.

    Args:
        alpha: Reference value (pycls: 1e-5).
        batch_size: Images a step, all processes together.
        epochs: Of the whole run.
        period: Steps from one update to the next (pycls: 32).
    """
    return min(1.0, alpha * batch_size / epochs * period)


def _move_(averages: list[Tensor], news: list[Tensor], alpha: float) -> None:
    floats = [i for i, average in enumerate(averages) if average.is_floating_point()]
    if floats:
        torch._foreach_lerp_([averages[i] for i in floats], [news[i] for i in floats], alpha)
    for average, new in zip(averages, news, strict=True):
        if not average.is_floating_point():
            average.copy_(average + alpha * (new - average).double())


def _check(share: float, averages: dict[str, Tensor], news: dict[str, Tensor]) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"need a share of 0 to 1, got {share}")
    if averages.keys() != news.keys():
        only = sorted(averages.keys() ^ news.keys())
        raise ValueError(
            f"need two models with the same names, got {len(only)} that only one has: "
            f"{', '.join(only[:3])}; unwrap the model if it is wrapped"
        )


def _local(tensor: Tensor) -> Tensor:
    """This process's shard, or the tensor itself; both share its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
