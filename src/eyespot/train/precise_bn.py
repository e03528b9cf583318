"""Precise batch norm: running statistics of the weights as they are, not of the way there.

Shapes: C channels.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from eyespot import dist


@torch.no_grad()
def update_precise_bn_(model: nn.Module, batches: Iterable[Tensor]) -> int:
    """Replace the running statistics of all batch norms by their mean over batches, in place.

    Batch means and unbiased batch variances are averaged with equal weights over the batches and
    then over the ranks (as in pycls; Designing Network Design Spaces uses it throughout).

    Args:
        model: The network, not wrapped; its mode is left as it was.
        batches: Images, on the model's device.

    Returns:
        How many batches this rank used.

    Raises:
        ValueError: If there is no batch.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    norms = [norm for norm in norms if norm.running_mean is not None]
    if not norms:
        return 0
    modes = {module: module.training for module in model.modules()}
    momenta = [norm.momentum for norm in norms]
    sums = [torch.zeros_like(t, dtype=torch.float64) for t in _statistics(norms)]
    count = 0
    model.train()
    try:
        for norm in norms:
            norm.momentum = 1.0
        for images in batches:
            model(images)
            count += 1
            for total, value in zip(sums, _statistics(norms), strict=True):
                total += value
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes.items():
            module.training = mode
    if count == 0:
        raise ValueError("need at least one batch for precise batch norm, got none")
    for total, value in zip(sums, _statistics(norms), strict=True):
        value.copy_(dist.all_reduce_mean(total / count))
    return count


def _statistics(norms: list[nn.modules.batchnorm._BatchNorm]) -> list[Tensor]:
    pairs = [(norm.running_mean, norm.running_var) for norm in norms]
    return [value for pair in pairs for value in pair if value is not None]
