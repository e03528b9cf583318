"""Batch norm over the batch of several ranks, on any device.

torch's SyncBatchNorm runs on accelerators alone; it is used there. Elsewhere (gloo on CPUs) the
same statistics are summed here. Shapes: B batch, C channels.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from eyespot import dist


class _SumOverRanks(torch.autograd.Function):
    """All-reduce whose backward is an all-reduce."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup | None) -> Tensor:
        ctx.group = group
        return dist.all_reduce_sum(x, group)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return dist.all_reduce_sum(grads[0], ctx.group), None


class SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm whose statistics are those of all ranks' batches together.

    Args:
        num_features: Channels C.
        eps: Added to the variance.
        momentum: Share of a batch in the running statistics.
        group: The ranks that share statistics; all of them by default.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        *,
        group: ProcessGroup | None = None,
    ) -> None:
        super().__init__(num_features, eps, momentum)
        self.group = group

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"need an input of [B, C, ...], got {input.dim()} dimensions")

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Return the normed input; in training the running statistics move as well."""
        if not self.training or dist.world_size(self.group) == 1:
            return super().forward(x)
        places = [dim for dim in range(x.dim()) if dim != 1]
        wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        count = wide.new_tensor([wide.numel() / wide.shape[1]])
        local = torch.cat([wide.sum(places), wide.square().sum(places), count])  # [2 C + 1]
        total: Tensor = _SumOverRanks.apply(local, self.group)  # type: ignore[no-untyped-call]
        number = total[-1].detach()
        mean, square = (total[:-1] / number).chunk(2)
        var = square - mean.square()
        self._track(mean.detach(), var.detach() * (number / (number - 1)))
        shape = [1, -1] + [1] * (x.dim() - 2)
        scale = self.weight * torch.rsqrt(var + self.eps)
        out = wide * scale.reshape(shape) + (self.bias - mean * scale).reshape(shape)
        return out.to(x.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, unbiased_var: Tensor) -> None:
        if not self.track_running_stats or self.running_mean is None or self.momentum is None:
            return
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(unbiased_var, self.momentum)
        self.num_batches_tracked.add_(1)


def to_sync_bn(
    model: nn.Module, *, group: ProcessGroup | None = None, device: torch.device | None = None
) -> nn.Module:
    """Return the model with every batch norm shared over ranks; names and values stay.

    Args:
        model: The network.
        group: The ranks that share statistics; all of them by default.
        device: Where it will run; where it lies by default.
    """
    convert = nn.SyncBatchNorm.convert_sync_batchnorm
    if (device or next(model.parameters()).device).type == "cuda":
        converted: nn.Module = convert(model, group)  # type: ignore[no-untyped-call]
        return converted
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            new = SyncBatchNorm(
                module.num_features, module.eps, module.momentum or 0.1, group=group
            ).to(module.weight)
            new.load_state_dict(module.state_dict())
            new.train(module.training)
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, new)
    return model
