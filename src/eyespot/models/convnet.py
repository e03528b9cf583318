"""A CNN as stem, stages and head: what AnyNets and EfficientNets have in common.

Shapes: B batch, C channels, H W size of a map, K classes. The interface follows timm's.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eyespot.design.specs import Activation
from eyespot.models.blocks import activation, run_blocks


class Level(NamedTuple):
    """One map that a network can hand out.

    Attributes:
        module: Name of the module whose output it is.
        channels: Channels of the map.
        reduction: Image pixels a pixel of the map, along one side.
    """

    module: str
    channels: int
    reduction: int


class FeatureInfo(tuple[Level, ...]):
    """The maps a network can hand out, finest first; timm's `feature_info`."""

    __slots__ = ()

    def channels(self) -> list[int]:
        """Return the channels of each map."""
        return [level.channels for level in self]

    def reduction(self) -> list[int]:
        """Return the reduction of each map."""
        return [level.reduction for level in self]

    def module_name(self) -> list[str]:
        """Return the name of the module behind each map."""
        return [level.module for level in self]

    def select(self, indices: Sequence[int]) -> "FeatureInfo":
        """Return some of the maps, by index; negative ones count from the end.

        Raises:
            ValueError: If an index is out of range.
        """
        wrong = [i for i in indices if not -len(self) <= i < len(self)]
        if wrong:
            raise ValueError(
                f"need out_indices in -{len(self)}..{len(self) - 1}, got {list(indices)}"
            )
        return FeatureInfo(self[i] for i in indices)


def finest_levels(levels: Sequence[Level]) -> FeatureInfo:
    """Keep the last level of each reduction, as a feature pyramid takes them."""
    return FeatureInfo({level.reduction: level for level in levels}.values())


class ConvNet(nn.Module):
    """Stem, stages s1, s2, ..., and a head that pools and classifies.

    Args:
        stem: From image to first map.
        stages: The stages, in order; each a sequence of blocks named b1, b2, ...
        head: Has `forward(x, pre_logits)`, `fc` and `in_dim`.
        levels: The maps the network can hand out.
        in_chans: Channels of an image.
    """

    def __init__(
        self,
        stem: nn.Module,
        stages: Sequence[nn.Sequential],
        head: "ConvHead",
        levels: FeatureInfo,
        *,
        in_chans: int,
    ) -> None:
        super().__init__()
        self.stem = stem
        for i, stage in enumerate(stages, start=1):
            self.add_module(f"s{i}", stage)
        self.head = head
        self.num_stages = len(stages)
        self.feature_info = levels
        self.in_chans = in_chans
        self.recompute: tuple[tuple[int, int], ...] = ()

    @property
    def num_features(self) -> int:
        """Channels of `forward_features`."""
        return self.feature_info[-1].channels

    @property
    def num_classes(self) -> int:
        """Outputs of the classifier; 0 for none."""
        return self.head.num_classes

    def stage(self, i: int) -> nn.Sequential:
        """Return stage i, counted from 1."""
        return self.get_submodule(f"s{i}")  # type: ignore[return-value]

    def _run_stage(self, i: int, x: Tensor) -> Tensor:
        stage = self.stage(i)
        if not (self.recompute and self.training):
            return stage(x)  # type: ignore[no-any-return]
        first = sum(len(self.stage(k)) for k in range(1, i))
        return run_blocks(list(stage), x, self.recompute, first)

    def forward_features(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Return the last map, before the head."""
        x = self.stem(x)
        for i in range(1, self.num_stages + 1):
            x = self._run_stage(i, x)
        return x

    def forward_head(
        self, x: Float[Tensor, "b c h w"], pre_logits: bool = False
    ) -> Float[Tensor, "b k"]:
        """Pool the last map and classify it; with `pre_logits`, stop before the classifier."""
        logits: Tensor = self.head(x, pre_logits=pre_logits)
        return logits

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b k"]:
        """Return logits; pooled features if there is no classifier."""
        return self.forward_head(self.forward_features(x))

    def forward_intermediates(
        self, x: Float[Tensor, "b i h w"], indices: Sequence[int] | None = None
    ) -> list[Tensor]:
        """Return maps of `feature_info`, by index, running no further than needed.

        Args:
            x: Images.
            indices: Which maps, in the order wanted; all when not given.

        Raises:
            ValueError: If an index is out of range.
        """
        chosen = self.feature_info.select(
            range(len(self.feature_info)) if indices is None else indices
        )
        wanted = {level.module for level in chosen}
        found: dict[str, Tensor] = {}
        for name, module in self.stem.named_children():
            x = module(x)
            if f"stem.{name}" in wanted:
                found[f"stem.{name}"] = x
        for i in range(1, self.num_stages + 1):
            if wanted <= found.keys():
                break
            x = self._run_stage(i, x)
            found[f"s{i}"] = x
        return [found[level.module] for level in chosen]

    def get_classifier(self) -> nn.Module:
        """Return the last linear layer."""
        return self.head.fc

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the classifier by a new one; 0 classes for none."""
        self.head.reset(num_classes, next(self.parameters()).device)

    def set_grad_checkpointing(
        self, enable: bool = True, groups: Sequence[tuple[int, int]] = ()
    ) -> None:
        """Recompute blocks in the backward pass: less memory, more time, equal results.

        Args:
            enable: Whether to.
            groups: Blocks [begin, end) of one stage that are recomputed together, counted over
                all stages; every block by itself when empty.
        """
        count = sum(len(self.stage(k)) for k in range(1, self.num_stages + 1))
        each = tuple((i, i + 1) for i in range(count))
        self.recompute = (tuple(groups) or each) if enable else ()

    def no_weight_decay(self) -> set[str]:
        """Return the parameters that are never decayed: none here."""
        return set()


class ConvHead(nn.Module):
    """Optional 1x1 convolution, norm and activation, then average pool and linear layer.

    Args:
        w_in: Channels of the last map.
        width: Channels of the 1x1 convolution; 0 for none.
        num_classes: Outputs K; 0 for none.
        act: Non-linearity.
        norm_name: Name of the norm: published EfficientNets say "conv_bn", AnyNets "bn".
        dropout: Dropout before the linear layer.
    """

    def __init__(
        self,
        w_in: int,
        width: int,
        num_classes: int,
        act: Activation,
        *,
        norm_name: str = "bn",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_dim = width or w_in
        self.norm_name = norm_name
        self.conv = nn.Conv2d(w_in, width, 1, bias=False) if width else None
        if width:
            self.add_module(norm_name, nn.BatchNorm2d(width))
            self.af = activation(act)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.num_classes = num_classes
        self.fc: nn.Module = nn.Linear(self.in_dim, num_classes) if num_classes else nn.Identity()

    def reset(self, num_classes: int, device: torch.device) -> None:
        """Replace the linear layer by a freshly drawn one on a device."""
        self.num_classes = num_classes
        self.fc = nn.Identity()
        if num_classes:
            linear = nn.Linear(self.in_dim, num_classes, device=device)
            nn.init.normal_(linear.weight, 0.0, 0.01)
            nn.init.zeros_(linear.bias)
            self.fc = linear

    def forward(
        self, x: Float[Tensor, "b c h w"], pre_logits: bool = False
    ) -> Float[Tensor, "b k"]:
        """Return logits, or pooled features."""
        if self.conv is not None:
            x = self.af(self.get_submodule(self.norm_name)(self.conv(x)))
        x = x.mean((2, 3))  # [B, C]
        return x if pre_logits else self.fc(self.dropout(x))
