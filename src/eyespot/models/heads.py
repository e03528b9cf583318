"""Heads for pretraining: SwAV's projector and prototypes, SimCLR's, MoCo's and BYOL's projectors.

Shapes: B samples of all views together, D backbone width, E embedding width, K prototypes.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class SwAVOutput(NamedTuple):
    """What the head says about one batch of pooled features.

    Attributes:
        embeddings: Of unit length.
        scores: One tensor a set of prototypes. Cosines in -1 to 1, if `normalize_prototypes_` ran
            since the last optimizer step.
    """

    embeddings: Float[Tensor, "b e"]
    scores: tuple[Float[Tensor, "b _"], ...]


class SwAVHead(nn.Module):
    """Project features to the unit sphere and score them against prototypes.

    Papers: SwAV (arXiv 2006.09882), section 3.1; SEER (arXiv 2103.01988), section 3. All views go
    through in one call, so that batch norm sees them together. The sphere and the scores are
    computed in float32 under autocast; with FSDP2, make each set of prototypes its own float32
    unit.

    Args:
        dims: Widths from the backbone's D to E: (2048, 2048, 128) for SwAV's ResNet-50,
            (D, 4096, 4096, 256) for SEER up to 32 GF, (D, 8192, 8192, 256) above.
        num_prototypes: K of each set: (3000,) for SwAV, (16000,) for SEER. The loss is the mean
            over sets.
        batch_norm: After every layer but the last. SwAV and SEER up to 32 GF have it, SEER's
            larger models do not.

    Raises:
        ValueError: If there are fewer than two widths, or no prototypes.
    """

    def __init__(
        self, dims: Sequence[int], num_prototypes: Sequence[int], *, batch_norm: bool
    ) -> None:
        super().__init__()
        if not num_prototypes:
            raise ValueError("need at least one set of prototypes, got none")
        self.projector = mlp(dims, batch_norm=batch_norm)
        self.prototypes = nn.ModuleList(
            nn.Linear(dims[-1], count, bias=False) for count in num_prototypes
        )

    def forward(self, features: Float[Tensor, "b d"]) -> SwAVOutput:
        """Return unit-length embeddings and their scores against every set of prototypes."""
        projected = self.projector(features)  # [B, E]
        with torch.autocast(projected.device.type, enabled=False):
            dtype = torch.promote_types(projected.dtype, torch.float32)
            embeddings = F.normalize(projected.to(dtype), dim=-1)
            return SwAVOutput(embeddings, tuple(p(embeddings) for p in self.prototypes))

    @torch.no_grad()
    def normalize_prototypes_(self) -> None:
        """Rescale every prototype to unit length, in place.

        SwAV's code does so before every forward pass, VISSL after every optimizer step.
        """
        for weight in self.prototypes.parameters():
            weight.copy_(F.normalize(weight, dim=-1))


def simclr_projector(in_dim: int, out_dim: int = 128) -> nn.Sequential:
    """Return the projector of SimCLR and MoCo v2: two layers of width D and E, no batch norm.

    Papers: SimCLR (arXiv 2002.05709), section 4.2; MoCo v2 (arXiv 2003.04297). As VISSL has it.
    """
    return mlp((in_dim, in_dim, out_dim), batch_norm=False)


def byol_projector(in_dim: int, hidden_dim: int = 4096, out_dim: int = 256) -> nn.Sequential:
    """Return BYOL's projector, and with `in_dim` = E its predictor: batch norm after layer one.

    Paper: BYOL (arXiv 2006.07733), section 3.3.
    """
    return mlp((in_dim, hidden_dim, out_dim), batch_norm=True)


def mlp(dims: Sequence[int], *, batch_norm: bool) -> nn.Sequential:
    """Return linear layers with ReLU between them, and batch norm before it if asked.

    Args:
        dims: Widths, the input's first; the last layer has neither norm nor ReLU.
        batch_norm: Normalise between each layer and its ReLU.

    Raises:
        ValueError: If there are fewer than two widths.
    """
    if len(dims) < 2:
        raise ValueError(f"need at least an input and an output width, got {list(dims)}")
    layers: list[nn.Module] = []
    for in_dim, out_dim in pairwise(dims):
        layers.append(nn.Linear(in_dim, out_dim))
        if batch_norm:
            layers.append(nn.BatchNorm1d(out_dim))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers[: -2 if batch_norm else -1])
