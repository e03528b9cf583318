"""Maps of a network instead of logits: what a detector or a segmenter asks of a backbone."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from eyespot.models.convnet import ConvNet
from eyespot.models.vit import ViT


class FeatureExtractor(nn.Module):
    """A network without its head that returns maps; timm's `features_only`.

    The network is `body`; what no chosen map needs is deleted, so every parameter has a gradient.

    Args:
        model: The network; it loses its head.
        out_indices: Which maps of its `feature_info`, in the order wanted; all when not given
            (for a ViT: the last block alone).

    Raises:
        ValueError: If an index is out of range.
    """

    def __init__(self, model: ConvNet | ViT, out_indices: Sequence[int] | None = None) -> None:
        super().__init__()
        levels = len(model.feature_info)
        if out_indices is None:
            out_indices = (levels - 1,) if isinstance(model, ViT) else range(levels)
        self.out_indices = tuple(out_indices)
        self.feature_info = model.feature_info.select(self.out_indices)
        _drop_unused_(model, max(i % levels for i in self.out_indices))
        self.body = model

    def forward(self, x: Float[Tensor, "b i h w"]) -> list[Tensor]:
        """Return the maps [B, C, H, W], one an index."""
        return self.body.forward_intermediates(x, self.out_indices)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """As the network's."""
        self.body.set_grad_checkpointing(enable)


def _drop_unused_(model: ConvNet | ViT, last: int) -> None:
    """Delete what no map up to the last one needs, so that no parameter goes without gradient."""
    if isinstance(model, ViT):
        model.reset_classifier(0)
        model.norm = nn.Identity()  # type: ignore[assignment]
        del model.blocks[last + 1 :]
        return
    model.head = nn.Identity()  # type: ignore[assignment]
    name = model.feature_info[last].module
    keep = 0 if name.startswith("stem") else int(name.removeprefix("s"))
    for i in range(keep + 1, model.num_stages + 1):
        delattr(model, f"s{i}")
    model.num_stages = keep
