"""Batch norm over the batch of several ranks, on any device.

torch's SyncBatchNorm runs on accelerators alone; it is used there. Elsewhere (gloo on CPUs) the
ranks' statistics are joined here, as Chan, Golub and LeVeque join those of parts (1983): the
deviations are from a mean, so nothing cancels where a channel's mean is far larger than its spread.
Shapes: B batch, C channels.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from eyespot import dist


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
        shape = [1, -1] + [1] * (x.dim() - 2)
        wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        count = wide.new_tensor([wide.numel() / wide.shape[1]])
        own_mean = wide.mean(places)
        own_squares = (wide - own_mean.reshape(shape)).square().sum(places)
        own = torch.cat([own_mean, own_squares, count])  # [2 C + 1]
        every = dist.all_gather_cat(own[None], differentiable=True, group=self.group)
        counts = every[:, -1:].detach()  # [ranks, 1]
        means, squares = every[:, :-1].chunk(2, dim=1)  # [ranks, C]
        number = counts.sum()
        mean = (counts * means).sum(0) / number
        var = (squares + counts * (means - mean).square()).sum(0) / number
        self._track(mean.detach(), var.detach() * (number / (number - 1)))
        scale = self.weight * torch.rsqrt(var + self.eps)
        out = (wide - mean.reshape(shape)) * scale.reshape(shape) + self.bias.reshape(shape)
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
